//! Looks whether a cluster is one that the operator can run in, before it does.
//!
//! ```text
//! read ──Facts──▶ crds, api_services, rights ──▶ Vec<Finding> ──▶ trellis check, trellis run
//!                       (pure)           └─Steps─▶ takeover (only if asked for)
//! ```
//!
//! 1. Reading changes nothing, and what may not be read is unknown, not wrong.
//! 2. Only [`takeover`] changes anything: it puts our definitions in the place of others', and
//!    removes an API service that hides them. Objects of users are never deleted.

mod api_services;
mod crds;
mod facts;
mod finding;
mod parts;
mod read;
mod rights;
mod steps;
mod takeover;
#[cfg(test)]
mod tests;

pub use api_services::hidden;
pub use crds::is_ours;
pub use facts::{Facts, Scope, Seen};
pub use finding::{Finding, Severity};
pub use read::{Error, read};
pub use rights::{Place, Right, rights};
pub use steps::{Step, steps};
pub use takeover::{TakeoverError, takeover};

/// What stands in the operator's way, the worst first.
#[must_use]
pub fn findings(facts: &Facts) -> Vec<Finding> {
    let mut findings = api_services::findings(facts);
    findings.extend(crds::findings(facts));
    findings.extend(rights::findings(facts));
    // Stable, so that of equal ones the cause stands before what it causes.
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}
