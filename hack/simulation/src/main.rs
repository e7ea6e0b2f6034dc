//! Runs seeds, and says of those that fail what happened in order.
use std::{process::ExitCode, time::Instant};

use clap::Parser;
use simulation::life;
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
}

#[allow(clippy::print_stdout, reason = "it is what this program is for")]
fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(filter) = &args.operator {
        trellis::telemetry::init(LogFormat::Text, Some(filter));
    }
    let (begun, mut failed) = (Instant::now(), 0);
    for seed in args.from..args.from + args.count {
        let mut run = life::run(seed);
        if args.twice {
            let again = life::run(seed);
            if again.log != run.log {
                let differing = run.log.iter().zip(&again.log).find(|(one, other)| one != other);
                run.wrong.push(format!("not the same again: {differing:?}"));
            }
        }
        if !run.wrong.is_empty() || args.log {
            println!("{}", run.log.join("\n"));
        }
        if !run.wrong.is_empty() {
            failed += 1;
            println!("seed {seed} after {:.0?}: {}", run.took, run.wrong.join("\n"));
        }
    }
    println!("{} seeds, {failed} failed, in {:.1?}", args.count, begun.elapsed());
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
