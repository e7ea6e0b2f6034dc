//! What was written to the API server, as its own audit log tells.
use std::fs;

use serde_json::Value;

use super::stage::{CLUSTER, Stage};

/// One request that changes something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Write {
    pub(crate) verb: String,
    /// `applications`, or `applications/status`.
    pub(crate) resource: String,
    pub(crate) name: String,
}

/// The writes of the operator of `stage` so far, in order. Each is logged before it is answered.
pub(crate) fn writes(stage: &Stage) -> Vec<Write> {
    let log = fs::read_to_string(CLUSTER.audit_log_path()).unwrap();
    log.lines().filter_map(|line| write(stage, &serde_json::from_str(line).unwrap())).collect()
}

fn write(stage: &Stage, entry: &Value) -> Option<Write> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let verb = text(&entry["verb"]);
    if !["create", "update", "patch", "delete", "deletecollection"].contains(&verb.as_str()) {
        return None;
    }
    let object = &entry["objectRef"];
    let (namespace, name) = (text(&object["namespace"]), text(&object["name"]));
    let ours = namespace == stage.name || (namespace.is_empty() && name.starts_with(&stage.name));
    // The test itself writes as `test`, and through kubectl.
    let by_us = text(&entry["requestURI"]).contains("fieldManager=test")
        || text(&entry["userAgent"]).starts_with("kubectl/");
    let sub = text(&object["subresource"]);
    let sub = if sub.is_empty() { sub } else { format!("/{sub}") };
    let resource = format!("{}{sub}", text(&object["resource"]));
    (ours && !by_us).then_some(Write { verb, resource, name })
}
