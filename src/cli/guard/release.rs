//! Whose uninstallation it is.
use std::str::FromStr;

use kube::ResourceExt;

/// The Helm release that is uninstalled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Release {
    pub(super) namespace: String,
    pub(super) name: String,
}

impl Release {
    /// Whether Helm's marks on an object say that it is of this release.
    pub(super) fn has(&self, object: &impl ResourceExt) -> bool {
        let says = |key: &str, value: &String| object.annotations().get(key) == Some(value);
        says("meta.helm.sh/release-name", &self.name)
            && says("meta.helm.sh/release-namespace", &self.namespace)
    }
}

impl FromStr for Release {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
                Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
            }
            Some(_) | None => Err("a release is written as NAMESPACE/NAME"),
        }
    }
}
