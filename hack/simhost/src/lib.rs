//! A simulated wasmCloud 1.9.2 host for tests: the whole control interface over a real NATS server,
//! with the traps of the real host built in and faults on demand.
//!
//! ```text
//!            ┌────────────── one NATS connection ──────────────┐
//! requests ──▶ dispatch ─▶ component | provider | link | admin │─▶ answers
//!            │                 │            │           │      │
//!            │              host state    store       images   │
//!            │                 └─── event ◀─┴── heartbeat ─────│─▶ events
//!            └─────────────────────────────────────────────────┘
//! tests ─────▶ SimLattice, HostHandle: faults in; commands, links, what really runs out
//! ```
//!
//! It shares no type with the operator, so that each checks the other, and [`conformance`] is what
//! checks this one: a script that runs on a real host too and must read the same.
//!
//! ```no_run
//! # async fn a_test(nats_url: &str) -> Result<(), simhost::SimError> {
//! use simhost::{Fault, HostOptions, LatticeOptions, SimLattice, Verb};
//! use std::time::Duration;
//!
//! let lattice = SimLattice::start(nats_url, LatticeOptions::named("blue")).await?;
//! let hosts = lattice.add_hosts(100, |_| HostOptions::labelled([("zone", "a")])).await?;
//! lattice.inject(Fault::fail_start("no luck").at(hosts[0].id()).times(1));
//! hosts[1].lose_machine();
//! // … an operator at work …
//! lattice.wait_until(Duration::from_secs(10), |it| it.instances("web") == 5).await?;
//! assert_eq!(lattice.most_instances("web"), 5);
//! assert!(lattice.commands().of(Verb::ComponentUpdate).is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! 1. *Answers first*: a scale or a start is acknowledged before anything is fetched (T11).
//! 2. *Truth apart from report*: what a host says it runs ([`HostHandle::inventory`]) and what
//!    answers there ([`HostHandle::code_running`]) are kept apart, because they differ (T1, T3).
//! 3. *Repeatable*: all chance comes from [`LatticeOptions::seed`], all time from tokio.

mod admin;
mod bucket;
mod bus;
mod census;
mod claims;
mod clock;
mod component;
mod config;
pub mod conformance;
mod dispatch;
mod event;
mod fault;
mod handle;
mod heartbeat;
mod host;
mod ids;
mod image;
mod inventory;
mod lattice;
mod line;
mod link;
mod log;
mod provider;
mod rng;
mod sim;
mod store;
mod verb;
mod wire;
mod work;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use bus::{Bus, Fate, Passing, Port, RequestError, Subscription};
pub use census::Moment;
pub use dispatch::round_trip;
pub use event::Event;
pub use fault::{ANY_EVENT, Fault};
pub use handle::HostHandle;
pub use host::{ComponentView, EffectiveLink, HostOptions, ProviderHealth, ProviderView, Told};
pub use image::Images;
pub use lattice::LatticeOptions;
pub use log::{Command, Commands};
pub use sim::{SimError, SimLattice};
pub use verb::Verb;
pub use wire::{Link, Map};

/// Locks, also after a panic elsewhere: a test that failed should say its own error, not this one.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
