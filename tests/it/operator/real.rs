//! The operator on real hosts. What it brought about is read from the hosts themselves, and asked
//! of what runs there over HTTP and NATS.
use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use parts::{Door, Host, HostOptions, Network, Registry, components, free_ports};
use tokio::task::spawn_blocking;
use trellis::api::Application;
use truth::{Commands, Truth};

use super::stage::{PATIENCE, Stage};

mod caller;
mod drift;
mod faults;
mod legacy;
mod lifecycle;
mod rollout;
mod samples;
mod scaling;
mod secrets;
mod truth;

/// How long a change may take until the hosts are as it says.
const LIMIT: Duration = Duration::from_secs(10);

/// Where NATS is by default.
const NATS_PORT: u16 = 4222;

/// How often is looked where nothing tells.
const POLL: Duration = Duration::from_millis(50);

/// The one registry, with all images in it. Its process ends with this one.
static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
    let registry = Registry::start().unwrap();
    let images = [
        ("hello:1", components::hello("v1")),
        ("hello:2", components::hello("v2")),
        ("signed:1", components::hello("v1").map(|hello| components::signed(&hello).unwrap())),
        ("echo:1", components::echo()),
        ("tiny:1", components::tiny()),
    ];
    for (name, image) in images {
        registry.push_component(name, &image.unwrap()).unwrap();
    }
    let archive = std::fs::read(parts::programs::http_provider().unwrap()).unwrap();
    for name in ["http-server:1", "http-server:2"] {
        registry.push_provider(name, &archive).unwrap();
    }
    registry
});

/// A stage with real hosts.
struct Real {
    stage: Stage,
    /// By name; each has its name as the label `host` and in lines of [`Truth`].
    hosts: BTreeMap<&'static str, Host>,
    /// Where the hosts are, if not in our own network.
    network: Option<Arc<Network>>,
    truth: Truth,
}

