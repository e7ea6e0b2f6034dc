//! What keeps a process that may be paused at any moment from acting after its time.
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::model::Moment;

/// Until when this process may change anything. Whoever changes something looks here at the last
/// moment, because nobody else can stop it: NATS takes what it gets from whoever sends it.
#[derive(Debug)]
pub struct Fence {
    /// In nanoseconds of a [`Moment`].
    until: AtomicU64,
}

const FOR_EVER: u64 = u64::MAX;

impl Fence {
    /// For a process that acts alone.
    #[must_use]
    pub fn open() -> Self {
        Self { until: AtomicU64::new(FOR_EVER) }
    }

    /// For a process that may act only when it is told to.
    #[must_use]
    pub fn closed() -> Self {
        Self { until: AtomicU64::new(0) }
    }

    #[must_use]
    pub fn allows(&self, now: Moment) -> bool {
        let until = self.until.load(Ordering::Acquire);
        until == FOR_EVER || now.0 < Duration::from_nanos(until)
    }

    /// From `until` on nothing may be changed any more.
    pub fn open_until(&self, until: Moment) {
        let nanos = u64::try_from(until.0.as_nanos()).unwrap_or(FOR_EVER - 1);
        self.until.store(nanos, Ordering::Release);
    }

    pub fn close(&self) {
        self.until.store(0, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_closes_by_itself() {
        let at = |seconds| Moment(Duration::from_secs(seconds));
        let fence = Fence::closed();
        assert!(!fence.allows(at(0)));
        fence.open_until(at(5));
        assert!(fence.allows(at(4)) && !fence.allows(at(5)));
        fence.close();
        assert!(!fence.allows(at(4)));
        assert!(Fence::open().allows(Moment(Duration::MAX)));
    }
}
