//! The chart, rendered by a real Helm.
mod first_lattice;
mod guarded;
mod harm;
mod release;
mod site;
mod values;

use std::{path::PathBuf, process::Command};

use parts::programs;
use serde_json::Value;

/// What every rendering needs.
const IMAGE: &str = r#"image.repository="registry.example/trellis""#;

pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("charts/trellis")
}

/// What Helm prints, or what it says is wrong.
pub(crate) fn helm(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(programs::helm().unwrap()).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if output.status.success() {
        Ok(text(output.stdout))
    } else {
        // What the linter finds it prints as its result.
        Err(text(output.stdout) + &text(output.stderr))
    }
}

/// The manifest of a release of the chart, hooks included.
pub(crate) fn template(
    release: &str,
    namespace: &str,
    values: &[String],
) -> Result<String, String> {
    let folder = folder();
    let given = values.iter().flat_map(|value| ["--set-json", value.as_str()]);
    let arguments = ["template", release, folder.to_str().unwrap(), "--namespace", namespace];
    let image = ["--set-json", IMAGE];
    let all: Vec<_> = arguments.into_iter().chain(image).chain(given).collect();
    helm(&all)
}

/// The objects of a release of the chart.
pub(crate) fn objects(release: &str, namespace: &str, values: &[String]) -> Vec<Value> {
    let manifest = template(release, namespace, values).unwrap();
    let objects: Vec<Value> = serde_saphyr::from_multiple(&manifest).unwrap();
    objects.into_iter().filter(|object| !object.is_null()).collect()
}
