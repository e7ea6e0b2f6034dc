//! `linkdef` traits, `contract` and `link_name`: how wasmCloud before 1.0 said what WIT links say
//! now. Each `linkdef` becomes the links that it meant.
use std::{collections::BTreeMap, sync::Arc};

use super::{
    Component, Config, LinkTrait, config,
    cursor::{At, Fields, Shape},
    name,
    suggest::{closest, quote},
};
use crate::model::{ConfigName, ConfigWanted, WorkloadId, WorkloadKind};

/// The trait's type.
pub(super) const TYPE: &str = "linkdef";

const LINKDEF: Shape = Shape {
    known: &["target", "values"],
    not_yet: &[],
    elsewhere: &[
        ("namespace", "belongs to a link trait", "write type: link"),
        ("package", "belongs to a link trait", "write type: link"),
        ("interfaces", "belongs to a link trait", "write type: link"),
        ("source", "belongs to a link trait", "write type: link"),
        ("source_config", "belongs to a link trait", "write type: link"),
        ("target_config", "belongs to a link trait", "write type: link"),
    ],
};

/// Who calls, in a link between the component that has the `linkdef` and the capability.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Caller {
    Component,
    Capability,
}

/// One link of those that a contract meant: who calls, namespace, package, interfaces.
type Meant = (Caller, &'static str, &'static str, &'static [&'static str]);

const CONTRACTS: &[(&str, &[Meant])] = &[
    ("wasmcloud:blobstore", &[(Caller::Component, "wasi", "blobstore", &["blobstore"])]),
    ("wasmcloud:httpclient", &[(Caller::Component, "wasi", "http", &["outgoing-handler"])]),
    ("wasmcloud:httpserver", &[(Caller::Capability, "wasi", "http", &["incoming-handler"])]),
    (
        "wasmcloud:keyvalue",
        &[(Caller::Component, "wasi", "keyvalue", &["atomics", "batch", "store"])],
    ),
    (
        "wasmcloud:messaging",
        &[
            (Caller::Component, "wasmcloud", "messaging", &["consumer"]),
            (Caller::Capability, "wasmcloud", "messaging", &["handler"]),
        ],
    ),
    ("wasmcloud:sqldb", &[(Caller::Component, "wasmcloud", "postgres", &["query"])]),
];

/// What a component says in the older words.
#[derive(Default)]
struct Older<'a> {
    contract: Option<&'a str>,
    link_name: Option<Arc<str>>,
    linkdefs: Vec<At<'a>>,
}

/// Adds the links that all `linkdef` traits mean to the components that call.
pub(super) fn resolve(spec: &Fields, components: &mut [Component]) {
    let written: Vec<(&str, Older)> = objects(spec.get("components"))
        .filter_map(|component| Some((component.get("name")?.value.as_str()?, read(&component))))
        .collect();
    let by_name: BTreeMap<&str, &Older> =
        written.iter().map(|(name, said)| (*name, said)).collect();
    for (name, said) in &written {
        let mut seen: BTreeMap<Arc<str>, &str> = BTreeMap::new();
        for at in &said.linkdefs {
            let Some((target, values)) = linkdef(at) else { continue };
            if let Some(first) = seen.get(&target) {
                at.problem(format!("is a second linkdef to the target of {first}"), "keep one");
                continue;
            }
            seen.insert(Arc::clone(&target), &at.path);
            if let Some(meant) = meant(at, &target, &by_name, components) {
                let link_name = by_name.get(&*target).and_then(|said| said.link_name.clone());
                let linkdef = LinkDef { at, component: name, capability: &target, values };
                linkdef.add(meant, link_name, components);
            }
        }
    }
}

/// The objects in a list; whatever else is there was reported where it was read first.
fn objects(list: Option<At<'_>>) -> impl Iterator<Item = Fields<'_>> {
    let list = list.filter(|at| at.value.is_array());
    let items = list.map(|at| at.list()).unwrap_or_default();
    items.into_iter().filter(|item| item.value.is_object()).filter_map(|item| item.fields())
}

fn read<'a>(component: &Fields<'a>) -> Older<'a> {
    let mut older = Older::default();
    let properties = component.get("properties").filter(|at| at.value.is_object());
    if let Some(properties) = properties.and_then(|at| at.fields()) {
        if let Some(at) = properties.get("contract") {
            warn(&at);
            older.contract = at.text();
        }
        if let Some(at) = properties.get("link_name") {
            warn(&at);
            older.link_name = name::token::<WorkloadId>(&at).map(|name| name.as_str().into());
        }
    }
    let is_linkdef =
        |fields: &Fields| fields.get("type").is_some_and(|at| at.value.as_str() == Some(TYPE));
    let traits = objects(component.get("traits")).filter(is_linkdef);
    older.linkdefs = traits.filter_map(|fields| fields.get("properties")).collect();
    older
}

