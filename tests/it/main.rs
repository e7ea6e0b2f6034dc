//! Integration tests: real API server, real NATS, and real hosts where it matters.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can't go on says so by panicking"
)]

mod bad_manifests;
mod chart;
mod check;
#[cfg(target_os = "linux")]
mod image;
mod lattice;
mod layers;
mod operator;
mod permissions;
mod plan_command;
mod readme;
mod trellis;
