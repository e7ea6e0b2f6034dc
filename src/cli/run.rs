//! `trellis run`: the controller.
use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::http::{HeaderValue, header::USER_AGENT};
use prometheus_client::registry::Registry;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use super::Failure;
use crate::{
    controller::{self, LatticeMetrics, Metrics, chain},
    telemetry::{self, Health, LogFormat},
};

#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// Where /healthz, /readyz and /metrics are served
    #[arg(long, env = "TRELLIS_HTTP_BIND", default_value = "0.0.0.0:8080")]
    http_bind: SocketAddr,

    /// The namespace whose Secrets hold the lattices' credentials
    #[arg(long, env = "POD_NAMESPACE", default_value = "trellis-system")]
    namespace: String,

    /// The only namespaces whose Applications are acted on, separated by commas; without them, all
    #[arg(
        long,
        env = "TRELLIS_WATCH_NAMESPACES",
        value_name = "NAMES",
        value_delimiter = ',',
        value_parser = namespace
    )]
    watch_namespaces: Vec<Option<String>>,

    /// Act only on objects whose annotation lattice.oam.dev/controller-class has this value;
    /// without it, on those that have no such annotation
    #[arg(long, env = "TRELLIS_CONTROLLER_CLASS")]
    controller_class: Option<String>,

    /// How long a start may take on a host, the pull of its image included
    #[arg(long, env = "TRELLIS_START_DEADLINE", default_value = "60s", value_parser = duration)]
    start_deadline: Duration,

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

/// A namespace's name, or none: an empty list has one empty part.
fn namespace(text: &str) -> Result<Option<String>, String> {
    let text = text.trim();
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let edge = |c: char| c != '-';
    match text {
        "" => Ok(None),
        name if name.len() <= 63
            && name.chars().all(inner)
            && name.starts_with(edge)
            && name.ends_with(edge) =>
        {
            Ok(Some(name.to_owned()))
        }
        _ => Err("no namespace is called that".to_owned()),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration: jiff::SignedDuration = text.parse().map_err(|e: jiff::Error| e.to_string())?;
    Duration::try_from(duration).map_err(|error| error.to_string())
}

/// Runs the operator until SIGTERM or SIGINT.
///
/// # Errors
///
/// What keeps it from starting, or what ended it.
pub fn run(args: &RunArgs) -> Result<(), Failure> {
    // Whichever TLS user comes first would choose one otherwise; failing means that one is chosen.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::because("could not start", error))?;
    runtime.block_on(serve(args)).map_err(|error| Failure::Failed(chain(&error)))
}

/// Who we are in the API server's audit log.
const AGENT: &str = concat!("trellis/", env!("CARGO_PKG_VERSION"));
/// The API server ends a watch after 290 s at the latest, so that a connection which is silent for
/// longer is dead, whatever it looks like.
const WATCH_SILENCE: Duration = Duration::from_secs(310);

async fn serve(args: &RunArgs) -> Result<(), Error> {
    telemetry::init(args.log_format, args.log.as_deref());
    let mut config = kube::Config::infer().await.map_err(Error::Kubeconfig)?;
    config.read_timeout = Some(WATCH_SILENCE);
    config.headers.push((USER_AGENT, HeaderValue::from_static(AGENT)));
    let kube = kube::Client::try_from(config).map_err(Error::Client)?;
    let stop = stop_on_signals().map_err(Error::Signals)?;

    let metrics = Metrics::default();
    let mut registry = Registry::with_prefix("trellis");
    metrics.register(&mut registry);
    let (lattices, changes) = controller::lattices();
    registry.register_collector(Box::new(LatticeMetrics::new(&lattices)));
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
        lattices,
        changes,
        start_deadline: args.start_deadline,
        namespace: args.namespace.clone(),
        scope: args.watch_namespaces.iter().flatten().cloned().collect(),
        class: args.controller_class.clone(),
        instance: args.instance.clone(),
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
