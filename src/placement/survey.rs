//! What each wanted workload should be and is, host by host, before anything is decided.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Inputs,
    assign::{self, Assignment, Candidate, Moves, Rank, Share},
    image, spread,
};
use crate::model::{
    ApplicationKey, Command, Failure, HASH, Host, HostId, HostState, Inventory, Lane, Moment,
    Pending, Scaling, Workload, WorkloadId, WorkloadKind,
};

/// A host on which an id has failed so often in a row gets no share of it until its delay is over.
pub(super) const FAILURES_UNTIL_ELSEWHERE: u32 = 3;

/// Everything wanted, and who is linked to whom.
#[derive(Debug)]
pub(super) struct Survey<'a> {
    pub(super) placed: BTreeMap<&'a WorkloadId, Placement<'a>>,
    /// Both ways.
    pub(super) peers: BTreeMap<&'a WorkloadId, Vec<&'a WorkloadId>>,
}

/// One wanted workload on all hosts that matter to it.
#[derive(Debug)]
pub(super) struct Placement<'a> {
    pub(super) id: &'a WorkloadId,
    pub(super) workload: &'a Workload,
    /// By host; only hosts that should run it, that do, or where a command is unresolved or failed.
    pub(super) cells: Vec<Cell<'a>>,
    /// Instances in all.
    pub(super) wanted: u32,
    /// By entry of the spread: hosts that meet it, and instances that found no host.
    pub(super) entries: Vec<(usize, u32)>,
    /// A move that isn't due yet will be then.
    pub(super) wake_at: Option<Moment>,
    pub(super) barred: Option<Barred<'a>>,
}

/// Why nothing may be sent for an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Barred<'a> {
    /// Another Application has it.
    Conflict(&'a ApplicationKey),
    /// What runs there isn't ours.
    Foreign { host: &'a HostId, annotations: &'a BTreeMap<String, String> },
}

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
    pub(super) annotations: &'a BTreeMap<String, String>,
    pub(super) count: u32,
    pub(super) fit: Fit,
}

/// How what runs compares with what is wanted, its number aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    AsWanted,
    /// Only its list of config names differs, which one scale of a component mends.
    OtherConfig,
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
            fit: Fit::OtherStart,
        });
        let provider = inventory.providers.get(id).map(|running| Running {
            kind: WorkloadKind::Provider,
            image: &running.image,
            annotations: &running.annotations,
            count: 1,
            fit: Fit::OtherStart,
        });
        component.into_iter().chain(provider)
    }
}

impl Cell<'_> {
    pub(super) fn running(&self) -> Option<&Running<'_>> {
        match &self.seen {
            Seen::Running(running) => Some(running),
            Seen::Unknown | Seen::Absent => None,
        }
    }

    /// Whether callers are answered there, as far as anyone can see.
    pub(super) fn serves(&self) -> bool {
        let stopping = self.pending.is_some_and(|pending| pending.command.removes());
        self.running().is_some_and(|running| running.count > 0)
            && !stopping
            && self.info.state != HostState::Unreachable
    }
}

impl<'a> Survey<'a> {
    pub(super) fn of(inputs: &Inputs<'a>) -> Self {
        let desired = inputs.desired;
        let mut peers: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (key, link) in &desired.links {
            peers.entry(&key.source).or_default().push(&link.target);
            peers.entry(&link.target).or_default().push(&key.source);
        }
        let mut survey = Self { placed: BTreeMap::new(), peers };
        // Builtin providers follow their peers, so they come last.
        let follows = |workload: &Workload| {
            workload.kind == WorkloadKind::Provider && image::is_builtin(&workload.image)
        };
        for builtin in [false, true] {
            for (id, workload) in &desired.workloads {
                if follows(workload) == builtin {
                    let placement = survey.place(inputs, id, workload, builtin);
                    survey.placed.insert(id, placement);
                }
            }
        }
        survey
    }

