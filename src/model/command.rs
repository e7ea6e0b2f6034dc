use std::{cmp::Ordering, collections::BTreeMap, fmt, sync::Arc};

use super::{Annotations, ConfigName, HASH, HostId, Link, LinkKey, WorkloadId};

/// One command to a lattice. All are absolute, so that doing one twice is doing it once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    PutConfig {
        name: ConfigName,
        values: BTreeMap<String, String>,
    },
    DeleteConfig {
        name: ConfigName,
    },
    PutLink {
        key: LinkKey,
        link: Link,
    },
    DeleteLink {
        key: LinkKey,
    },
    StartProvider {
        host: HostId,
        id: WorkloadId,
        image: Arc<str>,
        config: Vec<ConfigName>,
        annotations: Arc<Annotations>,
    },
    StopProvider {
        host: HostId,
        id: WorkloadId,
    },
    /// `count` is the number of instances that this host should run; 0 stops it.
    ScaleComponent {
        host: HostId,
        id: WorkloadId,
        image: Arc<str>,
        count: u32,
        config: Vec<ConfigName>,
        annotations: Arc<Annotations>,
        /// Bytes that each instance may take; hosts heed it at a start only.
        max_memory: Option<u64>,
    },
}

/// What a command must have to itself until it is resolved, because hosts work after they have
/// answered, in any order.
///
/// Lanes are ordered by what they are about: the links of an id, the same id on each host, then
/// the next id; so all that goes on about one id is one range of a map.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Lane {
    Workload(HostId, WorkloadId),
    /// Links are kept by source, and written without compare-and-swap.
    Links(WorkloadId),
    Config(ConfigName),
}

impl Lane {
    /// The id that it is about; `None` for config.
    #[must_use]
    pub fn workload(&self) -> Option<&WorkloadId> {
        match self {
            Self::Workload(_, id) | Self::Links(id) => Some(id),
            Self::Config(_) => None,
        }
    }

    fn sort_key(&self) -> (Option<&ConfigName>, Option<&WorkloadId>, Option<&HostId>) {
        match self {
            Self::Links(id) => (None, Some(id), None),
            Self::Workload(host, id) => (None, Some(id), Some(host)),
            Self::Config(name) => (Some(name), None, None),
        }
    }
}

impl Ord for Lane {
    fn cmp(&self, other: &Self) -> Ordering {
        self.sort_key().cmp(&other.sort_key())
    }
}

impl PartialOrd for Lane {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Command {
    #[must_use]
    pub fn lane(&self) -> Lane {
        match self {
            Self::PutConfig { name, .. } | Self::DeleteConfig { name } => {
                Lane::Config(name.clone())
            }
            Self::PutLink { key, .. } | Self::DeleteLink { key } => Lane::Links(key.source.clone()),
            Self::StartProvider { host, id, .. }
            | Self::StopProvider { host, id }
            | Self::ScaleComponent { host, id, .. } => Lane::Workload(host.clone(), id.clone()),
        }
    }

    /// Whether it takes something away, so that it must never be sent on half a picture. A scale
    /// that lowers a count does too; only who knows the present count can tell that.
    #[must_use]
    pub fn removes(&self) -> bool {
        match self {
            Self::DeleteConfig { .. } | Self::DeleteLink { .. } | Self::StopProvider { .. } => true,
            Self::ScaleComponent { count, .. } => *count == 0,
            Self::PutConfig { .. } | Self::PutLink { .. } | Self::StartProvider { .. } => false,
        }
    }

    /// Whether `other`, in the same lane, would fail for the same reason. Another count is no other
    /// ask, nor is another revision that asks for the same thing.
    #[must_use]
    pub fn asks_the_same(&self, other: &Self) -> bool {
        let hash = |one: &Annotations, other: &Annotations| one.get(HASH) == other.get(HASH);
        match (self, other) {
            (
                Self::StartProvider { image, config, annotations, .. },
                Self::StartProvider {
                    image: image2,
                    config: config2,
                    annotations: annotations2,
                    ..
                },
            ) => image == image2 && config == config2 && hash(annotations, annotations2),
            (
                Self::ScaleComponent { image, config, annotations, count, .. },
                Self::ScaleComponent {
                    image: image2,
                    config: config2,
                    annotations: annotations2,
                    count: count2,
                    ..
                },
            ) => {
                let stops = (*count == 0, *count2 == 0);
                stops == (true, true)
                    || stops == (false, false)
                        && image == image2
                        && config == config2
                        && hash(annotations, annotations2)
            }
            (
                Self::PutConfig { .. }
                | Self::DeleteConfig { .. }
                | Self::PutLink { .. }
                | Self::DeleteLink { .. }
                | Self::StartProvider { .. }
                | Self::StopProvider { .. }
                | Self::ScaleComponent { .. },
                _,
            ) => self == other,
        }
    }
}

impl Command {
    /// What a host is asked to do, in the words of its control interface.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        match self {
            Self::PutConfig { .. } => "config.put",
            Self::DeleteConfig { .. } => "config.del",
            Self::PutLink { .. } => "link.put",
            Self::DeleteLink { .. } => "link.del",
            Self::StartProvider { .. } => "provider.start",
            Self::StopProvider { .. } => "provider.stop",
            Self::ScaleComponent { .. } => "component.scale",
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PutConfig { name, .. } => write!(f, "put config {name}"),
            Self::DeleteConfig { name } => write!(f, "delete config {name}"),
            Self::PutLink { key, link } => write!(f, "put link {key}-> {}", link.target),
            Self::DeleteLink { key } => write!(f, "delete link {key}->"),
            Self::StartProvider { host, id, .. } => write!(f, "start provider {id} on {host}"),
            Self::StopProvider { host, id } => write!(f, "stop provider {id} on {host}"),
            Self::ScaleComponent { host, id, count: 0, .. } => {
                write!(f, "stop component {id} on {host}")
            }
            Self::ScaleComponent { host, id, count, .. } => {
                write!(f, "scale component {id} on {host} to {count}")
            }
        }
    }
}
