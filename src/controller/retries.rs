//! How long a pass that failed waits until it is tried again: longer each time, so that thousands of
//! objects whose passes fail alike don't keep down what they fail on.
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use kube::{Resource, ResourceExt};

use crate::lattice::in_flight::backoff;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

/// By kind, namespace and name; only those that failed last.
type Failures = BTreeMap<(String, Option<String>, String), u32>;

/// How often in a row each object's pass has failed.
#[derive(Debug, Default)]
pub struct Retries(Mutex<Failures>);

impl Retries {
    /// Takes note that a pass has failed, and says when to try again.
    pub fn failed<K: Resource<DynamicType = ()>>(&self, object: &K) -> Duration {
        let (key, mut failures) = (key(object), self.failures());
        let times = failures.entry(key.clone()).or_default();
        *times = times.saturating_add(1);
        backoff(FIRST, LONGEST, *times, &key)
    }

    pub fn passed<K: Resource<DynamicType = ()>>(&self, object: &K) {
        let mut failures = self.failures();
        if !failures.is_empty() {
            failures.remove(&key(object));
        }
    }

    fn failures(&self) -> MutexGuard<'_, Failures> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key<K: Resource<DynamicType = ()>>(object: &K) -> (String, Option<String>, String) {
    (K::kind(&()).into_owned(), object.namespace(), object.name_any())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Application, ApplicationRevision, ApplicationRevisionSpec, ApplicationSpec};

    fn app(name: &str) -> Application {
        Application::new(name, ApplicationSpec::default())
    }

    #[test]
    fn what_keeps_failing_waits_ever_longer_until_it_has_passed_once() {
        let (shop, other) = (app("shop"), app("other"));
        let retries = Retries::default();
        let seconds = |pause: Duration| (pause.as_millis() + 500) / 1000;
        let pauses: Vec<_> = (0..6).map(|_| seconds(retries.failed(&shop))).collect();
        assert_eq!(pauses[..4], [1, 2, 4, 8]);
        assert!((27..=33).contains(&pauses[5]), "{pauses:?}");
        assert_eq!(seconds(retries.failed(&other)), 1);

        retries.passed(&shop);
        assert_eq!(seconds(retries.failed(&shop)), 1);
        assert_eq!(seconds(retries.failed(&other)), 2);
    }

    #[test]
    fn kinds_that_share_a_name_are_told_apart() {
        let (shop, revision) =
            (app("shop"), ApplicationRevision::new("shop", ApplicationRevisionSpec::default()));
        let retries = Retries::default();
        retries.failed(&shop);
        retries.passed(&revision);
        assert!(retries.failed(&shop) > retries.failed(&revision));
    }
}