    fn place(
        &self,
        inputs: &Inputs<'a>,
        id: &'a WorkloadId,
        workload: &'a Workload,
        builtin: bool,
    ) -> Placement<'a> {
        let mut site = Site::of(inputs, id, workload);
        if builtin {
            let peers = self.peers.get(id).into_iter().flatten();
            site.prefer(&self.hosts_of(inputs, peers.copied()));
        }
        let surge = site.must_make_room();
        let shares = site.shares();
        let moves = if surge { Moves::Free } else { Moves::Delayed(inputs.time) };
        let assignment = match (&workload.scaling, workload.kind) {
            (Scaling::Daemon { instances, .. }, kind) => {
                let each =
                    if kind == WorkloadKind::Provider { 1.min(*instances) } else { *instances };
                site.everywhere(each)
            }
            (Scaling::Spread { .. }, WorkloadKind::Component) => {
                assign::components(id, &shares, &site.candidates, moves)
            }
            (Scaling::Spread { .. }, WorkloadKind::Provider) => {
                assign::providers(id, &shares, &site.candidates)
            }
        };
        let wanted = match &workload.scaling {
            Scaling::Spread { instances, .. } => *instances,
            Scaling::Daemon { .. } => assignment.counts.iter().sum(),
        };
        let hosts = shares.iter().map(|share| share.hosts.len());
        Placement {
            id,
            workload,
            wanted,
            entries: hosts.zip(assignment.unplaced).collect(),
            wake_at: assignment.wake_at,
            barred: conflict(inputs, id).or(site.foreign),
            cells: site.into_cells(&assignment.counts),
        }
    }

    /// Where any of `ids` is placed, or runs if it isn't ours to place.
    pub(super) fn hosts_of(
        &self,
        inputs: &Inputs<'a>,
        ids: impl Iterator<Item = &'a WorkloadId>,
    ) -> BTreeSet<&'a HostId> {
        let mut hosts = BTreeSet::new();
        for id in ids {
            match self.placed.get(id) {
                Some(placed) => {
                    let wanted = placed.cells.iter().filter(|cell| cell.target > 0);
                    hosts.extend(wanted.map(|cell| cell.host));
                }
                None => hosts.extend(inputs.observed.runs().hosts(id)),
            }
        }
        hosts
    }
}

/// The hosts that matter to one workload, while its shares are worked out.
struct Site<'a> {
    workload: &'a Workload,
    candidates: Vec<Candidate<'a>>,
    cells: Vec<Cell<'a>>,
    /// By entry of the spread: indexes of the candidates that meet it.
    eligible: Vec<Vec<usize>>,
    foreign: Option<Barred<'a>>,
}

impl<'a> Site<'a> {
    fn of(inputs: &Inputs<'a>, id: &'a WorkloadId, workload: &'a Workload) -> Self {
        let observed = inputs.observed;
        let entries = workload.scaling.spread();
        let mut site = Self {
            workload,
            candidates: Vec::with_capacity(observed.hosts.len()),
            cells: Vec::with_capacity(observed.hosts.len()),
            eligible: vec![Vec::with_capacity(observed.hosts.len()); entries.len()],
            foreign: None,
        };
        let mut runs = observed.runs().hosts(id).peekable();
        let mut pending = by_host(observed.in_flight.pending_of(id)).peekable();
        let mut failures = by_host(observed.in_flight.failures_of(id)).peekable();
        for (host, info) in &observed.hosts {
            let runs_here = runs.next_if(|at| *at == host).is_some();
            while pending.next_if(|(at, _)| *at < host).is_some() {}
            while failures.next_if(|(at, _)| *at < host).is_some() {}
            let pending = pending.next_if(|(at, _)| *at == host).map(|(_, pending)| pending);
            let failure = failures.next_if(|(at, _)| *at == host).map(|(_, failure)| failure);
            let seen = match &info.inventory {
                None => Seen::Unknown,
                Some(inventory) if runs_here => look(id, workload, inventory),
                Some(_) => Seen::Absent,
            };
            site.foreign = site.foreign.or_else(|| foreign(inputs, host, &seen));
            let failure = failure.filter(|failure| asks_for(&failure.command, workload));
            site.add(inputs, Cell { host, info, target: 0, seen, pending, failure });
        }
        site
    }

    fn add(&mut self, inputs: &Inputs<'a>, cell: Cell<'a>) {
        let (have, rank) = standing(&cell, self.workload);
        let failing = cell.failure.is_some_and(|failure| {
            failure.count >= FAILURES_UNTIL_ELSEWHERE && failure.retry_at > inputs.time
        });
        let daemon = matches!(self.workload.scaling, Scaling::Daemon { .. });
        let held = !cell.info.state.takes_work() || (failing && !daemon && cell.pending.is_none());
        // What failed there isn't there.
        let have = if failing && cell.running().is_none() { 0 } else { have };
        let index = self.candidates.len();
        let mut matters = rank != Rank::Absent || cell.pending.is_some() || cell.failure.is_some();
        for (entry, eligible) in self.workload.scaling.spread().iter().zip(&mut self.eligible) {
            if (!held || have > 0) && spread::meets(cell.info, entry) {
                eligible.push(index);
                matters = true;
            }
        }
        if matters {
            let (host, joined) = (cell.host, cell.info.joined);
            self.candidates.push(Candidate { host, joined, have, rank, held });
            self.cells.push(cell);
        }
    }

    /// Puts hosts where a link peer is placed before all others.
    fn prefer(&mut self, hosts: &BTreeSet<&HostId>) {
        for candidate in &mut self.candidates {
            if hosts.contains(candidate.host) {
                candidate.rank = Rank::Beside;
            }
        }
    }

