//! `metadata`: the name, and the annotations and labels that mean something.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Manifest,
    cursor::join,
    name::is_dns_label,
    problem::Findings,
    suggest::{closest, quote},
};
use crate::model::Adopt;

/// Annotations and labels that ask for something this version doesn't do. Each would otherwise be
/// ignored silently.
const NOT_YET: &[&str] = &[
    "lattice.oam.dev/deploy",
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
    (ADOPT, &["true", "wadm", "restamp", "false"]),
    (PAUSED, &["true", "false"]),
    (SHARED, &["true", "false"]),
    (SHARED_WITH, &[]),
    ("lattice.oam.dev/cleanup", &[]),
    ("lattice.oam.dev/workflow-handled", &[]),
];

const OURS: &str = "lattice.oam.dev/";
/// Takes up what others started under ids of this Application.
const ADOPT: &str = "lattice.oam.dev/adopt";
/// Nothing is changed while it is `"true"`.
pub const PAUSED: &str = "lattice.oam.dev/paused";
/// wadm's: other Applications may link to and from the components.
const SHARED: &str = "experimental.wasmcloud.dev/shared";
/// Other namespaces than its own whose Applications may, with commas between them; `*` means all.
const SHARED_WITH: &str = "lattice.oam.dev/shared-with";

/// What an Application's annotations say it takes up.
pub(super) fn adopt(annotations: &BTreeMap<String, String>) -> Adopt {
    match annotations.get(ADOPT).map(String::as_str) {
        Some("true") => Adopt::Any,
        Some("wadm") => Adopt::Wadm,
        Some("restamp") => Adopt::Restamp,
        Some(_) | None => Adopt::Nothing,
    }
}

/// Who may use an Application's components.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sharing {
    pub shared: bool,
    /// Namespaces beside its own; `*` is all.
    pub with: BTreeSet<Arc<str>>,
}

impl Sharing {
    /// What the annotations of an Application say.
    #[must_use]
    pub fn of(annotations: &BTreeMap<String, String>) -> Self {
        let with = annotations.get(SHARED_WITH).map_or("", String::as_str).split(',');
        let with = with.map(str::trim).filter(|name| !name.is_empty()).map(Into::into).collect();
        Self { shared: annotations.get(SHARED).is_some_and(|shared| shared == "true"), with }
    }

    /// Whether an Application in `theirs` may use components of one in `own`.
    #[must_use]
    pub fn admits(&self, own: &str, theirs: &str) -> bool {
        self.shared && (own == theirs || self.with.contains("*") || self.with.contains(theirs))
    }
}

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
