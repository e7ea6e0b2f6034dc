//! In which steps an Application is released.

mod generate;

pub use generate::{MODE, Step, StepKind, generate};
