//! The NATS server that all share, and what it counts.

use parts::{Nats, NatsOptions, http};
use serde_json::Value;

use crate::failure::Failure;

/// What the server logs before the address that it serves its counters at.
const MONITOR: &str = "Starting http monitor on ";

/// A server that counts, and that takes as much as two cores send.
pub(crate) fn start() -> Result<Nats, Failure> {
    let config = "\nhttp: \"127.0.0.1:-1\"\nmax_pending: 256MB\n".to_owned();
    Ok(Nats::start(NatsOptions { config, ..NatsOptions::default() })?)
}

/// Messages that were published to the server so far.
pub(crate) fn messages(nats: &Nats) -> Result<u64, Failure> {
    let log = nats.log();
    let told = log.split_once(MONITOR).and_then(|(_, after)| after.split_whitespace().next());
    let seen = told.and_then(|at| http::get(&format!("http://{at}/varz")));
    let counted = seen.and_then(|(_, body)| serde_json::from_str::<Value>(&body).ok());
    counted
        .and_then(|varz| varz["in_msgs"].as_u64())
        .ok_or_else(|| Failure::Wrong("nats-server doesn't tell how many messages it had".into()))
}
