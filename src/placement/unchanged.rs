//! Whether planning again could say anything new, in constant time.

use super::Removal;
use crate::model::{Moment, Plan};

/// Versions of everything that a plan is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    /// Of what the Application wants now and wanted before; whoever makes these counts them.
    pub desired: u64,
    /// [`crate::model::Observed::version`].
    pub observed: u64,
    /// [`super::claims::Claims::version`].
    pub claims: u64,
    pub removal: Removal,
}

/// What a plan was made from, and until when it holds if none of that changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    versions: Versions,
    wake_at: Option<Moment>,
}

impl Stamp {
    #[must_use]
    pub fn new(versions: Versions, plan: &Plan) -> Self {
        Self { versions, wake_at: plan.wake_at }
    }

    /// Whether a plan made from `versions` at `time` would be the one that this stamp is for.
    #[must_use]
    pub fn unchanged(&self, versions: &Versions, time: Moment) -> bool {
        self.versions == *versions && self.wake_at.is_none_or(|wake_at| time < wake_at)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_plan_holds_until_something_moves_or_its_time_has_come() {
        let versions = Versions { desired: 1, observed: 1, claims: 1, removal: Removal::Hold };
        let at = |seconds| Moment(Duration::from_secs(seconds));
        let plan = Plan { wake_at: Some(at(10)), ..Plan::default() };
        let stamp = Stamp::new(versions, &plan);
        let cases = [
            ("nothing moved", versions, 9, true),
            ("its time has come", versions, 10, false),
            ("the lattice moved", Versions { observed: 2, ..versions }, 9, false),
            ("a claim moved", Versions { claims: 2, ..versions }, 9, false),
            ("removal is allowed", Versions { removal: Removal::Allowed, ..versions }, 9, false),
        ];
        for (name, versions, seconds, expected) in cases {
            assert_eq!(stamp.unchanged(&versions, at(seconds)), expected, "{name}");
        }
    }
}