fn warn(at: &At) {
    at.warning(
        "is of wasmCloud before 1.0, and only says what a linkdef means",
        "remove it once each linkdef is a link",
    );
}

/// The target's name, and the values.
fn linkdef(at: &At) -> Option<(Arc<str>, BTreeMap<String, String>)> {
    let fields = at.object(&LINKDEF)?;
    let values = fields.get("values").map(|at| config::values(&at)).unwrap_or_default();
    let target = fields.need("target", "name the capability to link")?.text()?;
    Some((target.into(), values))
}

/// What a `linkdef` to `target` means, by the target's contract.
fn meant(
    at: &At,
    target: &str,
    by_name: &BTreeMap<&str, &Older>,
    components: &[Component],
) -> Option<&'static [Meant]> {
    let problem = |wrong: String, todo: String| {
        at.findings.problem(&format!("{}.target", at.path), wrong, todo);
        None
    };
    let Some(said) = by_name.get(target) else {
        let todo = match closest(target, by_name.keys().copied()) {
            Some(known) => format!("did you mean {known}?"),
            None => "name one of its capabilities".into(),
        };
        return problem(format!("{} is not a component of this Application", quote(target)), todo);
    };
    let kind = components.iter().find(|component| *component.name == *target)?.kind;
    if kind == WorkloadKind::Component {
        return problem(
            format!("{} is not a capability", quote(target)),
            "write the linkdef on the component and the capability as its target, or a link".into(),
        );
    }
    let Some(contract) = said.contract else {
        return problem(
            format!("{} has no contract, which would say what is meant", quote(target)),
            "write a link trait with target, namespace, package and interfaces".into(),
        );
    };
    if let Some((_, meant)) = CONTRACTS.iter().find(|(known, _)| *known == contract) {
        return Some(meant);
    }
    let known: Vec<_> = CONTRACTS.iter().map(|(known, _)| *known).collect();
    problem(
        format!("has the contract {}, for which no link is known", quote(contract)),
        format!("write a link trait with its WIT interfaces (known: {})", known.join(", ")),
    )
}

/// One `linkdef` whose target is there.
struct LinkDef<'l, 'a> {
    at: &'l At<'a>,
    component: &'l str,
    capability: &'l str,
    values: BTreeMap<String, String>,
}

impl LinkDef<'_, '_> {
    fn add(self, meant: &[Meant], link_name: Option<Arc<str>>, components: &mut [Component]) {
        let link_name = link_name.unwrap_or_else(|| "default".into());
        let mut read_as = Vec::new();
        for &(caller, namespace, package, interfaces) in meant {
            let (source, target) = match caller {
                Caller::Component => (self.component, self.capability),
                Caller::Capability => (self.capability, self.component),
            };
            let Some(calling) = components.iter_mut().find(|c| *c.name == *source) else {
                continue;
            };
            // One contract linked several components to one capability, which WIT links do by name.
            let same = |link: &&LinkTrait| {
                (&*link.namespace, &*link.package, &link.name) == (namespace, package, &link_name)
            };
            let taken = calling.links.iter().find(same).is_some_and(|link| *link.target != *target);
            let name =
                if taken { crate::model::id_part(target).into() } else { Arc::clone(&link_name) };
            let config = self.config();
            let (source_config, target_config, end) = match caller {
                Caller::Component => (Vec::new(), config, "target"),
                Caller::Capability => (config, Vec::new(), "source"),
            };
            let values = if self.values.is_empty() {
                String::new()
            } else {
                format!(", with its values as {end}.config")
            };
            read_as.push(format!(
                "a link of {source} {{target: {target}, namespace: {namespace}, package: {package}, \
                 interfaces: [{}], name: {name}}}{values}",
                interfaces.join(", ")
            ));
            calling.links.push(LinkTrait {
                target: target.into(),
                name,
                namespace: namespace.into(),
                package: package.into(),
                interfaces: interfaces.iter().map(|&interface| interface.into()).collect(),
                source_config,
                target_config,
                source_secrets: Vec::new(),
                target_secrets: Vec::new(),
                path: self.at.path.clone(),
            });
        }
        let read_as = read_as.join(" and ");
        self.at.warning(
            format!("a linkdef is of wasmCloud before 1.0, and is read as {read_as}"),
            "write that instead",
        );
    }

    fn config(&self) -> Vec<Config> {
        if self.values.is_empty() {
            return Vec::new();
        }
        vec![Config {
            name: ConfigName::generated(&[TYPE, self.component, self.capability]),
            wanted: ConfigWanted::Managed(self.values.clone()),
            path: super::cursor::join(&self.at.path, "values"),
        }]
    }
}
