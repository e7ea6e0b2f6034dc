//! Rules that hold between the parts of an Application.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::Value;

use super::{
    Component, Config, LinkTrait, Secret, Shared,
    cursor::Fields,
    problem::Findings,
    suggest::{closest, quote},
};
use crate::model::{ConfigName, ConfigWanted, WorkloadKind, id_part};

/// Names as written, also of components that are wrong otherwise, so that one mistake isn't
/// reported as two.
fn written<'a>(spec: &Fields<'a>) -> Vec<(String, Option<&'a str>, Option<&'a str>)> {
    let Some(Value::Array(items)) = spec.get("components").map(|at| at.value) else {
        return Vec::new();
    };
    let text = |value: &'a Value, pointer: &str| value.pointer(pointer).and_then(Value::as_str);
    items
        .iter()
        .enumerate()
        .map(|(i, item)| {
            let path = format!("spec.components[{i}]");
            (path, text(item, "/name"), text(item, "/properties/id"))
        })
        .collect()
}

/// Names and explicit ids are unique, and so are the ids that are made of names.
pub(super) fn names(spec: &Fields, findings: &Findings) {
    let (mut names, mut ids, mut parts) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for (path, name, id) in written(spec) {
        if let Some(id) = id
            && let Some(first) = ids.insert(id, path.clone())
        {
            findings.problem(
                &format!("{path}.properties.id"),
                format!("{} is the id of {first} too", quote(id)),
                "give each component an id of its own",
            );
        }
        let Some(name) = name else { continue };
        if let Some(first) = names.insert(name, path.clone()) {
            findings.problem(
                &format!("{path}.name"),
                format!("{} is the name of {first} too", quote(name)),
                "give each component a name of its own",
            );
        } else if id.is_none()
            && let Some((other, first)) = parts.insert(id_part(name), (name, path.clone()))
        {
            findings.problem(
                &format!("{path}.name"),
                format!(
                    "{} and {} of {first} give the same id on the lattice",
                    quote(name),
                    quote(other)
                ),
                "rename one, or give it an id",
            );
        }
    }
}

/// Every link has a target that it can reach, and no two of them are one to the hosts.
pub(super) fn links(
    spec: &Fields,
    components: &[Component],
    shared: &[Shared],
    findings: &Findings,
) {
    let written = written(spec);
    let names: BTreeSet<&str> = written.iter().filter_map(|(_, name, _)| *name).collect();
    let own = components.iter().map(|of| (&*of.name, of.kind, &of.links[..]));
    let all = own.chain(shared.iter().map(|of| (&*of.name, of.kind, &of.links[..])));
    let kinds: BTreeMap<&str, WorkloadKind> =
        all.clone().map(|(name, kind, _)| (name, kind)).collect();
    for (_, kind, links) in all {
        for link in links {
            if !names.contains(&*link.target) {
                let todo = match closest(&link.target, names.iter().copied()) {
                    Some(known) => format!("did you mean {known}?"),
                    None => "name one of its components".into(),
                };
                findings.problem(
                    &format!("{}.target", link.path),
                    format!("{} is not a component of this Application", quote(&link.target)),
                    todo,
                );
            }
            if kind == WorkloadKind::Provider
                && kinds.get(&*link.target) == Some(&WorkloadKind::Provider)
            {
                findings.problem(
                    &format!("{}.target", link.path),
                    "links a capability to a capability, which hosts don't carry out",
                    "link one of them to a component",
                );
            }
        }
        links_of_one(links, findings);
    }
}

/// Hosts find a link by source, name, namespace and package alone when they delete it.
fn links_of_one(links: &[LinkTrait], findings: &Findings) {
    let mut first_of: BTreeMap<(&str, &str, &str), Vec<&LinkTrait>> = BTreeMap::new();
    for link in links {
        let same = first_of.entry((&link.name, &link.namespace, &link.package)).or_default();
        if let Some(earlier) = same.iter().find_map(|earlier| clash(earlier, link)) {
            findings.problem(&link.path, earlier.0, earlier.1);
        }
        same.push(link);
    }
}

