//! Which hosts could change a plan, so that whoever hears of another one needn't plan to find out.
//!
//! A host that a workload runs on, or that was asked to run it, is found by its id. Any other shows
//! in nothing but the shares of a spread that it meets, and not even there as long as these stand
//! where they may stand: to move what runs takes hosts that differ by more than one instance.

use super::{
    cell::{Fit, Seen},
    order::Draft,
    spread,
    survey::{Placement, Survey},
};
use crate::model::{
    Fill, Later, Reach, Rebalance, Scaling, SpreadEntry, Unsatisfiable, WaitsFor, WorkloadKind,
};

/// The reach of the plan that `draft` has become.
pub(super) fn of(draft: &Draft<'_>, survey: &Survey<'_>) -> Reach {
    let plan = &draft.plan;
    let unseen = |later: &Later| later.waits_for.contains(&WaitsFor::Unseen);
    let nobody = draft.inputs.observed.hosts.is_empty() && !plan.is_settled();
    let any = plan.unseen || nobody || plan.later.iter().any(unseen);
    let placed = survey.placed.values();
    let like = placed.flat_map(|placement| {
        let all = is_open(placement);
        let spread = placement.workload.scaling.spread().iter().zip(&placement.entries);
        let open = spread.filter(move |(entry, (_, unplaced))| {
            all || *unplaced > 0 || may_move(placement, entry)
        });
        open.map(|(entry, _)| entry.requirements.clone())
    });
    Reach { any, like: like.collect() }
}

/// Whether each host that meets an entry may matter to all of them.
fn is_open(placement: &Placement<'_>) -> bool {
    let workload = placement.workload;
    let settled = placement.cells.iter().all(|cell| {
        let as_wanted = match &cell.seen {
            Seen::Running(running) => running.fit == Fit::AsWanted && running.count == cell.target,
            Seen::Absent | Seen::Unknown => cell.target == 0,
        };
        as_wanted && cell.pending.is_none() && cell.failure.is_none()
    });
    let several = placement.entries.len() > 1;
    // Which entry a host serves, and which chooses first, depends on the others' hosts.
    let entwined = several
        && (placement.overlapping
            || workload.kind == WorkloadKind::Provider
            || workload.layout.unsatisfiable == Unsatisfiable::Redistribute);
    let daemon = matches!(workload.scaling, Scaling::Daemon { .. });
    daemon || !settled || entwined || placement.barred.is_some()
}

/// Whether some of what runs for an entry would go to a host that has room.
fn may_move(placement: &Placement<'_>, entry: &SpreadEntry) -> bool {
    let layout = placement.workload.layout;
    match (layout.rebalance, layout.fill) {
        (Rebalance::Never, _) => false,
        (Rebalance::After(_), Fill::Pack) => placement.wake_at.is_some(),
        (Rebalance::After(_), Fill::Spread) => {
            placement.cells.iter().any(|cell| cell.target > 1 && spread::meets(cell.info, entry))
        }
    }
}
