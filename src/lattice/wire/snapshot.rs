use std::{collections::BTreeMap, sync::Arc};

use serde::Deserialize;

use super::{
    DecodeError, HostInventory, decode,
    link::{WireLink, by_key},
    or_default,
};
use crate::model::{
    ConfigName, Gate, Host, HostState, LatticeName, Links, Moment, Observed,
};

/// A whole lattice as a file: `{"hosts":[HostInventory…],"links":[Link…],"config":{name:{k:v}}}`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    #[serde(default, deserialize_with = "or_default")]
    hosts: Vec<HostInventory>,
    #[serde(default, deserialize_with = "or_default")]
    links: Vec<WireLink>,
    #[serde(default, deserialize_with = "or_default")]
    config: BTreeMap<ConfigName, BTreeMap<String, String>>,
}

impl Snapshot {
    pub fn parse(text: &[u8]) -> Result<Self, DecodeError> {
        decode(text)
    }

    /// The lattice as it would be observed if this were all of it, whole and open.
    #[must_use]
    pub fn into_observed(self, lattice: LatticeName, now: Moment) -> Observed {
        let host = |host: HostInventory| {
            let observed = Host {
                friendly_name: host.friendly_name,
                version: host.version,
                labels: host.labels,
                state: HostState::Ready,
                joined: now,
                inventory_at: now,
                inventory: Some(host.inventory),
            };
            (host.id, Arc::new(observed))
        };
        let configs = self.config.into_iter().map(|(name, map)| (name, Some(Arc::new(map))));
        Observed {
            version: 1,
            gate: Gate::Open,
            hosts: self.hosts.into_iter().map(host).collect(),
            links: Links::Read(Arc::new(by_key(self.links))),
            configs: configs.collect(),
            ..Observed::unknown(lattice)
        }
    }
}