/// What is wrong with `later` beside `earlier`, which has the same name, namespace and package.
fn clash(earlier: &LinkTrait, later: &LinkTrait) -> Option<(String, String)> {
    let package = format!("{}:{}", later.namespace, later.package);
    let shared = earlier.interfaces.iter().find(|one| later.interfaces.contains(one));
    if earlier.target != later.target {
        let what = shared.map_or(package.clone(), |interface| format!("{package}/{interface}"));
        return Some((
            format!(
                "links {what} to {}, which {} links to {}",
                quote(&later.target),
                earlier.path,
                quote(&earlier.target)
            ),
            "give one of the two links another name".into(),
        ));
    }
    if let Some(interface) = shared {
        return Some((
            format!("repeats the link {} ({package}/{interface}) of {}", later.name, earlier.path),
            "remove one".into(),
        ));
    }
    let same = |a: &[Config], b: &[Config]| {
        a.iter()
            .map(|config| (&config.name, &config.wanted))
            .eq(b.iter().map(|config| (&config.name, &config.wanted)))
    };
    let alike = |a: &[Secret], b: &[Secret]| {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.asks_the_same(b))
    };
    let config = same(&earlier.source_config, &later.source_config)
        && same(&earlier.target_config, &later.target_config);
    let secrets = alike(&earlier.source_secrets, &later.source_secrets)
        && alike(&earlier.target_secrets, &later.target_secrets);
    let what = match (config, secrets) {
        (true, true) => return None,
        (false, _) => "config",
        (true, false) => "secrets",
    };
    Some((
        format!("has other {what} than {}, with which it is one link to the hosts", earlier.path),
        format!("use the same {what} in both, or give one another name"),
    ))
}

/// A config name has one value, and names stay apart when they are written to the lattice.
pub(super) fn configs(components: &[Component], shared: &[Shared], findings: &Findings) {
    let own: Vec<&Config> = components.iter().flat_map(|component| &component.config).collect();
    let linked: Vec<&Config> = components
        .iter()
        .flat_map(|component| &component.links)
        .chain(shared.iter().flat_map(|shared| &shared.links))
        .flat_map(|link| link.source_config.iter().chain(&link.target_config))
        .collect();
    let mut managed: BTreeMap<&ConfigName, &Config> = BTreeMap::new();
    // A link's entry ends in a hash of its content, so the two kinds can't meet on the lattice,
    // but one name with two meanings is a mistake all the same.
    for config in own.iter().chain(&linked).filter(|config| is_managed(config)) {
        let first = managed.entry(&config.name).or_insert(config);
        if first.wanted != config.wanted {
            findings.problem(
                &config.path,
                format!("{} has other values in {}", quote(config.name.as_str()), first.path),
                "use the same values, or another name",
            );
        }
    }
    let mut parts: BTreeMap<Arc<str>, &Config> = BTreeMap::new();
    for config in managed.values() {
        let first = parts.entry(id_part(config.name.as_str()).into()).or_insert(config);
        if first.name != config.name {
            findings.problem(
                &format!("{}.name", config.path),
                format!(
                    "{} and {} of {} are one name on the lattice",
                    quote(config.name.as_str()),
                    quote(first.name.as_str()),
                    first.path
                ),
                "rename one",
            );
        }
    }
    for config in own.iter().chain(&linked).filter(|config| !is_managed(config)) {
        if let Some(other) = managed.get(&config.name) {
            findings.warning(
                &config.path,
                format!(
                    "has no properties, so a config of exactly this name must be on the lattice; \
                     that of {} is another",
                    other.path
                ),
                "repeat the properties here if that one is meant",
            );
        }
    }
}

fn is_managed(config: &Config) -> bool {
    match config.wanted {
        ConfigWanted::Managed(_) => true,
        ConfigWanted::Required => false,
    }
}
