//! Runs real wasmCloud v1 hosts, one or many in a process, for tests and the demo.
//!
//! Prints `host_id=N…` for each host and then `ready`. SIGTERM and Ctrl-C stop all hosts as an
//! operator's shutdown would: each says `host_stopped` to its lattice and ends its providers. A
//! host that is stopped over the lattice ends alone, and the process ends with the last one.

use std::{
    collections::HashMap,
    future::Future,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use clap::Parser;
use futures::{StreamExt as _, TryStreamExt as _, future::try_join_all, stream};
use nkeys::KeyPair;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use url::Url;
use wasmcloud_host::{
    OciConfig,
    wasmbus::{Features, Host, HostConfig},
};

/// How many hosts connect at the same time; more only makes them wait for each other.
const STARTING_AT_ONCE: usize = 16;

/// Runs real wasmCloud v1 hosts until SIGTERM.
#[derive(Parser)]
struct Options {
    /// The NATS server, for the control interface as well as for calls.
    #[arg(long, default_value = "nats://127.0.0.1:4222")]
    nats: Url,
    /// A file with the token and the seed that the server wants, as `nsc` writes it.
    #[arg(long)]
    credentials: Option<PathBuf>,
    #[arg(long, default_value = "default")]
    lattice: String,
    /// `KEY=VALUE`, repeatable.
    #[arg(long = "label", value_parser = parse_label)]
    labels: Vec<(String, String)>,
    /// The server seed (`SN…`) behind the host's id; a new one when absent.
    #[arg(long)]
    seed: Option<String>,
    /// Seconds between heartbeats; fractions are fine.
    #[arg(long, default_value_t = 30.0)]
    heartbeat: f64,
    /// Let `file://` references be loaded.
    #[arg(long)]
    allow_file_load: bool,
    /// Let images tagged `latest` be pulled.
    #[arg(long)]
    allow_latest: bool,
    /// A registry (`HOST:PORT`) that may be spoken to over plain HTTP, repeatable.
    #[arg(long = "insecure-registry")]
    insecure_registries: Vec<String>,
    /// An experimental feature such as `builtin-http-server`, repeatable.
    #[arg(long = "feature")]
    features: Vec<String>,
    /// What the subjects of secrets backends begin with; without it, nothing with a secret starts.
    #[arg(long)]
    secrets_topic: Option<String>,
    /// How many hosts this process runs; all but their ids are alike.
    #[arg(long, default_value_t = 1)]
    count: u16,
}

fn parse_label(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .ok_or_else(|| "a label is KEY=VALUE".to_owned())
}

impl Options {
    /// The keys behind the hosts' ids, one a host.
    fn host_keys(&self) -> anyhow::Result<Vec<KeyPair>> {
        let Some(seed) = &self.seed else {
            return Ok((0..self.count).map(|_| KeyPair::new_server()).collect());
        };
        ensure!(self.count == 1, "one seed cannot be the id of more than one host");
        Ok(vec![KeyPair::from_seed(seed).context("the seed is not one")?])
    }

    fn host_config(&self, host_key: KeyPair, login: Option<&Login>) -> HostConfig {
        let token = login.map(|login| login.token.clone());
        let key = login.map(|login| Arc::clone(&login.key));
        HostConfig {
            ctl_jwt: token.clone(),
            ctl_key: key.clone(),
            rpc_jwt: token,
            rpc_key: key,
            ctl_nats_url: self.nats.clone(),
            rpc_nats_url: self.nats.clone(),
            lattice: self.lattice.as_str().into(),
            labels: self.labels.iter().cloned().collect::<HashMap<_, _>>(),
            host_key: Some(Arc::new(host_key)),
            heartbeat_interval: Some(Duration::from_secs_f64(self.heartbeat)),
            allow_file_load: self.allow_file_load,
            oci_opts: OciConfig {
                allow_latest: self.allow_latest,
                allowed_insecure: self.insecure_registries.clone(),
                ..OciConfig::default()
            },
            secrets_topic_prefix: self.secrets_topic.clone(),
            experimental_features: self
                .features
                .iter()
                .map(|name| Features::from(name.as_str()))
                .sum(),
            // What hosts of the release that this library belongs to say of themselves.
            version: "1.9.2".to_owned(),
            ..HostConfig::default()
        }
    }
}

/// What proves to a NATS server who connects.
struct Login {
    token: String,
    key: Arc<KeyPair>,
}

impl Login {
    /// Takes the first line of each of the two sections of a credentials file.
    fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).context("cannot read the credentials")?;
        let section = |title: &str| {
            let mut lines = text.lines().skip_while(|line| !line.contains(title));
            lines.nth(1).with_context(|| format!("the credentials have no section {title}"))
        };
        let key = KeyPair::from_seed(section("BEGIN USER NKEY SEED")?)
            .context("the credentials have no valid seed")?;
        Ok(Self { token: section("BEGIN NATS USER JWT")?.to_owned(), key: Arc::new(key) })
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()),
        )
        .with_writer(std::io::stderr)
        .init();
    let options = Options::parse();
    ensure!(options.heartbeat > 0.0, "the heartbeat must be longer than 0 s");
    let keys = options.host_keys()?;
    let login = options.credentials.as_deref().map(Login::read).transpose()?;
    let ids: Vec<_> = keys.iter().map(KeyPair::public_key).collect();

    // Registered before the first host: a SIGTERM while hosts start must stop them as well.
    let stop = stop_signal()?;
    let hosts: Vec<_> = stream::iter(keys)
        .map(|key| Host::new(options.host_config(key, login.as_ref())))
        .buffered(STARTING_AT_ONCE)
        .try_collect()
        .await
        .context("a host did not start")?;
    for id in ids {
        println!("host_id={id}");
    }
    println!("ready");

    try_join_all(hosts.into_iter().map(|(host, shutdown)| run(host, shutdown, stop.clone())))
        .await?;
    Ok(())
}

/// Turns true on the first SIGTERM or Ctrl-C.
fn stop_signal() -> anyhow::Result<watch::Receiver<bool>> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
    let (tell, stop) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tell.send_replace(true);
        // Held open: receivers take a closed channel for an error.
        tell.closed().await;
    });
    Ok(stop)
}

/// Keeps one host until the process or this host is told to stop, then shuts it down.
async fn run(
    host: Arc<Host>,
    shutdown: impl Future<Output = anyhow::Result<()>>,
    mut stop: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    tokio::select! {
        signal = stop.wait_for(|stop| *stop) => { signal.context("lost the signal listener")?; }
        stopped = host.stopped() => { stopped.context("lost the host")?; }
    }
    drop(host);
    shutdown.await.context("the host did not shut down cleanly")
}
