use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Json, schema};

/// An Application as it was, complete: what it asks for can be worked out again from this alone.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "core.oam.dev",
    version = "v1beta1",
    kind = "ApplicationRevision",
    plural = "applicationrevisions",
    shortname = "apprev",
    category = "oam",
    category = "wasmcloud",
    namespaced,
    doc = "An Application as it was when it was released.",
    status = "ApplicationRevisionStatus",
    derive = "PartialEq",
    validation = Rule::new("self.spec == oldSelf.spec").message("a revision's spec is what was released, and can't be changed"),
    printcolumn(
        name = "APPLICATION",
        type_ = "string",
        json_path = ".metadata.labels.app\\.oam\\.dev/name"
    ),
    printcolumn(name = "REVISION", type_ = "integer", json_path = ".spec.revision"),
    printcolumn(name = "SUCCEEDED", type_ = "boolean", json_path = ".status.succeeded"),
    printcolumn(name = "AGE", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationRevisionSpec {
    /// N of `{application}-v{N}`.
    pub revision: i64,
    /// SHA-256 of the canonical JSON of `application.spec` and what else this holds.
    pub hash: String,
    /// The Application: `metadata.{name, namespace, labels, annotations}` and `spec`.
    #[schemars(schema_with = "schema::free_form")]
    pub application: Json,
    /// Where it may put something until `status.targets` says where else; written with it, before the
    /// first command goes there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<RevisionTarget>,
    /// The definitions that it was rendered with, by kind and name.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(schema_with = "schema::free_form")]
    pub definitions: Map<String, Value>,
    /// The `Policy` objects that its steps name.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(schema_with = "schema::free_form")]
    pub policies: Map<String, Value>,
    /// The `Workflow` object that it refers to.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(schema_with = "schema::free_form")]
    pub workflow: Map<String, Value>,
    /// Which ids its references to other Applications' components mean.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shared: Vec<SharedReference>,
}

impl ApplicationRevision {
    /// Where it may have put something.
    #[must_use]
    pub fn targets(&self) -> &[RevisionTarget] {
        self.status.as_ref().map_or(&self.spec.targets, |status| &status.targets)
    }

    /// Whether all that only it wanted has been seen gone.
    #[must_use]
    pub fn is_swept(&self) -> bool {
        self.status.as_ref().is_some_and(|status| status.swept)
    }
}

/// A reference to another Application's component, for one target.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(default)]
pub struct SharedReference {
    /// The reference's name in the Application.
    pub component: String,
    pub lattice: String,
    /// The target's.
    pub namespace: String,
    /// `namespace/name` of the Application that shares the component.
    pub application: String,
    /// The component's, on the lattice.
    pub id: String,
}

/// What has become of a revision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ApplicationRevisionStatus {
    /// Where it may have put something, instead of what its spec says; written before the first
    /// command goes there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<RevisionTarget>,
    /// Whether it was seen whole on all of its targets.
    pub succeeded: bool,
    /// Whether all that only it wanted has been seen gone.
    pub swept: bool,
}

#[derive(
    Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(default)]
pub struct RevisionTarget {
    pub lattice: String,
    pub namespace: String,
}
