//! What may be sent now, what has to wait, and for what: the rules that hold for every command.
//!
//! ```text
//! what a phase wants ──offer()──▶ own lane free? ─▶ not failing? ─▶ links and starts apart? ─▶ gate? ─▶ now
//!                                      └────────────────┴──────────────────┴────────────────────┴────▶ later
//! ```
//!
//! 1. One command a lane: where one is unresolved nothing else is sent, and after its deadline only
//!    the same once more, because hosts work after they have answered, in any order.
//! 2. Link commands of a source and starts of that id exclude each other on the whole lattice.
//! 3. What somebody else changes back again and again is left to them for a while.
//! 4. Nothing is sent before the lattice is whole, and nothing is taken away before it is settled.

use std::{collections::BTreeSet, sync::Arc};

use super::{Inputs, assign::earliest, contended};
use crate::model::{
    Blocked, Command, ConfigName, Failure, HostState, Lane, Later, Moment, Pending, Plan, Planned,
    Reason, Subject, WaitsFor, WorkloadId,
};

/// Whether a command takes something away, so that half a picture isn't enough for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Adds,
    Takes,
}

/// A plan in the making.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    pub(super) inputs: &'a Inputs<'a>,
    pub(super) plan: Plan,
    /// Where something was offered already.
    offered: BTreeSet<Lane>,
    /// Where a failure was reported already.
    reported: BTreeSet<Lane>,
    /// Ids that something in `now` starts.
    starts: BTreeSet<WorkloadId>,
    /// Sources of which something in `now` changes links.
    links: BTreeSet<WorkloadId>,
    /// Ids of which nothing more of the old is stopped, because the new fails.
    pub(super) halted: BTreeSet<&'a WorkloadId>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(inputs: &'a Inputs<'a>) -> Self {
        Self {
            inputs,
            plan: Plan::default(),
            offered: BTreeSet::new(),
            reported: BTreeSet::new(),
            starts: BTreeSet::new(),
            links: BTreeSet::new(),
            halted: BTreeSet::new(),
        }
    }

    /// Time alone changes the plan at `moment`, if that is still to come.
    pub(super) fn wake(&mut self, moment: Moment) {
        if moment > self.inputs.time {
            self.plan.wake_at = earliest(self.plan.wake_at, Some(moment));
        }
    }

    pub(super) fn block(
        &mut self,
        namespace: &Arc<str>,
        subject: Subject,
        reason: Reason,
        message: String,
    ) {
        self.plan.blocked.push(Blocked { namespace: namespace.clone(), subject, reason, message });
    }

    pub(super) fn was_offered(&self, lane: &Lane) -> bool {
        self.offered.contains(lane)
    }

    /// Puts `command` where it belongs: `now`, or `later` if `waits_for` or one of the rules above
    /// says so. Where another is unresolved, that one takes its place.
    pub(super) fn offer(
        &mut self,
        namespace: &Arc<str>,
        command: Command,
        effect: Effect,
        mut waits_for: Vec<WaitsFor>,
    ) {
        let lane = command.lane();
        let (mut command, mut effect) = (command, effect);
        if let Some(pending) = self.inputs.observed.in_flight.pending.get(&lane) {
            self.wake(pending.deadline);
            waits_for.clear();
            if self.inputs.time < pending.deadline {
                waits_for.push(WaitsFor::InFlight { what: pending.command.to_string() });
            } else if !self.was_looked_at(&lane, pending) {
                let what = format!("the inventory of the host that should {}", pending.command);
                waits_for.push(WaitsFor::Read { what });
            }
            if pending.command != command {
                effect = if pending.command.removes() { Effect::Takes } else { Effect::Adds };
                command = pending.command.clone();
            }
        } else if let Some(contended) = contended::by_others(self.inputs, &command) {
            self.wake(contended.until);
            if self.reported.insert(lane.clone()) {
                let (subject, message) = contended::told(self.inputs, &command, contended);
                self.block(namespace, subject, Reason::Contended, message);
            }
            waits_for.push(WaitsFor::Delay { why: "others to leave it alone".to_owned() });
        } else if let Some(failure) = self.failure(&lane, &command)
            // What may not go yet holds nothing up by having failed before; reported, it would.
            && !waits_for.contains(&WaitsFor::Rollout)
        {
            self.report(namespace, &lane, failure);
            if self.inputs.time < failure.retry_at {
                self.wake(failure.retry_at);
                let (error, count) = (failure.error.clone(), failure.count);
                waits_for.push(WaitsFor::Retry { error, count });
            }
        }
        waits_for.extend(self.excluded(&command));
        waits_for.extend(self.gate(&lane, effect));
        let namespace = namespace.clone();
        if waits_for.is_empty() {
            match &command {
                _ if starts(&command) => self.starts.extend(lane.workload().cloned()),
                Command::PutLink { key, .. } | Command::DeleteLink { key } => {
                    self.links.insert(key.source.clone());
                }
                Command::PutConfig { .. }
                | Command::DeleteConfig { .. }
                | Command::StartProvider { .. }
                | Command::StopProvider { .. }
                | Command::ScaleComponent { .. } => {}
            }
            self.plan.now.push(Planned { namespace, command });
        } else {
            self.plan.later.push(Later { namespace, command, waits_for });
        }
        self.offered.insert(lane);
    }

    /// Offers again what is unresolved in `lane`, if nothing else was offered there.
    pub(super) fn offer_pending(&mut self, namespace: &Arc<str>, lane: &Lane, pending: &Pending) {
        if !self.was_offered(lane) {
            let effect = if pending.command.removes() { Effect::Takes } else { Effect::Adds };
            self.offer(namespace, pending.command.clone(), effect, Vec::new());
        }
    }

    /// Whether the host was looked at since the deadline. A command that was carried out unseen must
    /// not be sent again: done late, it would undo what follows it.
    fn was_looked_at(&self, lane: &Lane, pending: &Pending) -> bool {
        match lane {
            Lane::Workload(host, _) => {
                let host = self.inputs.observed.hosts.get(host);
                host.is_some_and(|host| host.inventory_at >= pending.deadline)
            }
            Lane::Links(_) | Lane::Config(_) => true,
        }
    }

    /// What failed last in `lane`, if `command` asks for the same.
    fn failure(&self, lane: &Lane, command: &Command) -> Option<&'a Failure> {
        let failure = self.inputs.observed.in_flight.failures.get(lane)?;
        failure.command.asks_the_same(command).then_some(failure)
    }

    /// Says what fails, in the host's own words.
    pub(super) fn report(&mut self, namespace: &Arc<str>, lane: &Lane, failure: &Failure) {
        if !self.reported.insert(lane.clone()) {
            return;
        }
        let subject = match (lane, &failure.command) {
            (_, Command::PutLink { key, .. } | Command::DeleteLink { key }) => {
                Subject::Link(key.clone())
            }
            (Lane::Workload(_, id) | Lane::Links(id), _) => Subject::Workload(id.clone()),
            (Lane::Config(name), _) => Subject::Config(name.clone()),
        };
        let (command, count, error) = (&failure.command, failure.count, &failure.error);
        let times = if count == 1 { "once".to_owned() } else { format!("{count} times") };
        let way_out = self.way_out(command);
        let message = format!("failed {times} to {command}: {error}{way_out}");
        self.block(namespace, subject, Reason::Failing, message);
    }

    /// What to do about a start that fails; what else fails mends itself or says so.
    fn way_out(&self, command: &Command) -> String {
        let id = match command {
            Command::StartProvider { id, .. } => id,
            Command::ScaleComponent { id, count, .. } if *count > 0 => id,
            Command::ScaleComponent { .. }
            | Command::StopProvider { .. }
            | Command::PutLink { .. }
            | Command::DeleteLink { .. }
            | Command::PutConfig { .. }
            | Command::DeleteConfig { .. } => return String::new(),
        };
        let Some(workload) = self.inputs.desired.workloads.get(id) else { return String::new() };
        let secrets = workload.config.iter().any(ConfigName::is_of_secret);
        let (fault, place) = if secrets {
            ("the image or a secret", "properties.image or properties.secrets")
        } else {
            ("the image", "properties.image")
        };
        let halted = if self.halted.contains(id) {
            ". The change has halted, and what still runs stays as it is"
        } else {
            ""
        };
        format!(
            "{halted}. It is tried again with a growing delay; if {fault} is at fault, correct \
             {place} of component {}",
            workload.component
        )
    }

    /// What keeps links and starts of one id apart, and one link command of a source from another.
    fn excluded(&self, command: &Command) -> Option<WaitsFor> {
        let in_flight = &self.inputs.observed.in_flight;
        let what = match command {
            Command::PutLink { key, .. } | Command::DeleteLink { key } => {
                let id = &key.source;
                if self.links.contains(id) {
                    format!("another link of {id}")
                } else if self.starts.contains(id) {
                    format!("a start of {id}")
                } else {
                    let mut pending = in_flight.pending_of(id).map(|(_, pending)| &pending.command);
                    pending.find(|pending| starts(pending))?.to_string()
                }
            }
            Command::StartProvider { id, .. } | Command::ScaleComponent { id, .. }
                if starts(command) =>
            {
                if self.links.contains(id) {
                    format!("a link of {id}")
                } else {
                    in_flight.pending.get(&Lane::Links(id.clone()))?.command.to_string()
                }
            }
            Command::StartProvider { .. }
            | Command::ScaleComponent { .. }
            | Command::StopProvider { .. }
            | Command::PutConfig { .. }
            | Command::DeleteConfig { .. } => return None,
        };
        Some(WaitsFor::InFlight { what })
    }

    /// What keeps the lattice, or one host of it, from taking this now.
    fn gate(&self, lane: &Lane, effect: Effect) -> Option<WaitsFor> {
        let (observed, gate) = (self.inputs.observed, &self.inputs.observed.gate);
        let open = match effect {
            Effect::Adds => gate.may_add(),
            Effect::Takes => gate.may_remove(),
        };
        if !open {
            return Some(WaitsFor::Lattice { why: gate.to_string() });
        }
        let Lane::Workload(host, _) = lane else { return None };
        let why = match observed.hosts.get(host).map(|host| host.state) {
            Some(HostState::Ready | HostState::Suspect) => return None,
            Some(HostState::Mute) => format!("host {host} is busy and shows no inventory"),
            Some(HostState::Unreachable) => format!("host {host} doesn't answer"),
            Some(HostState::Held) => format!("host {host} is cut off, and what it ran is held"),
            None => format!("host {host} is gone"),
        };
        Some(WaitsFor::Lattice { why })
    }
}

/// Whether the command makes a host start something, which rewrites the links of that id.
pub(super) fn starts(command: &Command) -> bool {
    match command {
        Command::StartProvider { .. } => true,
        Command::ScaleComponent { count, .. } => *count > 0,
        Command::StopProvider { .. }
        | Command::PutLink { .. }
        | Command::DeleteLink { .. }
        | Command::PutConfig { .. }
        | Command::DeleteConfig { .. } => false,
    }
}
