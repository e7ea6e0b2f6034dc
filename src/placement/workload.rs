//! Starts, changes and drains one wanted workload, host by host.
//!
//! ```text
//!  absent ──start──▶ as wanted ──scale──▶ as wanted
//!                        │  another image          another config list
//!                        ▼                             │ component: one scale
//!                   stop ─▶ observed gone ─▶ start  ◀──┘ provider
//! ```
//!
//! 1. At most one host ([`MAX_UNAVAILABLE`]) is away for a change; one that is away for any other
//!    reason counts too, so a change waits until everything is up.
//! 2. What is too many goes only when enough runs without it.
//! 3. After a start of the new has failed anywhere, nothing more of the old is stopped.

use std::time::Duration;

use super::{
    cell::{Cell, Fit, Running, Seen, asked},
    config, links,
    order::{Draft, Effect},
    survey::{FAILURES_UNTIL_ELSEWHERE, Placement, Survey},
};
use crate::model::{
    Command, HostId, HostState, Lane, Reason, Subject, WaitsFor, Workload, WorkloadId, WorkloadKind,
};

/// Hosts that may be without a workload at a time while it changes.
const MAX_UNAVAILABLE: usize = 1;

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
    serving: usize,
    /// Instances that run beyond what is wanted, not counting hosts that nobody can reach.
    surplus: u32,
    /// A start of the new failed somewhere.
    failed: bool,
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
        Self {
            placement,
            needs: if idle { Vec::new() } else { needs(draft, survey, open, placement) },
            away: cells.iter().filter(|cell| is_away(cell)).count(),
            serving: cells.iter().filter(|cell| cell.serves()).count(),
            surplus: up.saturating_sub(placement.wanted),
            // Where something runs, a start that was under way before may have come in between;
            // what failed then says nothing of the new.
            failed: cells.iter().any(|cell| cell.failure.is_some() && cell.running().is_none()),
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
        if let Some(failure) = cell.failure
            && failure.count >= FAILURES_UNTIL_ELSEWHERE
            && failure.retry_at > draft.inputs.time
        {
            draft.wake(failure.retry_at);
        }
        if let Some(pending) = cell.pending {
            let lane = Lane::Workload(cell.host.clone(), self.placement.id.clone());
            return draft.offer_pending(namespace, &lane, pending);
        }
        match &cell.seen {
            Seen::Absent if cell.target > 0 => self.start(draft, cell),
            Seen::Unknown if cell.target > 0 => {
                let what = format!("the inventory of host {}", cell.host);
                let waits = vec![WaitsFor::Read { what }];
                draft.offer(namespace, self.wanted(cell), Effect::Adds, waits);
            }
            Seen::Absent | Seen::Unknown => {}
            Seen::Running(running) if cell.target == 0 => self.drain(draft, cell, running),
            Seen::Running(running) => match (running.fit, self.placement.workload.kind) {
                (Fit::OtherStart, _) | (Fit::OtherConfig, WorkloadKind::Provider) => {
                    self.restart(draft, cell, running);
                }
                (Fit::OtherConfig, WorkloadKind::Component) => self.scale(draft, cell, running),
                (Fit::AsWanted | Fit::Unstamped, _) if running.count != cell.target => {
                    self.scale(draft, cell, running);
                }
                (Fit::Unstamped, _) => self.restamp(draft, cell),
                (Fit::AsWanted, _) => {}
            },
        }
    }

    /// A host that should run it and doesn't.
    fn start(&self, draft: &mut Draft<'a>, cell: &Cell<'a>) {
        let mut waits = self.needs.clone();
        // Once the time is over a look settles it, so not even the same is sent twice.
        let over = draft.inputs.time >= draft.inputs.observed.unseen_until;
        if draft.inputs.is_unseen_on(cell.info) && (over || !self.was_always_the_same(draft)) {
            draft.wake(draft.inputs.observed.unseen_until);
            waits.push(WaitsFor::Unseen);
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
        })
    }

    /// A host that must not run it: it stops when enough runs elsewhere.
    fn drain(&mut self, draft: &mut Draft<'a>, cell: &Cell<'a>, running: &Running<'a>) {
        let waits = self.spend(running.count);
        let command = stop(self.placement.id, cell.host, running);
        draft.offer(&self.placement.workload.namespace, command, Effect::Takes, waits);
    }

    /// A host whose number or config list differs: one scale makes all of it true.
    fn scale(&mut self, draft: &mut Draft<'a>, cell: &Cell<'a>, running: &Running<'a>) {
        let workload = self.placement.workload;
        let (mut effect, mut waits) = (Effect::Adds, self.needs.clone());
        if cell.target < running.count {
            effect = Effect::Takes;
            waits.extend(self.spend(running.count - cell.target));
        }
        draft.offer(&workload.namespace, self.wanted(cell), effect, waits);
    }

    /// A host that runs what is wanted without our annotations: it takes them with one instance
    /// more, which goes again as soon as it has them.
    fn restamp(&self, draft: &mut Draft<'a>, cell: &Cell<'a>) {
        let workload = self.placement.workload;
        let more = wanted(self.placement.id, workload, cell.host, cell.target.saturating_add(1));
        draft.offer(&workload.namespace, more, Effect::Adds, self.needs.clone());
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
        if self.failed || (self.away >= MAX_UNAVAILABLE && cell.serves()) {
            waits.push(WaitsFor::Rollout);
        } else if last && waits.is_empty() {
            let message = format!(
                "{} is the only host that can run {id}, which stops for a moment to change",
                cell.host
            );
            draft.block(namespace, Subject::Workload(id.clone()), Reason::UnavoidableGap, message);
        }
        if waits.is_empty() && cell.serves() {
            self.away += 1;
            self.serving -= 1;
        }
        draft.offer(namespace, stop(id, cell.host, running), Effect::Takes, waits);
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

/// The command that makes all of what is wanted true on one host.
fn wanted(id: &WorkloadId, workload: &Workload, host: &HostId, count: u32) -> Command {
    let (host, id, image) = (host.clone(), id.clone(), workload.image.clone());
    let (config, annotations) = (workload.config.clone(), workload.annotations.clone());
    match workload.kind {
        WorkloadKind::Component => {
            Command::ScaleComponent { host, id, image, count, config, annotations }
        }
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
            annotations: (**running.annotations).clone(),
        },
        WorkloadKind::Provider => Command::StopProvider { host, id },
    }
}

/// Whether a host that should serve doesn't, which others that change wait for. One that is held
/// may be away for as long as it likes.
fn is_away(cell: &Cell<'_>) -> bool {
    cell.target > 0 && !cell.serves() && cell.info.state != HostState::Held
}

/// The instances of a cell that count as running when something is to be taken away elsewhere.
/// What was told to run fewer may do so already, whatever its last inventory shows.
fn counted(cell: &Cell<'_>) -> Option<u32> {
    let running = cell.running()?;
    let passing = running.fit == Fit::OtherStart && cell.target > 0;
    if passing || cell.info.state.is_lost() {
        return Some(running.count.min(cell.target));
    }
    let told = cell.pending.map_or(u32::MAX, |pending| asked(&pending.command));
    cell.serves().then_some(running.count.min(told))
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
            let written = written.filter_map(|source| inputs.observed.links_written.get(source));
            if let Some(quiet) = written.max().map(|&written| written + LINK_QUIET)
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
