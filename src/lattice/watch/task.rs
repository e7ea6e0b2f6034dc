use std::{
    collections::{BTreeMap, VecDeque},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use async_nats::{Event as Connection, Message, ServerError};
use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Interval, MissedTickBehavior, Sleep, interval, sleep, timeout},
};

use super::{
    Control, Metrics, Settings,
    metrics::verb,
    queue::Item,
    session::{Arrival, Session, round_of},
    state::Shared,
};
use crate::{
    lattice::{
        access::{AccessError, chain},
        client::{Client, Error, LinkList, is_nobody},
        clock,
        in_flight::{Answer, Ticket, backoff},
        inventory::{Change, Effect, Fold, Input, LinksUnread, Silence},
        wire::{self, HostInventory, decode_event},
    },
    model::{Command, ConfigName, HostId, Lane, LatticeName, LinkKey, Moment},
};

/// Questions under way at a time, of those that change nothing.
const READS: usize = 64;
/// The first and the longest pause between attempts to connect.
const ATTEMPTS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// How often time is looked at, at most.
const TICK: Duration = Duration::from_millis(250);
/// Dropped messages come in thousands; the picture is taken again at most this often.
const RESYNC: Duration = Duration::from_secs(1);

type Changes = mpsc::Sender<(LatticeName, Change)>;

/// How a request ended.
enum Done {
    Inventory(HostId, Result<HostInventory, Error>),
    Links(Result<LinkList, Error>),
    Config(ConfigName, Result<Option<BTreeMap<String, String>>, Error>),
    Command {
        lane: Lane,
        ticket: Ticket,
        verb: &'static str,
        result: Result<(), Error>,
    },
    /// The host was asked before something is stopped there.
    Looked {
        item: Item,
        host: HostId,
        result: Result<HostInventory, Error>,
    },
}

