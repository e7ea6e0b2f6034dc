use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

use super::{
    Metrics, Settings,
    queue::{Item, Queue},
    refusals::Refusals,
};
use crate::{
    lattice::{
        clock,
        fault::Fault,
        fence::Fence,
        inventory::{Change, Effect, Fold, Health, Input, Outcome, Predecessor},
    },
    model::{ApplicationKey, Command, ConfigName, FewOf, Lane, LossPolicy, Moment, WorkloadId},
};

/// What the task and the handles share.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    wake: Notify,
    pub(super) metrics: Metrics,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) fold: Fold,
    pub(super) queue: Queue,
    /// What nobody has been told of yet.
    pub(super) change: Change,
    pub(super) effects: BTreeSet<Effect>,
    /// The NATS server's version.
    pub(super) server: Option<Arc<str>>,
    /// Whether that server has JetStream; true while nothing is known of it.
    pub(super) jetstream: bool,
    /// Why there is no connection.
    pub(super) fault: Fault,
    /// Whether there has been one with the present address and credentials.
    pub(super) proven: bool,
    pub(super) refused: Refusals,
    pub(super) fence: Arc<Fence>,
    pub(super) stopping: bool,
    /// What found the queue full; told when it has room again.
    crowded_out: Change,
}

/// More than that don't wait: they are skipped, and whoever wanted them is told when there is room.
const LONGEST_QUEUE: usize = 10_000;

/// Before something is stopped on an older picture of its host than this, the host is asked.
const FRESH: Duration = Duration::from_secs(5);

impl Shared {
    pub(super) fn new(settings: &Settings, fence: Arc<Fence>) -> Self {
        let state = State {
            fold: Fold::new(settings.fold()),
            queue: Queue::default(),
            change: Change::default(),
            effects: BTreeSet::new(),
            server: None,
            jetstream: true,
            fault: Fault::Untried,
            proven: false,
            refused: Refusals::default(),
            fence,
            stopping: false,
            crowded_out: Change::default(),
        };
        Self { state: Mutex::new(state), wake: Notify::new(), metrics: Metrics::default() }
    }

    /// The state is whole between any two calls, so a panic elsewhere doesn't spoil it.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }
}

impl State {
    pub(super) fn fold(&mut self, input: Input, now: Moment) {
        let outcome = self.fold.fold(input, now);
        self.take(outcome);
    }

    fn take(&mut self, outcome: Outcome) {
        if !outcome.change.is_empty() {
            self.change.merge(Change { since: Some(clock::now()), ..outcome.change });
        }
        self.effects.extend(outcome.effects);
    }

    pub(super) fn submit(
        &mut self,
        application: &ApplicationKey,
        commands: Vec<Command>,
        now: Moment,
    ) -> usize {
        let mut taken = 0;
        for command in commands {
            let lane = command.lane();
            if !self.may_send(now) {
                continue;
            }
            if self.queue.len() >= LONGEST_QUEUE {
                self.crowded_out.lane(lane);
                continue;
            }
            match self.fold.register(application, &command, now) {
                Ok(ticket) => {
                    let decided_on = self.host_of(&lane, &command);
                    self.queue.push(application, Item { lane, ticket, decided_on });
                    taken += 1;
                }
                Err(denied) => {
                    tracing::debug!(app = %application, %command, ?denied, "command skipped");
                }
            }
        }
        taken
    }

    fn host_of(&self, lane: &Lane, command: &Command) -> Option<Arc<crate::model::Host>> {
        match lane {
            Lane::Workload(host, _) if self.fold.takes_away(command) => {
                self.fold.observed().hosts.get(host).cloned()
            }
            Lane::Workload(..) | Lane::Links(_) | Lane::Config(_) => None,
        }
    }

    pub(super) fn may_send(&self, now: Moment) -> bool {
        !self.stopping && self.fence.allows(now)
    }

    /// Whether the host must be asked before this command goes out.
    pub(super) fn is_stale(&self, item: &Item, now: Moment) -> bool {
        let Lane::Workload(host, _) = &item.lane else { return false };
        item.decided_on.is_some() && self.fold.shown_at(host).is_none_or(|at| now.since(at) > FRESH)
    }

    /// Whether what a command was decided on is still so: nobody else has put something in the
    /// place of what it takes away.
    pub(super) fn still_holds(&self, item: &Item) -> bool {
        let (Some(before), Lane::Workload(host, id)) = (&item.decided_on, &item.lane) else {
            return true;
        };
        let after = self.fold.observed().hosts.get(host);
        let annotations = |host: &crate::model::Host| -> Vec<_> {
            let inventory = host.inventory.as_ref();
            inventory.map_or_else(Vec::new, |i| i.annotations(id).cloned().collect())
        };
        after.is_some_and(|after| annotations(after) == annotations(before))
    }

    pub(super) fn want_configs(&mut self, app: &ApplicationKey, names: FewOf<ConfigName>) {
        let outcome = self.fold.want_configs(app, names);
        self.take(outcome);
    }

    pub(super) fn forget(&mut self, application: &ApplicationKey, now: Moment) {
        for item in self.queue.remove(application) {
            self.withdraw(&item, now);
        }
        self.want_configs(application, FewOf::default());
        self.want_on_host_loss(application, None, now);
    }

    pub(super) fn withdraw(&mut self, item: &Item, now: Moment) {
        let outcome = self.fold.withdraw(&item.lane, item.ticket, now);
        self.take(outcome);
    }

    pub(super) fn withdraw_all(&mut self, now: Moment) {
        for item in self.queue.take_all() {
            self.withdraw(&item, now);
        }
    }

    /// Tells those who found the queue full that there is room.
    pub(super) fn make_room(&mut self) {
        if self.queue.len() < LONGEST_QUEUE / 2 && !self.crowded_out.is_empty() {
            self.change.merge(std::mem::take(&mut self.crowded_out));
        }
    }

    pub(super) fn take_over(&mut self, from: Predecessor, now: Moment) {
        self.withdraw_all(now);
        let outcome = self.fold.take_over(from, now);
        self.take(outcome);
    }

    pub(super) fn want_on_host_loss(
        &mut self,
        app: &ApplicationKey,
        policies: Option<BTreeMap<WorkloadId, LossPolicy>>,
        now: Moment,
    ) {
        let outcome = self.fold.want_on_host_loss(app, policies, now);
        self.take(outcome);
    }

    pub(super) fn set_settings(&mut self, settings: &Settings, now: Moment) {
        let outcome = self.fold.set_settings(settings.fold(), now);
        self.take(outcome);
    }

    pub(super) fn health(&self) -> Health {
        let Self { jetstream, fault, proven, .. } = *self;
        let (server, refused) = (self.server.clone(), self.refused.permissions());
        Health { server, jetstream, fault, proven, refused, ..self.fold.health() }
    }
}
