//! Starts, changes and drains one wanted workload, host by host.
//!
//! ```text
//!  absent ──start──▶ as wanted ──scale──▶ as wanted
//!                        │  another image          another config list
//!                        ▼                             │ component: one scale
//!                   stop ─▶ observed gone ─▶ start  ◀──┘ provider
//! ```
//!
//! 1. At most as many hosts are away for a change as its [`Rollout`](crate::model::Rollout) says,
//!    and never the last that serves while another is; one that is away for any other reason counts
//!    too, so a change waits until everything is up. `Recreate` knows no such bound: all of the old
//!    stops, and is seen gone before anything of the new starts.
//! 2. What is too many goes only when enough runs without it; a host's at once, unless a share has no
//!    host and so leaves some of it to stay.
//! 3. A change halts, and nothing more of the old is stopped, once the image has failed on as many
//!    hosts as that says, or so many hosts failed otherwise that it can't be their own fault. The
//!    last that serves isn't stopped for what has failed elsewhere and runs nowhere.

use std::time::Duration;

use super::{
    cell::{Cell, Fit, Running, Seen},
    config, links,
    order::{Draft, Effect},
    survey::{Placement, Survey},
    tally::{counted, has_failed, is_away, is_halted},
};
use crate::model::{
    Command, HostId, Lane, Reason, Scaling, Strategy, Subject, Unhealthy, WaitsFor, Workload,
    WorkloadId, WorkloadKind,
};

/// How long links must be quiet before a provider starts: it gets those that its host knows then,
/// and can lose those that arrive while it boots.
const LINK_QUIET: Duration = Duration::from_secs(1);

/// Starts and changes everything of one kind.
pub(super) fn settle<'a>(
    draft: &mut Draft<'a>,
    survey: &Survey<'a>,
    open: &links::Open<'a>,
    kind: WorkloadKind,
) {
    for placement in survey.placed.values() {
        if placement.workload.kind == kind && placement.barred.is_none() {
            Settling::of(draft, survey, open, placement).cells(draft);
        }
    }
}

/// What the cells of one workload have in common while it is settled.
struct Settling<'p, 'a> {
    placement: &'p Placement<'a>,
    /// What a start waits for, whatever the host.
    needs: Vec<WaitsFor>,
    /// Hosts that should run it and don't answer callers.
    away: usize,
    /// How many of these there may be at a time.
    most_away: usize,
    serving: usize,
    /// A host that serves stops for good.
    drains: bool,
    /// Instances that run beyond what is wanted, not counting hosts that nobody can reach.
    surplus: u32,
    /// The new has failed somewhere.
    failed: bool,
    /// Nothing more of the old is stopped.
    halted: bool,
}

impl<'p, 'a> Settling<'p, 'a> {
    fn of(
        draft: &mut Draft<'a>,
        survey: &Survey<'a>,
        open: &links::Open<'a>,
        placement: &'p Placement<'a>,
    ) -> Self {
        let cells = &placement.cells;
        let idle = cells.iter().all(|cell| {
            cell.pending.is_none()
                && match cell.seen {
                    Seen::Running(seen) => seen.count == cell.target && seen.fit == Fit::AsWanted,
                    Seen::Absent => cell.target == 0,
                    Seen::Unknown => true,
                }
        });
        let up: u32 = cells.iter().filter_map(counted).sum();
        let placed = cells.iter().filter(|cell| cell.target > 0).count();
        let halted = is_halted(placement);
        if halted
            && cells.iter().any(|cell| cell.target > 0 && cell.is_old(placement.workload.kind))
        {
            draft.halted.insert(placement.id);
        }
        Self {
            placement,
            needs: if idle { Vec::new() } else { needs(draft, survey, open, placement) },
            away: cells.iter().filter(|cell| is_away(cell)).count(),
            most_away: placement.workload.rollout.max_unavailable.of(placed),
            serving: cells.iter().filter(|cell| cell.serves()).count(),
            drains: false,
            surplus: up.saturating_sub(placement.wanted),
            failed: cells.iter().any(has_failed),
            halted,
        }
    }

