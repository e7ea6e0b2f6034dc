use std::borrow::Cow;

use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{ApplicationStatus, Json, schema};

/// What an Application asks for, as it was written.
///
/// It is kept as raw JSON, because a typed value would drop the fields that it doesn't know, and
/// nothing that a user wrote may be ignored silently: `appfile` reads it and refuses by path. The
/// schema is that of [`SpecSchema`].
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "core.oam.dev",
    version = "v1beta1",
    kind = "Application",
    plural = "applications",
    shortname = "app",
    category = "oam",
    category = "wasmcloud",
    category = "all",
    namespaced,
    doc = "Components, what they are linked to, and on which lattices they run.",
    status = "ApplicationStatus",
    derive = "PartialEq",
    selectable = ".status.status",
    printcolumn(name = "PHASE", type_ = "string", json_path = ".status.status"),
    printcolumn(name = "READY", type_ = "string", json_path = ".status.summary.ready"),
    printcolumn(name = "LATTICES", type_ = "string", json_path = ".status.summary.lattices"),
    printcolumn(name = "REVISION", type_ = "string", json_path = ".status.latestRevision.name"),
    printcolumn(name = "AGE", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "STEP",
        type_ = "string",
        json_path = ".status.workflow.message",
        priority = 1
    ),
    printcolumn(
        name = "MESSAGE",
        type_ = "string",
        json_path = ".status.summary.message",
        priority = 1
    )
)]
#[serde(transparent)]
pub struct ApplicationSpec(pub Json);

impl JsonSchema for ApplicationSpec {
    fn schema_name() -> Cow<'static, str> {
        "ApplicationSpec".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        SpecSchema::json_schema(generator)
    }
}

/// What an Application asks for. Fields that aren't known are kept, and refused by path in the
/// status.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct SpecSchema {
    /// What runs: components and capabilities.
    #[serde(default)]
    pub components: Option<Vec<ComponentSpec>>,
    /// Where it runs: `topology`. Where its secrets come from: `policy.secret.wasmcloud.dev/v1alpha1`.
    /// Other types are refused for now.
    #[serde(default)]
    pub policies: Option<Vec<PolicySpec>>,
    /// Steps of one's own, refused for now. Without them: a step a topology, or else a component.
    #[serde(default)]
    #[x_kube(validation = Rule::new("!has(self.ref) || self.ref == '' || !has(self.steps) || size(self.steps) == 0")
        .message("workflow has both ref and steps; keep one of them"))]
    pub workflow: Option<WorkflowSpec>,
}

/// A component or a capability.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct ComponentSpec {
    /// Unique in the Application.
    pub name: String,
    /// `component`, `capability`, or the name of a definition.
    #[serde(rename = "type")]
    pub type_: String,
    /// What the type takes: `image`, `id`, `config`, `secrets`, `limits {maxMemory}` and so on.
    #[serde(default)]
    #[schemars(schema_with = "schema::free_form")]
    pub properties: Option<Map<String, Value>>,
    /// Names of components that must run first.
    #[serde(default)]
    pub depends_on: Option<Vec<String>>,
    #[serde(default)]
    pub inputs: Option<Vec<DependencyInput>>,
    #[serde(default)]
    pub outputs: Option<Vec<DependencyOutput>>,
    /// How it scales and what it is linked to.
    #[serde(default)]
    pub traits: Option<Vec<TraitSpec>>,
    /// Read, and without effect here.
    #[serde(default)]
    #[schemars(schema_with = "schema::free_form")]
    pub scopes: Option<Map<String, Value>>,
    /// Read, and without effect here.
    #[serde(default)]
    pub external_revision: Option<String>,
    #[serde(default)]
    pub replica_key: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct TraitSpec {
    /// `spreadscaler`, `daemonscaler`, `link`, or the name of a definition.
    #[serde(rename = "type")]
    pub type_: String,
    /// Of a scaler: `instances`, `spread`, `onHostLoss`, `rollout {strategy, maxUnavailable,
    /// maxSurge, maxFailedHosts}`; of a `spreadscaler` also `placement`, `whenUnsatisfiable`,
    /// `rebalance` and `rebalanceDelay`. Of a link: `target`, `source`, `namespace`, `package`,
    /// `interfaces`, `name`.
    #[serde(default)]
    #[schemars(schema_with = "schema::free_form")]
    pub properties: Option<Map<String, Value>>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct PolicySpec {
    /// How steps name it; `{type}-auto-gen-{index}` without one.
    #[serde(default)]
    pub name: Option<String>,
    #[serde(rename = "type")]
    pub type_: String,
    #[serde(default)]
    #[schemars(schema_with = "schema::free_form")]
    pub properties: Option<Map<String, Value>>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct WorkflowSpec {
    /// A `Workflow` object in the same namespace, instead of steps.
    #[serde(default, rename = "ref")]
    pub ref_: Option<String>,
    #[serde(default)]
    pub mode: Option<ModeSpec>,
    #[serde(default)]
    pub steps: Option<Vec<StepSpec>>,
}

/// `StepByStep` or `DAG`, for the steps and for their sub-steps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct ModeSpec {
    #[serde(default)]
    pub steps: Option<String>,
    #[serde(default)]
    pub sub_steps: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct StepSpec {
    #[serde(flatten)]
    pub step: SubStepSpec,
    /// Of a `step-group`: how its sub-steps run.
    #[serde(default)]
    pub mode: Option<String>,
    /// Of a `step-group`.
    #[serde(default)]
    pub sub_steps: Option<Vec<SubStepSpec>>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct SubStepSpec {
    /// Unique over steps and sub-steps; `step-{i}` without one.
    #[serde(default)]
    pub name: Option<String>,
    #[serde(rename = "type")]
    pub type_: String,
    #[serde(default)]
    pub meta: Option<StepMeta>,
    /// A CUE expression; the step is skipped where it is false.
    #[serde(default, rename = "if")]
    pub if_: Option<String>,
    /// Counts from the first run: `30s`, `5m`, `1h30m`, `1d`.
    #[serde(default)]
    pub timeout: Option<String>,
    #[serde(default)]
    pub depends_on: Option<Vec<String>>,
    #[serde(default)]
    pub inputs: Option<Vec<DependencyInput>>,
    #[serde(default)]
    pub outputs: Option<Vec<DependencyOutput>>,
    #[serde(default)]
    #[schemars(schema_with = "schema::free_form")]
    pub properties: Option<Map<String, Value>>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct StepMeta {
    #[serde(default)]
    pub alias: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct DependencyInput {
    pub from: String,
    #[serde(default)]
    pub parameter_key: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct DependencyOutput {
    pub name: String,
    pub value_from: String,
}
