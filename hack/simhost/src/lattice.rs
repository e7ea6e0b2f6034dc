//! What the hosts of one simulated lattice have in common.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::Subject;
use tokio::sync::watch;

use crate::census::Census;
use crate::clock::Clock;
use crate::dispatch::Served;
use crate::event::Event;
use crate::fault::{Effect, Faults, Occasion};
use crate::heartbeat::Heartbeats;
use crate::host::Host;
use crate::image::Images;
use crate::line::Line;
use crate::lock;
use crate::log::Command;
use crate::rng::Rng;
use crate::store::Store;
use crate::work::Works;

/// How a simulated lattice is set up. The defaults are those of a real host, only faster.
#[derive(Debug, Clone)]
pub struct LatticeOptions {
    /// One token of a subject.
    pub name: String,
    /// What its control subjects begin with.
    pub control_prefix: String,
    /// What its event subjects begin with.
    pub event_prefix: String,
    /// Between two heartbeats of a host, and before the first.
    pub heartbeat_interval: Duration,
    /// Whether the first heartbeat comes at a random moment of the first interval, as in a lattice
    /// whose hosts weren't all started at once.
    pub spread_heartbeats: bool,
    /// What a first pull of an image takes unless [`Images::slow`] says otherwise.
    pub default_pull: Duration,
    /// Between reading a record of links and writing it back, for a put or a del (T5).
    pub store_gap: Duration,
    /// The same for a start of what the record is of (T10).
    pub start_gap: Duration,
    /// Whether records of links are kept in a bucket of the server's JetStream too, as real hosts do.
    pub bucket: bool,
    /// How much later hosts see a written link than it is acknowledged.
    pub link_lag: Duration,
    /// What asking the secrets backend takes, with the host's lock held (T13).
    pub secret_fetch: Duration,
    /// Where all chance comes from.
    pub seed: u64,
}

impl Default for LatticeOptions {
    fn default() -> Self {
        Self {
            name: "default".to_owned(),
            control_prefix: "wasmbus.ctl".to_owned(),
            event_prefix: "wasmbus.evt".to_owned(),
            heartbeat_interval: Duration::from_secs(30),
            spread_heartbeats: false,
            default_pull: Duration::from_millis(1),
            store_gap: Duration::from_millis(1),
            start_gap: Duration::from_millis(1),
            bucket: false,
            link_lag: Duration::from_millis(1),
            secret_fetch: Duration::from_millis(1),
            seed: 0,
        }
    }
}

impl LatticeOptions {
    /// A lattice of this name, everything else by default.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// What every control subject of this lattice begins with, without the last dot.
    pub(crate) fn control_subject(&self) -> String {
        format!("{}.v1.{}", self.control_prefix, self.name)
    }

    pub(crate) fn event_subject(&self, event: &str) -> String {
        format!("{}.{}.{event}", self.event_prefix, self.name)
    }
}

#[derive(Debug)]
pub(crate) struct Lattice {
    pub(crate) line: Line,
    pub(crate) options: LatticeOptions,
    pub(crate) clock: Clock,
    pub(crate) images: Images,
    pub(crate) hosts: Mutex<BTreeMap<String, Arc<Host>>>,
    pub(crate) store: Mutex<Store>,
    pub(crate) faults: Mutex<Faults>,
    pub(crate) commands: Mutex<Vec<Command>>,
    pub(crate) events: Mutex<Vec<Event>>,
    pub(crate) census: Mutex<Census>,
    pub(crate) works: Mutex<Works>,
    pub(crate) rng: Mutex<Rng>,
    pub(crate) ids: Mutex<Rng>,
    pub(crate) heartbeats: Heartbeats,
    /// The subjects that all hosts share; served as long as any host is subscribed.
    pub(crate) shared: tokio::sync::Mutex<Option<Served>>,
    /// Records of links that were read and are about to be written back (T5, T10).
    pub(crate) records_in_hand: AtomicUsize,
    /// Answers for which the server would have ended a host's connection.
    pub(crate) cut_offs: AtomicUsize,
    changed: watch::Sender<()>,
}

impl Lattice {
    pub(crate) fn new(line: Line, options: LatticeOptions) -> Self {
        let seed = options.seed;
        let (changed, _) = watch::channel(());
        Self {
            line,
            clock: Clock::start(),
            images: Images::new(options.default_pull),
            hosts: Mutex::default(),
            store: Mutex::default(),
            faults: Mutex::new(Faults::new(Rng::fork(seed, "faults"))),
            commands: Mutex::default(),
            events: Mutex::default(),
            census: Mutex::default(),
            works: Mutex::default(),
            rng: Mutex::new(Rng::fork(seed, "lattice")),
            ids: Mutex::new(Rng::fork(seed, "ids")),
            heartbeats: Heartbeats::default(),
            shared: tokio::sync::Mutex::default(),
            records_in_hand: AtomicUsize::new(0),
            cut_offs: AtomicUsize::new(0),
            changed,
            options,
        }
    }

    /// Every host that isn't gone, in the order of ids.
    pub(crate) fn all_hosts(&self) -> Vec<Arc<Host>> {
        lock(&self.hosts).values().cloned().collect()
    }

    /// Wakes whoever waits for something to be true.
    pub(crate) fn touch(&self) {
        self.changed.send_replace(());
    }

    pub(crate) fn watch(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    pub(crate) fn strike<T>(
        &self,
        occasion: &Occasion<'_>,
        kind: impl Fn(&Effect) -> Option<T>,
    ) -> Option<T> {
        lock(&self.faults).strike(occasion, kind)
    }

    /// Publishes, unless it is too large: then the real host's client refuses an event as well, and
    /// what is left is a line in the host's log.
    pub(crate) async fn publish(&self, subject: Subject, payload: Vec<u8>) {
        if payload.len() <= self.line.max_payload() {
            self.line.publish(subject, payload).await;
        }
    }

    /// Answers. What is too large is sent by the real host's client, and its server ends the
    /// connection for it (T12); the hosts here share one, so that is only counted.
    pub(crate) async fn answer(&self, subject: Subject, payload: Vec<u8>) {
        if payload.len() > self.line.max_payload() {
            self.cut_offs.fetch_add(1, Ordering::Relaxed);
        }
        self.publish(subject, payload).await;
    }
}