    fn cells(&mut self, draft: &mut Draft<'a>) {
        if let Some(wake_at) = self.placement.wake_at {
            draft.wake(wake_at);
        }
        for cell in &self.placement.cells {
            self.cell(draft, cell);
        }
    }

    fn cell(&mut self, draft: &mut Draft<'a>, cell: &Cell<'a>) {
        let namespace = &self.placement.workload.namespace;
        if let Some(retry_at) = cell.passed_over_until(draft.inputs.time) {
            draft.wake(retry_at);
        }
        if let Some(pending) = cell.pending {
            let lane = Lane::Workload(cell.host.clone(), self.placement.id.clone());
            if cell.target > 0 && pending.command.removes() && self.serving == 0 {
                self.report_gap(draft, cell);
            }
            return draft.offer_pending(namespace, &lane, pending);
        }
        match &cell.seen {
            Seen::Absent if cell.target > 0 => self.start(draft, cell),
            Seen::Unknown if cell.target > 0 => {
                let what = format!("the inventory of host {}", cell.host);
                let waits = vec![WaitsFor::Read { what }];
                draft.offer(namespace, self.wanted(cell), Effect::Adds, waits);
            }
            Seen::Running(running) if cell.target == 0 && !self.is_recreated(cell) => {
                self.drain(draft, cell, running);
            }
            Seen::Running(running) if cell.is_old(self.placement.workload.kind) => {
                self.restart(draft, cell, running);
            }
            Seen::Running(running)
                if running.fit == Fit::OtherConfig || running.count != cell.target =>
            {
                self.scale(draft, cell, running);
            }
            Seen::Running(running) if running.fit == Fit::Unstamped => self.restamp(draft, cell),
            Seen::Running(running) if let Some(sick) = cell.sick => {
                self.revive(draft, cell, running, sick);
            }
            Seen::Absent | Seen::Unknown | Seen::Running(_) => {}
        }
    }

    /// Whether a host stops, wanted or not, because all of the old goes before the new comes.
    fn is_recreated(&self, cell: &Cell<'_>) -> bool {
        self.placement.workload.rollout.strategy == Strategy::Recreate
            && cell.is_old(self.placement.workload.kind)
            && self.placement.cells.iter().any(|cell| cell.target > 0)
    }

    /// A host that should run it and doesn't.
    fn start(&self, draft: &mut Draft<'a>, cell: &Cell<'a>) {
        let mut waits = self.needs.clone();
        if draft.inputs.is_unseen_on(cell.info) && !self.was_always_the_same(draft) {
            draft.wake(draft.inputs.observed.unseen_until);
            waits.push(WaitsFor::Unseen);
        } else {
            waits.extend(unlooked(draft, cell));
        }
        if self.placement.workload.rollout.strategy == Strategy::Recreate {
            let (id, kind) = (self.placement.id.clone(), self.placement.workload.kind);
            let old = self.placement.cells.iter().find(|cell| cell.is_old(kind));
            waits.extend(old.map(|old| WaitsFor::Stopped(old.host.clone(), id)));
        }
        let command = self.wanted(cell);
        draft.offer(&self.placement.workload.namespace, command, Effect::Adds, waits);
    }

    /// Whether each revision that may still have a start under way asked for just this one.
    fn was_always_the_same(&self, draft: &Draft<'_>) -> bool {
        let workload = self.placement.workload;
        let former = draft.inputs.former.iter();
        former.filter_map(|former| former.workloads.get(self.placement.id)).all(|former| {
            former.kind == workload.kind
                && former.image == workload.image
                && former.hash == workload.hash
                && former.config == workload.config
                && former.scaling == workload.scaling
                && former.layout == workload.layout
        })
    }

    /// A host that must not run it: it stops when enough runs elsewhere.
    fn drain(&mut self, draft: &mut Draft<'a>, cell: &Cell<'a>, running: &Running<'a>) {
        if running.fit != Fit::OtherStart && (1..running.count).contains(&self.spare()) {
            return self.scale(draft, cell, running);
        }
        // What restarts elsewhere in the same moment counts as enough, and doesn't serve.
        let last = self.serving == 1 && cell.serves();
        let waits =
            if last && self.away > 0 { vec![WaitsFor::Rollout] } else { self.spend(running.count) };
        if waits.is_empty() && cell.serves() {
            self.serving -= 1;
            self.drains = true;
        }
        let command = stop(self.placement.id, cell.host, running);
        draft.offer(&self.placement.workload.namespace, command, Effect::Takes, waits);
    }

