use std::{collections::BTreeMap, io};

use serde_json::Value;

use super::{
    Appfile, Problem, Problems, check, component,
    cursor::{At, Fields, Shape, is_empty},
    metadata, policy,
    problem::Findings,
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
    check_size(manifest.spec)?;
    metadata::check(manifest, &findings);
    let at = At::root(manifest.spec, "spec", &findings);
    let (mut components, mut topologies) = (Vec::new(), Vec::new());
    if let Some(spec) = at.object(&SPEC) {
        components = parse_components(&spec);
        topologies = policy::parse(&spec);
        if let Some(workflow) = spec.get("workflow") {
            workflow.problem(
                "a workflow of one's own is not supported yet",
                "remove it; each topology, or else each component, is a step of its own",
            );
        }
        check::names(&spec, &findings);
        check::links(&spec, &components, &findings);
        check::configs(&components, &findings);
    }
    let warnings = findings.finish()?;
    let key = ApplicationKey::new(manifest.namespace, manifest.name);
    Ok(Appfile { key, components, topologies, warnings })
}

fn parse_components(spec: &Fields) -> Vec<super::Component> {
    let Some(at) = spec.need("components", "list at least one component") else {
        return Vec::new();
    };
    if is_empty(at.value) {
        at.problem("is empty", "list at least one component; to stop all, delete the Application");
        return Vec::new();
    }
    at.list().iter().filter_map(component::parse).collect()
}

/// Bounds what the rest has to walk through.
fn check_size(spec: &Value) -> Result<(), Problems> {
    let refuse = |wrong: String, todo: &str| {
        Err(Problems::from(Problem {
            path: "spec".into(),
            wrong,
            todo: todo.into(),
            reason: super::problem::INVALID,
        }))
    };
    if is_deeper(spec, MAX_DEPTH) {
        return refuse(format!("is nested more than {MAX_DEPTH} levels deep"), "write it flatter");
    }
    match bytes(spec) {
        bytes if bytes <= MAX_BYTES => Ok(()),
        bytes => refuse(
            format!("is {} KiB large, of at most {}", bytes.div_ceil(1024), MAX_BYTES / 1024),
            "split it into several Applications",
        ),
    }
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
