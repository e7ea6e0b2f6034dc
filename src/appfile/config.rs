//! `config: [{name, properties?}]` of components and of both ends of a link.
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    Config,
    cursor::{At, Fields, Shape, is},
    name,
    suggest::quote,
};
use crate::model::{ConfigName, ConfigWanted};

const CONFIG: Shape = Shape {
    known: &["name", "properties"],
    not_yet: &[],
    elsewhere: &[("values", "unknown field", "call it properties")],
};

/// The entries of the field `config`, in order; none if it is missing.
pub(super) fn parse(fields: &Fields) -> Vec<Config> {
    fields.get("config").map(|at| entries(&at)).unwrap_or_default()
}

/// The entries of a list of configs, in order.
pub(super) fn entries(list: &At) -> Vec<Config> {
    let mut seen = BTreeSet::new();
    let mut parsed = Vec::new();
    for at in list.list() {
        let Some(config) = entry(&at) else { continue };
        if seen.insert(config.name.clone()) {
            parsed.push(config);
        } else {
            at.problem(format!("{} is listed twice", quote(config.name.as_str())), "remove one");
        }
    }
    parsed
}

fn entry(at: &At) -> Option<Config> {
    let fields = at.object(&CONFIG)?;
    let values = fields.get("properties").map(|at| values(&at));
    let name_at = fields.need("name", "give it a name")?;
    let name: ConfigName = name::token(&name_at)?;
    let wanted = match values {
        Some(values) => ConfigWanted::Managed(values),
        None if name.is_of_secret() => {
            name_at.problem(
                "begins with SECRET, which hosts take for a reference to a secret",
                "use another name",
            );
            return None;
        }
        None => ConfigWanted::Required,
    };
    Some(Config { name, wanted, path: at.path.clone() })
}

/// Values are strings on a lattice; numbers and booleans are taken as their text.
pub(super) fn values(at: &At) -> BTreeMap<String, String> {
    let Some(fields) = at.fields() else { return BTreeMap::new() };
    let mut values = BTreeMap::new();
    for (key, at) in fields.entries() {
        let text = match at.value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(value) => value.to_string(),
            Value::Null => {
                at.problem("is empty", "write a value, or \"\" for an empty one");
                continue;
            }
            Value::Array(_) | Value::Object(_) => {
                at.problem(
                    format!("{}, but config values are strings", is(at.value)),
                    "write it as one string",
                );
                continue;
            }
        };
        values.insert(key.to_owned(), text);
    }
    values
}
