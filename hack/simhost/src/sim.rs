//! The lattice as a test holds it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_nats::Client;
use serde_json::{Value, json};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

use crate::bus::Port;
use crate::census::Moment;
use crate::dispatch::{serve_host, serve_shared};
use crate::event::Event;
use crate::fault::Fault;
use crate::handle::HostHandle;
use crate::host::{Cx, Host, HostOptions, Phase};
use crate::image::Images;
use crate::lattice::{Lattice, LatticeOptions};
use crate::line::Line;
use crate::log::{Command, Commands};
use crate::rng::Rng;
use crate::verb::Verb;
use crate::wire::{Link, Map};
use crate::{bucket, heartbeat, ids, lock};

/// What can go wrong with the simulation itself.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// No NATS server answers there.
    #[error("could not connect to NATS")]
    Connect(#[source] async_nats::ConnectError),

    /// The connection is gone.
    #[error("could not subscribe")]
    Subscribe(#[source] async_nats::SubscribeError),

    /// What a test waited for hasn't become true.
    #[error("waited {waited:?} in vain; commands so far: {commands:?}")]
    InVain {
        /// The deadline.
        waited: Duration,
        /// What had arrived, by verb.
        commands: BTreeMap<Verb, usize>,
    },
}

/// A simulated lattice. Clones are handles of the same one; when the last is dropped, all hosts are
/// gone without a word.
#[derive(Debug, Clone)]
pub struct SimLattice {
    pub(crate) inner: Arc<Lattice>,
    guard: Arc<Guard>,
}

#[derive(Debug)]
struct Guard {
    lattice: Arc<Lattice>,
    heartbeats: AbortHandle,
    hosts_so_far: AtomicUsize,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.heartbeats.abort();
        for host in self.lattice.all_hosts() {
            host.with(|state| state.phase = Phase::Gone);
            if let Ok(mut served) = host.served.try_lock() {
                *served = None;
            }
        }
        lock(&self.lattice.hosts).clear();
        if let Ok(mut shared) = self.lattice.shared.try_lock() {
            *shared = None;
        }
    }
}

impl SimLattice {
    /// A lattice without hosts, on a connection of its own.
    pub async fn start(nats_url: &str, options: LatticeOptions) -> Result<Self, SimError> {
        let nats = async_nats::connect(nats_url).await.map_err(SimError::Connect)?;
        Ok(Self::join(nats, options))
    }

    /// A lattice without hosts on this connection, as where credentials are asked for.
    #[must_use]
    pub fn join(nats: Client, options: LatticeOptions) -> Self {
        Self::over(Line::Nats(nats), options)
    }

    /// A lattice without hosts that needs no server: all of it is in this process.
    #[must_use]
    pub fn on_bus(port: Port, options: LatticeOptions) -> Self {
        Self::over(Line::Bus(port), options)
    }

    fn over(line: Line, options: LatticeOptions) -> Self {
        let lattice = Arc::new(Lattice::new(line, options));
        let heartbeats = tokio::spawn(heartbeat::run(lattice.clone())).abort_handle();
        let guard =
            Guard { lattice: lattice.clone(), heartbeats, hosts_so_far: AtomicUsize::default() };
        Self { inner: lattice, guard: Arc::new(guard) }
    }

    /// Starts a host. Once this returns NATS knows its subjects, and `host_started` was sent.
    pub async fn add_host(&self, options: HostOptions) -> Result<HostHandle, SimError> {
        let host = self.boot(options).await?;
        self.inner.line.round_trip().await;
        Ok(host)
    }

    /// Starts `count` hosts, each set up by what `options` gives for its number.
    pub async fn add_hosts(
        &self,
        count: usize,
        options: impl Fn(usize) -> HostOptions,
    ) -> Result<Vec<HostHandle>, SimError> {
        let mut hosts = Vec::with_capacity(count);
        for number in 0..count {
            hosts.push(self.boot(options(number)).await?);
        }
        self.inner.line.round_trip().await;
        Ok(hosts)
    }

