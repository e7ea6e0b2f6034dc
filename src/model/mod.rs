//! The shared nouns: what an Application wants, what a lattice shows, and what lies between.
//!
//! ```text
//! Desired ──┐
//!           ├──▶ Plan { now, later, blocked } ──▶ Command ──▶ lattice
//! Observed ─┘
//! ```
//!
//! Everything here is plain data. It reads no clock and talks to nothing; times are [`Moment`]s
//! that the process noted itself, because the clocks of hosts and of events can't be trusted.
//! Maps are ordered, so that equal values print and iterate equally.

mod annotations;
mod command;
mod contended;
mod desired;
mod few;
mod in_flight;
mod marks;
mod moment;
mod name;
mod observed;
mod plan;
mod reach;
mod recent;
mod rollout;
mod runs;
mod unhealthy;

pub use annotations::Annotations;
pub use command::{Command, Lane};
pub use contended::{Contended, Thing};
pub use desired::{
    Adopt, ConfigWanted, Desired, Link, LinkKey, LossPolicy, Scaling, SpreadEntry, Workload,
    WorkloadKind,
};
pub use few::{Few, FewOf, few};
pub use in_flight::{Failure, InFlight, Pending};
pub use marks::{
    APPLICATION, APPSPEC, AskHash, COMPONENT, CONFIRM_LOSS, FORGET_HOST, HASH, INSTALLATION,
    MANAGED_BY, Owner, REVISION, UID,
};
pub use moment::Moment;
pub use name::{ApplicationKey, ConfigName, HostId, LatticeName, NameError, WorkloadId, id_part};
pub use observed::{
    Gate, Host, HostState, Inventory, LinkMap, Links, Observed, RunningComponent, RunningProvider,
    like,
};
pub use plan::{Blocked, HostProgress, Later, Plan, Planned, Progress, Reason, Subject, WaitsFor};
pub use reach::{Labels, Reach, has_all};
pub use recent::Recent;
pub use rollout::{
    Bound, Fill, Layout, REBALANCE_DELAY, Rebalance, Rollout, Strategy, Unsatisfiable,
};
pub use runs::Runs;
pub use unhealthy::{Sign, Unhealthy};
