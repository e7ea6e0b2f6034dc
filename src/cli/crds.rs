//! `trellis crds`: the CustomResourceDefinitions, as YAML.

/// All kinds that Trellis defines, one YAML document each.
///
/// # Errors
///
/// A schema that YAML can't hold, which would be a mistake in `api`.
pub fn render() -> Result<String, serde_saphyr::ser::Error> {
    crate::api::crds()
        .iter()
        .map(|crd| serde_saphyr::to_string(crd).map(|yaml| format!("---\n{yaml}")))
        .collect()
}
