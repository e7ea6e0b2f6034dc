//! Watches Applications and Lattices, and brings each Application a step closer to its spec.
//!
//! ```text
//! application::reconcile:  release ──▶ observe ──▶ decide ──▶ act ──▶ report
//!                          (writes the (reads)     (pure)   (lattice) (status,
//!                           revision)                                  events)
//! ```
//!
//! 1. *Rebuildable*: nothing kept here is needed after a restart; it saves work.
//! 2. *Quiet*: a pass that finds everything as wanted sends nothing and writes nothing.
//! 3. A revision is written before the first command that it causes, and a target before the first
//!    command that goes there, so that a later process finds all that this one may have left.

mod announce;
mod application;
mod applied;
mod buried;
mod call;
mod changes;
mod claims;
mod cleanup;
mod conditions;
mod context;
mod convergence;
mod decision;
mod deletion;
mod events;
mod fenced;
mod finalizer;
mod graves;
mod held;
mod index;
mod lattice;
mod lattice_fault;
mod lattice_metrics;
mod lattice_status;
mod lattices;
mod lease;
mod memory;
mod merged;
mod metrics;
mod missed_links;
mod namespaces;
mod orphans;
mod pace;
mod passes;
mod reached;
mod refusal;
mod release;
mod report;
mod retries;
mod revisions;
mod run;
mod secrets;
mod settings;
mod sharing;
mod status;
mod sweep;
#[cfg(test)]
mod tests;
mod tombstone;
mod touched;
mod trim;
mod unseen;
mod watches;
mod workflow_status;

pub use application::FINALIZER as APPLICATION_FINALIZER;
pub use lattice::FINALIZER as LATTICE_FINALIZER;
pub use lattice_metrics::LatticeMetrics;
pub use lattices::Lattices;
pub use lease::{BadTerms, Election, Terms};
pub use metrics::Metrics;
pub use run::{Options, RunError, lattices, run};
pub use watches::Scope;

use call::CallError;

/// Why one pass over an object did not finish.
///
/// Each message names the step that failed and nothing below it: the cause is in `source()`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not write a revision")]
    Revision(#[source] CallError),
    #[error("could not write the status")]
    Status(#[source] CallError),
    #[error("could not read Secret {name}")]
    Secret { name: String, source: CallError },
    #[error("could not update the finalizer")]
    Finalizer(#[source] CallError),
    /// Something of it is still on a lattice, so its finalizer stays.
    #[error("something is left on a lattice")]
    Deleting { look_again: std::time::Duration },
    #[error("the API server did not answer in time")]
    TimedOut,
    /// What was read is older than what was written; the next pass will know.
    #[error("acted on an old copy of the object")]
    Stale,
}

impl Error {
    /// Whether another writer was faster, or leads by now, which is no fault.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        match self {
            Self::Stale => true,
            Self::Revision(call) | Self::Status(call) => {
                call.is_conflict() || call.is_not_found() || call.is_not_leading()
            }
            // Invalid is a finalizer on what is being deleted by now.
            Self::Finalizer(call) => {
                call.is_conflict()
                    || call.is_not_found()
                    || call.is_invalid()
                    || call.is_not_leading()
            }
            Self::Secret { .. } | Self::Deleting { .. } | Self::TimedOut => false,
        }
    }

    /// A closed set of words for the metric's label.
    #[must_use]
    pub fn step(&self) -> metrics::FailedStep {
        match self {
            Self::Revision(_) => metrics::FailedStep::Revision,
            Self::Status(_) => metrics::FailedStep::Status,
            Self::Secret { .. } => metrics::FailedStep::Secret,
            Self::Finalizer(_) | Self::TimedOut => metrics::FailedStep::Finalizer,
            Self::Stale | Self::Deleting { .. } => metrics::FailedStep::Stale,
        }
    }
}

/// The error and all its causes, in one line, and nothing of it twice: some errors repeat their cause
/// in their own words.
#[must_use]
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut line = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let refusal = refusal_of(error);
        let text = refusal.map_or_else(|| error.to_string(), |status| status.message.clone());
        if line.is_empty() {
            line = text;
        } else if !line.contains(&text) {
            line.extend([": ", &text]);
        }
        next = if refusal.is_some() { None } else { error.source() };
    }
    line
}

/// What the API server said no with. Its message is all that is told; kube adds all its fields.
fn refusal_of<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a kube::core::Status> {
    let plain = error.downcast_ref::<kube::Error>();
    match plain.or_else(|| error.downcast_ref::<Box<kube::Error>>().map(AsRef::as_ref))? {
        kube::Error::Api(status) if !status.message.is_empty() => Some(status),
        _ => None,
    }
}