    /// A host whose number or config list differs: one scale makes all of it true.
    fn scale(&mut self, draft: &mut Draft<'a>, cell: &Cell<'a>, running: &Running<'a>) {
        let workload = self.placement.workload;
        let (mut effect, mut waits) = (Effect::Adds, self.needs.clone());
        waits.extend(unlooked(draft, cell));
        let mut target = cell.target;
        if target < running.count {
            effect = Effect::Takes;
            if self.spare() > 0 {
                target = target.max(running.count.saturating_sub(self.spare()));
            }
            waits.extend(self.spend(running.count - target));
        }
        let command = wanted(self.placement.id, workload, cell.host, target);
        draft.offer(&workload.namespace, command, effect, waits);
    }

    /// A host that runs what is wanted without our annotations: it takes them with one instance
    /// more, which goes again as soon as it has them.
    fn restamp(&self, draft: &mut Draft<'a>, cell: &Cell<'a>) {
        let workload = self.placement.workload;
        let more = wanted(self.placement.id, workload, cell.host, cell.target.saturating_add(1));
        let waits = self.needs.iter().cloned().chain(unlooked(draft, cell)).collect();
        draft.offer(&workload.namespace, more, Effect::Adds, waits);
    }

    /// A host that runs something else under this id: it stops if nothing is away, and is started
    /// by a later plan, when it is seen gone.
    fn restart(&mut self, draft: &mut Draft<'a>, cell: &Cell<'a>, running: &Running<'a>) {
        let (id, namespace) = (self.placement.id, &self.placement.workload.namespace);
        let mut waits = self.needs.clone();
        if draft.inputs.is_unseen_on(cell.info) {
            draft.wake(draft.inputs.observed.unseen_until);
            waits.push(WaitsFor::Unseen);
        }
        let last = self.serving == 1 && cell.serves();
        let too_many_away = match self.placement.workload.rollout.strategy {
            Strategy::RollingUpdate => {
                self.away >= self.most_away || (last && (self.away > 0 || self.drains))
            }
            Strategy::Recreate => false,
        };
        if self.halted || (cell.serves() && (too_many_away || (last && self.failed))) {
            waits.push(WaitsFor::Rollout);
        } else if last && waits.is_empty() {
            self.report_gap(draft, cell);
        }
        if waits.is_empty() && cell.serves() {
            self.away += 1;
            self.serving -= 1;
        }
        draft.offer(namespace, stop(id, cell.host, running), Effect::Takes, waits);
    }

    /// A provider that isn't well stops, one host at a time as in a change, and is started by a later
    /// plan. The last that serves too: it doesn't serve well.
    fn revive(
        &mut self,
        draft: &mut Draft<'a>,
        cell: &Cell<'a>,
        running: &Running<'a>,
        sick: &Unhealthy,
    ) {
        if draft.inputs.time < sick.due {
            return draft.wake(sick.due);
        }
        let mut waits = Vec::new();
        if self.away >= self.most_away {
            waits.push(WaitsFor::Rollout);
        } else if cell.serves() {
            self.away += 1;
            self.serving -= 1;
        }
        let command = stop(self.placement.id, cell.host, running);
        draft.offer(&self.placement.workload.namespace, command, Effect::Takes, waits);
    }

    /// Says that nobody serves while this host changes, unless that is what was asked for.
    fn report_gap(&self, draft: &mut Draft<'a>, cell: &Cell<'a>) {
        let (id, workload) = (self.placement.id, self.placement.workload);
        let surges = match &workload.scaling {
            Scaling::Spread { .. } => workload.rollout.max_surge > 0,
            Scaling::Daemon { .. } => true,
        };
        if surges && workload.rollout.strategy == Strategy::RollingUpdate {
            let message = format!(
                "{} is the only host that can run {id}, which stops for a moment to change",
                cell.host
            );
            let subject = Subject::Workload(id.clone());
            draft.block(&workload.namespace, subject, Reason::UnavoidableGap, message);
        }
    }