/// Where the connection stands.
enum Link {
    Connecting(BoxFuture<'static, Result<Session, AccessError>>),
    Waiting(Pin<Box<Sleep>>),
    Open(Box<Session>),
}

struct Task {
    settings: Settings,
    shared: Arc<Shared>,
    link: Link,
    /// Attempts in a row that failed.
    attempts: u32,
    up: bool,
    requests: FuturesUnordered<BoxFuture<'static, Done>>,
    /// Of those, the ones that change nothing, and the others.
    reading: usize,
    sending: usize,
    reads: VecDeque<Effect>,
    /// Messages were dropped; when the picture was last taken again.
    missed: bool,
    resynced: Moment,
}

/// What happens next.
enum Next {
    Opened(Result<Box<Session>, AccessError>),
    Retry,
    Arrived(Arrival),
    Done(Done),
    Tick,
    Woken,
    Control(Option<Control>),
    Delivered,
}

pub(super) async fn run(
    settings: Settings,
    shared: Arc<Shared>,
    changes: Changes,
    mut control: mpsc::Receiver<Control>,
) {
    let mut ticks = ticks(&settings);
    let mut task = Task {
        link: Link::Connecting(Box::pin(Session::open(settings.clone()))),
        settings,
        shared,
        attempts: 0,
        up: false,
        requests: FuturesUnordered::new(),
        reading: 0,
        sending: 0,
        reads: VecDeque::new(),
        missed: false,
        resynced: clock::now(),
    };
    loop {
        let untold = !task.shared.lock().change.is_empty();
        let next = tokio::select! {
            order = control.recv() => Next::Control(order),
            next = task.link.next() => next,
            Some(done) = task.requests.next() => Next::Done(done),
            permit = changes.reserve(), if untold && !changes.is_closed() => {
                if let Ok(permit) = permit {
                    let change = std::mem::take(&mut task.shared.lock().change);
                    permit.send((task.settings.name.clone(), change));
                }
                Next::Delivered
            }
            _ = ticks.tick() => Next::Tick,
            () = task.shared.woken() => Next::Woken,
        };
        match next {
            Next::Opened(opened) => task.opened(opened),
            Next::Retry => task.connect(),
            Next::Arrived(arrival) => task.arrived(arrival),
            Next::Done(done) => task.done(done),
            Next::Tick => task.tick(),
            Next::Woken | Next::Delivered => {}
            Next::Control(Some(Control::Update(settings, done))) => {
                task.update(*settings);
                ticks = self::ticks(&task.settings);
                done.send(()).ok();
            }
            Next::Control(Some(Control::Stop(done))) => return task.stop(Some(done)).await,
            Next::Control(None) => return task.stop(None).await,
        }
        task.pump().await;
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
    fn fold(&self, input: Input) {
        self.shared.lock().fold(input, clock::now());
    }

    fn connect(&mut self) {
        self.link = Link::Connecting(Box::pin(Session::open(self.settings.clone())));
    }

    fn opened(&mut self, opened: Result<Box<Session>, AccessError>) {
        match opened {
            Ok(session) => {
                self.attempts = 0;
                let info = session.client.nats().server_info();
                self.link = Link::Open(session);
                self.connected(info.version.as_str().into());
            }
            Err(error) => {
                self.attempts = self.attempts.saturating_add(1);
                let (first, longest) = ATTEMPTS;
                let pause = backoff(first, longest, self.attempts, &self.settings.name);
                self.link = Link::Waiting(Box::pin(sleep(pause)));
                self.disconnected(chain(&error).into());
            }
        }
    }

    fn connected(&mut self, version: Arc<str>) {
        Metrics::count(&self.shared.metrics.connections);
        tracing::info!(lattice = %self.settings.name, server = %version, "connected");
        self.up = true;
        self.missed = false;
        self.reads.clear();
        let mut state = self.shared.lock();
        state.server = Some(version);
        state.complaint = None;
        state.effects.clear();
        state.fold(Input::Connected, clock::now());
    }

    fn disconnected(&mut self, why: Arc<str>) {
        if self.up {
            tracing::warn!(lattice = %self.settings.name, %why, "disconnected");
        }
        self.up = false;
        self.reads.clear();
        let mut state = self.shared.lock();
        state.server = None;
        state.effects.clear();
        let now = clock::now();
        state.fold(Input::Disconnected { why }, now);
        state.withdraw_all(now);
    }

    fn arrived(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Event(message) => self.event(&message),
            Arrival::Pong(message) => self.pong(&message),
            Arrival::Connection(said) => self.connection(said),
            Arrival::Ended => {
                self.disconnected(self.at("the connection was closed"));
                self.connect();
            }
        }
    }

    fn event(&mut self, message: &Message) {
        if !self.up {
            return;
        }
        match decode_event(&message.subject, &message.payload) {
            Ok(Some(event)) => {
                Metrics::count(&self.shared.metrics.events);
                self.fold(Input::Event(event));
            }
            Ok(None) => {}
            Err(error) => {
                Metrics::count(&self.shared.metrics.unread);
                tracing::debug!(subject = %message.subject, %error, "event not understood");
            }
        }
    }

    fn pong(&mut self, message: &Message) {
        let Some(round) = round_of(message) else { return };
        if !self.up || is_nobody(message) {
            return;
        }
        match wire::decode_ping(&message.payload) {
            Ok(wire::Answer::Accepted(Some(host))) => self.fold(Input::Pong { round, host }),
            Ok(wire::Answer::Accepted(None) | wire::Answer::Refused(_)) => {}
            Err(error) => {
                Metrics::count(&self.shared.metrics.unread);
                tracing::debug!(%error, "answer to a ping not understood");
            }
        }
    }

    fn connection(&mut self, said: Connection) {
        match said {
            Connection::Connected => {
                if !self.up
                    && let Link::Open(session) = &self.link
                {
                    let version = session.client.nats().server_info().version;
                    self.connected(version.as_str().into());
                }
            }
            Connection::Disconnected => {
                if self.up {
                    self.disconnected(self.at("the connection was lost"));
                }
            }
            Connection::SlowConsumer(_) => {
                Metrics::count(&self.shared.metrics.slow);
                self.missed = true;
            }
            Connection::ServerError(error) => self.complained(&error),
            Connection::ClientError(error) => {
                if !self.up {
                    self.disconnected(self.at(&error.to_string()));
                }
            }
            Connection::Closed => {
                self.disconnected(self.at("the connection was closed"));
                self.connect();
            }
            Connection::LameDuckMode | Connection::Draining => {}
        }
    }

    fn complained(&mut self, error: &ServerError) {
        let text = match error {
            ServerError::AuthorizationViolation => "authorization violation",
            ServerError::SlowConsumer(_) => {
                self.missed = true;
                return;
            }
            ServerError::Other(text) => text,
        };
        let text = self.at(text);
        if self.up {
            let mut state = self.shared.lock();
            if state.complaint.as_ref() != Some(&text) {
                tracing::warn!(lattice = %self.settings.name, error = %text, "NATS complained");
                state.complaint = Some(text);
                state.change.health = true;
            }
        } else {
            self.disconnected(text);
        }
    }

    /// A reason with the address that it is about.
    fn at(&self, reason: &str) -> Arc<str> {
        format!("{}: {reason}", self.settings.access.urls.join(",")).into()
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
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Inventory(host, result) => {
                self.reading -= 1;
                self.fold(inventory(host, result));
            }
            Done::Links(result) => {
                self.reading -= 1;
                let read = self.links(result);
                self.fold(Input::Links(read));
            }
            Done::Config(name, result) => {
                self.reading -= 1;
                self.fold(Input::Config { name, values: result.map_err(|error| silence(&error)) });
            }
            Done::Command { lane, ticket, verb, result } => {
                self.sending -= 1;
                let answer = answer(result);
                self.shared.metrics.command(verb, &answer);
                self.fold(Input::Answered { lane, ticket, answer });
            }
            Done::Looked { item, host, result } => {
                self.sending -= 1;
                self.looked(item, host, result);
            }
        }
    }

