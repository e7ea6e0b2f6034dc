//! The CustomResourceDefinitions of all kinds, each marked with what it was made from.
use std::fmt;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use sha2::{Digest, Sha256};

use super::{Application, ApplicationRevision, Lattice};

/// The annotation that says which Trellis a CustomResourceDefinition is of, as `0.1.0+1f2e3d4c5b6a`.
pub const MARK: &str = "lattice.oam.dev/crd-version";

/// Keeps Helm from deleting a definition, whichever release no longer has it: all objects of its kind
/// would go with it, those of other installations too.
const KEPT: (&str, &str) = ("helm.sh/resource-policy", "keep");

/// So much of a hash tells one schema from another.
const BYTES: usize = 6;

/// Which Trellis a CustomResourceDefinition is of: the version, and a hash of what it defines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    pub version: String,
    pub hash: String,
}

impl Mark {
    /// The mark that `crd` carries; what it defines may be another's all the same, applied over ours.
    #[must_use]
    pub fn of(crd: &CustomResourceDefinition) -> Option<Self> {
        let text = crd.metadata.annotations.as_ref()?.get(MARK)?;
        let (version, hash) = text.split_once('+').unwrap_or((text, ""));
        Some(Self { version: version.to_owned(), hash: hash.to_owned() })
    }

    /// Major, minor and patch; `None` if it isn't written so.
    #[must_use]
    pub fn numbers(&self) -> Option<[u64; 3]> {
        let release = self.version.split('-').next()?;
        let numbers: Vec<u64> =
            release.split('.').map(str::parse).collect::<Result<_, _>>().ok()?;
        numbers.try_into().ok()
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.version, self.hash)
    }
}

/// All that this version defines.
#[must_use]
pub fn crds() -> Vec<CustomResourceDefinition> {
    [Application::crd(), ApplicationRevision::crd(), Lattice::crd()].map(marked).into()
}

fn marked(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    // A value that can't be JSON would be a mistake in the types, and hashes as nothing.
    let spec = serde_json::to_vec(&crd.spec).unwrap_or_default();
    let digest = Sha256::digest(spec);
    let digits = digest.iter().take(BYTES).flat_map(|byte| [byte >> 4, byte & 15]);
    let hash = digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect();
    let mark = Mark { version: env!("CARGO_PKG_VERSION").into(), hash };
    let annotations = crd.metadata.annotations.get_or_insert_default();
    annotations.insert(MARK.into(), mark.to_string());
    annotations.insert(KEPT.0.into(), KEPT.1.into());
    crd
}
