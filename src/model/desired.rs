use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    APPSPEC, Annotations, ApplicationKey, AskHash, ConfigName, Few, FewOf, Layout, MANAGED_BY,
    Owner, Rollout, WorkloadId,
};

/// What one Application wants on one lattice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    pub owner: Owner,
    /// Boxed, because a map of a few has room for eleven, and there are many such maps.
    pub workloads: BTreeMap<WorkloadId, Box<Workload>>,
    /// Links that differ only in interfaces are one here: on the wire they overwrite each other.
    pub links: Few<LinkKey, Link>,
    pub configs: BTreeMap<ConfigName, ConfigWanted>,
    /// Ids of other Applications' components that links here lead to or from.
    pub shared: BTreeMap<WorkloadId, ApplicationKey>,
    /// What others run under ids of ours, and is taken for ours.
    pub adopt: Adopt,
}

/// Which things that somebody else started an Application takes for its own, under its own ids.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Adopt {
    #[default]
    Nothing,
    /// What wadm manages for an application of the same name.
    Wadm,
    /// Whoever's.
    Any,
    /// Whoever's, and its components get our annotations too.
    Restamp,
}

impl Adopt {
    /// Whether what carries these annotations, which aren't ours, is taken up.
    #[must_use]
    pub fn takes(self, application: &ApplicationKey, annotations: &Annotations) -> bool {
        let says = |key, value| annotations.get(key).is_some_and(|text| text == value);
        match self {
            Self::Nothing => false,
            Self::Wadm => says(MANAGED_BY, "wadm") && says(APPSPEC, &application.name),
            Self::Any | Self::Restamp => true,
        }
    }
}

impl Desired {
    /// What an Application wants that wants nothing any more.
    #[must_use]
    pub fn nothing(owner: Owner) -> Self {
        Self {
            owner,
            workloads: BTreeMap::new(),
            links: Few::new_vec(),
            configs: BTreeMap::new(),
            shared: BTreeMap::new(),
            adopt: Adopt::Nothing,
        }
    }

    /// Whether what carries these annotations is ours, or taken for ours.
    #[must_use]
    pub fn owns(&self, annotations: &Annotations) -> bool {
        self.owner.owns(annotations) || self.adopt.takes(&self.owner.application, annotations)
    }
}

/// A component or a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    pub kind: WorkloadKind,
    /// Its name in the Application.
    pub component: Arc<str>,
    /// The target's namespace, which is part of generated ids.
    pub namespace: Arc<str>,
    pub image: Arc<str>,
    /// Names of its own config, in order: the right-most wins.
    pub config: Vec<ConfigName>,
    pub scaling: Scaling,
    /// What is done about its share of a host that is lost; `None` leaves it to the lattice.
    pub on_host_loss: Option<LossPolicy>,
    pub layout: Layout,
    pub rollout: Rollout,
    /// Bytes of memory that each instance of a component may take; `None` leaves it to the host.
    pub max_memory: Option<u64>,
    /// All that is written on it, `hash` included.
    pub annotations: Arc<Annotations>,
    pub hash: AskHash,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WorkloadKind {
    /// Wasm; a host runs up to `count` instances of it at a time.
    Component,
    /// A capability provider: one process a host, or a builtin of the host.
    Provider,
}

impl fmt::Display for WorkloadKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Component => "component",
            Self::Provider => "provider",
        })
    }
}

/// What happens to the share of a host that is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LossPolicy {
    /// Others take it over.
    Replace,
    /// It stays there: the host is taken to go on working while it is cut off.
    Hold,
}

/// How many run, and where. `spread` is never empty: no spread means one that all hosts meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scaling {
    /// `instances` in all, shared out over the entries by weight.
    Spread { instances: u32, spread: Vec<SpreadEntry> },
    /// `instances` on every host that meets an entry.
    Daemon { instances: u32, spread: Vec<SpreadEntry> },
}

impl Scaling {
    #[must_use]
    pub fn spread(&self) -> &[SpreadEntry] {
        match self {
            Self::Spread { spread, .. } | Self::Daemon { spread, .. } => spread,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpreadEntry {
    pub name: Arc<str>,
    pub weight: u32,
    /// Labels that a host must have, with exactly these values.
    pub requirements: BTreeMap<String, String>,
}

/// What makes a link one link for the hosts; they refuse a second target under the same key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LinkKey {
    pub source: WorkloadId,
    pub name: Arc<str>,
    pub namespace: Arc<str>,
    pub package: Arc<str>,
}

impl fmt::Display for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -({}:{}, {})", self.source, self.namespace, self.package, self.name)
    }
}

/// The rest of a link: whom it calls, through what, with which config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub target: WorkloadId,
    pub interfaces: FewOf<Arc<str>>,
    /// Config names, in order.
    pub source_config: Vec<ConfigName>,
    pub target_config: Vec<ConfigName>,
}

impl Link {
    /// Whether either end reads this config.
    #[must_use]
    pub fn names(&self, config: &ConfigName) -> bool {
        self.source_config.contains(config) || self.target_config.contains(config)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigWanted {
    /// We write and delete it.
    Managed(BTreeMap<String, String>),
    /// It must exist; we never write or delete it.
    Required,
}
