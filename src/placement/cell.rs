//! What one host shows of one workload, and how that compares with what is wanted.

use std::sync::Arc;

use super::{assign::Rank, image};
use crate::model::{
    Adopt, Annotations, Command, Desired, Failure, HASH, Host, HostId, Inventory, Moment, Pending,
    Unhealthy, Workload, WorkloadId, WorkloadKind,
};

/// A host on which an id has failed so often in a row gets no share of it until its delay is over.
pub(super) const FAILURES_UNTIL_ELSEWHERE: u32 = 3;

/// One workload on one host.
#[derive(Debug, Clone)]
pub(super) struct Cell<'a> {
    pub(super) host: &'a HostId,
    pub(super) info: &'a Host,
    /// Instances that it should run.
    pub(super) target: u32,
    pub(super) seen: Seen<'a>,
    pub(super) pending: Option<&'a Pending>,
    /// A start of what is wanted now that failed last.
    pub(super) failure: Option<&'a Failure>,
    /// What runs there isn't well.
    pub(super) sick: Option<&'a Unhealthy>,
}

/// What the last inventory shows under an id.
#[derive(Debug, Clone, Copy)]
pub(super) enum Seen<'a> {
    /// There is no inventory.
    Unknown,
    Absent,
    Running(Running<'a>),
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Running<'a> {
    pub(super) kind: WorkloadKind,
    pub(super) image: &'a Arc<str>,
    pub(super) annotations: &'a Arc<Annotations>,
    pub(super) count: u32,
    /// Bytes that each may take, where the host tells.
    pub(super) max_memory: Option<u64>,
    pub(super) fit: Fit,
    /// Somebody else started it, and it is taken up.
    pub(super) adopted: bool,
}

/// How what runs compares with what is wanted, its number aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    AsWanted,
    /// Only its list of config names differs, which one scale of a component mends.
    OtherConfig,
    /// Only our annotations lack, which hosts take with another number.
    Unstamped,
    /// Stop → start.
    OtherStart,
}

impl<'a> Running<'a> {
    /// All that an inventory shows under `id`, not compared with anything yet.
    pub(super) fn all(
        inventory: &'a Inventory,
        id: &WorkloadId,
    ) -> impl Iterator<Item = Running<'a>> + use<'a> {
        let component = inventory.components.get(id).map(|running| Running {
            kind: WorkloadKind::Component,
            image: &running.image,
            annotations: &running.annotations,
            count: running.instances,
            max_memory: running.max_memory,
            fit: Fit::OtherStart,
            adopted: false,
        });
        let provider = inventory.providers.get(id).map(|running| Running {
            kind: WorkloadKind::Provider,
            image: &running.image,
            annotations: &running.annotations,
            count: 1,
            max_memory: None,
            fit: Fit::OtherStart,
            adopted: false,
        });
        component.into_iter().chain(provider)
    }

    /// Whether both are surely of one kind, image, limit and annotations.
    pub(super) fn shares_texts(&self, other: &Running<'_>) -> bool {
        self.kind == other.kind
            && self.max_memory == other.max_memory
            && Arc::ptr_eq(self.image, other.image)
            && Arc::ptr_eq(self.annotations, other.annotations)
    }
}

impl Cell<'_> {
    pub(super) fn running(&self) -> Option<&Running<'_>> {
        match &self.seen {
            Seen::Running(running) => Some(running),
            Seen::Unknown | Seen::Absent => None,
        }
    }

    /// Whether what runs there has to stop before what is wanted, of this kind, can start.
    pub(super) fn is_old(&self, kind: WorkloadKind) -> bool {
        self.running().is_some_and(|running| match running.fit {
            Fit::OtherStart => true,
            Fit::OtherConfig => kind == WorkloadKind::Provider,
            Fit::AsWanted | Fit::Unstamped => false,
        })
    }

    /// When it may be tried here again, if it failed so often that others get its share till then.
    pub(super) fn passed_over_until(&self, now: Moment) -> Option<Moment> {
        let failure = self.failure.filter(|_| self.gave_up())?;
        (failure.retry_at > now).then_some(failure.retry_at)
    }

    /// Whether it failed so often that others get its share.
    pub(super) fn gave_up(&self) -> bool {
        self.failure.is_some_and(|it| it.count >= FAILURES_UNTIL_ELSEWHERE)
    }

    /// Whether callers are answered there, as far as anyone can see.
    pub(super) fn serves(&self) -> bool {
        let stopping = self.pending.is_some_and(|pending| pending.command.removes());
        self.running().is_some_and(|running| running.count > 0)
            && !stopping
            && !self.info.state.is_lost()
    }
}

