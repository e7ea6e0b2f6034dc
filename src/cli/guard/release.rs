//! Whose uninstallation it is.
use std::str::FromStr;

use kube::ResourceExt;

/// The Helm release that is uninstalled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Release {
    pub(super) namespace: String,
    pub(super) name: String,
    /// What Helm counts it as; to go back to it is to go on with it.
    pub(super) revision: u32,
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
        let parts: Vec<_> = text.split('/').collect();
        if let [namespace, name, revision] = parts.as_slice()
            && !namespace.is_empty()
            && !name.is_empty()
            && let Ok(revision) = revision.parse()
        {
            return Ok(Self { namespace: (*namespace).into(), name: (*name).into(), revision });
        }
        Err("a release is written as NAMESPACE/NAME/REVISION")
    }
}