    /// Whether the only host that serves must stop to change while another could take its place
    /// first; that host then ranks last.
    fn must_make_room(&mut self) -> bool {
        let mut serving = self.cells.iter().enumerate().filter(|(_, cell)| cell.serves());
        let (Some((index, cell)), None) = (serving.next(), serving.next()) else { return false };
        let provider = self.workload.kind == WorkloadKind::Provider;
        let restarts = cell.running().is_some_and(|running| match running.fit {
            Fit::OtherStart => true,
            Fit::OtherConfig => provider,
            Fit::AsWanted => false,
        });
        if !restarts {
            return false;
        }
        if let Some(candidate) = self.candidates.get_mut(index) {
            candidate.rank = Rank::Leaving;
        }
        true
    }

    fn shares(&self) -> Vec<Share> {
        let counts = match &self.workload.scaling {
            Scaling::Spread { instances, spread } => spread::shares(*instances, spread),
            Scaling::Daemon { spread, .. } => vec![0; spread.len()],
        };
        let shares = counts.into_iter().zip(&self.eligible);
        shares.map(|(count, hosts)| Share { count, hosts: hosts.clone() }).collect()
    }

    /// `each` on every host that meets any entry; hosts that take nothing new keep what they have.
    fn everywhere(&self, each: u32) -> Assignment {
        let mut counts = vec![0; self.candidates.len()];
        for &host in self.eligible.iter().flatten() {
            let candidate = &self.candidates[host];
            counts[host] = if candidate.held { candidate.have } else { each };
        }
        let unplaced = vec![0; self.eligible.len()];
        Assignment { counts, unplaced, wake_at: None }
    }

    fn into_cells(mut self, counts: &[u32]) -> Vec<Cell<'a>> {
        for (cell, &count) in self.cells.iter_mut().zip(counts) {
            cell.target = count;
        }
        self.cells.retain(|cell| {
            cell.target > 0
                || cell.pending.is_some()
                || cell.failure.is_some()
                || cell.running().is_some()
        });
        self.cells
    }
}

/// How many a host counts as having, and how it ranks: what was asked of it counts like what it
/// shows, or each plan would choose anew.
fn standing(cell: &Cell<'_>, workload: &Workload) -> (u32, Rank) {
    if let Some(pending) = cell.pending
        && asks_for(&pending.command, workload)
    {
        return (asked(&pending.command), Rank::AsWanted);
    }
    match cell.seen {
        Seen::Running(running) => {
            let rank = match running.fit {
                Fit::AsWanted | Fit::OtherConfig => Rank::AsWanted,
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

fn asked(command: &Command) -> u32 {
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
    let starts = |image: &str, annotations: &BTreeMap<String, String>| {
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

/// What runs under `id`. Should a component and a provider have got the same id, the one of the
/// wrong kind is seen, because it has to go first.
fn look<'a>(id: &WorkloadId, workload: &Workload, inventory: &'a Inventory) -> Seen<'a> {
    let mut shown: Option<Running<'a>> = None;
    for running in Running::all(inventory, id) {
        if shown.is_none() || running.kind != workload.kind {
            shown = Some(running);
        }
    }
    let Some(mut running) = shown else { return Seen::Absent };
    if running.kind == workload.kind && image::same(&workload.image, running.image) {
        running.fit = fit_of_hash(running.annotations, workload);
    }
    Seen::Running(running)
}

/// Compares the hash in `annotations` with what is wanted; one of an unknown form fits nothing.
fn fit_of_hash(annotations: &BTreeMap<String, String>, workload: &Workload) -> Fit {
    let mut parts = annotations.get(HASH).map_or("", String::as_str).split('.');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some("1"), Some(start), Some(config), None) if *start == *workload.hash.start => {
            if *config == *workload.hash.config { Fit::AsWanted } else { Fit::OtherConfig }
        }
        _ => Fit::OtherStart,
    }
}

fn foreign<'a>(inputs: &Inputs<'a>, host: &'a HostId, seen: &Seen<'a>) -> Option<Barred<'a>> {
    match seen {
        Seen::Running(Running { annotations, .. }) => (!inputs.desired.owner.owns(annotations))
            .then_some(Barred::Foreign { host, annotations }),
        Seen::Unknown | Seen::Absent => None,
    }
}

/// Which other Application has `id`, if one has.
fn conflict<'a>(inputs: &Inputs<'a>, id: &WorkloadId) -> Option<Barred<'a>> {
    let holder = inputs.claims.holder(id, inputs.observed)?;
    (*holder != inputs.desired.owner.application).then_some(Barred::Conflict(holder))
}

/// The lanes of one id that are about a host, by host.
fn by_host<'a, T: 'a>(
    lanes: impl Iterator<Item = (&'a Lane, &'a T)>,
) -> impl Iterator<Item = (&'a HostId, &'a T)> {
    lanes.filter_map(|(lane, value)| match lane {
        Lane::Workload(host, _) => Some((host, value)),
        Lane::Links(_) | Lane::Config(_) => None,
    })
}