    /// How much of a host's may go while the rest stays in place of a share that finds no host.
    fn spare(&self) -> u32 {
        let lacks = self.placement.entries.iter().any(|(_, unplaced)| *unplaced > 0);
        if lacks { self.surplus } else { 0 }
    }

    /// Takes `count` off the surplus, or says that it isn't there.
    fn spend(&mut self, count: u32) -> Vec<WaitsFor> {
        match self.surplus.checked_sub(count) {
            Some(left) => {
                self.surplus = left;
                Vec::new()
            }
            None => vec![WaitsFor::Rollout],
        }
    }

    fn wanted(&self, cell: &Cell<'_>) -> Command {
        wanted(self.placement.id, self.placement.workload, cell.host, cell.target)
    }
}

/// What a start or scale waits for once all that an earlier process sent is done: a look settles
/// it then, so not even the same is sent twice.
fn unlooked(draft: &Draft<'_>, cell: &Cell<'_>) -> Option<WaitsFor> {
    let over = draft.inputs.time >= draft.inputs.observed.unseen_until;
    (over && draft.inputs.is_unseen_on(cell.info)).then_some(WaitsFor::Unseen)
}

/// The command that makes all of what is wanted true on one host.
fn wanted(id: &WorkloadId, workload: &Workload, host: &HostId, count: u32) -> Command {
    let (host, id, image) = (host.clone(), id.clone(), workload.image.clone());
    let (config, annotations) = (workload.config.clone(), workload.annotations.clone());
    match workload.kind {
        WorkloadKind::Component => Command::ScaleComponent {
            host,
            id,
            image,
            count,
            config,
            annotations,
            max_memory: workload.max_memory,
        },
        WorkloadKind::Provider => Command::StartProvider { host, id, image, config, annotations },
    }
}

/// Stops what runs, under the image that runs: hosts fetch it even for that, and have that one.
pub(super) fn stop(id: &WorkloadId, host: &HostId, running: &Running<'_>) -> Command {
    let (host, id) = (host.clone(), id.clone());
    match running.kind {
        WorkloadKind::Component => Command::ScaleComponent {
            host,
            id,
            image: running.image.clone(),
            count: 0,
            config: Vec::new(),
            annotations: running.annotations.clone(),
            max_memory: None,
        },
        WorkloadKind::Provider => Command::StopProvider { host, id },
    }
}

/// What has to be observed before any host may start this.
fn needs<'a>(
    draft: &mut Draft<'a>,
    survey: &Survey<'a>,
    open: &links::Open<'a>,
    placement: &Placement<'a>,
) -> Vec<WaitsFor> {
    let (id, inputs) = (placement.id, draft.inputs);
    let mut waits = config::missing(inputs, &placement.workload.config);
    waits.extend(open.get(id).into_iter().flatten().cloned());
    let peers = survey.peers.get(id).into_iter().flatten().copied();
    match placement.workload.kind {
        WorkloadKind::Provider => {
            let written = peers.chain([id]);
            let written = written.filter_map(|source| inputs.observed.links_written.last(source));
            if let Some(quiet) = written.max().map(|written| written + LINK_QUIET)
                && quiet > inputs.time
            {
                draft.wake(quiet);
                let why = "links to be quiet for a second, because a provider that boots can miss \
                           some";
                waits.push(WaitsFor::Delay { why: why.to_owned() });
            }
        }
        WorkloadKind::Component => {
            let runs = placement.cells.iter().any(|cell| cell.running().is_some());
            let missing = |id: &&WorkloadId| survey.placed.get(id).is_some_and(is_awaited);
            let missing = peers.filter(missing).filter(|_| !runs);
            waits.extend(missing.map(|id| WaitsFor::Started(id.clone())));
        }
    }
    waits
}

/// Whether components linked to this wait for it: a provider that has a place and isn't there yet.
fn is_awaited(placement: &Placement<'_>) -> bool {
    placement.workload.kind == WorkloadKind::Provider
        && placement.barred.is_none()
        && placement.cells.iter().any(|cell| cell.target > 0)
        && !placement.cells.iter().any(Cell::serves)
}
