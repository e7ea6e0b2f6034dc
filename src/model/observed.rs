use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use super::{ConfigName, HostId, InFlight, LatticeName, Link, LinkKey, Moment, WorkloadId};

/// What one lattice showed last. Cheap to clone: hosts are shared.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    pub lattice: LatticeName,
    /// Grows with each change that a plan could depend on.
    pub version: u64,
    pub gate: Gate,
    pub hosts: BTreeMap<HostId, Arc<Host>>,
    pub links: Links,
    /// Three states: no entry, not read yet; `None`, surely absent; `Some`, its values.
    pub configs: BTreeMap<ConfigName, Option<Arc<BTreeMap<String, String>>>>,
    pub in_flight: InFlight,
    /// Until then a start that an earlier process had acknowledged may be under way unseen.
    pub unseen_until: Moment,
}

impl Observed {
    /// A lattice of which nothing is known.
    #[must_use]
    pub fn unknown(lattice: LatticeName) -> Self {
        Self {
            lattice,
            version: 0,
            gate: Gate::Disconnected { why: "not connected yet".into() },
            hosts: BTreeMap::new(),
            links: Links::Unread,
            configs: BTreeMap::new(),
            in_flight: InFlight::default(),
            unseen_until: Moment::default(),
        }
    }
}

/// What may be sent to a lattice now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gate {
    /// No connection: nothing may be sent.
    Disconnected {
        why: Arc<str>,
    },
    /// Some hosts that should be there haven't answered: nothing may be sent.
    Syncing {
        waiting_for: BTreeSet<HostId>,
    },
    /// Whole, but just reconnected: nothing may be taken away.
    Settling,
    /// Most hosts went at once without a word: nothing may be taken away.
    MassLoss {
        lost: usize,
    },
    Open,
}

impl Gate {
    /// Whether anything at all may be sent.
    #[must_use]
    pub fn may_add(&self) -> bool {
        match self {
            Self::Disconnected { .. } | Self::Syncing { .. } => false,
            Self::Settling | Self::MassLoss { .. } | Self::Open => true,
        }
    }

    /// Whether something may be taken away.
    #[must_use]
    pub fn may_remove(&self) -> bool {
        match self {
            Self::Open => true,
            Self::Disconnected { .. }
            | Self::Syncing { .. }
            | Self::Settling
            | Self::MassLoss { .. } => false,
        }
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disconnected { why } => write!(f, "not connected: {why}"),
            Self::Syncing { waiting_for } => {
                write!(f, "waiting for the inventory of {} hosts", waiting_for.len())
            }
            Self::Settling => f.write_str("settling after a reconnect"),
            Self::MassLoss { lost } => {
                write!(f, "{lost} hosts were lost at once; nothing is removed until they return")
            }
            Self::Open => f.write_str("synced"),
        }
    }
}

/// The links of a lattice, which carry no heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Links {
    Unread,
    /// The hosts don't answer with them any more: none may be removed.
    Unreadable,
    Read(Arc<BTreeMap<LinkKey, Link>>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    pub friendly_name: Arc<str>,
    pub version: Arc<str>,
    pub labels: BTreeMap<String, String>,
    pub state: HostState,
    /// When this process first saw it.
    pub joined: Moment,
    /// When the inventory was received; it says nothing of what was acknowledged later.
    pub inventory_at: Moment,
    /// `None`: not received yet, which never means that nothing runs.
    pub inventory: Option<Inventory>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostState {
    /// Its inventory is fresh.
    Ready,
    /// A heartbeat is overdue, or a ping unanswered: it is being asked.
    Suspect,
    /// It answers a ping but shows no inventory: it stays, and gets nothing new.
    Mute,
    /// No answer: what it runs still counts until its grace is over, when it leaves the picture.
    Unreachable,
}

impl HostState {
    /// Whether new work may be placed there.
    #[must_use]
    pub fn takes_work(self) -> bool {
        match self {
            Self::Ready | Self::Suspect => true,
            Self::Mute | Self::Unreachable => false,
        }
    }
}

/// What a host says it runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    pub components: BTreeMap<WorkloadId, RunningComponent>,
    pub providers: BTreeMap<WorkloadId, RunningProvider>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningComponent {
    pub image: Arc<str>,
    pub annotations: BTreeMap<String, String>,
    /// The most instances that it runs at a time: what was asked, not what is busy.
    pub instances: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningProvider {
    /// As the host repeats it: builtin and file references have lost their scheme.
    pub image: Arc<str>,
    pub annotations: BTreeMap<String, String>,
}
