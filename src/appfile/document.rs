//! An Application as a document of its own: what the API server would have checked already.
use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    Manifest,
    cursor::{At, Shape},
};

const API_VERSION: &str = "core.oam.dev/v1beta1";
const KIND: &str = "Application";

const DOCUMENT: Shape = Shape {
    // What `kubectl get` prints has a status.
    known: &["apiVersion", "kind", "metadata", "spec", "status"],
    not_yet: &[],
    elsewhere: &[
        ("components", "belongs below spec", "write it as spec.components"),
        ("policies", "belongs below spec", "write it as spec.policies"),
        ("name", "belongs below metadata", "write it as metadata.name"),
    ],
};

pub(super) struct Document<'a> {
    namespace: String,
    name: &'a str,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    spec: &'a Value,
}

impl Document<'_> {
    pub(super) fn manifest(&self) -> Manifest<'_> {
        Manifest {
            namespace: &self.namespace,
            name: self.name,
            labels: &self.labels,
            annotations: &self.annotations,
            spec: self.spec,
        }
    }
}

/// `None` if there is nothing to go on with.
pub(super) fn read<'a>(at: &At<'a>, namespace: &str) -> Option<Document<'a>> {
    let fields = at.object(&DOCUMENT)?;
    for (key, expected) in [("apiVersion", API_VERSION), ("kind", KIND)] {
        let todo = format!("write {expected}");
        if let Some(at) = fields.need(key, &todo)
            && at.text().is_some_and(|text| text != expected)
        {
            at.problem(format!("is not {expected}"), todo);
        }
    }
    let metadata = fields.need("metadata", "write at least metadata.name")?.fields()?;
    let strings = |key| metadata.get(key).map(|at| at.strings()).unwrap_or_default();
    let (labels, annotations) = (strings("labels"), strings("annotations"));
    let namespace = match metadata.get("namespace") {
        Some(at) => at.text()?,
        None => namespace,
    };
    let name = metadata.need("name", "give it a name");
    let spec = fields.need("spec", "write at least spec.components");
    let name = name?.text()?;
    Some(Document { namespace: namespace.into(), name, labels, annotations, spec: spec?.value })
}
