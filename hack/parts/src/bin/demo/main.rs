//! `demo PATH_OF_TRELLIS` runs an Application for real, on nothing but this machine.
//!
//! Starts a Kubernetes API, NATS, a registry, a wasmCloud host and the operator, applies one
//! Application, and shows what its component answers over HTTP. Stays up until Ctrl-C, or ends at
//! once when `DEMO_ONCE=1`.
//!
//! With `DEMO_KUBECONFIG` the cluster of that file is used instead, and what the demo made there is
//! deleted at the end. A plain `KUBECONFIG` is not taken for such a wish: in many shells it names a
//! cluster that people work with.

mod kubernetes;
mod stage;

use std::{env, path::PathBuf, process::ExitCode, sync::Arc, thread};

use kubernetes::Made;
use stage::Stage;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

fn main() -> ExitCode {
    let Some(trellis) = env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: demo PATH_OF_TRELLIS");
        return ExitCode::from(2);
    };
    let made = Arc::new(Made::default());
    let ended = play(trellis, &made);
    // While the operator still runs: it has to finish the deletion of its Application.
    made.delete();
    match ended {
        // Returning would wait for a thread that may be in the middle of a step. The parts end
        // with this process in any case.
        Ended::Interrupted => std::process::exit(130),
        Ended::Done(stage) => {
            drop(stage);
            ExitCode::SUCCESS
        }
        Ended::Failed(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

enum Ended {
    /// With everything that still runs.
    Done(Box<Stage>),
    Failed(String),
    /// By Ctrl-C or SIGTERM.
    Interrupted,
}

/// Plays the demo on a thread of its own, so that a signal is noticed at every step of it.
fn play(trellis: PathBuf, made: &Arc<Made>) -> Ended {
    let made = Arc::clone(made);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Ended::Failed(format!("could not listen for signals: {error}")),
    };
    runtime.block_on(async {
        let (mut interrupt, mut terminate) =
            match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
                (Ok(interrupt), Ok(terminate)) => (interrupt, terminate),
                (Err(error), _) | (_, Err(error)) => {
                    return Ended::Failed(format!("could not listen for signals: {error}"));
                }
            };
        let (tell, outcome) = oneshot::channel();
        thread::spawn(move || tell.send(Stage::play(&trellis, &made)).is_ok());
        let stage = tokio::select! {
            outcome = outcome => match outcome {
                Ok(Ok(stage)) => Box::new(stage),
                Ok(Err(error)) => return Ended::Failed(parts::chain(&error)),
                Err(_) => return Ended::Failed("the demo broke off".to_owned()),
            },
            _ = interrupt.recv() => return Ended::Interrupted,
            _ = terminate.recv() => return Ended::Interrupted,
        };
        if env::var_os("DEMO_ONCE").is_some_and(|once| once == "1") {
            return Ended::Done(stage);
        }
        println!("\nCtrl-C ends all of it.");
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        println!();
        Ended::Done(stage)
    })
}