    /// Links whose list has become too long for one message can't be trusted to come again.
    fn links(
        &self,
        result: Result<LinkList, Error>,
    ) -> Result<BTreeMap<LinkKey, crate::model::Link>, LinksUnread> {
        let Link::Open(session) = &self.link else { return Err(LinksUnread::Failed) };
        let most = session.client.nats().server_info().max_payload;
        match result {
            Ok(list) if list.bytes > most / 10 * 7 => Err(LinksUnread::TooLarge),
            Ok(list) => Ok(list.links),
            Err(error) => Err(match silence(&error) {
                Silence::NoResponders => LinksUnread::NoResponders,
                Silence::NoAnswer => LinksUnread::Failed,
            }),
        }
    }

    fn looked(&mut self, item: Item, host: HostId, result: Result<HostInventory, Error>) {
        let shown = result.is_ok();
        let now = clock::now();
        let mut state = self.shared.lock();
        state.fold(inventory(host, result), now);
        if !shown {
            let answer = Answer::NotDelivered(
                "the host doesn't say what it runs, which is asked before anything is stopped"
                    .into(),
            );
            let Item { lane, ticket, decided_on: _ } = item;
            return state.fold(Input::Answered { lane, ticket, answer }, now);
        }
        if !state.still_holds(&item) {
            return state.withdraw(&item, now);
        }
        drop(state);
        self.send(item);
    }

    /// Starts what can be started: questions, then commands whose turn it is.
    async fn pump(&mut self) {
        let Link::Open(session) = &self.link else { return };
        if !self.up {
            return;
        }
        let effects = std::mem::take(&mut self.shared.lock().effects);
        for effect in effects {
            match effect {
                Effect::Ping { round } => session.ping(round).await,
                other @ (Effect::Inventory(_) | Effect::Links | Effect::Config(_)) => {
                    self.reads.push_back(other);
                }
            }
        }
        let client = session.client.clone();
        while self.reading < READS
            && let Some(effect) = self.reads.pop_front()
        {
            if let Some(request) = read(&client, effect) {
                self.reading += 1;
                self.requests.push(request);
            }
        }
        self.send_queued(&client);
    }

