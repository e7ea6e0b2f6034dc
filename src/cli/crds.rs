//! `trellis crds`: the CustomResourceDefinitions, as YAML.
use kube::CustomResourceExt;

use crate::api::{Application, ApplicationRevision, Lattice};

/// All kinds that Trellis defines, one YAML document each.
///
/// # Errors
///
/// A schema that YAML can't hold, which would be a mistake in `api`.
pub fn render() -> Result<String, serde_saphyr::ser::Error> {
    [Application::crd(), ApplicationRevision::crd(), Lattice::crd()]
        .iter()
        .map(|crd| serde_saphyr::to_string(crd).map(|yaml| format!("---\n{yaml}")))
        .collect()
}
