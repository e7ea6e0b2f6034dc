//! `cargo run -p parts -- prepare` builds what tests and the demo need, ahead of them.

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["prepare"] => match parts::prepare() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("parts: {}", parts::chain(&error));
                ExitCode::FAILURE
            }
        },
        _ => {
            eprintln!("usage: parts prepare");
            ExitCode::from(2)
        }
    }
}
