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

pub mod cache;
mod clock;
mod process;
pub mod programs;
mod progress;
mod scratch;
pub mod toolchain;
mod watchdog;

pub use clock::poll;
pub use process::{Error as ProcessError, Process, Program};
pub use programs::prepare;
pub use scratch::Scratch;