    async fn boot(&self, options: HostOptions) -> Result<HostHandle, SimError> {
        let number = self.guard.hosts_so_far.fetch_add(1, Ordering::Relaxed);
        let mut rng = Rng::fork(self.inner.options.seed, &format!("host {number}"));
        let made_up = ids::host_id(&mut rng);
        let id = options.id.clone().unwrap_or(made_up);
        let named = options.friendly_name.clone();
        let name = named.unwrap_or_else(|| format!("simulated-host-{number}"));
        let host = Arc::new(Host::new(id.clone(), name, options));
        lock(&self.inner.hosts).insert(id, host.clone());
        let cx = Cx { lattice: self.inner.clone(), host };
        if self.inner.options.bucket {
            bucket::create(&self.inner).await;
        }
        serve_host(&cx).await?;
        serve_shared(&self.inner).await?;
        self.schedule_heartbeats(&cx);
        let started = json!({
            "friendly_name": cx.host.friendly_name,
            "labels": cx.host.with(|state| state.labels.clone()),
            "uptime_seconds": 0,
            "version": cx.host.options.version,
        });
        cx.emit("host_started", started).await;
        Ok(HostHandle { lattice: self.clone(), cx })
    }

    fn schedule_heartbeats(&self, cx: &Cx) {
        let interval = cx.host.heartbeat_interval(&self.inner);
        let first = if self.inner.options.spread_heartbeats {
            let millis = usize::try_from(interval.as_millis()).unwrap_or(usize::MAX);
            let drawn = lock(&self.inner.rng).below(millis);
            Duration::from_millis(u64::try_from(drawn).unwrap_or(u64::MAX))
        } else {
            interval
        };
        self.inner.heartbeats.add(&cx.host, Instant::now() + first);
    }

    /// A host that isn't gone.
    #[must_use]
    pub fn host(&self, id: &str) -> Option<HostHandle> {
        let host = lock(&self.inner.hosts).get(id).cloned()?;
        let cx = Cx { lattice: self.inner.clone(), host };
        Some(HostHandle { lattice: self.clone(), cx })
    }

    /// All hosts that aren't gone, in the order of their ids.
    #[must_use]
    pub fn hosts(&self) -> Vec<HostHandle> {
        let handle = |host| {
            let cx = Cx { lattice: self.inner.clone(), host };
            HostHandle { lattice: self.clone(), cx }
        };
        self.inner.all_hosts().into_iter().map(handle).collect()
    }

    /// What its name and subjects are.
    #[must_use]
    pub fn options(&self) -> &LatticeOptions {
        &self.inner.options
    }

    /// What its hosts find when they pull.
    #[must_use]
    pub fn images(&self) -> &Images {
        &self.inner.images
    }

    /// Lets something go wrong from now on.
    pub fn inject(&self, fault: Fault) {
        lock(&self.inner.faults).inject(fault);
    }

    /// Ends all that was injected. Hosts that were silenced or killed stay so.
    pub fn heal(&self) {
        lock(&self.inner.faults).heal();
    }

