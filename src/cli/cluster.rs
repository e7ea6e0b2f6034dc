//! The Kubernetes cluster that commands talk to.
use std::time::Duration;

use axum::http::{HeaderValue, header::USER_AGENT};
use kube::Client;

use super::Failure;

/// Who we are in the API server's audit log.
const AGENT: &str = concat!("trellis/", env!("CARGO_PKG_VERSION"));
/// The API server ends a watch after 290 s at the latest, so that a connection which is silent for
/// longer is dead, whatever it looks like.
const WATCH_SILENCE: Duration = Duration::from_secs(310);

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("found no Kubernetes cluster; set KUBECONFIG, or run inside one")]
    Kubeconfig(#[source] kube::config::InferConfigError),
    #[error("could not set up the Kubernetes client")]
    Client(#[source] kube::Error),
}

/// A cluster, and how to speak of it.
pub(super) struct Cluster {
    pub(super) client: Client,
    url: String,
}

impl Cluster {
    /// `failure`, with the API server that it is about.
    pub(super) fn names(&self, failure: Failure) -> Failure {
        match failure {
            Failure::Failed(text) => Failure::Failed(format!("{}: {text}", self.url)),
            other @ (Failure::Refused(_) | Failure::Blocked(_)) => other,
        }
    }
}

/// A client for the cluster of `KUBECONFIG`, or the one that this process runs in.
pub(super) async fn client() -> Result<Client, Error> {
    Ok(reach().await?.client)
}

/// The cluster of `KUBECONFIG`, or the one that this process runs in.
pub(super) async fn reach() -> Result<Cluster, Error> {
    // Whichever TLS user comes first would choose one otherwise; failing means that one is chosen.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut config = kube::Config::infer().await.map_err(Error::Kubeconfig)?;
    config.read_timeout = Some(WATCH_SILENCE);
    config.headers.push((USER_AGENT, HeaderValue::from_static(AGENT)));
    let url = config.cluster_url.to_string();
    let url = url.trim_end_matches('/').to_owned();
    Ok(Cluster { client: Client::try_from(config).map_err(Error::Client)?, url })
}
