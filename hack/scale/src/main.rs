//! How the operator bears many hosts and Applications, and how it compares with wadm. All servers
//! are real, the hosts are simulated, everything runs on this machine and ends with this process.

mod alone;
mod beside;
mod control;
mod failure;
mod figures;
mod kubernetes;
mod lattices;
mod nats;
mod size;
mod trellis;
mod usage;
mod wadm;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::{failure::Failure, size::Size};

#[derive(Debug, Parser)]
#[command(about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The operator with many hosts and Applications, against its bars
    Alone {
        /// The operator, built with optimizations
        program: PathBuf,
        #[command(flatten)]
        size: Size,
    },
    /// What `alone` compares the operator with, and starts by itself
    #[command(hide = true)]
    Echo { nats: String },
    /// The operator and wadm, one after the other, on one lattice
    Beside {
        /// The operator, built with optimizations
        program: PathBuf,
        #[command(flatten)]
        size: Size,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("scale: {}", parts::chain(&failure));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    // Nobody else has chosen one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            Command::Alone { program, size } => alone::measure(&program, size).await,
            Command::Beside { size: Size { lattices: 2.., .. }, .. } => {
                Err(Failure::Wrong("wadm minds one lattice: --lattices 1".to_owned()))
            }
            Command::Echo { nats } => control::echo(&nats).await,
            Command::Beside { program, size } => beside::measure(&program, size).await,
        }
    })
}
