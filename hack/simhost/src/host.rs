//! One host: what it was set up with, what it runs, and what it says it runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Mutex as AsyncMutex, RwLock};
use tokio::time::Instant;

use crate::dispatch::Served;
use crate::lattice::Lattice;
use crate::lock;
use crate::wire::{Link, Map};

/// How one host is set up.
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools, reason = "the real host has as many switches")]
pub struct HostOptions {
    /// A fixed id, as of a host that was given a seed. Otherwise one is made up.
    pub id: Option<String>,
    /// Made up if not given.
    pub friendly_name: Option<String>,
    /// Besides `hostcore.arch`, `hostcore.os` and `hostcore.osfamily`.
    pub labels: Map,
    /// A host older than 1.0 lists its components under `actors`.
    pub version: String,
    /// Whether it was told where secrets are; starts with secrets fail without.
    pub secrets: bool,
    /// Builtin providers it was built with, as `http-server`; refs of others aren't answered.
    pub builtins: BTreeSet<String>,
    /// Whether it bids for components.
    pub component_auction: bool,
    /// Whether it bids for providers.
    pub provider_auction: bool,
    /// If not that of the lattice.
    pub heartbeat_interval: Option<Duration>,
    /// How far its clock is ahead.
    pub clock_skew: Duration,
    /// How much later than others it sees written links.
    pub link_lag: Duration,
    /// Between the answer to `host.stop` and `host_stopped`.
    pub stop_takes: Duration,
    /// Between the request to stop a provider and its answer.
    pub provider_stop_takes: Duration,
    /// Between `provider_started` and the process listening: links that come meanwhile are lost.
    pub provider_boot: Duration,
    /// Whether compiling makes it deaf to everything, pings too: so it happens now and then on a machine
    /// of two cores, when the thread that compiles is the one that the connection was to run on (T13).
    pub deaf_while_compiling: bool,
    /// Before the first health check of a provider.
    pub first_health_check: Duration,
    /// Between two health checks of a provider.
    pub health_interval: Duration,
}

impl Default for HostOptions {
    fn default() -> Self {
        Self {
            id: None,
            friendly_name: None,
            labels: Map::new(),
            version: "1.9.2".to_owned(),
            secrets: true,
            builtins: BTreeSet::new(),
            component_auction: true,
            provider_auction: true,
            heartbeat_interval: None,
            clock_skew: Duration::ZERO,
            link_lag: Duration::ZERO,
            stop_takes: Duration::ZERO,
            provider_stop_takes: Duration::ZERO,
            provider_boot: Duration::ZERO,
            deaf_while_compiling: false,
            first_health_check: Duration::from_secs(5),
            health_interval: Duration::from_secs(30),
        }
    }
}

impl HostOptions {
    /// A host with these labels, everything else by default.
    #[must_use]
    pub fn labelled<const N: usize>(labels: [(&str, &str); N]) -> Self {
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        Self { labels, ..Self::default() }
    }
}

/// What is true of one component on one host, and what the host says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentView {
    /// What the inventory says; not what runs (T1).
    pub image_ref: String,
    /// What the inventory says.
    pub annotations: Map,
    /// From the claims of a signed component.
    pub name: Option<String>,
    /// Asked for and running.
    pub max_instances: u32,
    /// The config list it was last started with, secrets left out: the host compares with this (T4).
    pub config: Vec<String>,
    /// What the inventory says; what runs keeps the limits of its first start.
    pub limits: Option<Map>,
    /// The ref of the code that callers in the same host reach.
    pub loaded: String,
    /// False if callers elsewhere don't reach what the inventory shows (T3).
    pub serving: bool,
    /// How often it was started anew since it first was; each costs it the requests in flight.
    pub restarts: u32,
}

impl ComponentView {
    /// One that was just started: what it tells is what runs.
    pub(crate) fn started(
        image: &str,
        max_instances: u32,
        annotations: Map,
        config: Vec<String>,
        limits: Option<Map>,
    ) -> Self {
        Self {
            image_ref: image.to_owned(),
            annotations,
            name: None,
            max_instances,
            config,
            limits,
            loaded: image.to_owned(),
            serving: true,
            restarts: 0,
        }
    }
}

/// Whether the process of a provider answers when asked for its health.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProviderHealth {
    /// It says it is well.
    #[default]
    Healthy,
    /// It says it isn't.
    Unhealthy,
    /// Nothing answers, as when its restart has failed (T14). It stays in the inventory.
    Gone,
}

/// A link as a provider's process holds it: with the values its configs had when it was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectiveLink {
    /// The link, with the names of its configs.
    pub link: Link,
    /// The values for the source.
    pub source_values: Map,
    /// The values for the target.
    pub target_values: Map,
}

/// One thing a provider's process was told about its links, and whether it listened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// A link it knew nothing of.
    Put(Link),
    /// A link for a peer, namespace, package and name that it has one for: it keeps that (T8).
    Ignored(Link),
    /// A link that came before it was listening.
    Lost(Link),
    /// That a link is gone.
    Del(Link),
}

