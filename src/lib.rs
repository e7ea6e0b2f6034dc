//! Trellis runs Open Application Model `Application`s on wasmCloud lattices.
//!
//! `ARCHITECTURE.md` has the picture, the promises and which module may use which.

pub mod api;
pub mod appfile;
pub mod cli;
pub mod controller;
pub mod lattice;
pub mod model;
pub mod placement;
pub mod preflight;
pub mod telemetry;
pub mod workflow;
