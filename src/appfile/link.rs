//! The `link` trait, in today's form and in the older one.
use std::sync::Arc;

use serde_json::Value;

use super::{
    Config, LinkTrait, Secret, config,
    cursor::{At, Fields, Shape},
    name, secret,
    suggest::quote,
    wit,
};
use crate::model::FewOf;

const LINK: Shape = Shape {
    known: &[
        "target",
        "source",
        "namespace",
        "package",
        "interfaces",
        "name",
        "source_config",
        "target_config",
    ],
    not_yet: &[],
    elsewhere: &[
        ("values", "is of the older linkdef form", "write it as source.config or target.config"),
        ("interface", "unknown field", "write a list: interfaces: [name]"),
        ("sourceConfig", "unknown field", "write source.config"),
        ("targetConfig", "unknown field", "write target.config"),
    ],
};
const SOURCE: Shape = Shape { known: &["config", "secrets"], not_yet: &[], elsewhere: &[] };
const TARGET: Shape = Shape { known: &["name", "config", "secrets"], not_yet: &[], elsewhere: &[] };

pub(super) fn parse(properties: &At) -> Option<LinkTrait> {
    let fields = properties.object(&LINK)?;
    let source = fields.get("source").and_then(|at| at.object(&SOURCE));
    let source_config = source.as_ref().map(config::parse).unwrap_or_default();
    let source_secrets = source.as_ref().map(secret::parse).unwrap_or_default();
    let source_config = older(&fields, "source", source_config);
    let target = target(&fields);
    let namespace = fields.need("namespace", "write the WIT namespace, such as wasi");
    let package = fields.need("package", "write the WIT package, such as http");
    let namespace = namespace.and_then(|at| name::wit(&at));
    let package = package.and_then(|at| name::wit(&at));
    let interfaces = interfaces(&fields);
    let link = match fields.get("name") {
        Some(at) => Some(name::token::<crate::model::WorkloadId>(&at)?.as_str().into()),
        None => Some("default".into()),
    };
    let (target, target_config, target_secrets) = target?;
    let link = LinkTrait {
        target,
        name: link?,
        namespace: namespace?,
        package: package?,
        interfaces: interfaces?,
        source_config,
        target_config,
        source_secrets,
        target_secrets,
        path: properties.path.clone(),
    };
    warn_of_unknown_interfaces(properties, &link);
    Some(link)
}

/// The target's name, its config and its secrets.
fn target(fields: &Fields) -> Option<(Arc<str>, Vec<Config>, Vec<Secret>)> {
    let at = fields.need("target", "name the component to call")?;
    if matches!(at.value, Value::String(_)) {
        return Some((at.text()?.into(), older(fields, "target", Vec::new()), Vec::new()));
    }
    let target = at.object(&TARGET)?;
    let config = older(fields, "target", config::parse(&target));
    let secrets = secret::parse(&target);
    let name = target.need("name", "name the component to call")?.text()?.into();
    Some((name, config, secrets))
}

/// Takes `{end}_config`, the older form, where the newer one isn't used.
fn older(fields: &Fields, end: &str, newer: Vec<Config>) -> Vec<Config> {
    let key = format!("{end}_config");
    let Some(at) = fields.get(&key) else { return newer };
    at.warning("is the older form", format!("write it as {end}.config"));
    if newer.is_empty() {
        return config::entries(&at);
    }
    at.problem(format!("is the older form of {end}.config"), "keep one of them");
    newer
}

fn interfaces(fields: &Fields) -> Option<FewOf<Arc<str>>> {
    let at = fields.need("interfaces", "list the WIT interfaces, such as [incoming-handler]")?;
    let items = at.list();
    if items.is_empty() {
        if matches!(at.value, Value::Array(_)) {
            at.problem("is empty", "list the WIT interfaces, such as [incoming-handler]");
        }
        return None;
    }
    let mut interfaces = FewOf::default();
    let mut complete = true;
    for item in items {
        let Some(interface) = name::wit(&item) else {
            complete = false;
            continue;
        };
        if !interfaces.insert(Arc::clone(&interface)) {
            item.problem(format!("{} is listed twice", quote(&interface)), "remove one");
        }
    }
    complete.then_some(interfaces)
}

fn warn_of_unknown_interfaces(at: &At, link: &LinkTrait) {
    for interface in &link.interfaces {
        if let Some(known) = wit::unknown(&link.namespace, &link.package, interface) {
            at.warning(
                format!("{}:{}/{interface} is not a known interface", link.namespace, link.package),
                format!("check its name (known: {known})"),
            );
        }
    }
}
