//! Integration tests.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may fail in any way; clippy.toml exempts only functions that are tests"
)]

mod bad_manifests;
mod plan_command;
mod trellis;
