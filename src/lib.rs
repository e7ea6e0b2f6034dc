//! Trellis runs Open Application Model `Application`s on wasmCloud lattices.
//!
//! `ARCHITECTURE.md` has the picture, the promises and which module may use which.

pub mod model;
pub mod placement;
