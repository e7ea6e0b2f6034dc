//! Hosts come and go.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::{Effect, Fold, KnownHost, Life, Silence};
use crate::{
    lattice::{
        in_flight::shows,
        wire::{Fingerprint, HostBrief, HostInventory},
    },
    model::{Host, HostId, HostState, Inventory, Labels, Lane, Moment, WorkloadId},
};

/// A hint is confirmed by an inventory this much later, so that a hundred hints cost one question.
pub(super) const CONFIRM: Duration = Duration::from_secs(1);

/// How an inventory came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Via {
    Heartbeat,
    Answer,
}

impl Fold {
    /// A host that has yet to say what it is.
    pub(super) fn expect(&mut self, known: KnownHost, now: Moment) {
        let KnownHost { id, friendly_name, version, labels, held: _ } = known;
        if self.lives.contains_key(&id) {
            return;
        }
        self.lives.insert(id.clone(), Life::default());
        let brief = HostBrief { id, friendly_name, version, labels, uptime: Duration::ZERO };
        self.put_host(brief, None, now);
    }

    fn put_host(&mut self, host: HostBrief, inventory: Option<Inventory>, now: Moment) {
        let HostBrief { id, friendly_name, version, labels, uptime: _ } = host;
        let life = self.lives.get(&id);
        let state = life.map_or(HostState::Suspect, |life| life.state(&self.settings, false, now));
        self.outcome.change.host(&id, &labels);
        self.outcome.change.health = true;
        let workloads = inventory.iter().flat_map(ids).cloned();
        self.outcome.change.workloads.extend(workloads);
        let started = inventory.as_ref().map(|it| new_providers(None, it)).unwrap_or_default();
        self.note_started(started, now);
        let host = Host {
            friendly_name,
            version,
            labels: labels.into(),
            state,
            joined: now,
            inventory_at: now,
            inventory: inventory.map(Arc::new),
        };
        Arc::make_mut(&mut self.observed).put_host(id, host);
    }

    pub(super) fn pong(&mut self, round: u64, host: HostBrief, now: Moment) {
        if host.version.starts_with("0.") {
            return self.old_host(&host.id, &host.version);
        }
        if self.knows(&host.id) {
            return self.pong_again(round, &host.id, host.uptime, now);
        }
        let id = host.id.clone();
        self.lives.insert(id.clone(), Life { heard: Some(now), ..Life::default() });
        self.stranger(&id, host.uptime, now);
        self.put_host(host, None, now);
        self.awaited(&id);
        self.ask(&id, now);
    }

    /// Whether there is such a host, as far as anyone knows.
    #[must_use]
    pub fn knows(&self, host: &HostId) -> bool {
        self.lives.contains_key(host)
    }

    pub(super) fn pong_again(&mut self, round: u64, id: &HostId, uptime: Duration, now: Moment) {
        let Some(life) = self.lives.get_mut(id) else { return };
        life.heard(now);
        let another = life.is_another(uptime, now);
        let unshown = life.inventory_at.is_none() || life.held.is_some();
        life.pongs = if life.pongs.0 == round { (round, life.pongs.1 + 1) } else { (round, 1) };
        if life.pongs.1 == 2 && self.duplicates.insert(id.clone()) {
            self.outcome.change.health = true;
        }
        if another || unshown {
            self.ask(id, now);
        }
        self.arrived(id, now);
        self.show_state(id, now);
    }

    /// The answer to a `host.get`.
    pub(super) fn answered(&mut self, host: &HostId, inventory: HostInventory, now: Moment) {
        let again = self.lives.get_mut(host).is_some_and(|life| {
            life.asked = false;
            std::mem::take(&mut life.ask_again)
        });
        self.inventory(inventory, Via::Answer, now);
        if again {
            self.ask(host, now);
        }
    }

