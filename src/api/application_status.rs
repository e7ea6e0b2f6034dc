use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Condition, lenient, schema};

/// What Trellis last saw of an Application, in KubeVela's shape, so that its tools read it too.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ApplicationStatus {
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "lenient::or_default")]
    pub status: Option<Phase>,
    /// The `metadata.generation` that all of this was decided on.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "lenient::or_default")]
    pub observed_generation: Option<i64>,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "lenient::or_default")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// One a component and target.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "lenient::or_default")]
    pub services: Vec<Service>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "lenient::or_default")]
    pub workflow: Option<WorkflowStatus>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "lenient::or_default")]
    pub latest_revision: Option<RevisionName>,
    /// Which revision last released each component to each target.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "lenient::or_default")]
    pub released: Vec<Released>,
    /// What runs because of this Application; for readers, it decides nothing.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "lenient::or_default")]
    pub applied_resources: Vec<AppliedResource>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "lenient::or_default")]
    pub summary: Option<Summary>,
    /// The last value of `lattice.oam.dev/reconcile` that was acted on.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "lenient::or_default")]
    pub reconciled: Option<String>,
}

/// How far an Application is; KubeVela's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    Starting,
    Rendering,
    GeneratingPolicy,
    RunningWorkflow,
    WorkflowSuspending,
    WorkflowTerminated,
    WorkflowFailed,
    Running,
    Unhealthy,
    Deleting,
}

/// One component on one target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Service {
    /// The component's.
    pub name: String,
    /// The target's.
    pub namespace: String,
    /// The lattice, under KubeVela's word for it.
    pub cluster: String,
    #[serde(rename = "type")]
    pub type_: String,
    pub healthy: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    pub instances: Instances,
    /// Friendly names of the hosts that run it, at most 20.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub traits: Vec<ServiceTrait>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Instances {
    pub desired: i64,
    /// Observed on hosts as it was asked for.
    pub ready: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ServiceTrait {
    #[serde(rename = "type")]
    pub type_: String,
    pub healthy: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkflowStatus {
    pub app_revision: String,
    /// Such as `StepByStep-DAG`: of the steps, and of their sub-steps.
    pub mode: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    pub suspend: bool,
    pub terminated: bool,
    pub finished: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_time: Option<String>,
    /// Counters and times of steps under way; losing them repeats no finished step.
    #[serde(skip_serializing_if = "Map::is_empty")]
    #[schemars(schema_with = "schema::free_form")]
    pub memory: Map<String, Value>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct StepStatus {
    pub id: String,
    pub name: String,
    #[serde(rename = "type")]
    pub type_: String,
    /// `pending`, `running`, `suspending`, `succeeded`, `failed` or `skipped`.
    pub phase: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_execute_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_execute_time: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "sub_steps")]
    pub sub_steps: Vec<StepStatus>,
}

/// One level of nesting: a schema can't refer to itself.
fn sub_steps(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "array",
        "items": { "type": "object", "x-kubernetes-preserve-unknown-fields": true }
    })
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RevisionName {
    pub name: String,
    pub revision: i64,
    /// SHA-256 of the canonical JSON of what the revision holds.
    pub revision_hash: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Released {
    pub revision: String,
    pub step: String,
    pub lattice: String,
    pub namespace: String,
    pub component: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replica_key: Option<String>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    #[schemars(schema_with = "schema::free_form")]
    pub inputs: Map<String, Value>,
}

/// KubeVela's keys; here the object is a thing on a lattice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AppliedResource {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// `Component`, `Provider`, `Link` or `Config`.
    pub kind: String,
    pub name: String,
    pub namespace: String,
    /// The lattice.
    pub cluster: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creator: Option<String>,
}

/// What the printer columns show.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Summary {
    /// Ready components of all, such as `2/2`.
    pub ready: String,
    /// Names of the lattices.
    pub lattices: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
}
