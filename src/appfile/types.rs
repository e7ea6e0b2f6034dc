use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use super::{Problem, Sharing};
use crate::model::{
    Adopt, ApplicationKey, ConfigName, ConfigWanted, FewOf, Layout, LossPolicy, Rollout, Scaling,
    WorkloadId, WorkloadKind,
};

/// An Application whose every part has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appfile {
    pub key: ApplicationKey,
    /// In the order written. Names and explicit ids are unique, link targets exist.
    pub components: Vec<Component>,
    /// Other Applications' components, under names of its own; not both lists are empty.
    pub shared: Vec<Shared>,
    /// What it takes up of what others started.
    pub adopt: Adopt,
    /// Who may refer to its components.
    pub sharing: Sharing,
    /// In the order written; none means the default lattice.
    pub topologies: Vec<Topology>,
    /// By name; each that a secret names is there, and has a backend.
    pub secret_policies: BTreeMap<Arc<str>, SecretPolicy>,
    /// What works, but is deprecated, without effect or likely to be a mistake.
    pub warnings: Vec<Problem>,
}

/// Something that hosts run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    pub name: Arc<str>,
    pub kind: WorkloadKind,
    /// As written: `component`, `actor` or `capability`.
    pub type_: Arc<str>,
    pub image: Arc<str>,
    /// Explicit id; without one it is made of namespace, Application and name.
    pub id: Option<WorkloadId>,
    /// In order: the right-most wins.
    pub config: Vec<Config>,
    pub secrets: Vec<Secret>,
    pub scaling: Scaling,
    /// As its scaler says, if that says anything.
    pub on_host_loss: Option<LossPolicy>,
    pub layout: Layout,
    pub rollout: Rollout,
    /// Bytes that each instance may take; only of components.
    pub max_memory: Option<u64>,
    pub links: Vec<LinkTrait>,
    /// Such as `spec.components[0]`.
    pub path: String,
}

/// A component of another Application: linked to or from, never run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared {
    /// What links here call it.
    pub name: Arc<str>,
    pub kind: WorkloadKind,
    /// Whose it is.
    pub application: Arc<str>,
    /// That Application's; `None`: the same as that of the one that refers.
    pub namespace: Option<Arc<str>>,
    /// What it is called there.
    pub component: Arc<str>,
    pub links: Vec<LinkTrait>,
    /// Such as `spec.components[0].properties`.
    pub path: String,
}

/// A named string map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// As written: what we manage gets the Application's prefix, what must exist doesn't.
    pub name: ConfigName,
    pub wanted: ConfigWanted,
    pub path: String,
}

/// Something that hosts ask a secrets backend for, and what the component asks for it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    pub name: Arc<str>,
    /// Name of a policy of the same Application.
    pub policy: Arc<str>,
    /// What the backend knows it by.
    pub key: String,
    /// Which field of it; without one, all.
    pub field: Option<String>,
    /// Which version of it; without one, the latest.
    pub version: Option<String>,
    pub path: String,
}

/// Which backend secrets come from, and what it is told besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretPolicy {
    /// There if a secret names the policy.
    pub backend: Option<Arc<str>>,
    /// Passed to the backend as they are.
    pub properties: BTreeMap<String, Value>,
    /// Such as `spec.policies[0].properties`, which may not be there.
    pub path: String,
}

/// What a component may call, written on the component that calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkTrait {
    /// Name of a component of the same Application.
    pub target: Arc<str>,
    pub name: Arc<str>,
    pub namespace: Arc<str>,
    pub package: Arc<str>,
    /// Never empty.
    pub interfaces: FewOf<Arc<str>>,
    pub source_config: Vec<Config>,
    pub target_config: Vec<Config>,
    pub source_secrets: Vec<Secret>,
    pub target_secrets: Vec<Secret>,
    /// Such as `spec.components[0].traits[1].properties`.
    pub path: String,
}

/// Which lattices, and which namespace for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    pub name: Arc<str>,
    pub lattices: LatticeChoice,
    /// `None`: the Application's own.
    pub namespace: Option<Arc<str>>,
    /// Whether it may choose no lattice at all.
    pub allow_empty: bool,
    /// Such as `spec.policies[0].properties`.
    pub path: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LatticeChoice {
    Default,
    /// Each with its path. `local` is the default lattice.
    Named(Vec<(Arc<str>, String)>),
    /// All that have these labels.
    Selector(BTreeMap<String, String>),
}

impl Appfile {
    /// The component of that name.
    #[must_use]
    pub fn component(&self, name: &str) -> Option<&Component> {
        self.components.iter().find(|component| *component.name == *name)
    }

    /// All namespaces that its targets could be in, its own first.
    pub fn namespaces(&self) -> impl Iterator<Item = &Arc<str>> {
        std::iter::once(&self.key.namespace)
            .chain(self.topologies.iter().filter_map(|topology| topology.namespace.as_ref()))
    }
}
