//! The rights that `trellis check` asks about are those that the operator uses.
use std::fs;

use serde_json::Value;
use trellis::preflight::{Place, Right, Scope, rights};

use super::{
    simulated::{SHOP, lattice},
    stage::{CLUSTER, NATS_USER, Stage},
};

/// So many releases that the oldest of their revisions are deleted.
const RELEASES: usize = 12;

/// Asked by the check itself: what everybody may, and what it can do without.
const OF_THE_CHECK: [&str; 4] = [
    "selfsubjectaccessreviews.authorization.k8s.io",
    "selfsubjectreviews.authentication.k8s.io",
    "customresourcedefinitions.apiextensions.k8s.io",
    "apiservices.apiregistration.k8s.io",
];

/// What one line of the audit log asks for, as a right has it: kind, verb, name and namespace.
fn request(line: &str) -> Option<(String, String, String, String)> {
    let entry: Value = serde_json::from_str(line).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if !text(&entry["userAgent"]).starts_with("trellis/") {
        return None;
    }
    let object = &entry["objectRef"];
    let part = |mark: &str, name: &str| match text(&object[name]) {
        empty if empty.is_empty() => empty,
        part => format!("{mark}{part}"),
    };
    let kind = part("", "resource") + &part(".", "apiGroup") + &part("/", "subresource");
    let (name, namespace) = (text(&object["name"]), text(&object["namespace"]));
    Some((kind, text(&entry["verb"]), name, namespace))
}

fn grants(right: &Right, kind: &str, verb: &str, name: &str, namespace: &str) -> bool {
    let there = match &right.place {
        Place::Cluster => true,
        Place::Namespace(place) => place == namespace,
    };
    right.kind() == kind
        && right.verb == verb
        && there
        && right.name.as_ref().is_none_or(|right| right == name)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_right_that_is_listed_is_used_and_no_other() {
    let stage = Stage::start("needs").await;
    let _sim = lattice(&stage, 2).await;
    for release in 1..=RELEASES {
        let count = format!("instances: {release}");
        stage.apply(&SHOP.replace("NAME", "shop").replace("instances: 2", &count)).await;
        stage.settled("shop").await;
    }
    stage.delete("shop").await;
    stage.stop_operator().await;

    let scope = Scope { watched: Vec::new(), own: stage.name.clone() };
    let listed = rights(&scope, &[NATS_USER.into()]);
    let log = fs::read_to_string(CLUSTER.audit_log_path()).unwrap();
    let requests: Vec<_> = log.lines().filter_map(request).collect();
    // Of other tests' operators too, but for what is about their own namespaces' Secrets.
    let ours = requests.iter().filter(|(kind, verb, _, namespace)| {
        let secret = kind == "secrets";
        !OF_THE_CHECK.contains(&kind.as_str())
            && (!secret || (*namespace == stage.name && verb == "get"))
    });
    let unlisted: Vec<_> = ours
        .filter(|(kind, verb, name, namespace)| {
            !listed.iter().any(|right| grants(right, kind, verb, name, namespace))
        })
        .collect();
    assert!(unlisted.is_empty(), "{unlisted:#?}");
    let used = |right: &&Right| {
        requests.iter().any(|(kind, verb, name, namespace)| {
            // Secrets are watched all together.
            let name = if kind == "secrets" && name.is_empty() { NATS_USER } else { name };
            grants(right, kind, verb, name, namespace)
        })
    };
    let unused: Vec<_> = listed.iter().filter(|right| !used(right)).collect();
    assert!(unused.is_empty(), "{unused:#?}");
}
