//! Links that changed while hosts were out of reach ↔ the status of their `Lattice`, where the next
//! process finds them. Pure.
use std::collections::BTreeSet;

use crate::{
    api::MissedLinks,
    lattice::inventory,
    model::{HostId, WorkloadId},
};

/// No more ids are kept than this, on all hosts.
const MOST: usize = 2000;

#[must_use]
pub(super) fn to_status(missed: &inventory::MissedLinks) -> Vec<MissedLinks> {
    let mut room = MOST;
    let of_host = |(host, ends): (&HostId, &BTreeSet<WorkloadId>)| {
        // Of what there is no room for it isn't known what it was.
        let ends = Some(ends).filter(|ends| ends.len() <= room);
        let ids: Vec<_> = ends.into_iter().flatten().map(WorkloadId::to_string).collect();
        room -= ids.len();
        MissedLinks { host: host.to_string(), ids }
    };
    missed.iter().map(of_host).collect()
}

/// What isn't an id is left out.
#[must_use]
pub(super) fn from_status(missed: &[MissedLinks]) -> inventory::MissedLinks {
    let of_host = |missed: &MissedLinks| {
        let ids = missed.ids.iter().filter_map(|id| id.parse().ok());
        Some((missed.host.parse().ok()?, ids.collect()))
    };
    missed.iter().filter_map(of_host).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_missed_comes_back_from_the_status_as_far_as_there_is_room() {
        let few = BTreeSet::from(["http".parse().unwrap()]);
        let many = (0..MOST).map(|number| format!("id-{number:04}").parse().unwrap());
        let missed = inventory::MissedLinks::from([
            ("NA".parse().unwrap(), few.clone()),
            ("NB".parse().unwrap(), many.collect()),
            ("NC".parse().unwrap(), few.clone()),
            ("ND".parse().unwrap(), BTreeSet::new()),
        ]);
        let again = from_status(&to_status(&missed));
        let lengths: Vec<_> = again.values().map(BTreeSet::len).collect();
        assert_eq!(lengths, [1, 0, 1, 0], "none stands for any");
        assert_eq!(again["NA"], few);
    }
}
