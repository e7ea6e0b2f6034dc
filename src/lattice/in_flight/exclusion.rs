use crate::model::{Command, InFlight, Lane};

/// A start of an id makes its host rewrite the record of that id's links without
/// compare-and-swap, and so does a link command: they exclude each other on the whole lattice.
pub(super) fn excluded(in_flight: &InFlight, command: &Command) -> bool {
    let lane = command.lane();
    let Some(id) = lane.workload() else { return false };
    let mut others = in_flight.pending_of(id).filter(|(other, _)| **other != lane);
    match lane {
        Lane::Links(_) => others.any(|(_, pending)| starts(&pending.command)),
        Lane::Workload(..) => {
            starts(command) && others.any(|(other, _)| matches!(other, Lane::Links(_)))
        }
        Lane::Config(_) => false,
    }
}

/// Whether it may pull an image and start something.
#[must_use]
pub fn starts(command: &Command) -> bool {
    match command {
        Command::StartProvider { .. } => true,
        Command::ScaleComponent { count, .. } => *count > 0,
        Command::PutConfig { .. }
        | Command::DeleteConfig { .. }
        | Command::PutLink { .. }
        | Command::DeleteLink { .. }
        | Command::StopProvider { .. } => false,
    }
}
