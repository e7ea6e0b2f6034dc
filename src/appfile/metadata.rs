//! `metadata`: the name, and the annotations and labels that mean something.
use super::{
    Manifest,
    cursor::join,
    name::is_dns_label,
    problem::Findings,
    suggest::{closest, quote},
};

/// Annotations and labels that ask for something this version doesn't do. Each would otherwise be
/// ignored silently.
const NOT_YET: &[&str] = &[
    "lattice.oam.dev/adopt",
    "lattice.oam.dev/deploy",
    "lattice.oam.dev/paused",
    "lattice.oam.dev/rollback-to",
    "lattice.oam.dev/workflow",
    "app.oam.dev/autoUpdate",
    "app.oam.dev/controller-version-require",
    "app.oam.dev/publishVersion",
    "app.oam.dev/reconcile-interval",
    "app.oam.dev/restart-workflow",
    "app.oam.dev/service-account-name",
    "controller.core.oam.dev/pause",
];

/// Annotations of ours that are obeyed, and the values that they may have; none means any.
const OBEYED: &[(&str, &[&str])] = &[
    ("lattice.oam.dev/controller-class", &[]),
    ("lattice.oam.dev/reconcile", &[]),
    ("lattice.oam.dev/deletion-policy", &["Orphan", "Delete"]),
    ("lattice.oam.dev/force-delete", &["true", "false"]),
    ("lattice.oam.dev/cleanup", &[]),
    ("lattice.oam.dev/workflow-handled", &[]),
];

const OURS: &str = "lattice.oam.dev/";
const SHARED: &str = "experimental.wasmcloud.dev/shared";

pub(super) fn check(manifest: &Manifest, findings: &Findings) {
    check_name(manifest.name, findings);
    if !is_dns_label(manifest.namespace) {
        findings.problem(
            "metadata.namespace",
            format!("{} is not a name of a namespace", quote(manifest.namespace)),
            "use lower-case letters, digits and dashes, at most 63",
        );
    }
    for (kind, map) in [("annotations", manifest.annotations), ("labels", manifest.labels)] {
        let path = join("metadata", kind);
        for (key, value) in map {
            check_entry(&join(&path, key), key, value, findings);
        }
    }
}

/// A Kubernetes name that labels can hold, since revisions and steps are found by it.
fn check_name(name: &str, findings: &Findings) {
    if name.len() > 63 {
        findings.problem(
            "metadata.name",
            format!("{} has {} characters", quote(name), name.len()),
            "at most 63 are allowed",
        );
    } else if !name.split('.').all(is_dns_label) {
        findings.problem(
            "metadata.name",
            format!("{} is not a Kubernetes name", quote(name)),
            "use lower-case letters, digits, - and . between them",
        );
    }
}

fn check_entry(path: &str, key: &str, value: &str, findings: &Findings) {
    if !is_qualified_name(key) {
        findings.problem(
            path,
            "is not a valid key",
            "use letters, digits, - _ and . between them, after an optional DNS name and a slash",
        );
    } else if NOT_YET.contains(&key) {
        findings.problem(path, "is not supported yet", "remove it");
    } else if key == SHARED && value != "false" {
        findings.warning(
            path,
            "has no effect yet, since no Application can use another's components",
            "remove it",
        );
    } else if key == "version" && value == "latest" {
        findings.problem(path, "latest is not a version", "write one that says which, such as v1");
    } else if let Some((_, values)) = OBEYED.iter().find(|(name, _)| *name == key) {
        if !values.is_empty() && !values.contains(&value) {
            findings.problem(
                path,
                format!("{} is not allowed", quote(value)),
                format!("write one of {}", values.join(", ")),
            );
        }
    } else if key.starts_with(OURS) {
        let known = OBEYED.iter().map(|(name, _)| *name);
        let todo = match closest(key, known) {
            Some(known) => format!("did you mean {known}?"),
            None => "remove it".into(),
        };
        findings.problem(path, "is not an annotation of Trellis", todo);
    }
}

/// What Kubernetes takes as a key of labels and annotations: `[prefix/]name`.
fn is_qualified_name(key: &str) -> bool {
    let name = match key.split_once('/') {
        None => key,
        Some((prefix, name)) => {
            if prefix.len() > 253 || !prefix.to_lowercase().split('.').all(is_dns_label) {
                return false;
            }
            name
        }
    };
    let edge = |c: char| c.is_ascii_alphanumeric();
    (1..=63).contains(&name.len())
        && name.starts_with(edge)
        && name.ends_with(edge)
        && name.chars().all(|c| edge(c) || "-_.".contains(c))
}
