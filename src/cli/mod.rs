//! The command line.

pub mod check;
mod cluster;
pub mod crds;
pub mod guard;
pub mod plan;
pub mod run;
mod scope;

use std::{
    fmt,
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use clap::{Parser, Subcommand};

/// Runs Open Application Model Applications on wasmCloud lattices.
#[derive(Debug, Parser)]
#[command(name = "trellis", version, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the operator
    Run(run::RunArgs),
    /// Check whether the operator can run in a cluster: exit code 0 if so, 2 if something is in the
    /// way, 1 if that could not be found out
    Check(check::CheckArgs),
    /// Show what Applications would do on a lattice, without doing it
    Plan(plan::PlanArgs),
    /// Print the CustomResourceDefinitions as YAML
    Crds,
    /// Refuse while Applications or Lattices are left that need the operator to be deleted
    Guard(guard::GuardArgs),
    /// Print the version
    Version,
}

/// Why a command ended without doing what it was asked.
#[derive(Debug)]
pub enum Failure {
    /// A manifest is wrong: each problem, with its file. Exit code 2.
    Refused(Vec<String>),
    /// So many findings are in the operator's way; they have been printed. Exit code 2.
    Blocked(usize),
    /// Anything else. Exit code 1.
    Failed(String),
}

impl Failure {
    /// `what` went wrong, and why.
    pub(crate) fn because(what: impl fmt::Display, why: impl fmt::Display) -> Self {
        Self::Failed(format!("{what}: {why}"))
    }

    fn code(&self) -> u8 {
        match self {
            Self::Refused(_) | Self::Blocked(_) => 2,
            Self::Failed(_) => 1,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(lines) => f.write_str(&lines.join("\n")),
            Self::Blocked(1) => f.write_str("1 finding is in the operator's way"),
            Self::Blocked(count) => write!(f, "{count} findings are in the operator's way"),
            Self::Failed(message) => write!(f, "error: {message}"),
        }
    }
}

/// Does what the command line asks.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // Clap's own code for wrong arguments is 2, which here means a manifest that is refused.
        Err(error) => {
            let code = u8::from(error.use_stderr());
            return if error.print().is_ok() { code.into() } else { ExitCode::FAILURE };
        }
    };
    match obey(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Where even this can't be written there is only the exit code left to tell.
            let _ = writeln!(io::stderr(), "{failure}");
            failure.code().into()
        }
    }
}

fn obey(command: Command) -> Result<(), Failure> {
    match command {
        Command::Run(args) => run::run(&args),
        Command::Check(args) => {
            let report = check::check(&args)?;
            print(&report.text)?;
            if report.blocking == 0 { Ok(()) } else { Err(Failure::Blocked(report.blocking)) }
        }
        Command::Plan(args) => {
            let report = plan::plan(&args)?;
            for warning in &report.warnings {
                // A warning that can't be written is no reason to end.
                let _ = writeln!(io::stderr(), "{warning}");
            }
            print(&report.text)
        }
        Command::Crds => {
            let crds = crds::render();
            print(&crds.map_err(|error| Failure::because("could not write YAML", error))?)
        }
        Command::Guard(args) => guard::guard(&args),
        Command::Version => print(&format!("trellis {}\n", env!("CARGO_PKG_VERSION"))),
    }
}

/// Writes to standard output. Who reads it may stop early, as `head` does.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::because("could not write", error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A duration such as `90s`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let duration: jiff::SignedDuration = text.parse().map_err(|e: jiff::Error| e.to_string())?;
    Duration::try_from(duration).map_err(|error| error.to_string())
}
