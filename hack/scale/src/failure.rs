//! What can go wrong with a measurement.

use std::{error::Error, io};

#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("could not start the Kubernetes API")]
    Cluster(#[from] parts::ClusterError),

    #[error("could not start NATS")]
    Nats(#[from] parts::NatsError),

    #[error(transparent)]
    Process(#[from] parts::ProcessError),

    #[error("could not build what is measured")]
    Programs(#[from] parts::programs::Error),

    #[error("the simulated lattice failed")]
    Lattice(#[from] simhost::SimError),

    #[error("the Kubernetes API refused")]
    Kube(#[from] kube::Error),

    #[error("could not use a file")]
    Files(#[from] io::Error),

    #[error("could not {what}")]
    Step { what: &'static str, source: Box<dyn Error + Send + Sync> },

    #[error("{what}: not within {seconds} s; {seen}")]
    Never { what: String, seconds: u64, seen: String },

    #[error("{0}")]
    Wrong(String),
}

impl Failure {
    pub(crate) fn step<E: Into<Box<dyn Error + Send + Sync>>>(
        what: &'static str,
    ) -> impl FnOnce(E) -> Self {
        move |source| Self::Step { what, source: source.into() }
    }
}
