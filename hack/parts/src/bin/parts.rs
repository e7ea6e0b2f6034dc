//! `cargo run -p parts -- prepare` builds what tests and the demo need, ahead of them.

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    if !env::args().skip(1).eq(["prepare"]) {
        eprintln!("usage: parts prepare");
        return ExitCode::from(2);
    }
    if let Err(error) = parts::prepare() {
        eprintln!("parts: {}", parts::chain(&error));
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
