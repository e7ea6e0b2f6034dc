//! A look at a heartbeat that tells whether it says what another said, at a tenth of what reading costs.
use std::{
    hash::{DefaultHasher, Hasher},
    time::Duration,
};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::model::HostId;

/// Stands for the text of all that a heartbeat says of its host but the uptime. Hosts write the same
/// in the same order for as long as nothing changes; where one doesn't, its heartbeats are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(u64);

/// What can be told of a heartbeat without reading what it lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Glance {
    /// The event's `source`.
    pub(super) host: HostId,
    pub(super) uptime: Duration,
    pub(super) print: Fingerprint,
}

#[derive(Deserialize)]
struct Heartbeat<'a> {
    source: HostId,
    #[serde(borrow)]
    data: Listing<'a>,
}

#[derive(Deserialize)]
struct Listing<'a> {
    #[serde(default)]
    uptime_seconds: u64,
    #[serde(borrow, default)]
    friendly_name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    version: Option<&'a RawValue>,
    #[serde(borrow, default)]
    labels: Option<&'a RawValue>,
    #[serde(borrow, default, alias = "actors")]
    components: Option<&'a RawValue>,
    #[serde(borrow, default)]
    providers: Option<&'a RawValue>,
}

impl Glance {
    /// `None` if it can't be understood.
    pub(super) fn at(payload: &[u8]) -> Option<Self> {
        let Heartbeat { source, data } = serde_json::from_slice(payload).ok()?;
        let mut hasher = DefaultHasher::new();
        let texts =
            [data.friendly_name, data.version, data.labels, data.components, data.providers];
        for text in texts {
            let text = text.map_or("", RawValue::get);
            hasher.write_usize(text.len());
            hasher.write(text.as_bytes());
        }
        Some(Self {
            host: source,
            uptime: Duration::from_secs(data.uptime_seconds),
            print: Fingerprint(hasher.finish()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(data: &str) -> Option<Fingerprint> {
        let text = format!(r#"{{"source":"N1","time":"now","data":{data}}}"#);
        Some(Glance::at(text.as_bytes())?.print)
    }

    #[test]
    fn all_but_the_uptime_counts() {
        let of = |labels, version, id| {
            print(&format!(
                r#"{{"uptime_seconds":5,"labels":{labels},"version":"{version}","components":[{{"id":"{id}"}}]}}"#
            ))
        };
        let one = of("{}", "1.9.2", "a");
        assert!(one.is_some());
        assert_eq!(one, of("{}", "1.9.2", "a"));
        for other in
            [of("{\"a\":\"b\"}", "1.9.2", "a"), of("{}", "1.9.1", "a"), of("{}", "1.9.2", "b")]
        {
            assert_ne!(one, other);
        }
        let older = r#"{"uptime_seconds":9,"components":[],"providers":[]}"#;
        assert_eq!(print(older), print(&older.replace('9', "10")));
        assert_ne!(print(older), print(r#"{"components":[[]],"providers":[]}"#));
    }

    #[test]
    fn what_is_no_heartbeat_has_no_fingerprint() {
        assert_eq!(print("\"beat\""), None);
        assert_eq!(print(r#"{"uptime_seconds":"5"}"#), None);
        assert_eq!(Glance::at(b"{"), None);
    }
}