    /// A `host.get` brought no inventory.
    pub(super) fn silent(&mut self, host: &HostId, silence: Silence, now: Moment) {
        let Some(life) = self.lives.get_mut(host) else { return };
        life.asked = false;
        life.ask_again = false;
        if life.stopped.is_some() {
            return self.gone(host, true, now);
        }
        match silence {
            Silence::NoResponders => {
                life.unreachable.get_or_insert(now);
            }
            Silence::NoAnswer => life.mute = life.mute.saturating_add(1),
        }
        self.show_state(host, now);
        self.arrived(host, now);
    }

    pub(super) fn inventory(&mut self, host: HostInventory, via: Via, now: Moment) {
        let HostInventory { id, friendly_name, version, labels, uptime, inventory, print } = host;
        if version.starts_with("0.") {
            return self.old_host(&id, &version);
        }
        let brief = HostBrief { id: id.clone(), friendly_name, version, labels, uptime };
        if !self.lives.contains_key(&id) {
            let (heard, inventory_at) = (Some(now), Some(now));
            let life = Life { heard, inventory_at, uptime, print, ..Life::default() };
            self.lives.insert(id.clone(), life);
            self.stranger(&id, uptime, now);
            self.put_host(brief, Some(inventory), now);
            self.is_back(&id, uptime, now);
            self.awaited(&id);
            return self.arrived(&id, now);
        }
        if !self.accepts(&id, uptime, via, now) {
            return;
        }
        self.show(brief, inventory, now);
        if let Some(life) = self.lives.get_mut(&id) {
            life.print = print;
        }
        self.has_shown(&id, uptime, now);
        self.look_at_host(&id, now);
    }

    /// Whether a heartbeat with this fingerprint says what is shown of its host.
    #[must_use]
    pub fn shows(&self, host: &HostId, print: Fingerprint) -> bool {
        self.lives.get(host).is_some_and(|life| life.print == Some(print))
    }

    /// A heartbeat that says what is shown.
    pub(super) fn same_again(&mut self, id: &HostId, uptime: Duration, now: Moment) {
        if self.accepts(id, uptime, Via::Heartbeat, now) {
            self.has_shown(id, uptime, now);
            self.look_again_at_host(id, now);
        }
    }

    /// What is shown of a host isn't what its last heartbeat said.
    pub(super) fn differs_from_heartbeat(&mut self, id: &HostId) {
        if let Some(life) = self.lives.get_mut(id) {
            life.print = None;
        }
    }

    /// A known host says what it runs: whether that is to be believed.
    fn accepts(&mut self, id: &HostId, uptime: Duration, via: Via, now: Moment) -> bool {
        let Some(life) = self.lives.get_mut(id) else { return false };
        life.heard(now);
        let another = life.is_another(uptime, now);
        if self.duplicates.contains(id) {
            self.show_state(id, now);
            return false;
        }
        if another && via == Via::Heartbeat {
            // It has restarted, or this one was delayed: its answer to a question can't be old.
            self.ask(id, now);
            return false;
        }
        life.inventory_at = Some(now);
        life.uptime = uptime;
        life.held = None;
        life.mute = 0;
        life.confirm_at = None;
        if another {
            self.void(id, now.before(uptime));
        }
        true
    }

    /// What comes of an inventory, be it the same as before.
    fn has_shown(&mut self, id: &HostId, uptime: Duration, now: Moment) {
        self.is_back(id, uptime, now);
        self.resolve(id, now);
        self.date(id, now);
        self.show_state(id, now);
        self.arrived(id, now);
    }

