//! Runs seeds, and says of those that fail what happened in order.
use std::{
    io,
    process::{Command, ExitCode, Output},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
};

use clap::Parser;
use simulation::{life, stories};
use trellis::telemetry::LogFormat;

#[derive(Parser)]
struct Args {
    /// The first seed.
    #[arg(default_value_t = 0)]
    from: u64,
    /// How many seeds.
    #[arg(default_value_t = 1)]
    count: u64,
    /// Says what happened in those that succeed too.
    #[arg(long)]
    log: bool,
    /// What the operator itself is to log, such as `trellis=debug`.
    #[arg(long)]
    operator: Option<String>,
    /// Runs each twice, and fails if it isn't the same.
    #[arg(long)]
    twice: bool,
    /// Tells one of the stories instead.
    #[arg(long)]
    story: Option<String>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(filter) = &args.operator {
        trellis::telemetry::init(LogFormat::Text, Some(filter));
    }
    let succeeded = match &args.story {
        Some(name) => story(name),
        None if args.count == 1 && !args.twice => alone(args.from, args.log),
        None => all(&args),
    };
    if succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[allow(clippy::print_stdout, reason = "it is what this program is for")]
fn story(name: &str) -> bool {
    let Some(log) = stories::tell(name) else {
        println!("there is no story of that name");
        return false;
    };
    println!("{}", log.join("\n"));
    true
}

#[allow(clippy::print_stdout, reason = "it is what this program is for")]
fn alone(seed: u64, log: bool) -> bool {
    let run = life::run(seed);
    if log || !run.wrong.is_empty() {
        println!("{}", run.log.join("\n"));
    }
    if run.wrong.is_empty() {
        println!("seed {seed} after {:.0?}: all as it should be", run.took);
    } else {
        println!("seed {seed} after {:.0?}: {}", run.took, run.wrong.join("\n"));
    }
    run.wrong.is_empty()
}

/// Runs each seed in a process of its own, because what tokio draws lots with depends on how many
/// runtimes the process had before.
#[allow(clippy::print_stdout, reason = "it is what this program is for")]
fn all(args: &Args) -> bool {
    let next = AtomicU64::new(args.from);
    let failed = Mutex::new(Vec::new());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Relaxed);
            if seed >= args.from + args.count {
                return;
            }
            let (succeeded, said) = one(args, seed);
            if !succeeded || args.log {
                println!("{said}");
            }
            if !succeeded {
                failed.lock().unwrap_or_else(PoisonError::into_inner).push(seed);
            }
        }
    };
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(work);
        }
    });
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!("{} seeds, {} failed: {failed:?}", args.count, failed.len());
    failed.is_empty()
}

/// Whether a seed succeeded, and what it said.
fn one(args: &Args, seed: u64) -> (bool, String) {
    let run = || -> io::Result<Output> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(seed.to_string());
        if args.log || args.twice {
            command.arg("--log");
        }
        if let Some(filter) = &args.operator {
            command.args(["--operator", filter]);
        }
        command.output()
    };
    let text = |output: &Output| {
        let both = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
        String::from_utf8_lossy(&both).into_owned()
    };
    let output = match run() {
        Ok(output) => output,
        Err(error) => return (false, format!("seed {seed}: {error}")),
    };
    let (mut succeeded, mut said) = (output.status.success(), text(&output));
    if args.twice {
        let again = run().map_or_else(|error| error.to_string(), |output| text(&output));
        if let Some(differing) = said.lines().zip(again.lines()).find(|(one, other)| one != other) {
            succeeded = false;
            said = format!("{said}seed {seed}: not the same again: {differing:?}");
        }
    }
    (succeeded, said)
}
