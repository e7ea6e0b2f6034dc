//! What all hosts of a lattice share: the two key-value buckets.
//!
//! Links are kept one record a source, as in `LATTICEDATA_{lattice}`. Reading a record and writing
//! it back are two steps with a gap in between that the callers leave, which is what makes T5
//! (concurrent puts lose one) and T10 (a start undoes a put) happen here as they do there.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::wire::{Link, Map};

/// The record of one source.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Record {
    /// Where its image came from when it was first started; empty if a link came first.
    pub(crate) url: String,
    pub(crate) links: Vec<Link>,
}

#[derive(Debug, Default)]
pub(crate) struct Store {
    records: BTreeMap<String, Record>,
    /// What records held before recent writes, newest last: hosts see writes a little later.
    before: VecDeque<(Instant, String, Vec<Link>)>,
    config: BTreeMap<String, Map>,
    claims: BTreeMap<String, Value>,
}

/// Older writes than this have reached every host.
const REMEMBERED: Duration = Duration::from_mins(5);

impl Store {
    pub(crate) fn record(&self, source: &str) -> Option<Record> {
        self.records.get(source).cloned()
    }

    /// Writes a record whole and gives the links it didn't hold before.
    pub(crate) fn put_record(&mut self, source: &str, record: Record) -> Vec<Link> {
        let old = self.records.get(source).map(|old| old.links.clone()).unwrap_or_default();
        let new = record.links.iter().filter(|link| !old.contains(link)).cloned().collect();
        if record.links != old {
            self.before.push_back((Instant::now(), source.to_owned(), old));
            while self.before.front().is_some_and(|(at, ..)| at.elapsed() > REMEMBERED) {
                self.before.pop_front();
            }
        }
        self.records.insert(source.to_owned(), record);
        new
    }

    /// Every link there is, by source.
    pub(crate) fn links(&self) -> Vec<Link> {
        self.records.values().flat_map(|record| record.links.clone()).collect()
    }

    /// Every link as a host sees it that hears of writes `lag` later.
    pub(crate) fn links_seen(&self, lag: Duration) -> Vec<Link> {
        let mut seen: BTreeMap<&str, &[Link]> = self
            .records
            .iter()
            .map(|(id, record)| (id.as_str(), record.links.as_slice()))
            .collect();
        for (at, source, old) in self.before.iter().rev() {
            if at.elapsed() > lag {
                break;
            }
            seen.insert(source, old);
        }
        seen.into_values().flatten().cloned().collect()
    }

    pub(crate) fn config(&self, name: &str) -> Option<&Map> {
        self.config.get(name)
    }

    pub(crate) fn configs(&self) -> &BTreeMap<String, Map> {
        &self.config
    }

    pub(crate) fn put_config(&mut self, name: &str, values: Map) {
        self.config.insert(name.to_owned(), values);
    }

    pub(crate) fn del_config(&mut self, name: &str) {
        self.config.remove(name);
    }

    /// The values of several configs in one: the right-most wins, absent ones add nothing.
    pub(crate) fn merged(&self, names: &[String]) -> Map {
        names.iter().filter_map(|name| self.config.get(name)).flatten().fold(
            Map::new(),
            |mut merged, (key, value)| {
                merged.insert(key.clone(), value.clone());
                merged
            },
        )
    }

    pub(crate) fn put_claims(&mut self, subject: &str, claims: Value) {
        self.claims.insert(subject.to_owned(), claims);
    }

    pub(crate) fn claims(&self) -> Vec<Value> {
        self.claims.values().cloned().collect()
    }
}