    /// Shows what a known host says, if it differs from what was known.
    fn show(&mut self, brief: HostBrief, inventory: Inventory, now: Moment) {
        let HostBrief { id, friendly_name, version, labels, uptime: _ } = brief;
        let Some(known) = self.observed.hosts.get(&id) else { return };
        if *known.labels != labels {
            self.outcome.change.host(&id, &known.labels);
            self.outcome.change.host(&id, &labels);
        }
        let named = *known.labels == labels
            && known.friendly_name == friendly_name
            && known.version == version;
        let shown = known.inventory.as_deref();
        let same = shown == Some(&inventory);
        let mut started = Vec::new();
        if !same {
            started = new_providers(shown, &inventory);
            let differing = differences(shown, &inventory);
            self.outcome.change.workloads.extend(differing);
            if known.inventory.is_none() {
                self.outcome.change.host(&id, &labels);
            }
        }
        if named && same {
            return;
        }
        if !named {
            self.outcome.change.health = true;
            Arc::make_mut(&mut self.observed).host_mut(&id, |host| {
                host.friendly_name = friendly_name;
                host.version = version;
                host.labels = labels.into();
            });
        }
        if !same {
            self.note_started(started, now);
            // Who waits for just this look is told, whatever else it shows.
            self.date(&id, now);
            self.set_inventory(&id, inventory, now);
        }
    }

    /// These providers have been seen to run: they may be booting.
    fn note_started(&mut self, started: Vec<WorkloadId>, now: Moment) {
        if !started.is_empty() {
            let noted = &mut Arc::make_mut(&mut self.observed).providers_started;
            for id in started {
                noted.note(id, now);
            }
        }
    }

    /// Shows when a host was looked at, where somebody waits for just that: for the end of what
    /// can't be seen, or for a command's deadline. Otherwise an equal inventory leaves no trace.
    fn date(&mut self, id: &HostId, now: Moment) {
        let Some(host) = self.observed.hosts.get(id) else { return };
        let awaited = |at: Moment| host.inventory_at < at && at <= now;
        let unseen = awaited(self.observed.unseen_until);
        let in_flight = &self.observed.in_flight;
        let overdue = |lane: &Lane| {
            in_flight.pending.get(lane).is_some_and(|pending| awaited(pending.deadline))
        };
        let lanes: Vec<_> = self.lanes.on(id).into_iter().filter(overdue).collect();
        if !unseen && lanes.is_empty() {
            return;
        }
        if unseen {
            self.outcome.change.host(id, &host.labels);
        }
        for lane in lanes {
            self.outcome.change.lane(lane);
        }
        Arc::make_mut(&mut self.observed).host_mut(id, |host| host.inventory_at = now);
    }

    /// Resolves what the inventory just shown proves done, be it undone by somebody else since.
    pub(super) fn resolve(&mut self, id: &HostId, now: Moment) {
        let Some(inventory) = self.observed.hosts.get(id).and_then(|h| h.inventory.as_deref())
        else {
            return;
        };
        let in_flight = &self.observed.in_flight;
        let shown = |lane: &Lane| match (in_flight.pending.get(lane), in_flight.failures.get(lane))
        {
            (Some(pending), _) => {
                self.lanes.is_answered(lane) && shows(inventory, &pending.command)
                    || self.lanes.was_carried_out(lane, CONFIRM, now)
            }
            (None, Some(failure)) => shows(inventory, &failure.command),
            (None, None) => false,
        };
        let done: Vec<Lane> = self.lanes.on(id).into_iter().filter(shown).collect();
        for lane in done {
            self.succeeded(&lane, now);
        }
    }

    pub(super) fn succeeded(&mut self, lane: &Lane, now: Moment) {
        let command = self.observed.in_flight.pending.get(lane).map(|it| it.command.clone());
        let started = command.as_ref().is_some_and(crate::lattice::in_flight::starts);
        if let Some(command) = &command {
            self.made(command, now);
        }
        let observed = Arc::make_mut(&mut self.observed);
        self.lanes.succeed(&mut observed.in_flight, lane);
        self.outcome.change.lane(lane.clone());
        if started && let Some(id) = lane.workload() {
            self.started(&id.clone(), now);
        }
    }

    /// Asks a host for its inventory, unless it is being asked; then once more afterwards.
    pub(super) fn ask(&mut self, host: &HostId, now: Moment) {
        let Some(life) = self.lives.get_mut(host) else { return };
        let lost = life.asked_at.is_some_and(|at| now.since(at) > self.settings.heartbeat_interval);
        if life.asked && !lost {
            life.ask_again = true;
            return;
        }
        life.asked = true;
        life.asked_at = Some(now);
        self.outcome.effects.push(Effect::Inventory(host.clone()));
    }

