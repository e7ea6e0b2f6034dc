//! What the simulated host promises: one test a trap, a fault, or a line of the wire's tables.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod components;
mod conformance;
mod crowd;
mod faults;
mod hosts;
mod links;
mod providers;
mod real;
mod support;