    /// How long the lattice has been there: the clock of [`Command::at`] and [`Moment::at`].
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.inner.clock.elapsed()
    }

    /// Every command that has arrived, in order, also at hosts that don't hear.
    #[must_use]
    pub fn commands(&self) -> Commands {
        Commands(lock(&self.inner.commands).clone())
    }

    /// Looks at the commands so far without copying them.
    pub fn with_commands<T>(&self, look: impl FnOnce(&[Command]) -> T) -> T {
        look(&lock(&self.inner.commands))
    }

    /// Every event that has happened except heartbeats, in order, the lost ones too.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        lock(&self.inner.events).clone()
    }

    /// What was sent while a host was at work on something that it may overtake or undo, in words:
    /// another command for the same id on the same host (T11), or a link of what is being started (T10).
    #[must_use]
    pub fn clashes(&self) -> Vec<String> {
        lock(&self.inner.works).clashes().to_vec()
    }

    /// Whoever sends from now on knows nothing of what was sent before `at`, by the lattice's clock, so
    /// what is sent beside that is no clash.
    pub fn unknown_before(&self, at: Duration) {
        lock(&self.inner.works).unknown_before(at);
    }

    /// The links in the store.
    #[must_use]
    pub fn links(&self) -> Vec<Link> {
        lock(&self.inner.store).links()
    }

    /// How often a host would have lost its connection over an answer too large for the server (T12).
    #[must_use]
    pub fn cut_offs(&self) -> usize {
        self.inner.cut_offs.load(Ordering::Relaxed)
    }

    /// How many records of links are in the gap between being read and being written back.
    #[must_use]
    pub fn records_in_hand(&self) -> usize {
        self.inner.records_in_hand.load(Ordering::Relaxed)
    }

    /// The configs in the store.
    #[must_use]
    pub fn config(&self) -> BTreeMap<String, Map> {
        lock(&self.inner.store).configs().clone()
    }

    /// How much of `id` ran on all hosts together, at each change.
    #[must_use]
    pub fn moments(&self, id: &str) -> Vec<Moment> {
        self.with_moments(id, <[Moment]>::to_vec)
    }

    fn with_moments<T>(&self, id: &str, look: impl FnOnce(&[Moment]) -> T) -> T {
        look(lock(&self.inner.census).moments(id))
    }

    /// How much of `id` runs on all hosts together.
    #[must_use]
    pub fn instances(&self, id: &str) -> u32 {
        self.with_moments(id, |moments| moments.last().map_or(0, |moment| moment.instances))
    }

    /// How much of everything runs on all hosts together; a provider counts as one on each host.
    #[must_use]
    pub fn all_instances(&self) -> u64 {
        lock(&self.inner.census).all()
    }

    /// The most of `id` that ever ran at once on all hosts together.
    #[must_use]
    pub fn most_instances(&self, id: &str) -> u32 {
        let instances = |moments: &[Moment]| moments.iter().map(|moment| moment.instances).max();
        self.with_moments(id, instances).unwrap_or(0)
    }

    /// The most hosts that ever ran `id` at once.
    #[must_use]
    pub fn most_hosts(&self, id: &str) -> usize {
        let hosts = |moments: &[Moment]| moments.iter().map(|moment| moment.hosts).max();
        self.with_moments(id, hosts).unwrap_or(0)
    }

    /// The least of `id` that ran at any moment since `since`, on all hosts together.
    #[must_use]
    pub fn fewest_instances(&self, id: &str, since: Duration) -> u32 {
        self.with_moments(id, |moments| {
            let (before, after) =
                moments.split_at(moments.partition_point(|moment| moment.at <= since));
            let at_start = before.last().map_or(0, |moment| moment.instances);
            after.iter().map(|moment| moment.instances).fold(at_start, u32::min)
        })
    }

    /// The inventory of a host as it would tell it now; `Null` if it is gone.
    #[must_use]
    pub fn inventory(&self, host: &str) -> Value {
        self.host(host).map_or(Value::Null, |host| host.inventory())
    }

    /// The refs of the code that answers calls from elsewhere to `id` on this host.
    #[must_use]
    pub fn code_running(&self, host: &str, id: &str) -> Vec<String> {
        self.host(host).map_or_else(Vec::new, |host| host.code_running(id))
    }

    /// Waits until `holds`, looking again whenever a command arrives or something changes.
    pub async fn wait_until(
        &self,
        deadline: Duration,
        holds: impl Fn(&Self) -> bool,
    ) -> Result<(), SimError> {
        let mut changed = self.inner.watch();
        let waiting = async {
            while !holds(self) {
                // The sender lives as long as `self`.
                let _ = changed.changed().await;
            }
        };
        let in_vain =
            |_| SimError::InVain { waited: deadline, commands: self.commands().by_verb() };
        timeout(deadline, waiting).await.map_err(in_vain)
    }

    /// Puts a config into the store without a word, as if it had been there before.
    pub fn seed_config(&self, name: &str, values: Map) {
        lock(&self.inner.store).put_config(name, values);
    }

    /// Puts a link into the store without a word, as if it had been there before.
    pub fn seed_link(&self, link: Link) {
        let mut store = lock(&self.inner.store);
        let mut record = store.record(&link.source_id).unwrap_or_default();
        let source = link.source_id.clone();
        record.links.push(link);
        store.put_record(&source, record);
    }

    /// Stops all hosts at once without a word, as when the power goes.
    pub async fn power_off(&self) {
        for host in self.hosts() {
            host.kill().await;
        }
    }
}
