//! What an Application wants on a lattice.
use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};

use super::{Appfile, Component, Config, LinkTrait, hash::short};
use crate::model::{
    APPLICATION, APPSPEC, AskHash, COMPONENT, ConfigName, ConfigWanted, Desired, HASH,
    INSTALLATION, Link, LinkKey, MANAGED_BY, Owner, REVISION, UID, Workload, WorkloadId,
};

/// The value of [`MANAGED_BY`].
const TRELLIS: &str = "trellis";
/// Digits of the hash that ends the name of a link's config: it only has to tell the few values
/// apart that one config has in turn.
const CONFIG_HASH: usize = 8;

/// Whose things are wanted, as it is written on them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    pub owner: Owner,
    /// The Application's uid; empty where there is none, and then it isn't written.
    pub uid: Arc<str>,
    /// The revision's name; empty where there is none, and then it isn't written.
    pub revision: Arc<str>,
}

impl Appfile {
    /// All that it wants on one lattice, for the targets there with these namespaces.
    #[must_use]
    pub fn desired<'n>(
        &self,
        stamp: &Stamp,
        namespaces: impl IntoIterator<Item = &'n Arc<str>>,
    ) -> Desired {
        let mut desired = Desired::nothing(stamp.owner.clone());
        for namespace in namespaces {
            for component in &self.components {
                self.add_component(component, namespace, stamp, &mut desired);
            }
        }
        desired
    }

    /// Adds what one component of this Appfile wants: itself, its links, and their config.
    pub fn add_component(
        &self,
        component: &Component,
        namespace: &Arc<str>,
        stamp: &Stamp,
        desired: &mut Desired,
    ) {
        let config = component.config.iter().map(|c| self.own_config(c, namespace, desired));
        let config: Vec<ConfigName> = config.collect();
        let id = self.id(component, namespace);
        let hash = ask_hash(component, &self.key.name, &config);
        let workload = Workload {
            kind: component.kind,
            component: Arc::clone(&component.name),
            namespace: Arc::clone(namespace),
            image: Arc::clone(&component.image),
            config,
            scaling: component.scaling.clone(),
            layout: component.layout,
            rollout: component.rollout,
            max_memory: component.max_memory,
            annotations: annotations(stamp, component, &hash).into(),
            hash,
        };
        desired.workloads.insert(id.clone(), workload);
        for link in &component.links {
            self.add_link(&id, link, namespace, desired);
        }
    }

    /// The component's id on a lattice, for a target with this namespace.
    #[must_use]
    pub fn id(&self, component: &Component, namespace: &str) -> WorkloadId {
        match &component.id {
            Some(id) => id.clone(),
            None => WorkloadId::generated(&[namespace, &self.key.name, &component.name]),
        }
    }

    /// Links that differ in interfaces only are one to the hosts, so they are made one here.
    fn add_link(
        &self,
        source: &WorkloadId,
        link: &LinkTrait,
        namespace: &str,
        desired: &mut Desired,
    ) {
        let Some(target) = self.component(&link.target) else { return };
        let config = |configs: &[Config], desired: &mut Desired| {
            configs.iter().map(|c| self.link_config(c, namespace, desired)).collect()
        };
        let source_config: Vec<ConfigName> = config(&link.source_config, desired);
        let target_config: Vec<ConfigName> = config(&link.target_config, desired);
        let key = LinkKey {
            source: source.clone(),
            name: Arc::clone(&link.name),
            namespace: Arc::clone(&link.namespace),
            package: Arc::clone(&link.package),
        };
        let target = self.id(target, namespace);
        desired
            .links
            .entry(key)
            .and_modify(|merged| merged.interfaces.extend(link.interfaces.iter().cloned()))
            .or_insert_with(|| Link {
                target,
                interfaces: link.interfaces.clone(),
                source_config,
                target_config,
            });
    }

    /// A component's own config keeps its name when its values change: hosts pass those on.
    fn own_config(&self, config: &Config, namespace: &str, desired: &mut Desired) -> ConfigName {
        let name = match &config.wanted {
            ConfigWanted::Managed(_) => {
                ConfigName::generated(&[namespace, &self.key.name, config.name.as_str()])
            }
            ConfigWanted::Required => config.name.clone(),
        };
        want(config, name, desired)
    }

    /// A link's config ends in a hash of its values, because hosts read them only when the link is
    /// put: so other values are another link, and can be seen in it after any restart.
    fn link_config(&self, config: &Config, namespace: &str, desired: &mut Desired) -> ConfigName {
        let name = match &config.wanted {
            ConfigWanted::Managed(values) => {
                let hash = short(&json!(values));
                let hash = hash.get(..CONFIG_HASH).unwrap_or(&hash);
                ConfigName::generated(&[namespace, &self.key.name, config.name.as_str(), hash])
            }
            ConfigWanted::Required => config.name.clone(),
        };
        want(config, name, desired)
    }
}

fn want(config: &Config, name: ConfigName, desired: &mut Desired) -> ConfigName {
    desired.configs.entry(name.clone()).or_insert_with(|| config.wanted.clone());
    name
}

fn annotations(stamp: &Stamp, component: &Component, hash: &AskHash) -> BTreeMap<String, String> {
    let owner = &stamp.owner;
    [
        (MANAGED_BY, TRELLIS.to_owned()),
        (APPSPEC, owner.application.name.to_string()),
        (INSTALLATION, owner.installation.to_string()),
        (APPLICATION, owner.application.to_string()),
        (COMPONENT, component.name.to_string()),
        (HASH, hash.to_string()),
        (REVISION, stamp.revision.to_string()),
        (UID, stamp.uid.to_string()),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}

/// What hosts can't tell back: see [`AskHash`]. The form below is version 1; what nobody asked for
/// isn't in it, so that what was asked before there was such a thing keeps its hash.
fn ask_hash(component: &Component, appspec: &str, config: &[ConfigName]) -> AskHash {
    let mut start = json!({"image": *component.image, "appspec": appspec});
    if let Some(bytes) = component.max_memory {
        start["limits"] = json!({ "maxMemory": bytes });
    }
    let config: Vec<Value> = config.iter().map(|name| name.as_str().into()).collect();
    AskHash { start: short(&start).into(), config: short(&config.into()).into() }
}
