use std::{collections::BTreeMap, io};

use serde_json::Value;

use super::{
    Appfile, Component, Problem, Problems, Shared, check,
    component::{self, Written},
    cursor::{At, Fields, Shape, is_empty},
    document, linkdef, metadata,
    policy::{self, Policies},
    problem::{Findings, INVALID},
    secret,
};
use crate::model::ApplicationKey;

/// The deepest nesting that is read, in levels below `spec`: what an Application can say needs 10.
pub const MAX_DEPTH: usize = 32;
/// The largest spec that is read, in bytes of JSON: a revision has to fit into one object of etcd,
/// which takes 1.5 MiB.
pub const MAX_BYTES: usize = 1024 * 1024;

/// An Application as it was written.
#[derive(Debug, Clone, Copy)]
pub struct Manifest<'a> {
    pub namespace: &'a str,
    pub name: &'a str,
    pub labels: &'a BTreeMap<String, String>,
    pub annotations: &'a BTreeMap<String, String>,
    pub spec: &'a Value,
}

const SPEC: Shape = Shape {
    known: &["components", "policies", "workflow"],
    not_yet: &[],
    elsewhere: &[
        ("rolloutPlan", "was removed from KubeVela", "remove it"),
        ("version", "unknown field", "write it as metadata.annotations.version"),
    ],
};

/// Reads and checks an Application.
///
/// # Errors
///
/// All that is wrong with it, up to a hundred problems.
pub fn parse(manifest: &Manifest) -> Result<Appfile, Problems> {
    let findings = Findings::default();
    let parsed = read(manifest, &findings);
    finish(parsed, findings)
}

/// Reads and checks an Application that is a document of its own, outside Kubernetes: with
/// `apiVersion` and `kind`, and perhaps with a status, which is left aside. Where it names no
/// namespace it is in `namespace`.
///
/// # Errors
///
/// As [`parse`].
pub fn parse_document(document: &Value, namespace: &str) -> Result<Appfile, Problems> {
    let findings = Findings::default();
    let parsed = document::read(&At::root(document, "", &findings), namespace)
        .and_then(|document| read(&document.manifest(), &findings));
    finish(parsed, findings)
}

fn finish(parsed: Option<Appfile>, findings: Findings) -> Result<Appfile, Problems> {
    let warnings = findings.finish()?;
    // Nothing was found wrong, so everything was read.
    parsed.map(|app| Appfile { warnings, ..app }).ok_or_else(|| {
        Problems::from(Problem {
            path: "spec".into(),
            wrong: "could not be read".into(),
            todo: "check it against the documentation".into(),
            reason: INVALID,
        })
    })
}

/// `None` if it is too large or too deep to be walked through.
fn read(manifest: &Manifest, findings: &Findings) -> Option<Appfile> {
    metadata::check(manifest, findings);
    let at = At::root(manifest.spec, "spec", findings);
    if !check_size(&at) {
        return None;
    }
    let (mut components, mut shared, mut policies) = (Vec::new(), Vec::new(), Policies::default());
    if let Some(spec) = at.object(&SPEC) {
        (components, shared) = parse_components(&spec);
        policies = policy::parse(&spec);
        if let Some(workflow) = spec.get("workflow") {
            workflow.problem(
                "a workflow of one's own is not supported yet",
                "remove it (each topology, or else each component, is a step of its own)",
            );
        }
        linkdef::resolve(&spec, &mut components);
        check::names(&spec, findings);
        check::links(&spec, &components, &shared, findings);
        check::configs(&components, &shared, findings);
        secret::check(&components, &policies, findings);
    }
    // Each Application's is kept for as long as it lives.
    components.shrink_to_fit();
    policies.topologies.shrink_to_fit();
    let key = ApplicationKey::new(manifest.namespace, manifest.name);
    Some(Appfile {
        key,
        components,
        shared,
        adopt: metadata::adopt(manifest.annotations),
        sharing: metadata::Sharing::of(manifest.annotations),
        topologies: policies.topologies,
        secret_policies: policies.secrets,
        warnings: Vec::new(),
    })
}

fn parse_components(spec: &Fields) -> (Vec<Component>, Vec<Shared>) {
    let (mut own, mut shared) = (Vec::new(), Vec::new());
    let Some(at) = spec.need("components", "list at least one component") else {
        return (own, shared);
    };
    if is_empty(at.value) {
        at.problem(
            "is empty",
            "list at least one component, or delete the Application to stop all",
        );
        return (own, shared);
    }
    for component in at.list().iter().filter_map(component::parse) {
        match component {
            Written::Own(component) => own.push(component),
            Written::Shared(component) => shared.push(component),
        }
    }
    own.shrink_to_fit();
    (own, shared)
}

/// Bounds what the rest has to walk through.
fn check_size(spec: &At) -> bool {
    if is_deeper(spec.value, MAX_DEPTH) {
        spec.problem(
            format!("is nested more than {MAX_DEPTH} levels deep"),
            "an Application needs no more than ten",
        );
        return false;
    }
    let size = bytes(spec.value);
    if size > MAX_BYTES {
        spec.problem(
            format!(
                "is {} KiB large, and at most {} are read",
                size.div_ceil(1024),
                MAX_BYTES / 1024
            ),
            "split it into several Applications",
        );
    }
    size <= MAX_BYTES
}

/// Whether `value` has more than `levels` levels; looks no deeper than that.
fn is_deeper(value: &Value, levels: usize) -> bool {
    let below = |value: &Value| levels == 0 || is_deeper(value, levels - 1);
    match value {
        Value::Array(items) => items.iter().any(below),
        Value::Object(map) => map.values().any(below),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// The length of its JSON.
fn bytes(value: &Value) -> usize {
    struct Count(usize);
    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.saturating_add(bytes.len());
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    match serde_json::to_writer(&mut count, value) {
        Ok(()) => count.0,
        // Neither a JSON value nor this writer can fail.
        Err(_) => usize::MAX,
    }
}