/// One provider on one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderView {
    /// What the inventory says: in another form than asked for, sometimes (T9).
    pub image_ref: String,
    /// From its archive; a builtin has none.
    pub name: Option<String>,
    /// What it was started with.
    pub annotations: Map,
    /// The config list it was started with.
    pub config: Vec<String>,
    /// The links it goes by.
    pub links: Vec<EffectiveLink>,
    /// All it was told since it started.
    pub told: Vec<Told>,
    /// Whether its process answers.
    pub health: ProviderHealth,
    pub(crate) listens_from: Instant,
    /// Tells this start from others of the same id.
    pub(crate) start: u64,
}

/// What became of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Phase {
    #[default]
    Running,
    /// Alive and cut off: hears nothing, says nothing, looks subscribed.
    Silent,
    /// Alive and cut off, and its subjects are withdrawn, as when a leaf link flaps.
    CutOff,
    /// Dead, and still looks subscribed, as a machine that lost its power does for a while.
    Hung,
    /// Was told to stop: hears nothing more, and has yet to say so.
    Stopping,
    Gone,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) phase: Phase,
    pub(crate) labels: Map,
    pub(crate) components: BTreeMap<String, ComponentView>,
    /// Code that was updated away and goes on answering callers elsewhere (T3).
    pub(crate) leftovers: BTreeMap<String, Vec<String>>,
    pub(crate) providers: BTreeMap<String, ProviderView>,
    pub(crate) pulled: BTreeSet<String>,
    /// Configs it has fetched once, and takes to be there for ever.
    pub(crate) configs: BTreeSet<String>,
    pub(crate) registries: BTreeSet<String>,
    pub(crate) starts: u64,
    pub(crate) inventories: u64,
}

#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) id: String,
    pub(crate) friendly_name: String,
    pub(crate) options: HostOptions,
    pub(crate) born: Instant,
    /// The host's locks on what it runs, held where the real host holds them (T13). The data behind
    /// them is in `state`, so that tests can look without waiting.
    pub(crate) components_lock: RwLock<()>,
    pub(crate) providers_lock: RwLock<()>,
    /// Held while the host is deaf.
    pub(crate) deaf: RwLock<()>,
    pub(crate) served: AsyncMutex<Option<Served>>,
    state: Mutex<State>,
}

impl Host {
    pub(crate) fn new(id: String, friendly_name: String, options: HostOptions) -> Self {
        let mut labels = options.labels.clone();
        for (key, value) in [("arch", "x86_64"), ("os", "linux"), ("osfamily", "unix")] {
            labels.insert(format!("hostcore.{key}"), value.to_owned());
        }
        Self {
            id,
            friendly_name,
            options,
            born: Instant::now(),
            components_lock: RwLock::default(),
            providers_lock: RwLock::default(),
            deaf: RwLock::default(),
            served: AsyncMutex::default(),
            state: Mutex::new(State { labels, ..State::default() }),
        }
    }

    /// Looks at the state or changes it. Never across an `await`.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut lock(&self.state))
    }

    pub(crate) fn phase(&self) -> Phase {
        self.with(|state| state.phase)
    }

    pub(crate) fn hears(&self) -> bool {
        self.phase() == Phase::Running
    }

    pub(crate) fn speaks(&self) -> bool {
        matches!(self.phase(), Phase::Running | Phase::Stopping)
    }

    /// True while NATS believes that somebody listens to the host's subjects.
    pub(crate) fn looks_subscribed(&self) -> bool {
        matches!(self.phase(), Phase::Running | Phase::Silent | Phase::Hung)
    }

    /// True until the process has ended: what was begun goes on, in silence too.
    pub(crate) fn lives(&self) -> bool {
        matches!(self.phase(), Phase::Running | Phase::Silent | Phase::CutOff | Phase::Stopping)
    }

    pub(crate) fn heartbeat_interval(&self, lattice: &Lattice) -> Duration {
        self.options.heartbeat_interval.unwrap_or(lattice.options.heartbeat_interval)
    }
}

/// A host and its lattice: what every handler works on.
#[derive(Debug, Clone)]
pub(crate) struct Cx {
    pub(crate) lattice: Arc<Lattice>,
    pub(crate) host: Arc<Host>,
}

impl Cx {
    /// Changes what runs, and has it counted. Does nothing on a host that has died meanwhile.
    pub(crate) fn change(&self, id: &str, change: impl FnOnce(&mut State)) {
        let instances = self.host.with(|state| {
            if matches!(state.phase, Phase::Gone | Phase::Hung) {
                return None;
            }
            change(state);
            let component = state.components.get(id).map(|component| component.max_instances);
            let provider = state.providers.contains_key(id).then_some(1);
            Some(component.or(provider).unwrap_or(0))
        });
        if let Some(instances) = instances {
            let at = self.lattice.clock.elapsed();
            lock(&self.lattice.census).note(at, &self.host.id, id, instances);
            self.lattice.touch();
        }
    }
}
