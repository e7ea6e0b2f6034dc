//! Bodies and answers as the host reads and writes them.
//!
//! Written anew from the wire, on purpose without the operator's types: were they shared, a field
//! that is wrong in both would be right in every test. Which fields may be left out is part of the
//! behaviour: a scale without `count` is a scale to 0.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Annotations, labels, and the values of one config.
pub type Map = BTreeMap<String, String>;

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Scale {
    #[serde(default)]
    pub(crate) component_ref: String,
    pub(crate) component_id: String,
    #[serde(default)]
    pub(crate) annotations: Option<Map>,
    #[serde(default)]
    pub(crate) count: u32,
    #[serde(default)]
    pub(crate) component_limits: Option<Map>,
    #[serde(default)]
    pub(crate) host_id: String,
    #[serde(default)]
    pub(crate) config: Vec<String>,
    #[serde(default)]
    pub(crate) allow_update: bool,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Update {
    #[serde(default)]
    pub(crate) component_id: String,
    #[serde(default)]
    pub(crate) annotations: Option<Map>,
    #[serde(default)]
    pub(crate) host_id: String,
    #[serde(default)]
    pub(crate) new_component_ref: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ComponentAuction {
    #[serde(default)]
    pub(crate) component_ref: String,
    /// Must be there and is then not looked at: the real host reads the ref in its place.
    #[serde(rename = "component_id")]
    pub(crate) _component_id: String,
    pub(crate) constraints: Map,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ProviderAuction {
    #[serde(default)]
    pub(crate) provider_ref: String,
    pub(crate) provider_id: String,
    pub(crate) constraints: Map,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct StartProvider {
    pub(crate) provider_id: String,
    #[serde(default)]
    pub(crate) provider_ref: String,
    #[serde(default)]
    pub(crate) host_id: String,
    #[serde(default)]
    pub(crate) config: Vec<String>,
    #[serde(default)]
    pub(crate) annotations: Option<Map>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct StopProvider {
    #[serde(default)]
    pub(crate) host_id: String,
    #[serde(default, alias = "provider_ref")]
    pub(crate) provider_id: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct StopHost {
    #[serde(default)]
    pub(crate) host_id: String,
    #[serde(default, rename = "timeout")]
    pub(crate) _timeout: Option<u64>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct PutLabel {
    pub(crate) key: String,
    pub(crate) value: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct DelLabel {
    pub(crate) key: String,
}

/// One link, as it travels and as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Link {
    /// The component or provider that calls.
    pub source_id: String,
    /// The component or provider that is called.
    pub target: String,
    /// `default` unless one source has several links for one interface.
    #[serde(default = "default_name")]
    pub name: String,
    /// As `wasi` in `wasi:http/incoming-handler`.
    pub wit_namespace: String,
    /// As `http` in `wasi:http/incoming-handler`.
    pub wit_package: String,
    /// As `incoming-handler` in `wasi:http/incoming-handler`.
    pub interfaces: Vec<String>,
    /// Names of configs for the source.
    #[serde(default)]
    pub source_config: Vec<String>,
    /// Names of configs for the target.
    #[serde(default)]
    pub target_config: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct DelLink {
    pub(crate) source_id: String,
    #[serde(default = "default_name")]
    pub(crate) name: String,
    pub(crate) wit_namespace: String,
    pub(crate) wit_package: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct RegistryCredential {
    #[serde(rename = "registryType", default)]
    pub(crate) _registry_type: String,
}

fn default_name() -> String {
    "default".to_owned()
}

/// The envelope of every answer. There is no `response` key when there is none.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Reply {
    success: bool,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<Value>,
}

impl Reply {
    pub(crate) fn done(message: impl Into<String>) -> Self {
        Self { success: true, message: message.into(), response: None }
    }

    pub(crate) fn with(response: Value) -> Self {
        Self { success: true, message: String::new(), response: Some(response) }
    }

    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self { success: false, message: message.into(), response: None }
    }
}

/// Reads a body or gives the refusal that says what it should have been.
pub(crate) fn read<T: DeserializeOwned>(payload: &[u8], what: &str) -> Result<T, Reply> {
    serde_json::from_slice(payload)
        .map_err(|_| Reply::refused(format!("failed to deserialize {what}")))
}

/// The data of `component_scaled`.
pub(crate) fn scaled(host: &str, id: &str, image: &str, count: u32, annotations: &Map) -> Value {
    json!({
        "annotations": annotations,
        "component_id": id,
        "host_id": host,
        "image_ref": image,
        "max_instances": count,
    })
}
