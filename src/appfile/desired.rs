//! What an Application wants on a lattice.
use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value, json};

use super::{Appfile, Component, Config, LinkTrait, Secret, SharedId, hash::short};
use crate::model::{
    APPLICATION, APPSPEC, Annotations, AskHash, COMPONENT, ConfigName, ConfigWanted, Desired, HASH,
    INSTALLATION, Link, LinkKey, MANAGED_BY, Owner, REVISION, UID, Workload, WorkloadId, few,
};

/// The value of [`MANAGED_BY`].
const TRELLIS: &str = "trellis";
/// Digits of the hash that ends the name of a link's config: it only has to tell the few values
/// apart that one config has in turn.
const CONFIG_HASH: usize = 8;

/// The name of a link that gave itself none.
const DEFAULT: &str = "default";

/// Whose things are wanted, as it is written on them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    pub owner: Owner,
    /// The Application's uid; empty where there is none, and then it isn't written.
    pub uid: Arc<str>,
    /// The revision's name; empty where there is none, and then it isn't written.
    pub revision: Arc<str>,
    /// Which ids the references to other Applications' components mean; those of other lattices are
    /// left aside by whoever makes this.
    pub shared: Vec<SharedId>,
}

impl Stamp {
    fn shared_id(&self, component: &str, namespace: &str) -> Option<&SharedId> {
        self.shared.iter().find(|of| *of.component == *component && *of.namespace == *namespace)
    }
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
        desired.adopt = self.adopt;
        for namespace in namespaces {
            for component in &self.components {
                self.add_component(component, namespace, stamp, &mut desired);
            }
            for shared in &self.shared {
                let Some(of) = stamp.shared_id(&shared.name, namespace) else { continue };
                desired.shared.insert(of.id.clone(), of.application.clone());
                for link in &shared.links {
                    // Others link from it too, so that the name has to tell ours apart.
                    let name = self.link_name(link, namespace);
                    self.add_link(
                        &of.id,
                        &LinkTrait { name, ..link.clone() },
                        stamp,
                        namespace,
                        &mut desired,
                    );
                }
            }
        }
        // It is kept for long: without the room that was left for more.
        desired.links = few(std::mem::take(&mut desired.links).into_iter());
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
        let mut config: Vec<ConfigName> = config.collect();
        // By name, so that their order means nothing.
        let mut references = Map::new();
        for secret in &component.secrets {
            let Some(reference) = self.reference(secret) else { continue };
            // It keeps its name when it changes, as a config does; the hash tells that it did.
            let name = ConfigName::of_secret(&[namespace, &self.key.name, &secret.name]);
            references.insert(secret.name.to_string(), json!(reference));
            config.push(manage(reference, name, desired));
        }
        let id = self.id(component, namespace);
        let hash = ask_hash(component, &self.key.name, &config, references);
        let workload = Workload {
            kind: component.kind,
            component: Arc::clone(&component.name),
            namespace: Arc::clone(namespace),
            image: Arc::clone(&component.image),
            config,
            scaling: component.scaling.clone(),
            on_host_loss: component.on_host_loss,
            layout: component.layout,
            rollout: component.rollout,
            max_memory: component.max_memory,
            annotations: annotations(stamp, component, &hash).into(),
            hash,
        };
        desired.workloads.insert(id.clone(), Box::new(workload));
        for link in &component.links {
            self.add_link(&id, link, stamp, namespace, desired);
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

    /// The name of a link from another Application's component.
    fn link_name(&self, link: &LinkTrait, namespace: &str) -> Arc<str> {
        let parts = [namespace, &self.key.name, &link.target, &link.name];
        let all = if *link.name == *DEFAULT { &parts[..3] } else { &parts[..] };
        WorkloadId::generated(all).as_str().into()
    }

    /// Links that differ in interfaces only are one to the hosts, so they are made one here.
    fn add_link(
        &self,
        source: &WorkloadId,
        link: &LinkTrait,
        stamp: &Stamp,
        namespace: &str,
        desired: &mut Desired,
    ) {
        let own = self.component(&link.target).map(|target| self.id(target, namespace));
        let shared = || stamp.shared_id(&link.target, namespace).map(|of| of.id.clone());
        let Some(target) = own.or_else(shared) else { return };
        let mut config = |configs: &[Config], secrets: &[Secret]| {
            let mut names = Vec::new();
            names.extend(configs.iter().map(|c| self.link_config(c, namespace, desired)));
            names.extend(secrets.iter().filter_map(|s| self.link_secret(s, namespace, desired)));
            names
        };
        let source_config: Vec<ConfigName> = config(&link.source_config, &link.source_secrets);
        let target_config: Vec<ConfigName> = config(&link.target_config, &link.target_secrets);
        let key = LinkKey {
            source: source.clone(),
            name: Arc::clone(&link.name),
            namespace: Arc::clone(&link.namespace),
            package: Arc::clone(&link.package),
        };
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
                let hash = config_hash(values);
                ConfigName::generated(&[namespace, &self.key.name, config.name.as_str(), &hash])
            }
            ConfigWanted::Required => config.name.clone(),
        };
        want(config, name, desired)
    }

    /// A link's secret reference ends in a hash for the same reason.
    fn link_secret(
        &self,
        secret: &Secret,
        namespace: &str,
        desired: &mut Desired,
    ) -> Option<ConfigName> {
        let reference = self.reference(secret)?;
        let parts = [namespace, &self.key.name, &secret.name, &config_hash(&reference)];
        Some(manage(reference, ConfigName::of_secret(&parts), desired))
    }

    /// What hosts read to fetch a secret; there if the Appfile was parsed.
    fn reference(&self, secret: &Secret) -> Option<BTreeMap<String, String>> {
        Some(secret.reference(self.secret_policies.get(&secret.policy)?))
    }
}

fn config_hash(values: &BTreeMap<String, String>) -> String {
    let mut hash = short(&json!(values));
    hash.truncate(CONFIG_HASH);
    hash
}

fn manage(values: BTreeMap<String, String>, name: ConfigName, desired: &mut Desired) -> ConfigName {
    desired.configs.entry(name.clone()).or_insert(ConfigWanted::Managed(values));
    name
}

fn want(config: &Config, name: ConfigName, desired: &mut Desired) -> ConfigName {
    desired.configs.entry(name.clone()).or_insert_with(|| config.wanted.clone());
    name
}

fn annotations(stamp: &Stamp, component: &Component, hash: &AskHash) -> Annotations {
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
    .collect()
}

/// What hosts can't tell back: see [`AskHash`]. The form below is version 1; what most things don't
/// have stands in it only where there is some, so that the hash of all others stays.
fn ask_hash(
    component: &Component,
    appspec: &str,
    config: &[ConfigName],
    secrets: Map<String, Value>,
) -> AskHash {
    let config: Vec<Value> = config.iter().map(|name| name.as_str().into()).collect();
    let mut start = json!({"image": *component.image, "appspec": appspec});
    if !secrets.is_empty() {
        start["secrets"] = secrets.into();
    }
    if let Some(bytes) = component.max_memory {
        start["limits"] = json!({ "maxMemory": bytes });
    }
    AskHash { start: short(&start).into(), config: short(&config.into()).into() }
}
