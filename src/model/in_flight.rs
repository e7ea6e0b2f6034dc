use std::{collections::BTreeMap, sync::Arc};

use super::{Command, Lane, Moment};

/// Commands that were sent and whose outcome hasn't been seen, and what the last ones failed with.
///
/// At most one command a lane is unresolved. Who resolves them is the lattice's task; who asks
/// is the planner.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InFlight {
    pub pending: BTreeMap<Lane, Pending>,
    pub failures: BTreeMap<Lane, Failure>,
}

/// A command without an outcome yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    pub command: Command,
    /// When it was sent last.
    pub sent: Moment,
    /// When the host accepted it; only what is received after that can show the outcome.
    pub acknowledged: Option<Moment>,
    /// Until then nothing is sent in its lane; afterwards only the same command again.
    pub deadline: Moment,
    /// How often it has been sent.
    pub tries: u32,
}

/// What the last commands in a lane failed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The command that failed, without which nobody could tell whether a change mends it.
    pub command: Command,
    /// The host's own words.
    pub error: Arc<str>,
    /// How many times in a row.
    pub count: u32,
    /// Nothing is tried again in this lane before.
    pub retry_at: Moment,
}
