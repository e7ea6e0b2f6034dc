//! The lattice's JSON: what hosts say, and what is said to them.
//!
//! ```text
//! bytes ──▶ Event, HostInventory, HostBrief, Vec<(LinkKey, Link)>, Answer
//! Command, Read, Ask ──▶ Request { subject, payload }
//! ```
//!
//! Hosts differ in version, so fields that are unknown are passed over and fields that may be
//! missing are. A text that isn't what it should be is an error that names the place.

mod event;
mod glance;
mod host;
mod link;
mod request;
mod snapshot;

pub use event::{Event, Hint, decode_event, decode_news};
pub use glance::{Fingerprint, glance_at_pong};
pub use host::{HostBrief, HostInventory};
pub use link::{Record, links_of};
pub use request::{Ask, Auction, Read, Request, Subjects};
pub use snapshot::Snapshot;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de::DeserializeOwned};

use crate::model::LinkMap;

/// A text from the lattice, or from a file in its form, that can't be read.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct DecodeError {
    /// Where in the text, as `data.components[0].id`; `.` for the whole.
    pub path: String,
    /// What is wrong there.
    pub reason: String,
}

/// Reads JSON; the place of a mistake is worked out only when there is one, because tracking it
/// costs as much as reading.
pub fn decode<T: DeserializeOwned>(payload: &[u8]) -> Result<T, DecodeError> {
    serde_json::from_slice(payload).or_else(|_| {
        let mut deserializer = serde_json::Deserializer::from_slice(payload);
        let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
            DecodeError { path: error.path().to_string(), reason: error.inner().to_string() }
        })?;
        // Something else may follow what could be read.
        deserializer
            .end()
            .map_err(|error| DecodeError { path: ".".into(), reason: error.to_string() })?;
        Ok(value)
    })
}

/// The envelope of every answer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Envelope<T> {
    success: bool,
    #[serde(default, deserialize_with = "or_default")]
    message: String,
    #[serde(default = "absent")]
    response: Option<T>,
}

fn absent<T>() -> Option<T> {
    None
}

/// What was answered: the host's own words if it refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<T> {
    /// With no response key, `None`: for a config that means that there is none.
    Accepted(Option<T>),
    Refused(String),
}

fn answer<T: DeserializeOwned>(payload: &[u8]) -> Result<Answer<T>, DecodeError> {
    let envelope: Envelope<T> = decode(payload)?;
    Ok(if envelope.success {
        Answer::Accepted(envelope.response)
    } else {
        Answer::Refused(envelope.message)
    })
}

/// An answer of which only yes or no counts.
pub fn decode_done(payload: &[u8]) -> Result<Answer<()>, DecodeError> {
    Ok(match answer::<serde::de::IgnoredAny>(payload)? {
        Answer::Accepted(_) => Answer::Accepted(None),
        Answer::Refused(text) => Answer::Refused(text),
    })
}

/// One answer to a ping.
pub fn decode_ping(payload: &[u8]) -> Result<Answer<HostBrief>, DecodeError> {
    answer(payload)
}

/// The answer to `host.get`.
pub fn decode_inventory(payload: &[u8]) -> Result<Answer<HostInventory>, DecodeError> {
    answer(payload)
}

/// The answer to `link.get`. Links that differ only in interfaces are one, as on the hosts.
pub fn decode_links(payload: &[u8]) -> Result<Answer<LinkMap>, DecodeError> {
    Ok(match answer::<Vec<link::WireLink>>(payload)? {
        Answer::Accepted(links) => Answer::Accepted(links.map(link::by_key)),
        Answer::Refused(text) => Answer::Refused(text),
    })
}

/// The answer to `config.get`.
pub fn decode_config(payload: &[u8]) -> Result<Answer<BTreeMap<String, String>>, DecodeError> {
    answer(payload)
}

/// The answer to `claims.get`: the claims of each signed component and provider, as texts.
pub fn decode_claims(payload: &[u8]) -> Result<Answer<Vec<BTreeMap<String, String>>>, DecodeError> {
    answer(payload)
}

/// One answer to an auction: the host that could run it.
pub fn decode_bid(payload: &[u8]) -> Result<Answer<request::Bid>, DecodeError> {
    answer(payload)
}

/// Reads `null` as the default, as some hosts write what they don't have.
fn or_default<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Default + Deserialize<'de>,
    D: Deserializer<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests;
