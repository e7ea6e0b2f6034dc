use std::time::Duration;

use imbl::OrdMap;

use super::{Moment, WorkloadId};

/// When something last happened to an id, for as long as that can matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recent {
    last: OrdMap<WorkloadId, Moment>,
    swept: Moment,
}

/// What is older may be forgotten.
const KEPT: Duration = Duration::from_secs(10);

impl Recent {
    /// It happens to `id` now. Every few seconds this forgets what is old.
    pub fn note(&mut self, id: WorkloadId, now: Moment) {
        if now.since(self.swept) > KEPT {
            let kept = |(_, at): &(WorkloadId, Moment)| now.since(*at) <= KEPT;
            self.last = std::mem::take(&mut self.last).into_iter().filter(kept).collect();
            self.swept = now;
        }
        self.last.insert(id, now);
    }

    /// When it last happened to `id`, if that isn't long ago.
    #[must_use]
    pub fn last(&self, id: &WorkloadId) -> Option<Moment> {
        self.last.get(id).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_old_is_forgotten() {
        let id = |text: &str| -> WorkloadId { text.parse().unwrap() };
        let at = |seconds| Moment(Duration::from_secs(seconds));
        let mut recent = Recent::default();
        recent.note(id("a"), at(1));
        recent.note(id("b"), at(9));
        recent.note(id("a"), at(10));
        assert_eq!((recent.last(&id("a")), recent.last(&id("b"))), (Some(at(10)), Some(at(9))));
        recent.note(id("c"), at(20));
        assert_eq!((recent.last(&id("a")), recent.last(&id("b"))), (Some(at(10)), None));
    }
}
