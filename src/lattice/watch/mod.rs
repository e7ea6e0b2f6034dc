//! One task a lattice: it alone talks to it, folds what it says, and sends what is submitted.
//!
//! ```text
//! NATS ──▶ task ──fold──▶ Mutex<State> ◀──observed(), submit()── controller
//!            │                 │                                     ▲
//!            └── requests ◀────┘ effects, queue        Change ───────┘
//! ```
//!
//! 1. Nobody waits for the network here: [`Handle::observed`] takes what is there, and
//!    [`Handle::submit`] takes the lanes at once and leaves the sending to the task.
//! 2. Changes are never lost: while the receiver is slow they become one.
//! 3. A lattice that can't be reached holds up none but itself, and says why.

mod arrivals;
mod metrics;
mod queue;
mod refusals;
mod requests;
mod session;
mod state;
mod task;

pub use metrics::Metrics;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::sync::{mpsc, oneshot};

use super::{
    access::Access,
    fence::Fence,
    in_flight::Deadlines,
    inventory::{self, Change, Health, KnownHost, MissedLinks, OnHostLoss, Predecessor},
    line::{Lines, Nats},
};
use crate::{
    lattice::clock,
    model::{
        ApplicationKey, Command, ConfigName, FewOf, HostId, LatticeName, LossPolicy, Moment,
        Observed, WorkloadId,
    },
};
use state::Shared;

/// What one lattice is, and how patient to be with it. [`Settings::new`] has the defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The name of its `Lattice` object.
    pub name: LatticeName,
    /// Its name on the wire.
    pub wire_name: String,
    pub control_prefix: String,
    pub event_prefix: String,
    pub access: Access,
    pub heartbeat_interval: Duration,
    /// After how many unanswered probes in a row a host is unreachable.
    pub missed: u32,
    pub probe_interval: Duration,
    pub loss_grace: Duration,
    pub mass_loss_timeout: Duration,
    /// At most so many commands are on the wire without an outcome.
    pub max_in_flight: usize,
    /// The hosts that were there when an earlier process looked last.
    pub known_hosts: Vec<KnownHost>,
    /// What hosts had missed that were out of reach then.
    pub missed_links: MissedLinks,
    /// What is done about hosts that are lost; the first that matches counts, else `Replace`.
    pub on_host_loss: Vec<OnHostLoss>,
    /// Hosts of which nothing is held, because somebody who may say so gave them up.
    pub forgotten: BTreeSet<HostId>,
    /// The token of the mass loss that somebody who may say so has confirmed.
    pub confirmed_loss: Option<Arc<str>>,
    pub request_timeout: Duration,
    /// How long a start may take, the pull of its image included.
    pub start_deadline: Duration,
}

impl Settings {
    #[must_use]
    pub fn new(name: LatticeName, access: Access) -> Self {
        Self {
            wire_name: name.to_string(),
            name,
            control_prefix: "wasmbus.ctl".to_owned(),
            event_prefix: "wasmbus.evt".to_owned(),
            access,
            heartbeat_interval: Duration::from_secs(30),
            missed: 3,
            probe_interval: Duration::from_secs(4),
            loss_grace: Duration::from_secs(30),
            mass_loss_timeout: Duration::from_mins(15),
            max_in_flight: 200,
            known_hosts: Vec::new(),
            missed_links: MissedLinks::new(),
            on_host_loss: Vec::new(),
            forgotten: BTreeSet::new(),
            confirmed_loss: None,
            request_timeout: REQUEST_TIMEOUT,
            start_deadline: Duration::from_mins(1),
        }
    }

    fn fold(&self) -> inventory::Settings {
        inventory::Settings {
            name: self.name.clone(),
            heartbeat_interval: self.heartbeat_interval,
            missed: self.missed,
            probe_interval: self.probe_interval,
            loss_grace: self.loss_grace,
            mass_loss_timeout: self.mass_loss_timeout,
            known_hosts: self.known_hosts.clone(),
            missed_links: self.missed_links.clone(),
            on_host_loss: self.on_host_loss.clone(),
            forgotten: self.forgotten.clone(),
            confirmed_loss: self.confirmed_loss.clone(),
            deadlines: Deadlines {
                start: self.start_deadline,
                other: OTHER_DEADLINE,
                request: self.request_timeout,
            },
        }
    }

    /// Whether `other` is the same lattice on the wire.
    fn same_lattice(&self, other: &Self) -> bool {
        self.wire_name == other.wire_name
            && self.control_prefix == other.control_prefix
            && self.event_prefix == other.event_prefix
    }
}

/// How long a host may take to answer. What was sent and isn't there after that never will be.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// For whatever pulls no image.
const OTHER_DEADLINE: Duration = Duration::from_secs(15);
/// Orders of the handle to the task; they are rare.
const CONTROLS: usize = 8;

