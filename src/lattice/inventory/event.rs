//! Hints: folded at once where they can mean one thing only, confirmed in any case.
use std::{collections::BTreeMap, sync::Arc};

use super::{
    Fold, KnownHost,
    host::{CONFIRM, Via},
};
use crate::{
    lattice::{
        in_flight::same_image,
        wire::{Event, Hint},
    },
    model::{
        Command, HostId, Inventory, Lane, Moment, RunningComponent, RunningProvider, WorkloadId,
    },
};

impl Fold {
    pub(super) fn event(&mut self, event: Event, now: Moment) {
        let Event { host, hint } = event;
        match hint {
            Hint::Heartbeat(inventory) => {
                // The source says who sent it; what the data says of that is a repetition.
                let inventory = crate::lattice::wire::HostInventory { id: host, ..inventory };
                self.inventory(inventory, Via::Heartbeat, now);
            }
            Hint::SameAgain { uptime } => self.same_again(&host, uptime, now),
            Hint::Old { version } => self.old_host(&host, &version),
            // Known: it has restarted under its id, or this is late. Its answer tells.
            Hint::Started => {
                self.expect(KnownHost::named(host.clone()), now);
                self.awaited(&host);
                self.ask(&host, now);
            }
            Hint::Stopped => self.stopping(&host, now),
            Hint::Labels(labels) => self.labels(&host, labels, now),
            Hint::Scaled { id, image, instances, annotations } => {
                let annotations = annotations.into();
                let running = RunningComponent { image, annotations, instances, max_memory: None };
                self.scaled(&host, &id, running, now);
            }
            Hint::ScaleFailed { id, image, instances, error } => {
                let ours = |command: &Command| {
                    matches!(command,
                    Command::ScaleComponent { image: asked, count, .. }
                        if same_image(asked, &image) && *count == instances)
                };
                self.start_failed(&host, &id, error, ours, now);
            }
            Hint::ProviderStarted { id, image, annotations } => {
                let running = RunningProvider { image, annotations: annotations.into() };
                self.provider_started(&host, &id, running, now);
            }
            Hint::ProviderStartFailed { id, image, error } => {
                let ours = |command: &Command| {
                    matches!(command,
                    Command::StartProvider { image: asked, .. } if same_image(asked, &image))
                };
                self.start_failed(&host, &id, error, ours, now);
            }
            Hint::ProviderStopped { id } => self.provider_stopped(&host, &id, now),
            Hint::ProviderHealth { id, passed } => self.provider_health(&host, &id, passed, now),
            // A refusal of ours comes as an answer, and somebody else's changes nothing.
            Hint::LinkSetFailed { .. } => {}
            Hint::LinkSet { key, link } => {
                self.link_hint(&Command::PutLink { key, link }, now);
            }
            Hint::LinkDeleted { key } => self.link_hint(&Command::DeleteLink { key }, now),
            Hint::ConfigSet { name } | Hint::ConfigDeleted { name } => {
                self.config_due(&name, now);
            }
        }
    }

    fn labels(&mut self, id: &HostId, labels: BTreeMap<String, String>, now: Moment) {
        let Some(host) = self.observed.hosts.get(id) else { return };
        if *host.labels == labels {
            return;
        }
        self.outcome.change.health = true;
        self.outcome.change.host(id, &host.labels);
        self.outcome.change.host(id, &labels);
        let running = host.inventory.iter();
        let workloads = running.flat_map(|i| i.components.keys().chain(i.providers.keys()));
        self.outcome.change.workloads.extend(workloads.cloned());
        self.differs_from_heartbeat(id);
        Arc::make_mut(&mut self.observed).host_mut(id, |host| host.labels = labels.into());
        self.confirm(id, now);
    }

    /// A component was scaled. The event of a running one carries the annotations and the
    /// reference of before, so only a start from nothing and a stop, asked by us, are plain.
    fn scaled(&mut self, host: &HostId, id: &WorkloadId, running: RunningComponent, now: Moment) {
        let lane = Lane::Workload(host.clone(), id.clone());
        let plain = self.pending(&lane).is_some_and(|command| match command {
            Command::ScaleComponent { count: 0, .. } => running.instances == 0,
            command => {
                asked_for(command, &running)
                    && self.inventory_of(host).is_some_and(|i| !i.components.contains_key(id))
            }
        });
        if !plain {
            if !self.already(host, |i| i.components.get(id) == Some(&running)) {
                self.ask(host, now);
            }
            if self.pending(&lane).is_some_and(|command| asked_for(command, &running)) {
                self.lanes.carried_out(&lane, now);
                self.confirm(host, now);
            }
            return;
        }
        self.change_inventory(host, |inventory| {
            if running.instances == 0 {
                inventory.components.remove(id);
            } else {
                inventory.components.insert(id.clone(), running);
            }
        });
        self.outcome.change.workloads.insert(id.clone());
        self.succeeded(&lane, now);
        self.confirm(host, now);
    }

