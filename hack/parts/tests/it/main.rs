//! The parts themselves, started for real.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(clippy::tests_outside_test_module, reason = "an integration test")]

mod auth;
mod cluster;
mod control;
mod exits;
mod hosts;
#[cfg(target_os = "linux")]
mod images;
