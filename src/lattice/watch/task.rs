use std::{collections::VecDeque, pin::Pin, sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Interval, MissedTickBehavior, Sleep, interval, sleep, timeout},
};

use super::{
    Control, Metrics, Settings,
    requests::Done,
    session::{Arrival, Session},
    state::Shared,
};
use crate::{
    lattice::{
        access::{AccessError, chain},
        clock,
        fault::Fault,
        in_flight::backoff,
        inventory::{Change, Effect, Fold, Input},
        line::Lines,
    },
    model::{LatticeName, Moment},
};

/// The first and the longest pause between attempts to connect.
const ATTEMPTS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// The first and the longest pause before a connection is tried beside one that doesn't bring all.
const TRIALS: (Duration, Duration) = (Duration::from_secs(2), Duration::from_mins(2));
/// How often time is looked at, at most.
const TICK: Duration = Duration::from_millis(100);
/// So many of what has arrived are taken at a time, before anything else has its turn.
const ARRIVALS: usize = 32;
/// Dropped messages come in thousands; the picture is taken again at most this often.
const RESYNC: Duration = Duration::from_secs(1);

type Changes = mpsc::Sender<(LatticeName, Change)>;

/// Where the connection stands.
pub(super) enum Link {
    Connecting(BoxFuture<'static, Result<Session, AccessError>>),
    Waiting(Pin<Box<Sleep>>),
    Open(Box<Session>),
}

pub(super) struct Task {
    pub(super) settings: Settings,
    lines: Arc<dyn Lines>,
    pub(super) shared: Arc<Shared>,
    pub(super) link: Link,
    /// Attempts in a row that failed.
    pub(super) attempts: u32,
    /// Why the last one did, as it was logged.
    pub(super) said: Option<Arc<str>>,
    pub(super) up: bool,
    /// A connection that may bring what this one doesn't, when the next is tried, and how many were.
    trial: Option<BoxFuture<'static, Option<Session>>>,
    trial_due: Option<Moment>,
    trials: u32,
    pub(super) requests: FuturesUnordered<BoxFuture<'static, Done>>,
    /// Of those, the ones that change nothing, and the others.
    pub(super) reading: usize,
    pub(super) sending: usize,
    pub(super) reads: VecDeque<Effect>,
    /// Messages were dropped; when the picture was last taken again.
    pub(super) missed: bool,
    pub(super) resynced: Moment,
    /// Who waits until nothing is under way.
    drained: Option<oneshot::Sender<bool>>,
}

/// What happens next.
enum Next {
    Opened(Result<Box<Session>, AccessError>),
    Retry,
    Arrived(Arrival),
    Tried(Option<Session>),
    Done(Done),
    Tick,
    Woken,
    Control(Option<Control>),
    Delivered,
}

pub(super) async fn run(
    (settings, lines): (Settings, Arc<dyn Lines>),
    shared: Arc<Shared>,
    changes: Changes,
    mut control: mpsc::Receiver<Control>,
) {
    let mut ticks = ticks(&settings);
    let mut task = Task {
        link: Link::Connecting(Box::pin(Session::open(settings.clone(), Arc::clone(&lines)))),
        settings,
        lines,
        shared,
        attempts: 0,
        said: None,
        up: false,
        trial: None,
        trial_due: None,
        trials: 0,
        requests: FuturesUnordered::new(),
        reading: 0,
        sending: 0,
        reads: VecDeque::new(),
        missed: false,
        resynced: clock::now(),
        drained: None,
    };
    loop {
        let untold = !task.shared.lock().change.is_empty();
        let next = tokio::select! {
            // In an order of its own, so that it repeats. What others can send any number of comes
            // last; of all else there is never so much that it would have to wait.
            biased;
            order = control.recv() => Next::Control(order),
            _ = ticks.tick() => Next::Tick,
            () = task.shared.woken() => Next::Woken,
            permit = changes.reserve(), if untold && !changes.is_closed() => {
                if let Ok(permit) = permit {
                    let change = std::mem::take(&mut task.shared.lock().change);
                    permit.send((task.settings.name.clone(), change));
                }
                Next::Delivered
            }
            tried = tried(&mut task.trial) => Next::Tried(tried),
            Some(done) = task.requests.next() => Next::Done(done),
            next = task.link.next() => next,
        };
        match next {
            Next::Opened(opened) => task.opened(opened),
            Next::Retry => task.connect(),
            Next::Arrived(arrival) => task.take_arrivals(arrival),
            Next::Tried(session) => task.tried(session),
            Next::Done(done) => task.done(done),
            Next::Tick => task.tick(),
            Next::Woken | Next::Delivered => {}
            Next::Control(Some(Control::Update(settings, done))) => {
                task.update(*settings);
                ticks = self::ticks(&task.settings);
                done.send(()).ok();
            }
            Next::Control(Some(Control::Drain(done))) => task.drain(done),
            Next::Control(Some(Control::Stop(done))) => return task.stop(Some(done)).await,
            Next::Control(None) => return task.stop(None).await,
        }
        task.pump().await;
        task.tell_if_drained();
    }
}

async fn tried(trial: &mut Option<BoxFuture<'static, Option<Session>>>) -> Option<Session> {
    match trial {
        Some(trial) => trial.await,
        None => std::future::pending().await,
    }
}

fn ticks(settings: &Settings) -> Interval {
    let period = TICK.min(settings.probe_interval / 4).max(Duration::from_millis(10));
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

impl Link {
    async fn next(&mut self) -> Next {
        match self {
            Self::Connecting(opening) => Next::Opened(opening.await.map(Box::new)),
            Self::Waiting(pause) => {
                pause.await;
                Next::Retry
            }
            Self::Open(session) => Next::Arrived(session.next().await),
        }
    }
}

impl Task {
    /// Takes what has arrived, and what is there beside it: answers to a ping come by hundreds.
    fn take_arrivals(&mut self, first: Arrival) {
        self.arrived(first);
        for _ in 1..ARRIVALS {
            let Link::Open(session) = &mut self.link else { return };
            let Some(next) = session.next().now_or_never() else { return };
            self.arrived(next);
        }
    }

    pub(super) fn fold(&self, input: Input) {
        self.shared.lock().fold(input, clock::now());
    }

    pub(super) fn connect(&mut self) {
        let opening = Session::open(self.settings.clone(), Arc::clone(&self.lines));
        self.link = Link::Connecting(Box::pin(opening));
    }

    fn opened(&mut self, opened: Result<Box<Session>, AccessError>) {
        match opened {
            Ok(session) => {
                self.attempts = 0;
                let info = session.client.line().server();
                self.link = Link::Open(session);
                self.connected(&info);
            }
            Err(error) => {
                self.attempts = self.attempts.saturating_add(1);
                let (first, longest) = ATTEMPTS;
                let pause = backoff(first, longest, self.attempts, &self.settings.name);
                self.link = Link::Waiting(Box::pin(sleep(pause)));
                self.disconnected(chain(&error).into(), error.fault());
            }
        }
    }

    pub(super) fn connected(&mut self, server: &async_nats::ServerInfo) {
        Metrics::count(&self.shared.metrics.connections);
        tracing::info!(lattice = %self.settings.name, server = server.version, "connected");
        self.up = true;
        self.said = None;
        self.missed = false;
        self.reads.clear();
        if let Link::Open(session) = &self.link {
            session.client.allowed_bucket();
        }
        let mut state = self.shared.lock();
        state.server = Some(server.version.as_str().into());
        state.jetstream = server.jetstream;
        state.proven = true;
        state.refused.clear();
        state.effects.clear();
        state.fold(Input::Connected, clock::now());
    }

    pub(super) fn disconnected(&mut self, why: Arc<str>, fault: Fault) {
        if self.up {
            tracing::warn!(lattice = %self.settings.name, %why, "disconnected");
        } else if self.said.as_ref() != Some(&why) {
            // Once for each reason: attempts go on for as long as it takes.
            tracing::warn!(lattice = %self.settings.name, %why, "cannot connect; trying on");
        }
        self.said = Some(Arc::clone(&why));
        self.up = false;
        self.reads.clear();
        if let Link::Open(session) = &self.link {
            session.client.allowed_bucket();
        }
        let mut state = self.shared.lock();
        state.server = None;
        state.jetstream = true;
        state.fault = fault;
        state.effects.clear();
        let now = clock::now();
        state.fold(Input::Disconnected { why }, now);
        state.withdraw_all(now);
    }

    fn tick(&mut self) {
        let overflow = matches!(&self.link, Link::Open(session) if session.take_overflow());
        self.missed |= overflow;
        let now = clock::now();
        if self.missed && self.up && now.since(self.resynced) >= RESYNC {
            self.missed = false;
            self.resynced = now;
            tracing::warn!(lattice = %self.settings.name, "messages were dropped; looking again");
            self.fold(Input::Missed);
        }
        self.fold(Input::Tick);
        self.lapse(now);
        self.try_another(now);
    }

    fn lapse(&self, now: Moment) {
        let mut state = self.shared.lock();
        for permission in state.refused.lapse(now) {
            tracing::info!(lattice = %self.settings.name, %permission, "not refused any more");
            state.change.health = true;
        }
    }

    /// What this connection may not subscribe to, another may, once somebody has granted it.
    fn try_another(&mut self, now: Moment) {
        if !self.up || !self.shared.lock().refused.lack_a_subscription() {
            (self.trial, self.trial_due, self.trials) = (None, None, 0);
            return;
        }
        let Some(due) = self.trial_due else {
            self.trials = self.trials.saturating_add(1);
            let (first, longest) = TRIALS;
            self.trial_due = Some(now + backoff(first, longest, self.trials, &self.settings.name));
            return;
        };
        if due <= now && self.trial.is_none() {
            let trial = Session::allowed(self.settings.clone(), Arc::clone(&self.lines));
            self.trial = Some(Box::pin(trial));
        }
    }

    /// The connection that brings less stays until there is one that brings all.
    fn tried(&mut self, session: Option<Session>) {
        (self.trial, self.trial_due) = (None, None);
        if let Some(session) = session.filter(|_| self.up) {
            let why = "connecting anew with what has been granted";
            self.disconnected(self.at(why), Fault::Untried);
            self.opened(Ok(Box::new(session)));
        }
    }

    fn update(&mut self, settings: Settings) {
        let before = std::mem::replace(&mut self.settings, settings);
        let settings = &self.settings;
        let another = !settings.same_lattice(&before);
        {
            let mut state = self.shared.lock();
            if another {
                let now = clock::now();
                state.withdraw_all(now);
                state.fold = Fold::new(settings.fold());
                state.change.gate = true;
            } else {
                state.set_settings(settings, clock::now());
            }
        }
        if another
            || settings.access != before.access
            || settings.request_timeout != before.request_timeout
        {
            self.attempts = 0;
            self.trial = None;
            self.shared.lock().proven = false;
            self.disconnected(self.at("connecting with other settings"), Fault::Untried);
            self.connect();
        } else if let Link::Waiting(_) = self.link {
            self.connect();
        }
    }

    /// Takes nothing more, and says when all that was sent has its outcome.
    fn drain(&mut self, done: oneshot::Sender<bool>) {
        let mut state = self.shared.lock();
        state.stopping = true;
        state.withdraw_all(clock::now());
        drop(state);
        self.drained = Some(done);
    }

    fn tell_if_drained(&mut self) {
        let state = self.shared.lock();
        if self.drained.is_none() || self.sending > 0 || state.fold.sent() > 0 {
            return;
        }
        let clean = !state.fold.may_hide_something();
        drop(state);
        if let Some(done) = self.drained.take() {
            // Who waited may have lost patience.
            done.send(clean).ok();
        }
    }

    /// Takes nothing more, and waits for the answers that are under way.
    async fn stop(mut self, done: Option<oneshot::Sender<()>>) {
        {
            let mut state = self.shared.lock();
            state.stopping = true;
            state.withdraw_all(clock::now());
        }
        let patience = self.settings.request_timeout;
        let answers = async {
            while self.sending > 0
                && let Some(done) = self.requests.next().await
            {
                match done {
                    // Nothing is stopped any more that isn't being stopped.
                    Done::Looked { .. } => self.sending -= 1,
                    other => self.done(other),
                }
            }
        };
        timeout(patience, answers).await.ok();
        self.fold(Input::Disconnected { why: "not watched any more".into() });
        if let Some(done) = done {
            done.send(()).ok();
        }
    }
}
