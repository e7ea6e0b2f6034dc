//! Namespaces that are to be watched and may not be: what is there isn't known, which is another
//! thing than nothing.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::merged::Sight;

/// A kind's plural name, and the namespace.
type Place = (String, String);

/// See the module.
#[derive(Debug, Default)]
pub struct Unseen {
    /// `true`: nothing at all is known of it; `false`: what was seen before may be old.
    places: Mutex<BTreeMap<Place, bool>>,
    changed: Notify,
}

impl Unseen {
    pub(super) fn told(&self, kind: &str, namespace: &str, sight: Sight) {
        let place = (kind.to_owned(), namespace.to_owned());
        let mut places = self.places();
        let before = places.remove(&place);
        let after = match sight {
            Sight::Seen => None,
            Sight::Old => Some(false),
            Sight::Missing => Some(true),
        };
        if let Some(missing) = after {
            places.insert(place, missing);
        }
        drop(places);
        match (before, after) {
            (None, Some(_)) => tracing::warn!(
                "may not watch {kind} in namespace {namespace}: what they have on lattices is left \
                 as it is; grant the rights that the chart grants there, or leave the namespace out \
                 of the chart's value `watchNamespaces`"
            ),
            (Some(_), None) => tracing::info!("may watch {kind} in namespace {namespace} again"),
            (None, None) | (Some(_), Some(_)) => {}
        }
        if before != after {
            self.changed.notify_one();
        }
    }

    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Those of which something may be there that isn't known.
    #[must_use]
    pub fn namespaces(&self) -> BTreeSet<String> {
        self.places().keys().map(|(_, namespace)| namespace.clone()).collect()
    }

    /// Whether `namespace` is one of them.
    #[must_use]
    pub fn has(&self, namespace: &str) -> bool {
        self.places().keys().any(|(_, of)| of == namespace)
    }

    /// Whether nothing is known of a kind there, so that whoever has objects of another kind can't
    /// tell what belongs to them.
    #[must_use]
    pub fn misses_some(&self, namespace: &str) -> bool {
        self.places().iter().any(|((_, of), missing)| of == namespace && *missing)
    }

    fn places(&self) -> MutexGuard<'_, BTreeMap<Place, bool>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_old_is_still_known_and_what_was_never_listed_is_not() {
        let unseen = Unseen::default();
        let state = || (unseen.has("shop"), unseen.misses_some("shop"));
        assert_eq!(state(), (false, false));
        unseen.told("applications", "shop", Sight::Old);
        assert_eq!(state(), (true, false));
        unseen.told("applicationrevisions", "shop", Sight::Missing);
        assert_eq!(state(), (true, true));
        unseen.told("applicationrevisions", "shop", Sight::Seen);
        assert_eq!(state(), (true, false));
        assert!(!unseen.has("other"));
        assert_eq!(unseen.namespaces(), BTreeSet::from(["shop".to_owned()]));
    }
}
