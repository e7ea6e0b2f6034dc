//! When a status is written: what is over within a moment is not worth a write. Pure.
use std::time::Duration;

use super::status::{is_true, only_progresses, only_repairs};
use crate::{api::ApplicationStatus, model::Moment};

/// A status that only progresses is written at most this often.
const WRITE_INTERVAL: Duration = Duration::from_secs(1);
/// A new Application that only progresses is first written about after so long: most are as wanted by
/// then, and are written about once.
const FIRST_WRITE: Duration = Duration::from_secs(2);
/// An Application that was ready, and is being put right without anything being the matter, is written
/// about after so long: most are put right within milliseconds.
const REPAIR: Duration = Duration::from_secs(1);

/// How long a lattice's own trouble is the lattice's alone before its Applications say so too.
const LATTICE_GRACE: Duration = Duration::from_secs(30);

/// How far one Application has come with what isn't written yet.
#[derive(Debug, Default)]
pub(super) struct Pace {
    written_at: Option<Moment>,
    /// Since when it is known without having a status.
    new_since: Option<Moment>,
    /// Since when it is being put right, after it was ready.
    repairs_since: Option<Moment>,
    /// Since when a lattice that it uses can't be judged.
    uncertain_since: Option<Moment>,
}

impl Pace {
    /// A status was written.
    pub(super) fn written(&mut self, now: Moment) {
        self.written_at = Some(now);
    }

    /// How long to wait before anything is written of an Application that a lattice's trouble makes
    /// uncertain: what ran when it began most likely still runs. `generation` is the object's.
    pub(super) fn wait_for_lattice(
        &mut self,
        before: &ApplicationStatus,
        generation: Option<i64>,
        uncertain: bool,
        now: Moment,
    ) -> Option<Duration> {
        if !uncertain {
            self.uncertain_since = None;
            return None;
        }
        let since = *self.uncertain_since.get_or_insert(now);
        let known = before.observed_generation == generation && is_true(before, "Ready");
        left(since, LATTICE_GRACE, now).filter(|_| known)
    }

    /// How long to wait before `after` is written in place of `before`. A change of phase or readiness
    /// never waits, but for the first phase of an Application that has none, and for what is being put
    /// right.
    pub(super) fn wait(
        &mut self,
        before: &ApplicationStatus,
        after: &ApplicationStatus,
        now: Moment,
    ) -> Option<Duration> {
        if before.conditions.is_empty() && only_progresses(after) {
            return left(*self.new_since.get_or_insert(now), FIRST_WRITE, now);
        }
        let ready = |status| is_true(status, "Ready");
        let stalled = |status| is_true(status, "Stalled");
        let same_spec = before.observed_generation == after.observed_generation;
        if same_spec && ready(before) && only_repairs(after) {
            return left(*self.repairs_since.get_or_insert(now), REPAIR, now);
        }
        self.repairs_since = None;
        if !same_spec
            || before.status != after.status
            || ready(before) != ready(after)
            || stalled(before) != stalled(after)
            || before == after
        {
            return None;
        }
        left(self.written_at?, WRITE_INTERVAL, now)
    }
}

fn left(since: Moment, interval: Duration, now: Moment) -> Option<Duration> {
    let left = interval.saturating_sub(now.since(since));
    (!left.is_zero()).then_some(left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Condition, ConditionStatus, Phase};

    fn at(milliseconds: u64) -> Moment {
        Moment(Duration::from_millis(milliseconds))
    }

    fn status(phase: Phase, reason: &str) -> ApplicationStatus {
        let ready =
            if phase == Phase::Running { ConditionStatus::True } else { ConditionStatus::False };
        let condition = Condition {
            type_: "Ready".into(),
            status: ready,
            reason: Some(reason.into()),
            message: None,
            last_transition_time: None,
            observed_generation: Some(1),
        };
        ApplicationStatus {
            status: Some(phase),
            conditions: vec![condition],
            observed_generation: Some(1),
            ..ApplicationStatus::default()
        }
    }

    #[test]
    fn what_is_put_right_within_a_second_is_not_written_about() {
        let running = status(Phase::Running, "Running");
        let repairing = status(Phase::Unhealthy, "Progressing");
        let mut pace = Pace::default();
        assert_eq!(pace.wait(&running, &repairing, at(0)), Some(REPAIR));
        assert_eq!(pace.wait(&running, &running, at(400)), None, "nothing differs");
        assert_eq!(pace.wait(&running, &repairing, at(900)), Some(REPAIR), "another one");
        assert_eq!(pace.wait(&running, &repairing, at(1400)), Some(Duration::from_millis(500)));
        assert_eq!(pace.wait(&running, &repairing, at(1900)), None);
    }

    #[test]
    fn what_is_the_matter_is_written_about_at_once() {
        let running = status(Phase::Running, "Running");
        let mut pace = Pace::default();
        for reason in ["NoEligibleHosts", "HostUnreachable", "Failing", "UnavoidableGap"] {
            let ill = status(Phase::Unhealthy, reason);
            assert_eq!(pace.wait(&running, &ill, at(0)), None, "{reason}");
            assert_eq!(pace.wait(&ill, &running, at(0)), None, "{reason}");
        }
        let mut next = status(Phase::Unhealthy, "Progressing");
        next.observed_generation = Some(2);
        assert_eq!(pace.wait(&running, &next, at(0)), None, "another spec");
    }

    #[test]
    fn the_trouble_of_a_lattice_is_its_own_for_a_while() {
        let running = status(Phase::Running, "Running");
        let mut pace = Pace::default();
        let mut wait = |generation, uncertain, milliseconds| {
            pace.wait_for_lattice(&running, Some(generation), uncertain, at(milliseconds))
        };
        assert_eq!(wait(1, true, 0), Some(LATTICE_GRACE));
        assert_eq!(wait(2, true, 1_000), None, "a new spec is answered");
        assert_eq!(wait(1, true, 20_000), Some(Duration::from_secs(10)));
        assert_eq!(wait(1, true, 30_000), None);
        assert_eq!(wait(1, false, 31_000), None);
        assert_eq!(wait(1, true, 32_000), Some(LATTICE_GRACE), "another one");
    }

    #[test]
    fn a_new_application_is_written_about_once_if_it_is_quick_and_progress_once_a_second() {
        let none = ApplicationStatus::default();
        let working = status(Phase::RunningWorkflow, "Progressing");
        let mut pace = Pace::default();
        assert_eq!(pace.wait(&none, &working, at(0)), Some(FIRST_WRITE));
        assert_eq!(pace.wait(&none, &working, at(2000)), None);
        pace.written(at(2000));
        let mut further = working.clone();
        further.observed_generation = working.observed_generation;
        further.reconciled = Some("again".into());
        assert_eq!(pace.wait(&working, &further, at(2100)), Some(Duration::from_millis(900)));
        assert_eq!(pace.wait(&working, &further, at(3000)), None);
        assert_eq!(pace.wait(&none, &status(Phase::Unhealthy, "Failing"), at(0)), None);
    }
}
