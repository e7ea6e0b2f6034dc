//! `trellis run`: the controller.
use std::{net::SocketAddr, sync::Arc, time::Duration};

use prometheus_client::registry::Registry;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use super::{
    Failure, cluster, duration,
    scope::{ReplicaArgs, ScopeArgs},
};
use crate::{
    controller::{self, LatticeMetrics, Metrics, Terms, chain},
    lattice::{line::Nats, watch::REQUEST_TIMEOUT},
    preflight::{self, Finding, Severity},
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

    #[command(flatten)]
    scope: ScopeArgs,

    #[command(flatten)]
    replicas: ReplicaArgs,

    /// How long after the acting replica's last sign of life another takes over
    #[arg(long, env = "TRELLIS_LEASE_DURATION", default_value = "15s", value_parser = duration)]
    lease_duration: Duration,

    /// How long a start may take on a host, the pull of its image included; at least 1s, at most 1h
    #[arg(
        long,
        env = "TRELLIS_START_DEADLINE",
        default_value = "60s",
        value_parser = start_deadline
    )]
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
    #[error(transparent)]
    Cluster(#[from] cluster::Error),
    /// Each has been logged.
    #[error("the cluster is not one that the operator can run in: {}", .0.join("; and "))]
    Unfit(Vec<String>),
    #[error("--lease-duration")]
    Lease(#[source] controller::BadTerms),
    #[error("could not listen on {address}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("could not serve health and metrics")]
    Serve(#[source] std::io::Error),
    #[error("could not listen for signals")]
    Signals(#[source] std::io::Error),
    #[error("the controller failed")]
    Controller(#[source] controller::RunError),
}

/// What may be under way unseen is waited for as long, after each crash.
fn start_deadline(text: &str) -> Result<Duration, String> {
    let deadline = duration(text)?;
    if deadline < Duration::from_secs(1) {
        return Err("no host starts anything in that time; give it at least 1s".to_owned());
    }
    if deadline > Duration::from_hours(1) {
        return Err(
            "a start that fails unseen would be waited for as long; give it at most 1h".to_owned()
        );
    }
    Ok(deadline)
}

/// Runs the operator until SIGTERM or SIGINT.
///
/// # Errors
///
/// What keeps it from starting, or what ended it.
pub fn run(args: &RunArgs) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::because("could not start", error))?;
    runtime.block_on(serve(args)).map_err(|error| Failure::Failed(chain(&error)))
}

async fn serve(args: &RunArgs) -> Result<(), Error> {
    telemetry::init(args.log_format, args.log.as_deref());
    let election = args.replicas.leader_elect.then(|| election(args)).transpose()?;
    let kube = cluster::client().await?;
    let stop = stop_on_signals().map_err(Error::Signals)?;

    let metrics = Metrics::default();
    let mut registry = Registry::with_prefix("trellis");
    metrics.register(&mut registry);
    let (lattices, changes) = controller::lattices(!args.replicas.leader_elect, Arc::new(Nats));
    registry.register_collector(Box::new(LatticeMetrics::new(&lattices)));
    let (ready, readiness) = tokio::sync::watch::channel(false);
    let listener = TcpListener::bind(args.http_bind)
        .await
        .map_err(|source| Error::Listen { address: args.http_bind, source })?;
    let address = listener.local_addr().map_err(Error::Serve)?;
    tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "serving health and metrics");
    let router = telemetry::router(Health { registry: Arc::new(registry), ready: readiness });
    let serving = axum::serve(listener, router);

    let scope = args.scope.of_check(&args.namespace, args.replicas.leader_elect);
    let options = controller::Options {
        kube,
        metrics,
        lattices,
        changes,
        start_deadline: args.start_deadline,
        namespace: args.namespace.clone(),
        scope: args.scope.namespaces(),
        class: args.scope.controller_class.clone(),
        instance: args.instance.clone(),
        election,
        ready,
        stop,
    };
    tokio::select! {
        ended = check_and_control(&scope, options) => ended,
        served = async { serving.await } => served.map_err(Error::Serve),
    }
}

async fn check_and_control(
    scope: &preflight::Scope,
    options: controller::Options,
) -> Result<(), Error> {
    tokio::select! {
        checked = check(&options.kube, scope) => checked?,
        () = options.stop.cancelled() => return Ok(()),
    }
    Box::pin(controller::run(options)).await.map_err(Error::Controller)
}

/// Logs what stands in the way. What would make the operator useless or harmful ends it; with
/// anything less it does what it can, and a cluster that can't be looked at may be well.
async fn check(kube: &kube::Client, scope: &preflight::Scope) -> Result<(), Error> {
    let facts = match preflight::read(kube, scope).await {
        Ok(facts) => facts,
        Err(error) => {
            tracing::warn!(error = chain(&error), "could not check the cluster; starting anyway");
            return Ok(());
        }
    };
    let mut fatal = Vec::new();
    for finding in preflight::findings(&facts) {
        let Finding { severity, what, why, fix } = &finding;
        match severity {
            Severity::Unknown => tracing::info!(%severity, what, why, fix, "check"),
            Severity::Warning => tracing::warn!(%severity, what, why, fix, "check"),
            Severity::Fault => tracing::error!(%severity, what, why, fix, "check"),
            Severity::Fatal => {
                tracing::error!(%severity, what, why, fix, "check");
                fatal.push(format!("{what}: {why}; {fix}"));
            }
        }
    }
    if fatal.is_empty() { Ok(()) } else { Err(Error::Unfit(fatal)) }
}

fn election(args: &RunArgs) -> Result<controller::Election, Error> {
    let terms = Terms::new(args.lease_duration, REQUEST_TIMEOUT).map_err(Error::Lease)?;
    Ok(controller::Election { name: args.scope.lease(), terms })
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
