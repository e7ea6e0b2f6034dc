use std::sync::Arc;

use imbl::ordmap::Entry;
use serde::{Deserialize, Serialize};

use super::or_default;
use crate::model::{ConfigName, Link, LinkKey, LinkMap, WorkloadId};

/// A link as hosts write and read it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WireLink {
    source_id: WorkloadId,
    target: WorkloadId,
    #[serde(default = "default_name")]
    name: Arc<str>,
    wit_namespace: Arc<str>,
    wit_package: Arc<str>,
    #[serde(default, deserialize_with = "or_default")]
    interfaces: Vec<Arc<str>>,
    #[serde(default, deserialize_with = "or_default")]
    source_config: Vec<ConfigName>,
    #[serde(default, deserialize_with = "or_default")]
    target_config: Vec<ConfigName>,
}

/// What hosts keep of one source in their bucket.
#[derive(Debug, Deserialize)]
pub struct Record {
    #[serde(default, deserialize_with = "or_default")]
    links: Vec<WireLink>,
}

/// All links of these records, as [`decode_links`](super::decode_links) gives those of an answer.
#[must_use]
pub fn links_of(records: impl IntoIterator<Item = Record>) -> LinkMap {
    by_key(records.into_iter().flat_map(|record| record.links).collect())
}

/// The key alone, which is all that `link.del` takes and `linkdef_deleted` is sure to carry.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WireLinkKey {
    source_id: WorkloadId,
    #[serde(default = "default_name")]
    name: Arc<str>,
    wit_namespace: Arc<str>,
    wit_package: Arc<str>,
}

fn default_name() -> Arc<str> {
    "default".into()
}

impl WireLink {
    pub(super) fn of(key: &LinkKey, link: &Link) -> Self {
        Self {
            source_id: key.source.clone(),
            target: link.target.clone(),
            name: key.name.clone(),
            wit_namespace: key.namespace.clone(),
            wit_package: key.package.clone(),
            interfaces: link.interfaces.iter().cloned().collect(),
            source_config: link.source_config.clone(),
            target_config: link.target_config.clone(),
        }
    }

    pub(super) fn into_parts(self) -> (LinkKey, Link) {
        let key = LinkKey {
            source: self.source_id,
            name: self.name,
            namespace: self.wit_namespace,
            package: self.wit_package,
        };
        let link = Link {
            target: self.target,
            interfaces: self.interfaces.into_iter().collect(),
            source_config: self.source_config,
            target_config: self.target_config,
        };
        (key, link)
    }
}

impl WireLinkKey {
    pub(super) fn of(key: &LinkKey) -> Self {
        Self {
            source_id: key.source.clone(),
            name: key.name.clone(),
            wit_namespace: key.namespace.clone(),
            wit_package: key.package.clone(),
        }
    }
}

impl From<WireLinkKey> for LinkKey {
    fn from(key: WireLinkKey) -> Self {
        Self {
            source: key.source_id,
            name: key.name,
            namespace: key.wit_namespace,
            package: key.wit_package,
        }
    }
}

/// Hosts may hold several links under one key as long as their interfaces don't meet. To us they
/// are one if they agree in the rest; if they don't, the first stands for all, so that a wanted
/// link differs from it and is put right by del → put.
pub(super) fn by_key(links: Vec<WireLink>) -> LinkMap {
    let mut merged = LinkMap::new();
    let mut parts: Vec<_> = links.into_iter().map(WireLink::into_parts).collect();
    // The order on the wire isn't stable; which is first must not depend on it.
    parts.sort_by(|(a, x), (b, y)| {
        (a, &x.target, &x.interfaces).cmp(&(b, &y.target, &y.interfaces))
    });
    for (key, link) in parts {
        match merged.entry(key) {
            Entry::Vacant(empty) => {
                empty.insert(link);
            }
            Entry::Occupied(mut first) => {
                let first: &mut Link = first.get_mut();
                if first.target == link.target
                    && first.source_config == link.source_config
                    && first.target_config == link.target_config
                {
                    first.interfaces.extend(link.interfaces);
                }
            }
        }
    }
    merged
}
