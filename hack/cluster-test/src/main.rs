//! `make cluster-test`: Trellis as its users have it, in a whole Kubernetes cluster, from `helm
//! install` to `helm uninstall`.
//!
//! `cluster-test PROGRAM` takes the operator as a program and makes an image of it. It brings a
//! cluster of its own; with `KUBECONFIG` and `REGISTRY` it uses the user's.

mod failure;
mod images;
mod lattice;
mod operator;
mod play;
mod site;

use std::{
    env,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use parts::{
    Stopwatch,
    node::{self, Entered},
};

use crate::{failure::Failure, play::Play, site::Site};

/// As many as manifests/hosts.yaml has.
const HOSTS: usize = 2;

/// What a step is called, and what it does.
type Step = (&'static str, fn(&mut Play) -> Result<(), Failure>);

const STEPS: [Step; 12] = [
    ("push images of the operator, a host, NATS and a component", Play::push_images),
    ("helm install: two operator Pods are ready", Play::install),
    ("NATS and two wasmCloud hosts run as Pods", Play::start_lattice),
    ("helm test: the preflight check finds nothing wrong", Play::check),
    ("kubectl apply: an Application runs and answers through a Service", Play::deploy),
    ("kubectl shows what runs", Play::show),
    ("a rolling restart sends no command, and the new Pods act", Play::restart),
    ("kill -9 of the Pod that acts sends no command, and one takes over", Play::kill),
    ("helm upgrade with other values sends no command", Play::upgrade),
    ("helm uninstall is refused while there is an Application", Play::keep),
    ("kubectl delete: nothing is left on hosts", Play::delete),
    ("helm uninstall: nothing is left in the cluster", Play::uninstall),
];

fn main() -> ExitCode {
    run().unwrap_or_else(|failure| {
        eprintln!("cluster-test: {}", parts::chain(&failure));
        ExitCode::FAILURE
    })
}

fn run() -> Result<ExitCode, Failure> {
    let Some(trellis) = env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: cluster-test PROGRAM");
        return Ok(ExitCode::from(2));
    };
    let watch = Stopwatch::start();
    let site = match Site::of_user()? {
        Some(site) => site,
        None => match node::enter(fetch)? {
            Entered::Impossible(reason) => {
                println!(
                    "cluster-test: not run, because {reason}. It runs in a cluster of yours with \
                     KUBECONFIG and REGISTRY set"
                );
                return Ok(ExitCode::SUCCESS);
            }
            Entered::Outside(status) => {
                let code = status.code().and_then(|code| u8::try_from(code).ok());
                return Ok(code.map_or(ExitCode::FAILURE, ExitCode::from));
            }
            Entered::Inside => Site::own()?,
        },
    };
    println!("cluster-test: a cluster is there after {:.1} s", watch.elapsed().as_secs_f64());
    let mut play = Play::new(site, trellis);
    let passed = perform(&mut play);
    let failed = usize::from(passed < STEPS.len());
    if failed > 0 {
        play.explain();
        play.leave();
    }
    println!("cluster-test: {:.1} s in all", watch.elapsed().as_secs_f64());
    // In the form that whoever runs this unattended reads.
    println!(
        "cluster-test: {passed} passed, {failed} failed, {} skipped",
        STEPS.len() - passed - failed
    );
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A cluster of our own, and what is installed in it.
fn fetch() -> Result<(), parts::programs::Error> {
    parts::prepare()?;
    node::prepare()
}

/// Does the steps up to the first that fails; how many succeeded.
fn perform(play: &mut Play) -> usize {
    for (number, (name, step)) in STEPS.iter().enumerate() {
        print!("{}/{} {name} ... ", number + 1, STEPS.len());
        io::stdout().flush().ok();
        let watch = Stopwatch::start();
        if let Err(failure) = step(play) {
            println!("FAILED");
            eprintln!("{}", parts::chain(&failure));
            return number;
        }
        println!("ok ({:.1} s)", watch.elapsed().as_secs_f64());
        play.tell();
    }
    STEPS.len()
}
