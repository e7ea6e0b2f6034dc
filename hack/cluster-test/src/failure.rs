//! What can go wrong with a step.

use std::{io, path::PathBuf};

#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(
        "KUBECONFIG names a cluster, but REGISTRY doesn't say from which registry it pulls images: \
         set it to one that `crane` may push to and that needs no login to pull from, such as \
         registry.example/trellis-test; or unset KUBECONFIG for a cluster of this test's own"
    )]
    NoRegistry,

    #[error(
        "the cluster has a {kind} {name} already, which this test would remove: give it a cluster \
         without Trellis or KubeVela"
    )]
    InUse { kind: &'static str, name: &'static str },

    #[error(transparent)]
    Namespaces(#[from] parts::node::NamespacesError),

    #[error("could not start the node")]
    Node(#[from] parts::NodeError),

    #[error(transparent)]
    Kubectl(#[from] parts::KubectlError),

    #[error("could not get helm")]
    Programs(#[from] parts::programs::Error),

    #[error(transparent)]
    Helm(#[from] parts::toolchain::Error),

    #[error("could not make an image")]
    Image(#[from] parts::images::Error),

    #[error("could not make the component")]
    Component(#[from] parts::components::Error),

    #[error(transparent)]
    Process(#[from] parts::ProcessError),

    #[error("could not use the test's folder")]
    Files(#[from] io::Error),

    #[error("could not read {path}")]
    Unreadable { path: PathBuf, source: io::Error },

    #[error("could not reach the lattice's NATS server")]
    Nats(#[source] Box<dyn std::error::Error + Send + Sync>),

    #[error("kubectl said what is no JSON")]
    Json(#[from] serde_json::Error),

    #[error("{seconds} s passed before {what}; {seen}")]
    Never { what: String, seconds: u64, seen: String },

    #[error("{0}")]
    Wrong(String),
}

impl Failure {
    pub(crate) fn nats(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Nats(error.into())
    }
}
