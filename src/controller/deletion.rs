//! How long a deletion has been waiting, by the API server's clock and ours: what they differ by
//! only has it let go a little earlier or later.
use std::time::Duration;

use kube::api::ObjectMeta;

/// What waits for others is looked at again after as long as it has waited already, within these.
const SOONEST: Duration = Duration::from_secs(5);
const LATEST: Duration = Duration::from_mins(10);

/// How long ago somebody asked for it.
#[must_use]
pub(super) fn waited(metadata: &ObjectMeta) -> Duration {
    let asked = metadata.deletion_timestamp.as_ref();
    let waited = asked.map(|asked| jiff::Timestamp::now().duration_since(asked.0));
    // A clock that is behind the API server's shows less than nothing.
    waited.and_then(|waited| waited.try_into().ok()).unwrap_or_default()
}

/// When to look again at what has waited so long, unless something changes before.
#[must_use]
pub(super) fn look_again(waited: Duration) -> Duration {
    waited.clamp(SOONEST, LATEST)
}

/// When it will have waited for `deadline`, as RFC 3339.
#[must_use]
pub(super) fn ends(metadata: &ObjectMeta, deadline: Duration) -> Option<String> {
    let asked = metadata.deletion_timestamp.as_ref()?.0;
    asked.checked_add(deadline).ok().map(|end| end.to_string())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    fn deleted(ago: Duration) -> ObjectMeta {
        let at = jiff::Timestamp::now() - jiff::SignedDuration::try_from(ago).unwrap();
        ObjectMeta { deletion_timestamp: Some(Time(at)), ..ObjectMeta::default() }
    }

    #[test]
    fn the_longer_it_waits_the_longer_it_takes_until_the_next_look() {
        let after = |seconds| look_again(Duration::from_secs(seconds)).as_secs();
        assert_eq!([0, 5, 7, 60, 600, 86_400].map(after), [5, 5, 7, 60, 600, 600]);
    }

    #[test]
    fn what_was_asked_by_a_clock_ahead_of_ours_has_not_waited_yet() {
        assert!(waited(&deleted(Duration::from_mins(5))) >= Duration::from_mins(5));
        let at = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(5);
        let ahead = ObjectMeta { deletion_timestamp: Some(Time(at)), ..ObjectMeta::default() };
        assert_eq!(waited(&ahead), Duration::ZERO);
        assert_eq!(waited(&ObjectMeta::default()), Duration::ZERO);
    }

    #[test]
    fn the_end_is_a_time_that_people_read() {
        let at = "2026-01-02T03:04:05Z".parse().unwrap();
        let metadata = ObjectMeta { deletion_timestamp: Some(Time(at)), ..ObjectMeta::default() };
        let end = ends(&metadata, Duration::from_hours(1));
        assert_eq!(end.as_deref(), Some("2026-01-02T04:04:05Z"));
    }
}