/// How many a host counts as having, and how it ranks: what was asked of it counts like what it
/// shows, or each plan would choose anew.
pub(super) fn standing(cell: &Cell<'_>, workload: &Workload) -> (u32, Rank) {
    if let Some(pending) = cell.pending
        && asks_for(&pending.command, workload)
    {
        return (asked(&pending.command), Rank::AsWanted);
    }
    match cell.seen {
        Seen::Running(running) => {
            let rank = match running.fit {
                Fit::AsWanted | Fit::OtherConfig | Fit::Unstamped => Rank::AsWanted,
                Fit::OtherStart => Rank::Present,
            };
            (running.count, rank)
        }
        Seen::Absent | Seen::Unknown => match cell.failure {
            Some(failure) => (asked(&failure.command), Rank::AsWanted),
            None => (0, Rank::Absent),
        },
    }
}

/// How many instances `command` leaves on its host.
pub(super) fn asked(command: &Command) -> u32 {
    match command {
        Command::ScaleComponent { count, .. } => *count,
        Command::StartProvider { .. } => 1,
        Command::StopProvider { .. }
        | Command::PutLink { .. }
        | Command::DeleteLink { .. }
        | Command::PutConfig { .. }
        | Command::DeleteConfig { .. } => 0,
    }
}

/// Whether `command` starts what `workload` is, but for its config list and number.
pub(super) fn asks_for(command: &Command, workload: &Workload) -> bool {
    let starts = |image: &str, annotations: &Annotations| {
        image == &*workload.image && fit_of_hash(annotations, workload) != Fit::OtherStart
    };
    match command {
        Command::ScaleComponent { image, annotations, count, .. } => {
            workload.kind == WorkloadKind::Component && *count > 0 && starts(image, annotations)
        }
        Command::StartProvider { image, annotations, .. } => {
            workload.kind == WorkloadKind::Provider && starts(image, annotations)
        }
        Command::StopProvider { .. }
        | Command::PutLink { .. }
        | Command::DeleteLink { .. }
        | Command::PutConfig { .. }
        | Command::DeleteConfig { .. } => false,
    }
}

/// Looks at one workload on host after host. Hosts that show the same share its texts, so most of
/// them are known again by where these are.
pub(super) struct Lens<'a> {
    id: &'a WorkloadId,
    workload: &'a Workload,
    desired: &'a Desired,
    last: Option<Running<'a>>,
}

impl<'a> Lens<'a> {
    pub(super) fn on(desired: &'a Desired, id: &'a WorkloadId, workload: &'a Workload) -> Self {
        Self { id, workload, desired, last: None }
    }

    /// What runs under the id. Should a component and a provider have got the same id, the one of
    /// the wrong kind is seen, because it has to go first.
    pub(super) fn look(&mut self, inventory: &'a Inventory) -> Seen<'a> {
        let mut shown: Option<Running<'a>> = None;
        for running in Running::all(inventory, self.id) {
            if shown.is_none() || running.kind != self.workload.kind {
                shown = Some(running);
            }
        }
        let Some(mut running) = shown else { return Seen::Absent };
        (running.adopted, running.fit) = match self.last {
            Some(last) if last.shares_texts(&running) => (last.adopted, last.fit),
            Some(_) | None => {
                let Desired { owner, adopt, .. } = self.desired;
                let annotations = running.annotations;
                let adopted =
                    !owner.owns(annotations) && adopt.takes(&owner.application, annotations);
                (adopted, self.fit(&running, adopted))
            }
        };
        self.last = Some(running);
        Seen::Running(running)
    }

    /// What is adopted carries no hash of ours: what its image doesn't tell is taken for equal.
    fn fit(&self, running: &Running<'_>, adopted: bool) -> Fit {
        // Hosts that know nothing of limits show none, and can't be made to.
        let limited =
            running.max_memory.is_some() && running.max_memory != self.workload.max_memory;
        let same =
            running.kind == self.workload.kind && image::same(&self.workload.image, running.image);
        match (self.desired.adopt, running.kind) {
            _ if !same || limited => Fit::OtherStart,
            _ if !adopted => fit_of_hash(running.annotations, self.workload),
            (Adopt::Restamp, WorkloadKind::Component) => Fit::Unstamped,
            // The annotations of a provider stay until it stops, which is no change worth making.
            (Adopt::Nothing | Adopt::Wadm | Adopt::Any | Adopt::Restamp, _) => Fit::AsWanted,
        }
    }
}

/// Compares the hash in `annotations` with what is wanted; one of an unknown form fits nothing.
fn fit_of_hash(annotations: &Annotations, workload: &Workload) -> Fit {
    let mut parts = annotations.get(HASH).unwrap_or_default().split('.');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some("1"), Some(start), Some(config), None) if *start == *workload.hash.start => {
            if *config == *workload.hash.config { Fit::AsWanted } else { Fit::OtherConfig }
        }
        _ => Fit::OtherStart,
    }
}
