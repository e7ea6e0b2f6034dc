//! Integration tests: real API server, real NATS, and real hosts where it matters.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can't go on says so by panicking"
)]

mod lattice;
mod layers;
