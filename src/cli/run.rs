//! `trellis run`: the operator.
use clap::Args;

use super::Failure;

#[derive(Debug, Args)]
pub struct RunArgs {}

/// Runs until it is told to stop.
///
/// # Errors
///
/// What keeps it from starting.
pub fn run(_: &RunArgs) -> Result<(), Failure> {
    Err(Failure::Failed("the operator isn't part of this build yet".into()))
}
