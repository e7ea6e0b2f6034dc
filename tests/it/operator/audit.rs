//! What the operator asked of the API server, as the API server's own audit log tells.
use std::fs;

use serde_json::Value;

use super::{
    installed::user,
    stage::{CLUSTER, Stage},
};

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
    requests(&stage.name, &stage.name).iter().filter_map(write).collect()
}

/// The requests of a ServiceAccount that were answered so far.
pub(crate) fn requests(namespace: &str, account: &str) -> Vec<Value> {
    let user = format!("\"username\":\"{}\"", user(namespace, account));
    let log = fs::read_to_string(CLUSTER.audit_log_path()).unwrap();
    // The last line may be half written.
    let whole = log.rfind('\n').map_or("", |end| &log[..end]);
    let lines = whole.lines().filter(|line| line.contains(&user));
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What a ServiceAccount asked for and was not allowed, one line each.
pub(crate) fn refusals(namespace: &str, account: &str) -> Vec<String> {
    let requests = requests(namespace, account);
    let refused = requests.iter().filter(|request| request["responseStatus"]["code"] == 403);
    refused.map(|request| format!("{} {}", request["verb"], request["requestURI"])).collect()
}

/// `applications`, or `applications/status`.
pub(crate) fn resource(request: &Value) -> String {
    let object = &request["objectRef"];
    let text = |field: &str| object[field].as_str().unwrap_or_default();
    let sub = text("subresource");
    let slash = if sub.is_empty() { "" } else { "/" };
    format!("{}{slash}{sub}", text("resource"))
}

fn write(request: &Value) -> Option<Write> {
    let verb = request["verb"].as_str().unwrap().to_owned();
    if !["create", "update", "patch", "delete", "deletecollection"].contains(&verb.as_str()) {
        return None;
    }
    // Reviews are questions about rights, and leave nothing behind.
    if resource(request).ends_with("reviews") {
        return None;
    }
    let name = request["objectRef"]["name"].as_str().unwrap_or_default().to_owned();
    Some(Write { verb, resource: resource(request), name })
}
