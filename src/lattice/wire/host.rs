use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::Deserialize;

use super::{Fingerprint, or_default};
use crate::model::{Annotations, HostId, Inventory, RunningComponent, RunningProvider, WorkloadId};

/// What a heartbeat carries and `host.get` answers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "WireInventory")]
pub struct HostInventory {
    pub id: HostId,
    pub friendly_name: Arc<str>,
    pub version: Arc<str>,
    pub labels: BTreeMap<String, String>,
    /// Since the host's process started, in whole seconds.
    pub uptime: Duration,
    pub inventory: Inventory,
    /// Of a heartbeat.
    pub print: Option<Fingerprint>,
}

/// What a host answers to a ping.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "WireBrief")]
pub struct HostBrief {
    pub id: HostId,
    pub friendly_name: Arc<str>,
    pub version: Arc<str>,
    pub labels: BTreeMap<String, String>,
    pub uptime: Duration,
}

#[derive(Deserialize)]
struct WireBrief {
    id: HostId,
    #[serde(default, deserialize_with = "or_default")]
    friendly_name: String,
    #[serde(default, deserialize_with = "or_default")]
    version: String,
    #[serde(default, deserialize_with = "or_default")]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    uptime_seconds: u64,
}

impl From<WireBrief> for HostBrief {
    fn from(brief: WireBrief) -> Self {
        Self {
            id: brief.id,
            friendly_name: brief.friendly_name.into(),
            version: brief.version.into(),
            labels: brief.labels,
            uptime: Duration::from_secs(brief.uptime_seconds),
        }
    }
}

#[derive(Deserialize)]
struct WireInventory {
    host_id: HostId,
    #[serde(default, deserialize_with = "or_default")]
    friendly_name: String,
    #[serde(default, deserialize_with = "or_default")]
    version: String,
    #[serde(default, deserialize_with = "or_default")]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    uptime_seconds: u64,
    #[serde(default, alias = "actors", deserialize_with = "or_default")]
    components: Vec<WireComponent>,
    #[serde(default, deserialize_with = "or_default")]
    providers: Vec<WireProvider>,
}

#[derive(Deserialize)]
struct WireComponent {
    id: WorkloadId,
    #[serde(default, deserialize_with = "or_default")]
    image_ref: String,
    #[serde(default, deserialize_with = "or_default")]
    annotations: Annotations,
    #[serde(default)]
    max_instances: u32,
    #[serde(default, deserialize_with = "or_default")]
    limits: WireLimits,
}

/// Numbers as texts; those that are none are no limits to the host either.
#[derive(Default, Deserialize)]
struct WireLimits {
    #[serde(default)]
    max_memory_limit: Option<String>,
}

#[derive(Deserialize)]
struct WireProvider {
    id: WorkloadId,
    #[serde(default, deserialize_with = "or_default")]
    image_ref: String,
    #[serde(default, deserialize_with = "or_default")]
    annotations: Annotations,
}

impl From<WireInventory> for HostInventory {
    fn from(wire: WireInventory) -> Self {
        let component = |c: WireComponent| {
            let running = RunningComponent {
                image: c.image_ref.into(),
                annotations: c.annotations.into(),
                instances: c.max_instances,
                max_memory: c.limits.max_memory_limit.and_then(|bytes| bytes.parse().ok()),
            };
            (c.id, running)
        };
        let provider = |p: WireProvider| {
            (p.id, RunningProvider { image: p.image_ref.into(), annotations: p.annotations.into() })
        };
        Self {
            id: wire.host_id,
            friendly_name: wire.friendly_name.into(),
            version: wire.version.into(),
            labels: wire.labels,
            uptime: Duration::from_secs(wire.uptime_seconds),
            inventory: Inventory {
                components: wire.components.into_iter().map(component).collect(),
                providers: wire.providers.into_iter().map(provider).collect(),
            },
            print: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lattice::wire::decode;

    #[test]
    fn the_memory_that_a_component_may_take_is_read_back() {
        let shown = |limits: &str| {
            let text = format!(
                r#"{{"host_id":"N1","components":[{{"id":"a","image_ref":"r","limits":{limits}}}]}}"#
            );
            let host: HostInventory = decode(text.as_bytes()).unwrap();
            host.inventory.components.into_values().next().unwrap().max_memory
        };
        let cases = [
            (r#"{"max_memory_limit":"67108864"}"#, Some(67_108_864)),
            (r#"{"max_execution_time":"5"}"#, None),
            (r#"{"max_memory_limit":"much"}"#, None),
            ("{}", None),
            ("null", None),
        ];
        for (limits, expected) in cases {
            assert_eq!(shown(limits), expected, "{limits}");
        }
    }

    #[test]
    fn an_inventory_is_read_whatever_its_host_leaves_out() {
        let text = br#"{"host_id":"N1","actors":[{"id":"a","image_ref":"r/a:1","name":null,
            "annotations":null,"revision":0,"max_instances":4,"limits":null}],
            "providers":[{"id":"p","image_ref":"http-server","name":null}],"later":[1]}"#;
        let host: HostInventory = decode(text).unwrap();
        assert_eq!(
            host.inventory.components["a".parse::<WorkloadId>().as_ref().unwrap()].instances,
            4
        );
        assert_eq!(host.inventory.providers.len(), 1);
        assert_eq!(&*host.version, "");
    }
}
