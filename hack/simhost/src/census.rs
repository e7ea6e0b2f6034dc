//! How many instances of each id there really were, at every moment.
//!
//! Inventories lie (T1, T3) and heartbeats are late. Here is what was true, so that a test can
//! check "never a second one" and "never below" over a whole run and not only at its end.

use std::collections::BTreeMap;
use std::time::Duration;

/// How much of one id ran from one moment on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Counted from the start of the lattice.
    pub at: Duration,
    /// Instances of all hosts together; a provider counts as one on each host.
    pub instances: u32,
    /// Hosts that ran it.
    pub hosts: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Census {
    tallies: BTreeMap<String, Tally>,
    /// Instances of all ids together.
    all: u64,
}

#[derive(Debug, Default)]
struct Tally {
    now: BTreeMap<String, u32>,
    moments: Vec<Moment>,
}

impl Census {
    /// Notes that `host` now runs `instances` of `id`; 0 if it has stopped.
    pub(crate) fn note(&mut self, at: Duration, host: &str, id: &str, instances: u32) {
        let tally = self.tallies.entry(id.to_owned()).or_default();
        let before = if instances == 0 {
            tally.now.remove(host)
        } else {
            tally.now.insert(host.to_owned(), instances)
        };
        self.all = self.all - u64::from(before.unwrap_or_default()) + u64::from(instances);
        let instances = tally.now.values().sum();
        tally.moments.push(Moment { at, instances, hosts: tally.now.len() });
    }

    /// Notes that all of a host is gone.
    pub(crate) fn forget(&mut self, at: Duration, host: &str) {
        let ran: Vec<String> = self
            .tallies
            .iter()
            .filter(|(_, tally)| tally.now.contains_key(host))
            .map(|(id, _)| id.clone())
            .collect();
        for id in ran {
            self.note(at, host, &id, 0);
        }
    }

    pub(crate) fn moments(&self, id: &str) -> &[Moment] {
        self.tallies.get(id).map(|tally| tally.moments.as_slice()).unwrap_or_default()
    }

    pub(crate) fn all(&self) -> u64 {
        self.all
    }
}
