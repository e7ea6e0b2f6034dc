//! What an Application says, read and checked, and what it wants where.
//!
//! ```text
//! Manifest ──parse──▶ Appfile ──targets(facts)──▶ [Target]
//!    │                   └──────desired(stamp)───▶ Desired
//!    └──▶ Problems, all of them, each with its path
//! ```
//!
//! Everything here is a pure function. Nothing that a user wrote is ignored silently: what isn't
//! known, or isn't built yet, is refused by its path, with what to do about it.

mod check;
mod component;
mod config;
mod cursor;
mod desired;
mod document;
mod hash;
mod image;
mod layout;
mod limits;
mod link;
mod linkdef;
mod metadata;
mod name;
mod parse;
mod policy;
mod problem;
mod rollout;
mod scaler;
mod secret;
mod shared;
mod suggest;
mod targets;
mod types;
mod wit;

#[cfg(test)]
mod tests;

pub use desired::Stamp;
pub use hash::{release_hash, revision_hash};
pub use metadata::{PAUSED, Sharing};
pub use parse::{MAX_BYTES, MAX_DEPTH, Manifest, parse, parse_document};
pub use problem::{Problem, Problems};
pub use shared::{SharedComponent, SharedId, Sharer};
pub use targets::{LatticeFacts, NamespaceFacts, Target, TargetFacts, of_another_class};
pub use types::{
    Appfile, Component, Config, LatticeChoice, LinkTrait, Secret, SecretPolicy, Shared, Topology,
};
