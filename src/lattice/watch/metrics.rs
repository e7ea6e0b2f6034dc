use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use crate::lattice::in_flight::Answer;

/// Counters of one lattice; they only grow.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Events received and understood.
    pub events: AtomicU64,
    /// Messages that couldn't be read.
    pub unread: AtomicU64,
    /// Connections made, the first included.
    pub connections: AtomicU64,
    /// How often messages were dropped because we were too slow.
    pub slow: AtomicU64,
    commands: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
}

impl Metrics {
    /// Commands sent, by verb and by how their request ended.
    #[must_use]
    pub fn commands(&self) -> BTreeMap<(&'static str, &'static str), u64> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Relaxed);
    }

    pub(super) fn command(&self, verb: &'static str, answer: &Answer) {
        let outcome = match answer {
            Answer::Accepted => "accepted",
            Answer::Refused(_) => "refused",
            Answer::NotDelivered(_) => "undelivered",
            Answer::Unknown => "unknown",
        };
        let mut commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        *commands.entry((verb, outcome)).or_default() += 1;
    }
}
