//! The real parts that tests, benches and the demo run against: a Kubernetes API server, NATS, an
//! OCI registry and wasmCloud hosts.
//!
//! ```text
//! programs ──▶ toolchain, cache         build once, keyed by what it is made from
//!    │
//! Cluster  Nats  Registry  Host         start, wait until ready, say how to reach it
//!    └──────┴───────┴───────┘
//!        Process, Scratch ──▶ watchdog  ended and removed on every exit path
//! ```
//!
//! 1. *Nothing is assumed to be there* but Rust, Go and a C compiler.
//! 2. *Nothing is shared*: every part has a port and a folder of its own.
//! 3. *Nothing is left behind*, however the process that started it ends.
//!
//! Everything blocks. Call it from a plain thread, or from `spawn_blocking` in async code.

mod cable;
pub mod cache;
mod clock;
mod cluster;
pub mod components;
pub mod debian;
mod host;
pub mod http;
pub mod images;
mod kubectl;
mod nats;
mod network;
pub mod node;
mod oci;
mod pki;
mod process;
pub mod programs;
mod progress;
mod registry;
mod scratch;
mod token;
pub mod toolchain;
mod watchdog;

pub use cable::Cable;
pub use clock::{Stopwatch, poll};
pub use cluster::{Cluster, ClusterOptions, Error as ClusterError, free_ports};
pub use host::{Error as HostError, Feature, Host, HostOptions};
pub use kubectl::{Error as KubectlError, Kubectl};
pub use nats::{
    Auth, Client as NatsClient, Error as NatsError, Nats, NatsOptions, User as NatsUser,
};
pub use network::{Door, Error as NetworkError, Network};
pub use node::{Error as NodeError, Node};
pub use pki::{Error as PkiError, Identity};
pub use process::{Error as ProcessError, Process, Program};
pub use programs::prepare;
pub use registry::{Error as RegistryError, Registry};
pub use scratch::Scratch;

/// `error` and all that caused it, on one line. Errors here name their own step only.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
}