    fn provider_started(
        &mut self,
        host: &HostId,
        id: &WorkloadId,
        running: RunningProvider,
        now: Moment,
    ) {
        Arc::make_mut(&mut self.observed).providers_started.note(id.clone(), now);
        let lane = Lane::Workload(host.clone(), id.clone());
        let plain = matches!(self.pending(&lane),
            Some(Command::StartProvider { image, annotations, .. })
                if running.annotations == *annotations && same_image(image, &running.image))
            && self.inventory_of(host).is_some_and(|i| !i.providers.contains_key(id));
        if !plain {
            if !self.already(host, |i| i.providers.get(id) == Some(&running)) {
                self.ask(host, now);
            }
            return;
        }
        self.change_inventory(host, |inventory| {
            inventory.providers.insert(id.clone(), running);
        });
        self.outcome.change.workloads.insert(id.clone());
        self.succeeded(&lane, now);
        self.confirm(host, now);
    }

    fn provider_stopped(&mut self, host: &HostId, id: &WorkloadId, now: Moment) {
        let lane = Lane::Workload(host.clone(), id.clone());
        if !matches!(self.pending(&lane), Some(Command::StopProvider { .. })) {
            if !self.already(host, |inventory| !inventory.providers.contains_key(id)) {
                self.ask(host, now);
            }
            return;
        }
        self.change_inventory(host, |inventory| {
            inventory.providers.remove(id);
        });
        self.outcome.change.workloads.insert(id.clone());
        self.succeeded(&lane, now);
        self.confirm(host, now);
    }

    fn start_failed(
        &mut self,
        host: &HostId,
        id: &WorkloadId,
        error: Arc<str>,
        ours: impl Fn(&Command) -> bool,
        now: Moment,
    ) {
        let lane = Lane::Workload(host.clone(), id.clone());
        if self.pending(&lane).is_some_and(ours) {
            let observed = Arc::make_mut(&mut self.observed);
            self.lanes.fail(&mut observed.in_flight, &lane, error, now);
            self.outcome.change.lane(lane);
        }
        self.confirm(host, now);
    }

    /// The command in a lane, if it has been sent.
    fn pending(&self, lane: &Lane) -> Option<&Command> {
        let pending = self.observed.in_flight.pending.get(lane)?;
        (!self.lanes.is_queued(lane)).then_some(&pending.command)
    }

    fn inventory_of(&self, host: &HostId) -> Option<&Inventory> {
        self.observed.hosts.get(host)?.inventory.as_deref()
    }

    /// Whether a hint says only what is known; true too of hosts that aren't, for their
    /// heartbeat will tell.
    fn already(&self, host: &HostId, known: impl FnOnce(&Inventory) -> bool) -> bool {
        self.inventory_of(host).is_none_or(known)
    }

    fn change_inventory(&mut self, host: &HostId, change: impl FnOnce(&mut Inventory)) {
        let Some(known) = self.observed.hosts.get(host) else { return };
        let Some(mut inventory) = known.inventory.as_deref().cloned() else { return };
        // An event tells of one thing: of the others, nothing later is known than before.
        let at = known.inventory_at;
        change(&mut inventory);
        self.set_inventory(host, inventory, at);
    }

    /// Has a host asked in a moment, unless its heartbeat comes first.
    fn confirm(&mut self, host: &HostId, now: Moment) {
        if let Some(life) = self.lives.get_mut(host) {
            life.confirm_at.get_or_insert(now + CONFIRM);
        }
    }
}

/// Whether a component that runs like this is what `command` asked for.
fn asked_for(command: &Command, running: &RunningComponent) -> bool {
    match command {
        Command::ScaleComponent { image, count, annotations, .. } => {
            running.instances == *count
                && running.annotations == *annotations
                && same_image(image, &running.image)
        }
        Command::PutConfig { .. }
        | Command::DeleteConfig { .. }
        | Command::PutLink { .. }
        | Command::DeleteLink { .. }
        | Command::StartProvider { .. }
        | Command::StopProvider { .. } => false,
    }
}
