//! The Kubernetes kinds, one a file: schema, defaults and printer columns, no behaviour.
//!
//! `trellis crds` prints them; `config/crds` holds what it printed.

#[allow(
    unreachable_pub,
    clippy::duplicated_attributes,
    reason = "the schema derive writes a pub type into a function body, and printer columns repeat `type_`"
)]
mod application;
#[allow(
    unreachable_pub,
    clippy::duplicated_attributes,
    reason = "the schema derive writes a pub type into a function body, and printer columns repeat `type_`"
)]
mod application_revision;
mod application_status;
mod condition;
mod crds;
mod json;
#[allow(
    unreachable_pub,
    clippy::duplicated_attributes,
    reason = "the schema derive writes a pub type into a function body, and printer columns repeat `type_`"
)]
mod lattice;
mod lenient;
mod schema;

pub use application::{
    Application, ApplicationSpec, ComponentSpec, DependencyInput, DependencyOutput, ModeSpec,
    PolicySpec, SpecSchema, StepMeta, StepSpec, SubStepSpec, TraitSpec, WorkflowSpec,
};
pub use application_revision::{
    ApplicationRevision, ApplicationRevisionSpec, ApplicationRevisionStatus, RevisionTarget,
    SharedReference,
};
pub use application_status::{
    ApplicationStatus, AppliedResource, Instances, Phase, Released, RevisionName, Service,
    ServiceTrait, StepStatus, Summary, WorkflowStatus,
};
pub use condition::{Condition, ConditionStatus};
pub use crds::{MARK, Mark, crds};
pub use json::Json;
pub use lattice::{
    AllowedNamespaces, CrossNamespace, HeldWorkload, HostCounts, HostSummary, Lattice, LatticeSpec,
    LatticeStatus, LeftBehind, LeftLink, LeftWorkload, LossPolicy, MissedLinks, NamespacesFrom,
    NatsSpec, OnHostLoss, Orphan, SecretName, TlsSpec, Tombstone,
};

/// On an object: which of several Trellis installations it is for.
pub const CLASS: &str = "lattice.oam.dev/controller-class";