enum Control {
    Update(Box<Settings>, oneshot::Sender<()>),
    Drain(oneshot::Sender<bool>),
    Stop(oneshot::Sender<()>),
}

/// A watched lattice. Clones are the same one; when the last is dropped, the task ends.
#[derive(Debug, Clone)]
pub struct Handle {
    name: LatticeName,
    shared: Arc<Shared>,
    control: mpsc::Sender<Control>,
}

/// Starts to watch a lattice. What changes there is sent to `changes`, in as few pieces as its
/// receiver has time for. Nothing but questions is sent while `fence` is closed.
#[must_use]
pub fn watch(
    settings: Settings,
    fence: Arc<Fence>,
    changes: mpsc::Sender<(LatticeName, Change)>,
) -> Handle {
    watch_over(Arc::new(Nats), settings, fence, changes)
}

/// As [`watch`], over lines that somebody else lays.
#[must_use]
pub fn watch_over(
    lines: Arc<dyn Lines>,
    settings: Settings,
    fence: Arc<Fence>,
    changes: mpsc::Sender<(LatticeName, Change)>,
) -> Handle {
    let (control, orders) = mpsc::channel(CONTROLS);
    let shared = Arc::new(Shared::new(&settings, fence));
    let name = settings.name.clone();
    tokio::spawn(task::run((settings, lines), shared.clone(), changes, orders));
    Handle { name, shared, control }
}

impl Handle {
    #[must_use]
    pub fn name(&self) -> &LatticeName {
        &self.name
    }

    /// What the lattice showed last; costs the copy of a pointer.
    #[must_use]
    pub fn observed(&self) -> Arc<Observed> {
        self.shared.lock().fold.observed().clone()
    }

    /// How many commands failed after their request had got through, by verb.
    #[must_use]
    pub fn failed_commands(&self) -> BTreeMap<&'static str, u64> {
        self.shared.lock().fold.failed().clone()
    }

    /// Takes the lanes of `commands`, and sends them in the background. A command whose lane is
    /// taken, or that the lattice's state forbids by now, is skipped: the plan that asked for it
    /// is older than what is known. How many were taken.
    #[allow(clippy::must_use_candidate, reason = "nobody has to count")]
    pub fn submit(&self, application: &ApplicationKey, commands: Vec<Command>) -> usize {
        let taken = self.shared.lock().submit(application, commands, clock::now());
        self.shared.wake();
        taken
    }

    /// Which configs an Application wants kept read, all of them; they replace those of before.
    pub fn want_configs(&self, application: &ApplicationKey, names: FewOf<ConfigName>) {
        self.shared.lock().want_configs(application, names);
        self.shared.wake();
    }

    /// What an Application's scalers say of lost hosts, all that say anything.
    pub fn want_on_host_loss(
        &self,
        application: &ApplicationKey,
        policies: BTreeMap<WorkloadId, LossPolicy>,
    ) {
        let now = clock::now();
        self.shared.lock().want_on_host_loss(application, Some(policies), now);
        self.shared.wake();
    }

    /// Drops what is kept for an Application, and what waits to be sent for it.
    pub fn forget(&self, application: &ApplicationKey) {
        self.shared.lock().forget(application, clock::now());
        self.shared.wake();
    }

    /// What a `Lattice` reports of itself.
    #[must_use]
    pub fn health(&self) -> Health {
        self.shared.lock().health()
    }

    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    #[must_use]
    pub fn now(&self) -> Moment {
        clock::now()
    }

    /// Begins anew, as after a start: somebody else has sent commands until now.
    pub fn take_over(&self, from: Predecessor) {
        self.shared.lock().take_over(from, clock::now());
        self.shared.wake();
    }

    /// Takes nothing more, and waits until all that was sent has its outcome.
    ///
    /// # Returns
    ///
    /// Whether nothing is under way then, be it of an earlier process.
    pub async fn drain(&self) -> bool {
        let (done, drained) = oneshot::channel();
        self.control.send(Control::Drain(done)).await.is_ok() && drained.await.unwrap_or(false)
    }

    /// Goes on with other settings; connects again if they say so.
    pub async fn update(&self, settings: Settings) {
        let (done, updated) = oneshot::channel();
        if self.control.send(Control::Update(Box::new(settings), done)).await.is_ok() {
            updated.await.ok();
        }
    }

    /// Ends the task: nothing more is taken, what was sent is waited for, up to one request's
    /// time-out.
    pub async fn stop(self) {
        let (done, stopped) = oneshot::channel();
        if self.control.send(Control::Stop(done)).await.is_ok() {
            stopped.await.ok();
        }
    }
}
