//! Real wasmCloud hosts.

use std::{io, process::ExitStatus, sync::Arc, time::Duration};

use crate::{Nats, NatsClient, Network, Process, Program, Scratch, network, process, programs};

/// An idle machine takes half a second.
const START: Duration = Duration::from_mins(1);
/// How many hosts start within [`START`], in the time that an unoptimized one takes.
const HOSTS_A_SECOND: u32 = 10;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not get the host")]
    Program(#[from] programs::Error),

    #[error("could not make the host's folder")]
    Files(#[from] io::Error),

    #[error(transparent)]
    Process(#[from] process::Error),

    #[error(transparent)]
    Network(#[from] network::Error),
}

/// Something that hosts only do when told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// Providers at `wasmcloud+builtin://http-server`, for components on the same host.
    HttpServer,
    /// Providers at `wasmcloud+builtin://messaging-nats`, for components on the same host.
    MessagingNats,
}

impl Feature {
    fn name(self) -> &'static str {
        match self {
            Self::HttpServer => "builtin-http-server",
            Self::MessagingNats => "builtin-messaging-nats",
        }
    }
}

#[derive(Clone, Debug)]
pub struct HostOptions {
    pub lattice: String,
    pub labels: Vec<(String, String)>,
    /// The server seed (`SN…`) behind the host's id; a new one when `None`.
    pub seed: Option<String>,
    pub heartbeat: Duration,
    pub features: Vec<Feature>,
    /// What the subjects of secrets backends begin with; without it, nothing with a secret starts.
    pub secrets_topic: Option<String>,
    /// Registries (`127.0.0.1:PORT`) to pull from over plain HTTP.
    pub insecure_registries: Vec<String>,
    /// How many hosts the process runs. All but their ids are alike.
    pub count: u16,
    /// Where the process runs; in our own network when `None`.
    pub network: Option<Arc<Network>>,
}

impl Default for HostOptions {
    fn default() -> Self {
        Self {
            lattice: "default".to_owned(),
            labels: Vec::new(),
            seed: None,
            // The real default is 30 s; no test should have to wait for one.
            heartbeat: Duration::from_secs(1),
            features: vec![Feature::HttpServer, Feature::MessagingNats],
            secrets_topic: None,
            insecure_registries: Vec::new(),
            count: 1,
            network: None,
        }
    }
}

/// One process with one host or more. Dropping it kills the providers it started as well.
#[derive(Debug)]
pub struct Host {
    process: Process,
    ids: Vec<String>,
    scratch: Scratch,
}

impl Host {
    /// Starts a host in the lattice and waits until it listens for commands.
    ///
    /// The host library logs in with credentials ([`Auth::Jwt`](crate::Auth::Jwt)) and trusts the
    /// authority of a server's certificate. It ignores a user or token in a URL and knows neither
    /// nkeys alone nor client certificates: servers that want those refuse it.
    pub fn start(nats: &Nats, options: &HostOptions) -> Result<Self, Error> {
        Self::start_as(nats.client(), options)
    }

    /// As [`Host::start`], for a server at `url` that lets everybody in.
    pub fn start_at(url: &str, options: &HostOptions) -> Result<Self, Error> {
        Self::start_as(&NatsClient { url: url.to_owned(), ..NatsClient::default() }, options)
    }

    /// As [`Host::start`], for whatever a client can reach.
    pub fn start_as(client: &NatsClient, options: &HostOptions) -> Result<Self, Error> {
        let HostOptions {
            lattice,
            labels,
            seed,
            heartbeat,
            features,
            secrets_topic,
            insecure_registries,
            count,
            network,
        } = options;
        let scratch = Scratch::new("host")?;
        let program = Program::new("wasmcloud-host", programs::host()?)
            .args([
                "--nats",
                &client.url,
                "--lattice",
                lattice,
                "--allow-file-load",
                "--allow-latest",
            ])
            .args(["--heartbeat", &heartbeat.as_secs_f64().to_string()])
            .args(["--count", &count.to_string()])
            .args(
                labels.iter().flat_map(|(key, value)| ["--label".into(), format!("{key}={value}")]),
            )
            .args(seed.iter().flat_map(|seed| ["--seed", seed]))
            .args(features.iter().flat_map(|feature| ["--feature", feature.name()]))
            .args(secrets_topic.iter().flat_map(|topic| ["--secrets-topic", topic]))
            .args(insecure_registries.iter().flat_map(|at| ["--insecure-registry", at]))
            .args(
                client
                    .credentials
                    .iter()
                    .flat_map(|file| ["--credentials".as_ref(), file.as_os_str()]),
            )
            // Where its TLS library looks for authorities.
            .envs(client.authority.iter().map(|file| ("SSL_CERT_FILE", file)))
            // It caches images by reference there, and unpacks providers.
            .env("TMPDIR", scratch.folder("tmp")?);
        let program = match network {
            Some(network) => network.admit(program)?,
            None => program,
        };
        let mut process = Process::spawn(&program, &scratch.path().join("host.log"))?;
        let limit = START + Duration::from_secs((u32::from(*count) / HOSTS_A_SECOND).into());
        let ids = process.wait_for("it was ready", limit, |process| {
            let log = process.log();
            let ids = log.lines().filter_map(|line| line.strip_prefix("host_id="));
            log.lines().any(|line| line == "ready").then(|| ids.map(str::to_owned).collect())
        })?;
        Ok(Self { process, ids, scratch })
    }

    /// The public key that the host is known by, `N…`; of the first host if there are more.
    #[must_use]
    pub fn id(&self) -> &str {
        self.ids.first().map_or("", String::as_str)
    }

    #[must_use]
    pub fn ids(&self) -> &[String] {
        &self.ids
    }

    /// What the host has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// A host's own folder, where files that it may load can be put.
    #[must_use]
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// SIGTERM: the host says `host_stopped` and ends its providers. Takes up to 2 s.
    pub fn stop(&mut self) -> Result<ExitStatus, Error> {
        Ok(self.process.stop()?)
    }

    /// SIGKILL, to the host and the providers it started: a machine that loses power.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// SIGKILL to the host alone. Its providers go on as orphans until this value is dropped.
    pub fn kill_without_providers(&mut self) {
        self.process.kill_leader();
    }

    /// The host hangs, with its providers, until [`Host::resume`].
    pub fn pause(&self) -> Result<(), Error> {
        Ok(self.process.pause()?)
    }

    pub fn resume(&self) -> Result<(), Error> {
        Ok(self.process.resume()?)
    }
}
