//! `trellis run`: the controller.
use std::{net::SocketAddr, sync::Arc};

use prometheus_client::registry::Registry;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use crate::{
    controller::{self, Metrics},
    telemetry::{self, Health, LogFormat},
};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where /healthz, /readyz and /metrics are served
    #[arg(long, env = "TRELLIS_HTTP_BIND", default_value = "0.0.0.0:8080")]
    http_bind: SocketAddr,

    /// The namespace whose Secrets hold the lattices' credentials
    #[arg(long, env = "POD_NAMESPACE", default_value = "trellis-system")]
    namespace: String,

    /// Act only on objects whose annotation lattice.oam.dev/controller-class has this value;
    /// without it, on those that have no such annotation
    #[arg(long, env = "TRELLIS_CONTROLLER_CLASS")]
    controller_class: Option<String>,

    /// This process's name in events
    #[arg(long, env = "POD_NAME")]
    instance: Option<String>,

    #[arg(long, env = "TRELLIS_LOG_FORMAT", value_enum, default_value = "text")]
    log_format: LogFormat,

    /// What is logged, such as `info,trellis::lattice=debug`
    #[arg(long, env = "TRELLIS_LOG")]
    log: Option<String>,
}

/// Why the controller could not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("found no Kubernetes cluster; set KUBECONFIG, or run inside one")]
    Kubeconfig(#[source] kube::config::InferConfigError),
    #[error("could not set up the Kubernetes client")]
    Client(#[source] kube::Error),
    #[error("could not listen on {address}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("could not serve health and metrics")]
    Serve(#[source] std::io::Error),
    #[error("could not listen for signals")]
    Signals(#[source] std::io::Error),
    #[error("the controller failed")]
    Controller(#[source] controller::RunError),
}

/// Runs until SIGTERM or SIGINT.
pub async fn run(args: Args) -> Result<(), Error> {
    telemetry::init(args.log_format, args.log.as_deref());
    let config = kube::Config::infer().await.map_err(Error::Kubeconfig)?;
    let kube = kube::Client::try_from(config).map_err(Error::Client)?;
    let stop = stop_on_signals().map_err(Error::Signals)?;

    let metrics = Metrics::default();
    let mut registry = Registry::with_prefix("trellis");
    metrics.register(&mut registry);
    crate::lattice::metrics::register(&mut registry);
    let (ready, readiness) = tokio::sync::watch::channel(false);
    let listener = TcpListener::bind(args.http_bind)
        .await
        .map_err(|source| Error::Listen { address: args.http_bind, source })?;
    let address = listener.local_addr().map_err(Error::Serve)?;
    tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "serving health and metrics");
    let router = telemetry::router(Health { registry: Arc::new(registry), ready: readiness });
    let serving = axum::serve(listener, router);

    let controller = controller::run(controller::Options {
        kube,
        metrics,
        namespace: args.namespace,
        class: args.controller_class,
        instance: args.instance,
        ready,
        stop,
    });
    tokio::select! {
        ended = controller => ended.map_err(Error::Controller),
        served = async { serving.await } => served.map_err(Error::Serve),
    }
}

fn stop_on_signals() -> std::io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stopping = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        stopping.cancel();
    });
    Ok(stop)
}
