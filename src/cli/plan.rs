//! `trellis plan`: what Applications would do on a lattice, without doing it.
//!
//! It needs no Kubernetes: manifests come from files, the lattice from a file or over NATS.

mod documents;

use std::path::PathBuf;

use clap::Args;

use super::Failure;
use crate::model::LatticeName;

#[derive(Debug, Args)]
pub struct PlanArgs {
    /// Manifests in YAML or JSON; - is standard input. Applications, and the Lattices they name
    #[arg(short, long = "file", required = true, num_args = 1.., value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The lattice that Applications without a topology go to, and that is shown
    #[arg(long, value_name = "NAME")]
    lattice: Option<LatticeName>,
    /// Look at that lattice through this NATS server, such as nats://127.0.0.1:4222
    #[arg(long, value_name = "URL", conflicts_with = "inventory")]
    nats: Option<String>,
    /// What that lattice shows, as JSON: hosts, links and config; empty if neither is given
    #[arg(long, value_name = "FILE")]
    inventory: Option<PathBuf>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
pub enum Output {
    #[default]
    Text,
    Json,
}

/// What would be done, as text.
///
/// # Errors
///
/// A manifest that is refused, or something that can't be read.
pub fn plan(args: &PlanArgs) -> Result<String, Failure> {
    let _ = documents::read(&args.files)?;
    Ok(String::new())
}
