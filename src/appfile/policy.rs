//! `policies[]`: where it runs, and where its secrets come from.
use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use super::{
    LatticeChoice, SecretPolicy, Topology,
    cursor::{At, Fields, Shape, join},
    name, secret,
    suggest::{closest, quote},
};
use crate::model::LatticeName;

const POLICY: Shape =
    Shape { known: &["name", "type", "properties"], not_yet: &[], elsewhere: &[] };
const TOPOLOGY: Shape = Shape {
    known: &[
        "lattices",
        "clusters",
        "latticeSelector",
        "clusterLabelSelector",
        "namespace",
        "allowEmpty",
    ],
    not_yet: &["hostSelector"],
    elsewhere: &[("clusterSelector", "was removed from KubeVela", "write latticeSelector")],
};

/// Policies of the model that this version doesn't have.
const NOT_YET: &[&str] = &[
    "override",
    "replication",
    "garbage-collect",
    "apply-once",
    "shared-resource",
    "take-over",
    "read-only",
    "resource-update",
];

/// Types that are built.
const TYPES: &[&str] = &["topology", secret::POLICY_TYPE];

/// What all policies say.
#[derive(Debug, Default)]
pub(super) struct Policies {
    /// In order.
    pub(super) topologies: Vec<Topology>,
    /// Backends of secrets, by name.
    pub(super) secrets: BTreeMap<Arc<str>, SecretPolicy>,
    /// Of every policy, by name.
    pub(super) types: BTreeMap<Arc<str>, Arc<str>>,
}

/// What one policy says.
enum Policy {
    Topology(Topology),
    Secrets(SecretPolicy),
}

pub(super) fn parse(spec: &Fields) -> Policies {
    let mut names: BTreeMap<Arc<str>, String> = BTreeMap::new();
    let mut policies = Policies::default();
    for (index, at) in spec.list("policies").iter().enumerate() {
        let Some((name, type_, policy)) = policy(at, index) else { continue };
        policies.types.insert(Arc::clone(&name), type_.into());
        if let Some(first) = names.get(&name) {
            at.problem(
                format!("{} is the name of {first} too", quote(&name)),
                "give it a name of its own",
            );
        }
        names.entry(Arc::clone(&name)).or_insert_with(|| at.path.clone());
        match policy {
            Some(Policy::Topology(topology)) => policies.topologies.push(topology),
            Some(Policy::Secrets(policy)) => {
                policies.secrets.insert(name, policy);
            }
            None => {}
        }
    }
    policies
}

/// A policy's name, its type, and what it says if that is built.
fn policy<'a>(at: &At<'a>, index: usize) -> Option<(Arc<str>, &'a str, Option<Policy>)> {
    let fields = at.object(&POLICY)?;
    let type_at = fields.need("type", "write topology")?;
    let type_ = type_at.text()?;
    let name = match fields.get("name") {
        Some(at) => name::part(&at),
        None => Some(format!("{type_}-auto-gen-{index}").into()),
    };
    if type_ == "topology" {
        let properties = fields.need("properties", "write lattices or latticeSelector");
        let topology = properties.and_then(|at| topology(&at, name.clone()?));
        return Some((name?, type_, topology.map(Policy::Topology)));
    }
    if type_ == secret::POLICY_TYPE {
        let policy = secret::policy(&fields);
        return Some((name?, type_, policy.map(Policy::Secrets)));
    }
    if NOT_YET.contains(&type_) {
        type_at.problem(format!("the policy {type_} is not supported yet"), "remove the policy");
    } else if let Some(known) = closest(type_, TYPES).or(closest(type_, NOT_YET)) {
        type_at.problem(
            format!("{} is not a policy type", quote(type_)),
            format!("did you mean {known}?"),
        );
    } else if is_note(&fields) {
        at.warning(
            format!("{} is not a policy type, so it has no effect", quote(type_)),
            "remove it",
        );
    } else {
        type_at.problem(format!("{} is not a policy type", quote(type_)), "remove the policy");
    }
    Some((name?, type_, None))
}

/// Whether it has string values only, as wadm's policies do, which other tools read.
fn is_note(policy: &Fields) -> bool {
    policy
        .get("properties")
        .is_none_or(|at| at.value.as_object().is_some_and(|map| map.values().all(Value::is_string)))
}

fn topology(at: &At, name: Arc<str>) -> Option<Topology> {
    let fields = at.object(&TOPOLOGY)?;
    if fields.is_empty() {
        at.problem("is empty", "write lattices or latticeSelector, or remove the policy");
        return None;
    }
    let namespace = match fields.get("namespace") {
        Some(at) => Some(name::namespace(&at)?),
        None => None,
    };
    let allow_empty = match fields.get("allowEmpty") {
        Some(at) => at.boolean()?,
        None => false,
    };
    let selector = fields.either("latticeSelector", "clusterLabelSelector");
    let lattices = match (fields.either("lattices", "clusters"), selector) {
        (Some(named), ignored) => {
            if let Some(at) = ignored {
                at.warning("has no effect beside the lattices that are named", "remove it");
            }
            LatticeChoice::Named(named_lattices(&named, allow_empty)?)
        }
        (None, Some(selector)) => LatticeChoice::Selector(selector.strings()),
        (None, None) => LatticeChoice::Default,
    };
    Some(Topology { name, lattices, namespace, allow_empty, path: at.path.clone() })
}

fn named_lattices(at: &At, allow_empty: bool) -> Option<Vec<(Arc<str>, String)>> {
    let items = at.list();
    let is_list = matches!(at.value, Value::Array(_));
    if items.is_empty() && is_list && !allow_empty {
        at.problem("is empty", "name at least one lattice, or set allowEmpty: true");
    }
    let lattice = |item: &At| {
        let name: LatticeName = name::token(item)?;
        Some((name.as_str().into(), item.path.clone()))
    };
    is_list.then(|| items.iter().filter_map(lattice).collect())
}

/// The path of a topology's list of lattices, for messages about what it chose.
pub(super) fn choice_path(topology: &Topology) -> String {
    match &topology.lattices {
        LatticeChoice::Default => topology.path.clone(),
        LatticeChoice::Named(_) => join(&topology.path, "lattices"),
        LatticeChoice::Selector(_) => join(&topology.path, "latticeSelector"),
    }
}
