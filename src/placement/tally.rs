//! What the cells of a workload come to, as far as its change depends on it.

use super::{
    cell::{Cell, Fit, asked},
    survey::Placement,
};
use crate::model::HostState;

/// Whether too much of the new has failed for any more of the old to stop.
pub(super) fn is_halted(placement: &Placement<'_>) -> bool {
    let (mut of_image, mut otherwise, mut renewed) = (0, 0, 0);
    for cell in &placement.cells {
        match (cell.running(), cell.failure) {
            (None, Some(failure)) if failure.of_image => of_image += 1,
            (None, Some(_)) => otherwise += 1,
            (Some(running), _) if running.fit == Fit::AsWanted && cell.serves() => renewed += 1,
            (Some(_) | None, _) => {}
        }
    }
    // One host may well have troubles of its own; after that, each has to be made up for by one
    // that runs the new.
    of_image >= placement.workload.rollout.max_failed_hosts || otherwise > renewed + 1
}

/// Whether a start of the new failed there. Where something runs, a start that was under way before
/// may have come in between; what failed then says nothing of the new.
pub(super) fn has_failed(cell: &Cell<'_>) -> bool {
    cell.failure.is_some() && cell.running().is_none()
}

/// Whether a host that should serve doesn't, which others that change wait for. One that is held
/// may be away for as long as it likes.
pub(super) fn is_away(cell: &Cell<'_>) -> bool {
    cell.target > 0 && !cell.serves() && cell.info.state != HostState::Held
}

/// The instances of a cell that count as running when something is to be taken away elsewhere.
/// What was told to run fewer may do so already, whatever its last inventory shows.
pub(super) fn counted(cell: &Cell<'_>) -> Option<u32> {
    let running = cell.running()?;
    let passing = running.fit == Fit::OtherStart && cell.target > 0;
    if passing || cell.info.state.is_lost() {
        return Some(running.count.min(cell.target));
    }
    let told = cell.pending.map_or(u32::MAX, |pending| asked(&pending.command));
    cell.serves().then_some(running.count.min(told))
}
