use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::Deserialize;

use super::{
    DecodeError, HostInventory, decode,
    link::{WireLink, by_key},
    or_default,
};
use crate::model::{ConfigName, Gate, Host, HostState, LatticeName, Links, Moment, Observed};

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
        let snapshot: Self = decode(text)?;
        let mut ids = BTreeSet::new();
        for (index, host) in snapshot.hosts.iter().enumerate() {
            if !ids.insert(&host.id) {
                return Err(DecodeError {
                    path: format!("hosts[{index}].host_id"),
                    reason: format!("{} is the id of an earlier host", host.id),
                });
            }
        }
        Ok(snapshot)
    }

    /// The lattice as it would be observed if this were all of it, whole and open.
    #[must_use]
    pub fn into_observed(self, lattice: LatticeName, now: Moment) -> Observed {
        let host = |host: HostInventory| {
            let observed = Host {
                friendly_name: host.friendly_name,
                version: host.version,
                labels: host.labels.into(),
                state: HostState::Ready,
                joined: now,
                inventory_at: now,
                inventory: Some(host.inventory.into()),
            };
            (host.id, observed)
        };
        let mut observed = Observed::unknown(lattice);
        for (id, host) in self.hosts.into_iter().map(host) {
            observed.put_host(id, host);
        }
        let configs = self.config.into_iter().map(|(name, map)| (name, Some(Arc::new(map))));
        observed.configs = configs.collect();
        observed.links = Links::Read(by_key(self.links));
        observed.gate = Gate::Open;
        observed.version = 1;
        observed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_a_whole_lattice() {
        let text = br#"{
            "hosts":[{"host_id":"N1","components":[{"id":"a","image_ref":"r","max_instances":2}]}],
            "links":[{"source_id":"a","target":"b","name":"default","wit_namespace":"wasi",
                      "wit_package":"http","interfaces":["incoming-handler"]}],
            "config":{"c":{"k":"v"}}}"#;
        let snapshot = Snapshot::parse(text).unwrap();
        let observed = snapshot.into_observed("l".parse().unwrap(), Moment::default());
        assert!(observed.gate.may_remove());
        assert_eq!(observed.runs().hosts(&"a".parse().unwrap()).count(), 1);
        assert!(matches!(&observed.links, Links::Read(links) if links.len() == 1));
        assert!(observed.configs["c"].is_some());
    }

    #[test]
    fn a_mistake_in_a_file_is_named_with_its_place() {
        let error = Snapshot::parse(br#"{"hosts":[{"host_id":7}]}"#).unwrap_err();
        assert_eq!(error.path, "hosts[0].host_id");
        let error = Snapshot::parse(br#"{"configs":{}}"#).unwrap_err();
        assert!(error.reason.starts_with("unknown field `configs`"), "{error}");
        let error = Snapshot::parse(br#"{"hosts":[{"host_id":"N"},{"host_id":"N"}]}"#).unwrap_err();
        assert_eq!(error.to_string(), "hosts[1].host_id: N is the id of an earlier host");
        let error = Snapshot::parse(br#"{"hosts":[]} {"hosts":[]}"#).unwrap_err();
        assert!(error.reason.starts_with("trailing characters"), "{error}");
    }
}