    fn send_queued(&mut self, client: &Client) {
        loop {
            let now = clock::now();
            let mut state = self.shared.lock();
            if self.sending.max(state.fold.sent()) >= self.settings.max_in_flight {
                break;
            }
            if !state.may_send(now) {
                state.withdraw_all(now);
                break;
            }
            let Some(item) = state.queue.pop() else { break };
            state.make_room();
            let look_first = state.is_stale(&item, now);
            drop(state);
            match (&item.lane, look_first) {
                (Lane::Workload(host, _), true) => {
                    let (client, host) = (client.clone(), host.clone());
                    self.sending += 1;
                    self.requests.push(Box::pin(async move {
                        let result = client.inventory(&host).await;
                        Done::Looked { item, host, result }
                    }));
                }
                (Lane::Workload(..) | Lane::Links(_) | Lane::Config(_), _) => self.send(item),
            }
        }
    }

    fn send(&mut self, item: Item) {
        let Link::Open(session) = &self.link else {
            return self.shared.lock().withdraw(&item, clock::now());
        };
        let client = session.client.clone();
        let now = clock::now();
        let mut state = self.shared.lock();
        let command =
            if state.may_send(now) { state.fold.send(&item.lane, item.ticket, now) } else { None };
        let Some(command) = command else {
            return state.withdraw(&item, now);
        };
        drop(state);
        tracing::info!(lattice = %self.settings.name, %command, "sending");
        self.sending += 1;
        self.requests.push(Box::pin(send(client, command, item)));
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
                state.fold.set_settings(settings.fold());
            }
        }
        if another
            || settings.access != before.access
            || settings.request_timeout != before.request_timeout
        {
            self.attempts = 0;
            self.disconnected(self.at("connecting with other settings"));
            self.connect();
        } else if let Link::Waiting(_) = self.link {
            self.connect();
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

fn inventory(host: HostId, result: Result<HostInventory, Error>) -> Input {
    Input::Inventory { host, answer: result.map_err(|error| silence(&error)) }
}

fn silence(error: &Error) -> Silence {
    match error {
        Error::NoResponders => Silence::NoResponders,
        Error::TimedOut
        | Error::Refused(_)
        | Error::BadReply(_)
        | Error::TooLarge
        | Error::BadSubject
        | Error::Connection(_) => Silence::NoAnswer,
    }
}

fn answer(result: Result<(), Error>) -> Answer {
    match result {
        Ok(()) => Answer::Accepted,
        Err(Error::Refused(text)) => Answer::Refused(text.into()),
        Err(error) if error.not_delivered() => Answer::NotDelivered(error.to_string().into()),
        Err(
            Error::NoResponders
            | Error::TimedOut
            | Error::BadReply(_)
            | Error::TooLarge
            | Error::BadSubject
            | Error::Connection(_),
        ) => Answer::Unknown,
    }
}

fn read(client: &Client, effect: Effect) -> Option<BoxFuture<'static, Done>> {
    let client = client.clone();
    Some(match effect {
        Effect::Ping { .. } => return None,
        Effect::Inventory(host) => Box::pin(async move {
            let result = client.inventory(&host).await;
            Done::Inventory(host, result)
        }),
        Effect::Links => Box::pin(async move { Done::Links(client.links().await) }),
        Effect::Config(name) => Box::pin(async move {
            let result = client.config(&name).await;
            Done::Config(name, result)
        }),
    })
}

async fn send(client: Client, command: Command, item: Item) -> Done {
    let Item { lane, ticket, decided_on: _ } = item;
    let result = client.command(&command).await;
    Done::Command { lane, ticket, verb: verb(&command), result }
}
