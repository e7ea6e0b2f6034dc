//! What each wanted workload should be and is, host by host, before anything is decided.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use super::{
    Inputs,
    assign::{self, Assignment, Candidate, Moves, Rank, Share},
    cell::{Cell, Fit, Lens, Running, Seen, asks_for, standing},
    image, spread,
};
use crate::model::{
    Annotations, ApplicationKey, HostId, Lane, Moment, Scaling, Strategy, Unhealthy, Unsatisfiable,
    Workload, WorkloadId, WorkloadKind,
};

/// Everything wanted, and who is linked to whom.
#[derive(Debug)]
pub(super) struct Survey<'a> {
    pub(super) placed: BTreeMap<&'a WorkloadId, Placement<'a>>,
    /// Both ways, each once.
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
    /// Whether a host meets several entries.
    pub(super) overlapping: bool,
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
    Foreign { host: &'a HostId, annotations: &'a Annotations },
}

impl<'a> Survey<'a> {
    pub(super) fn of(inputs: &Inputs<'a>) -> Self {
        let desired = inputs.desired;
        let mut peers: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (key, link) in &desired.links {
            for (one, other) in [(&key.source, &link.target), (&link.target, &key.source)] {
                let known = peers.entry(one).or_default();
                if !known.contains(&other) {
                    known.push(other);
                }
            }
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
        let assignment = match &workload.scaling {
            Scaling::Daemon { instances, .. } => {
                let provider = workload.kind == WorkloadKind::Provider;
                site.everywhere(if provider { 1.min(*instances) } else { *instances })
            }
            Scaling::Spread { instances, spread } => {
                let shares = spread::shares(*instances, spread);
                let moves = Moves::Sticky(workload.layout.rebalance, inputs.time);
                let stays = site.share_out(id, shares.clone(), moves);
                match site.must_make_room(builtin, &stays.counts) {
                    Some(leaving) => site.surge(id, shares, leaving),
                    None => stays,
                }
            }
        };
        let wanted = match &workload.scaling {
            Scaling::Spread { instances, .. } => *instances,
            Scaling::Daemon { .. } => assignment.counts.iter().sum(),
        };
        let hosts = site.eligible.iter().map(Vec::len);
        Placement {
            id,
            workload,
            wanted,
            entries: hosts.zip(assignment.unplaced).collect(),
            overlapping: site.overlapping,
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
    /// Those of the candidates where something is already, and the index of each.
    cells: Vec<Cell<'a>>,
    occupied: Vec<usize>,
    /// By entry of the spread: indexes of the candidates that meet it.
    eligible: Vec<Vec<usize>>,
    /// Whether one of them meets several.
    overlapping: bool,
    foreign: Option<Barred<'a>>,
}

impl<'a> Site<'a> {
    fn of(inputs: &Inputs<'a>, id: &'a WorkloadId, workload: &'a Workload) -> Self {
        let observed = inputs.observed;
        let entries = workload.scaling.spread();
        let mut site = Self {
            workload,
            candidates: Vec::with_capacity(observed.hosts.len()),
            cells: Vec::new(),
            occupied: Vec::new(),
            eligible: vec![Vec::with_capacity(observed.hosts.len()); entries.len()],
            overlapping: false,
            foreign: None,
        };
        let mut lens = Lens::on(inputs.desired, id, workload);
        let mut owned: Option<Running<'a>> = None;
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
                Some(inventory) if runs_here => lens.look(inventory),
                Some(_) => Seen::Absent,
            };
            if let Seen::Running(running) = seen
                && !owned.is_some_and(|owned| owned.shares_texts(&running))
            {
                if inputs.desired.owns(running.annotations) {
                    owned = Some(running);
                } else if site.foreign.is_none() {
                    let annotations = running.annotations;
                    site.foreign = Some(Barred::Foreign { host, annotations });
                }
            }
            let failure = failure.filter(|failure| asks_for(&failure.command, workload));
            let sick = sick(inputs, host, id, &seen);
            site.add(inputs, Cell { host, info, target: 0, seen, pending, failure, sick });
        }
        site
    }

    fn add(&mut self, inputs: &Inputs<'a>, cell: Cell<'a>) {
        let (have, rank) = standing(&cell, self.workload);
        let failing = cell.passed_over_until(inputs.time).is_some();
        let daemon = matches!(self.workload.scaling, Scaling::Daemon { .. });
        let held = !cell.info.state.takes_work() || (failing && !daemon && cell.pending.is_none());
        // What failed there isn't there, nor comes back once others have its share.
        let have = if cell.gave_up() && cell.running().is_none() { 0 } else { have };
        let index = self.candidates.len();
        let occupied = cell.pending.is_some() || cell.failure.is_some() || cell.running().is_some();
        let mut met = 0;
        for (entry, eligible) in self.workload.scaling.spread().iter().zip(&mut self.eligible) {
            if (!held || have > 0) && spread::meets(cell.info, entry) {
                eligible.push(index);
                met += 1;
            }
        }
        self.overlapping |= met > 1;
        if occupied || met > 0 {
            let (host, info) = (cell.host, cell.info);
            self.candidates.push(Candidate { host, info, have, rank, held });
        }
        if occupied {
            self.cells.push(cell);
            self.occupied.push(index);
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

    /// The only host that serves, if it must stop to change and, as `counts` go, nobody starts who
    /// could take its place meanwhile. A builtin provider is of use only beside its peers.
    fn must_make_room(&self, builtin: bool, counts: &[u32]) -> Option<usize> {
        let rollout = self.workload.rollout;
        if rollout.max_surge == 0 || rollout.strategy == Strategy::Recreate {
            return None;
        }
        let cells = self.occupied.iter().zip(&self.cells);
        let mut serving = cells.filter(|(_, cell)| cell.serves());
        let (Some((index, cell)), None) = (serving.next(), serving.next()) else {
            return None;
        };
        let mut others = (0..counts.len()).filter(|other| other != index);
        let starts = |other: usize| counts[other] > 0 && !self.candidates[other].held;
        let beside = |other: usize| self.candidates[other].rank == Rank::Beside;
        let relieved = others.clone().any(starts);
        (cell.is_old(self.workload.kind) && !relieved && (!builtin || others.any(beside)))
            .then_some(*index)
    }

    /// Starts the new on as many hosts as may have it before the old stops on `leaving`, where what
    /// these don't get stays.
    fn surge(&mut self, id: &WorkloadId, shares: Vec<u32>, leaving: usize) -> Assignment {
        if let Some(candidate) = self.candidates.get_mut(leaving) {
            candidate.rank = Rank::Leaving;
        }
        let mut assignment = self.share_out(id, shares, Moves::Free);
        let counts = &mut assignment.counts;
        // Who takes nothing new keeps what it has, and starts nothing.
        let starts = |&host: &usize| host != leaving && !self.candidates[host].held;
        let mut new: Vec<usize> =
            (0..counts.len()).filter(starts).filter(|&host| counts[host] > 0).collect();
        // Where the new was asked for already comes first, or each plan would choose anew.
        new.sort_by_key(|&host| (self.candidates[host].rank, Reverse(counts[host])));
        let most = usize::try_from(self.workload.rollout.max_surge).unwrap_or(usize::MAX);
        for host in new.into_iter().skip(most) {
            counts[leaving] += std::mem::take(&mut counts[host]);
        }
        assignment
    }

    /// Shares the instances of each entry out over its hosts, and what finds none over the others'
    /// if that is wanted.
    fn share_out(&self, id: &WorkloadId, mut counts: Vec<u32>, moves: Moves) -> Assignment {
        let workload = self.workload;
        let mut full = vec![false; counts.len()];
        loop {
            let shares = counts.iter().zip(&self.eligible);
            let shares: Vec<Share> = shares.map(|(&count, hosts)| Share { count, hosts }).collect();
            let assignment = match workload.kind {
                WorkloadKind::Component => {
                    assign::components(id, &shares, &self.candidates, workload.layout.fill, moves)
                }
                WorkloadKind::Provider => assign::providers(id, &shares, &self.candidates),
            };
            let (spread, unplaced) = (workload.scaling.spread(), &assignment.unplaced);
            let next = match workload.layout.unsatisfiable {
                Unsatisfiable::Wait => None,
                Unsatisfiable::Redistribute => {
                    spread::redistribute(&counts, unplaced, spread, &mut full)
                }
            };
            match next {
                Some(next) => counts = next,
                None => return assignment,
            }
        }
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

    /// The cells of hosts where something is or should be.
    fn into_cells(self, counts: &[u32]) -> Vec<Cell<'a>> {
        let mut cells = self.cells;
        for (cell, &index) in cells.iter_mut().zip(&self.occupied) {
            cell.target = counts[index];
        }
        let mut occupied = self.occupied.into_iter().peekable();
        let free = |(index, _): &(usize, _)| occupied.next_if_eq(index).is_none();
        let free = self.candidates.iter().zip(counts).enumerate().filter(free);
        let before = cells.len();
        cells.extend(free.filter(|(_, (_, target))| **target > 0).map(
            |(_, (candidate, &target))| {
                let (host, info) = (candidate.host, candidate.info);
                let seen = if info.inventory.is_none() { Seen::Unknown } else { Seen::Absent };
                Cell { host, info, target, seen, pending: None, failure: None, sick: None }
            },
        ));
        if before > 0 && cells.len() > before {
            cells.sort_by_key(|cell| cell.host);
        }
        cells
    }
}

/// What is the matter with what runs as it is wanted.
fn sick<'a>(
    inputs: &Inputs<'a>,
    host: &HostId,
    id: &WorkloadId,
    seen: &Seen<'_>,
) -> Option<&'a Unhealthy> {
    let unhealthy = &inputs.observed.unhealthy;
    match seen {
        Seen::Running(running)
            if !unhealthy.is_empty()
                && running.kind == WorkloadKind::Provider
                && running.fit == Fit::AsWanted =>
        {
            unhealthy.get(&(host.clone(), id.clone()))
        }
        Seen::Running(_) | Seen::Absent | Seen::Unknown => None,
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
