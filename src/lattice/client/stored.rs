//! Links past the hosts: their bucket, read record by record from the NATS server itself.
//!
//! A host says all links in one message or none, and loses its connection over a message too large.
//! The bucket has no such limit. It takes a permission of its own, which users needn't grant.
use std::{collections::BTreeMap, sync::atomic::Ordering::Relaxed, time::Duration};

use async_nats::{HeaderMap, Message, StatusCode};
use tokio::time::timeout;

use super::{Client, Error, LinkList};
use crate::lattice::wire::{self, DecodeError, Record};

/// All records together take this long at most: at half a millisecond each, there are 40,000 of them.
const ALL: Duration = Duration::from_secs(20);

impl Client {
    /// All links that the bucket has, and how large its records are.
    pub async fn stored_links(&self) -> Result<LinkList, Error> {
        timeout(ALL, self.records()).await.unwrap_or(Err(Error::TimedOut))
    }

    async fn records(&self) -> Result<LinkList, Error> {
        let (mut records, mut sequence) = (BTreeMap::new(), 1);
        // A record that is written meanwhile moves to the end, so none is missed.
        loop {
            // The server tells that it refuses, but not in an answer.
            if self.bucket_refused.load(Relaxed) {
                return Err(Error::NoResponders);
            }
            let message = self.message(self.subjects.stored_links(sequence)).await?;
            let Some(found) = found(&message)? else { break };
            sequence = found.sequence.saturating_add(1);
            match found.record {
                Some(record) => records.insert(found.subject, (record, message.payload.len())),
                None => records.remove(&found.subject),
            };
        }
        let bytes = records.values().map(|(_, bytes)| bytes).sum();
        let links = wire::links_of(records.into_values().map(|(record, _)| record));
        Ok(LinkList { links, bytes })
    }

    /// The server has said that the bucket may not be read; it isn't asked again on this connection.
    pub(in crate::lattice) fn refused_bucket(&self) {
        self.bucket_refused.store(true, Relaxed);
    }

    /// Another connection may have other permissions.
    pub(in crate::lattice) fn allowed_bucket(&self) {
        self.bucket_refused.store(false, Relaxed);
    }
}

/// A message of the bucket's stream.
struct Found {
    subject: String,
    sequence: u64,
    /// `None` if it says that there is none any more, or is about something else than links.
    record: Option<Record>,
}

/// What the server found; `None` if there is nothing more.
fn found(message: &Message) -> Result<Option<Found>, Error> {
    match message.status {
        Some(StatusCode::NOT_FOUND) => return Ok(None),
        None | Some(StatusCode::OK) => {}
        Some(status) => {
            let said = message.description.as_deref().unwrap_or_default();
            return Err(Error::Refused(format!("{status} {said}")));
        }
    }
    let header = |name: &'static str| {
        let header = message.headers.as_ref().and_then(|headers: &HeaderMap| headers.get(name));
        header.map(async_nats::HeaderValue::as_str)
    };
    let needed = |name: &'static str| {
        let reason = format!("lacks the header {name}");
        header(name).ok_or_else(|| Error::BadReply(DecodeError { path: ".".to_owned(), reason }))
    };
    let subject = needed("Nats-Subject")?.to_owned();
    let sequence = needed("Nats-Sequence")?.parse().map_err(|error| {
        let reason = format!("Nats-Sequence: {error}");
        Error::BadReply(DecodeError { path: ".".to_owned(), reason })
    })?;
    let is_links = subject.rsplit('.').next().is_some_and(|key| key.starts_with("COMPONENT_"));
    let record = if is_links && header("KV-Operation").is_none_or(|operation| operation == "PUT") {
        Some(wire::decode(&message.payload).map_err(Error::BadReply)?)
    } else {
        None
    };
    Ok(Some(Found { subject, sequence, record }))
}