    /// What was known of a host, and was sent there before `born`, belongs to a process that is no
    /// more.
    pub(super) fn void(&mut self, id: &HostId, born: Moment) {
        self.forget_made_on(id);
        self.forget_vitals_on(id);
        let observed = Arc::make_mut(&mut self.observed);
        for lane in self.lanes.void_host(&mut observed.in_flight, id, born) {
            self.outcome.change.lane(lane);
        }
    }

    pub(super) fn old_host(&mut self, id: &HostId, version: &Arc<str>) {
        if self.unsupported.insert(id.clone(), version.clone()).as_ref() != Some(version) {
            self.outcome.change.health = true;
        }
    }

    /// Works out a host's state again, and shows it if it is another.
    pub(super) fn show_state(&mut self, id: &HostId, now: Moment) {
        let (Some(life), Some(host)) = (self.lives.get(id), self.observed.hosts.get(id)) else {
            return;
        };
        let state = life.state(&self.settings, self.duplicates.contains(id), now);
        let before = host.state;
        if state == before {
            return;
        }
        self.outcome.change.health = true;
        if Self::matters(before, state) {
            self.outcome.change.host(id, &host.labels);
            let workloads = host.inventory.as_deref().into_iter().flat_map(ids).cloned();
            self.outcome.change.workloads.extend(workloads);
        }
        Arc::make_mut(&mut self.observed).host_mut(id, |host| host.state = state);
        if state.is_lost() {
            self.away(id);
        }
        self.show_remembered(id, state, now);
    }

    /// Takes a host out of the picture.
    pub(super) fn gone(&mut self, id: &HostId, said_so: bool, now: Moment) {
        if !said_so {
            self.away(id);
        }
        self.lives.remove(id);
        self.duplicates.remove(id);
        let known = self.observed.hosts.get(id);
        let workloads = known.and_then(|host| host.inventory.as_deref()).into_iter().flat_map(ids);
        self.outcome.change.workloads.extend(workloads.cloned());
        self.outcome.change.host(id, known.map_or(&Labels::new(), |host| &host.labels));
        self.outcome.change.health = true;
        self.void(id, now);
        Arc::make_mut(&mut self.observed).remove_host(id);
        if !said_so {
            self.lost(id, now);
        }
        self.arrived(id, now);
        self.tick_phase(now);
    }
}

pub(super) fn ids(inventory: &Inventory) -> impl Iterator<Item = &WorkloadId> {
    inventory.components.keys().chain(inventory.providers.keys())
}

/// Providers that `new` shows and `old` doesn't.
fn new_providers(old: Option<&Inventory>, new: &Inventory) -> Vec<WorkloadId> {
    let known = |id: &&WorkloadId| old.is_some_and(|old| old.providers.contains_key(*id));
    new.providers.keys().filter(|id| !known(id)).cloned().collect()
}

/// The ids that run otherwise in `new` than in `old`.
fn differences(old: Option<&Inventory>, new: &Inventory) -> BTreeSet<WorkloadId> {
    let nothing = Inventory::default();
    let old = old.unwrap_or(&nothing);
    let mut differing = BTreeSet::new();
    differ(&old.components, &new.components, &mut differing);
    differ(&old.providers, &new.providers, &mut differing);
    differing
}

fn differ<T: PartialEq>(
    old: &BTreeMap<WorkloadId, T>,
    new: &BTreeMap<WorkloadId, T>,
    into: &mut BTreeSet<WorkloadId>,
) {
    let changed = new.iter().filter(|(id, thing)| old.get(*id) != Some(*thing));
    into.extend(changed.map(|(id, _)| id.clone()));
    into.extend(old.keys().filter(|id| !new.contains_key(*id)).cloned());
}
