//! A look at a heartbeat that tells whether it says what another said, at a tenth of what reading costs.
use std::{
    hash::{DefaultHasher, Hasher},
    time::Duration,
};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::model::HostId;

/// Stands for the text of all that a heartbeat says of its host but the uptime, and but the order in
/// which components and providers are listed. Hosts write each of these the same for as long as nothing
/// changes; where one doesn't, its heartbeats are read.
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
    components: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    providers: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct Pong {
    success: bool,
    #[serde(default)]
    response: Option<Brief>,
}

#[derive(Deserialize)]
struct Brief {
    id: HostId,
    #[serde(default)]
    uptime_seconds: u64,
}

/// Which host answers a ping, and for how long it has run; the rest of what it says, which is the most,
/// isn't read. `None` if it can't be understood, or the host refuses to answer.
#[must_use]
pub fn glance_at_pong(payload: &[u8]) -> Option<(HostId, Duration)> {
    let Pong { success, response } = serde_json::from_slice(payload).ok()?;
    let brief = response.filter(|_| success)?;
    Some((brief.id, Duration::from_secs(brief.uptime_seconds)))
}

impl Glance {
    /// `None` if it can't be understood.
    pub(super) fn at(payload: &[u8]) -> Option<Self> {
        let Heartbeat { source, data } = serde_json::from_slice(payload).ok()?;
        let mut hasher = DefaultHasher::new();
        for text in [data.friendly_name, data.version, data.labels] {
            write(text.map_or("", RawValue::get), &mut hasher);
        }
        for list in [data.components, data.providers] {
            let list = list.unwrap_or_default();
            hasher.write_usize(list.len());
            hasher.write_u64(in_any_order(&list));
        }
        Some(Self {
            host: source,
            uptime: Duration::from_secs(data.uptime_seconds),
            print: Fingerprint(hasher.finish()),
        })
    }
}

fn in_any_order(entries: &[&RawValue]) -> u64 {
    let hash = |entry: &&RawValue| {
        let mut hasher = DefaultHasher::new();
        write(entry.get(), &mut hasher);
        hasher.finish()
    };
    entries.iter().map(hash).fold(0, u64::wrapping_add)
}

fn write(text: &str, hasher: &mut DefaultHasher) {
    hasher.write_usize(text.len());
    hasher.write(text.as_bytes());
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
    fn the_order_of_a_list_does_not_count() {
        let of = |components, providers| {
            print(&format!(r#"{{"components":[{components}],"providers":[{providers}]}}"#))
        };
        let one = of(r#"{"id":"a"},{"id":"b"}"#, "");
        assert!(one.is_some());
        assert_eq!(one, of(r#"{"id":"b"},{"id":"a"}"#, ""));
        for other in [
            of(r#"{"id":"a"}"#, r#"{"id":"b"}"#),
            of(r#"{"id":"a"},{"id":"a"}"#, ""),
            of(r#"{"id":"a"},{"id":"b"},{"id":"b"}"#, ""),
        ] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn a_pong_tells_who_answers_and_for_how_long_it_has_run() {
        let brief = r#"{"id":"N1","friendly_name":"one","labels":{"a":"b"},"uptime_seconds":7}"#;
        let pong = |success| {
            glance_at_pong(
                format!(r#"{{"success":{success},"message":"","response":{brief}}}"#).as_bytes(),
            )
        };
        assert_eq!(pong(true), Some(("N1".parse().unwrap(), Duration::from_secs(7))));
        assert_eq!(pong(false), None);
        assert_eq!(glance_at_pong(br#"{"success":true,"message":""}"#), None);
        assert_eq!(glance_at_pong(br#"{"success":true,"response":{"id":""}}"#), None);
        assert_eq!(glance_at_pong(b"pong"), None);
    }

    #[test]
    fn what_is_no_heartbeat_has_no_fingerprint() {
        assert_eq!(print("\"beat\""), None);
        assert_eq!(print(r#"{"uptime_seconds":"5"}"#), None);
        assert_eq!(Glance::at(b"{"), None);
    }
}
