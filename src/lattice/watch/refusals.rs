//! What the NATS server refuses, until something shows that it no longer does. Pure.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use crate::{
    lattice::fault::{Permission, Verb},
    model::Moment,
};

/// Who may ask some hosts and not others is answered by the ones and refused by the others: that an
/// answer ends a refusal of another host's subject, it has to be older than this.
const STANDS: Duration = Duration::from_secs(30);

/// What is needed is tried again sooner than this, and refused again. What isn't refused again nobody
/// needs any more, or it was granted.
const LAPSES: Duration = Duration::from_mins(7);

/// A server says when it refuses something, and not when it no longer does. That a user may publish
/// shows in an answer; that it may subscribe, on another connection alone.
#[derive(Debug, Default)]
pub(super) struct Refusals(BTreeMap<Permission, Refused>);

#[derive(Debug)]
struct Refused {
    subject: Arc<str>,
    at: Moment,
}

impl Refusals {
    /// Takes note of a refusal; whether it is news.
    pub(super) fn refused(&mut self, permission: Permission, subject: &str, at: Moment) -> bool {
        self.0.insert(permission, Refused { subject: subject.into(), at }).is_none()
    }

    /// What was sent to `subject` was answered; whether that ends a refusal.
    pub(super) fn answered(&mut self, permission: &str, subject: &str, now: Moment) -> bool {
        let permission = Permission { verb: Verb::Publish, subject: permission.into() };
        let over =
            |refused: &Refused| *refused.subject == *subject || now.since(refused.at) >= STANDS;
        self.0.get(&permission).is_some_and(over) && self.0.remove(&permission).is_some()
    }

    /// Drops the publications that haven't been refused again for long; which those are.
    pub(super) fn lapse(&mut self, now: Moment) -> Vec<Permission> {
        let lapsed = |permission: &Permission, refused: &mut Refused| {
            permission.verb == Verb::Publish && now.since(refused.at) >= LAPSES
        };
        self.0.extract_if(.., lapsed).map(|(permission, _)| permission).collect()
    }

    /// Whether something doesn't arrive here that another connection may bring.
    pub(super) fn lack_a_subscription(&self) -> bool {
        self.0.keys().any(|permission| permission.verb == Verb::Subscribe)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn permissions(&self) -> BTreeSet<Permission> {
        self.0.keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_stands_until_what_was_refused_is_answered() {
        let at = |seconds| Moment(Duration::from_secs(seconds));
        let scale = Permission { verb: Verb::Publish, subject: "scale.*".into() };
        let mut refusals = Refusals::default();
        assert!(refusals.refused(scale.clone(), "scale.a", at(0)));
        assert!(!refusals.refused(scale.clone(), "scale.b", at(1)));
        assert!(!refusals.answered("scale.*", "scale.a", at(2)), "b is refused all the same");
        assert!(!refusals.answered("get.*", "get.b", at(2)));
        assert!(refusals.answered("scale.*", "scale.b", at(2)));
        assert!(!refusals.answered("scale.*", "scale.b", at(3)), "it is over already");

        assert!(refusals.refused(scale, "scale.b", at(4)));
        assert!(!refusals.answered("scale.*", "scale.a", at(33)));
        assert!(refusals.answered("scale.*", "scale.a", at(34)), "b may have gone");
        assert!(refusals.is_empty());
    }

    #[test]
    fn a_refusal_of_what_nobody_needs_any_more_lapses() {
        let at = |seconds| Moment(Duration::from_secs(seconds));
        let allowed = |verb, subject: &str| Permission { verb, subject: subject.into() };
        let put = allowed(Verb::Publish, "put.*");
        let events = allowed(Verb::Subscribe, "events.*");
        let mut refusals = Refusals::default();
        refusals.refused(put.clone(), "put.a", at(0));
        refusals.refused(events.clone(), "events.*", at(0));
        refusals.refused(put.clone(), "put.a", at(330));
        assert_eq!(refusals.lapse(at(749)), [], "it was tried again");
        assert_eq!(refusals.lapse(at(750)), [put]);
        assert_eq!(refusals.permissions(), BTreeSet::from([events]), "nothing tries it again here");
    }

    #[test]
    fn no_answer_tells_that_a_subscription_is_allowed() {
        let events = Permission { verb: Verb::Subscribe, subject: "events.*".into() };
        let mut refusals = Refusals::default();
        refusals.refused(events, "events.*", Moment::default());
        assert!(!refusals.answered("events.*", "events.*", Moment(STANDS * 2)));
        assert!(refusals.lack_a_subscription());
    }
}