impl Real {
    /// A lattice with these hosts, by name and with further labels, and an operator on it.
    async fn start(name: &str, hosts: &[(&'static str, &[(&str, &str)])]) -> Self {
        Self::start_on(Stage::set(name).await, name, hosts).await
    }

    /// As [`Real::start`], for provider processes: their archives take seconds to pull where others
    /// use the processor too. Waits until the operator knows the lattice.
    async fn start_for_providers(name: &str, hosts: &[(&'static str, &[(&str, &str)])]) -> Self {
        let stage = Stage::set(name).await.with_arguments(&["--start-deadline", "8s"]);
        let real = Self::start_on(stage, name, hosts).await;
        real.is_open().await;
        real
    }

    /// As [`Real::start`], with hosts that find NATS at its well-known port: in a network of their
    /// own, where that is free.
    async fn start_with_nats_at_home(
        name: &str,
        hosts: &[(&'static str, &[(&str, &str)])],
    ) -> Self {
        let stage = Stage::set(name).await;
        let registry = port(registry().await);
        let doors = [
            Door { inside: NATS_PORT, outside: stage.nats.port() },
            Door { inside: registry, outside: registry },
        ];
        let network = spawn_blocking(move || Network::start(&doors)).await.unwrap().unwrap();
        Self::start_in(Some(Arc::new(network)), stage, name, hosts).await
    }

    async fn start_on(stage: Stage, name: &str, hosts: &[(&'static str, &[(&str, &str)])]) -> Self {
        Self::start_in(None, stage, name, hosts).await
    }

    async fn start_in(
        network: Option<Arc<Network>>,
        stage: Stage,
        name: &str,
        hosts: &[(&'static str, &[(&str, &str)])],
    ) -> Self {
        let truth = Truth::of(stage.nats.url(), name, registry().await).await;
        let mut real = Self { stage, hosts: BTreeMap::new(), network, truth };
        for (name, labels) in hosts {
            real.join(name, labels).await;
        }
        real.stage.put_lattice(&serde_json::json!({})).await;
        real.stage.start_operator().await;
        real
    }

    /// Starts a further host.
    async fn join(&mut self, name: &'static str, labels: &[(&str, &str)]) {
        let labels = labels.iter().copied().chain([("host", name)]);
        let options = HostOptions {
            labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
            insecure_registries: vec![registry().await.to_owned()],
            network: self.network.clone(),
            secrets_topic: Some(secrets::TOPIC.to_owned()),
            ..HostOptions::default()
        };
        let url = match self.network {
            Some(_) => format!("nats://127.0.0.1:{NATS_PORT}"),
            None => self.stage.nats.url().to_owned(),
        };
        let host = spawn_blocking(move || Host::start_at(&url, &options)).await.unwrap().unwrap();
        self.hosts.insert(name, host);
    }

    /// Waits until the operator knows the lattice, so that what follows is not also its start.
    async fn is_open(&self) {
        self.stage
            .lattice_until("the Lattice to be ready", |lattice| {
                lattice.status.as_ref().is_some_and(|status| {
                    status
                        .conditions
                        .iter()
                        .any(|c| c.type_ == "Ready" && format!("{:?}", c.status) == "True")
                })
            })
            .await;
    }

    /// Waits for something in the operator's log.
    async fn until_log(&self, what: &str, holds: impl Fn(&str) -> bool) {
        self.stage
            .wait(what, async {
                while !holds(&self.stage.log()) {
                    tokio::time::sleep(POLL).await;
                }
            })
            .await;
    }

    /// Everything that the lattice holds, as [`Truth::lines`] says it.
    async fn lines(&self) -> Vec<String> {
        self.truth.lines(self.hosts.iter().map(|(name, host)| (host.id(), *name))).await
    }

    /// Applies a changed manifest and waits until the Application says that it runs; then the
    /// lattice must hold just `expected`, in any order, and all of it within [`LIMIT`].
    async fn becomes(&self, app: &str, manifest: &str, expected: &[impl AsRef<str>]) {
        let took = self.deploys(app, manifest, expected).await;
        assert!(took < LIMIT, "it took {took:?}\n{}", self.stage.log());
    }

    /// As [`Real::becomes`], for as long as it takes to pull the images. How long it took.
    async fn deploys(&self, app: &str, manifest: &str, expected: &[impl AsRef<str>]) -> Duration {
        let start = now();
        self.stage.apply(manifest).await;
        self.stage.settled(app).await;
        let took = start.elapsed();
        eprintln!("{}: the Application was ready after {took:?}", self.stage.name);
        self.holds(expected).await;
        took
    }

    /// The lattice must hold just `expected`, in any order.
    async fn holds<T: AsRef<str>>(&self, expected: &[T]) {
        assert_eq!(self.lines().await, sorted(expected), "{}", self.stage.log());
    }

    /// Waits until the lattice holds just `expected`, in any order. How long it took.
    async fn comes_to_hold(&self, expected: &[impl AsRef<str>]) -> Duration {
        let (start, expected) = (now(), sorted(expected));
        loop {
            let lines = self.lines().await;
            if lines == expected {
                let took = start.elapsed();
                eprintln!("{}: the lattice was right after {took:?}", self.stage.name);
                return took;
            }
            if start.elapsed() > PATIENCE {
                assert_eq!(lines, expected, "{}", self.stage.log());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Deletes the Application; then nothing must be left on the lattice.
    async fn leaves_nothing(&self, app: &str) {
        let start = now();
        self.stage.delete(app).await;
        let took = start.elapsed();
        eprintln!("{}: the Application was gone after {took:?}", self.stage.name);
        self.holds::<&str>(&[]).await;
        assert!(took < LIMIT, "it took {took:?}\n{}", self.stage.log());
    }
}

/// Waits until `http://ADDRESS/` answers 200 with this line.
async fn answers(address: &str, line: &str) {
    let (url, expected) = (format!("http://{address}/"), format!("{line}\n"));
    let served = move || {
        let mut last = None;
        let served = parts::poll(PATIENCE, || {
            last = parts::http::get(&url);
            (last.as_ref()? == &(200, expected.clone())).then_some(())
        });
        assert!(served.is_some(), "{url} answered {last:?} instead of {expected:?}");
    };
    spawn_blocking(served).await.unwrap();
}

/// An address on the loopback interface that nobody listens at.
fn free_address() -> String {
    let [port] = free_ports().unwrap();
    format!("127.0.0.1:{port}")
}

fn port(authority: &str) -> u16 {
    authority.rsplit(':').next().unwrap().parse().unwrap()
}

/// Where [`REGISTRY`] is. Getting it there blocks.
async fn registry() -> &'static str {
    spawn_blocking(|| REGISTRY.authority()).await.unwrap()
}

/// How to refer to an image of [`REGISTRY`].
async fn image(name: &str) -> String {
    format!("{}/{name}", registry().await)
}

/// `lines` with `from` replaced where it stands.
fn with(lines: Vec<String>, from: &str, to: &str) -> Vec<String> {
    lines.into_iter().map(|line| line.replace(from, to)).collect()
}

/// The Application's condition: its status, reason and message.
fn condition<'a>(app: &'a Application, type_: &str) -> Option<(String, &'a str, &'a str)> {
    let condition = app.status.as_ref()?.conditions.iter().find(|c| c.type_ == type_)?;
    let text = |text: &'a Option<String>| text.as_deref().unwrap_or_default();
    Some((format!("{:?}", condition.status), text(&condition.reason), text(&condition.message)))
}

fn sorted(lines: &[impl AsRef<str>]) -> Vec<String> {
    let mut lines: Vec<_> = lines.iter().map(|line| line.as_ref().to_owned()).collect();
    lines.sort();
    lines
}

#[allow(clippy::disallowed_methods, reason = "what is measured here is the real time")]
fn now() -> Instant {
    Instant::now()
}
