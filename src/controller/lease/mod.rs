//! Which of several replicas acts: the one that has the Lease.
//!
//! ```text
//! campaign: Lease ──▶ record::read ──▶ decision::Candidate ──Step──▶ Lease
//!                                              │
//!                                              ▼
//!                                     Context: fence, metric, passes
//! ```
//!
//! 1. At most one replica acts at a time, however long any of them is paused at any moment; see
//!    [`decision`] for why, and `properties` for the proof by trying.
//! 2. Who stands by watches everything, and changes nothing.

mod campaign;
mod decision;
#[cfg(test)]
mod properties;
mod record;

pub use decision::{BadTerms, Terms};

pub(super) use campaign::Campaign;

/// How replicas agree on who acts.
#[derive(Debug, Clone)]
pub struct Election {
    /// Of the Lease, which is in the operator's own namespace.
    pub name: String,
    pub terms: Terms,
}
