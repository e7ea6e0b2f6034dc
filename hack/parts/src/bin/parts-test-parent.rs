//! Starts parts, prints what they are, and ends in the way that its argument names: for the test
//! that nothing outlives its parent.

use std::{env, io::Write, process, sync::Mutex, thread};

use parts::{
    Host, HostOptions, Nats, NatsOptions, Process, Program, Scratch,
    node::{self, Entered},
};

/// Never dropped, as statics are not.
static HELD: Mutex<Vec<(Host, Nats, Process, Scratch)>> = Mutex::new(Vec::new());

fn main() -> Result<(), Box<dyn std::error::Error>> {
    if env::args().nth(1).as_deref() == Some("namespaces") {
        return stay_in_namespaces();
    }
    let nats = Nats::start(NatsOptions::default())?;
    let host = Host::start(&nats, &HostOptions::default())?;
    // One that starts others, and doesn't listen to SIGTERM.
    let scratch = Scratch::new("stubborn")?;
    let script = "trap '' TERM; sleep 1000 & sleep 1000 & wait; wait";
    let program = Program::new("stubborn", "sh").args(["-c", script]);
    let stubborn = Process::spawn(&program, &scratch.path().join("log"))?;
    let ids = [nats.process_id(), host.process_id(), stubborn.id()];
    println!("{} {} {}", ids[0], ids[1], ids[2]);
    std::io::stdout().flush()?;

    match env::args().nth(1).as_deref() {
        Some("return") => return Ok(()),
        Some("error") => return Err("as asked".into()),
        Some("exit") => process::exit(3),
        Some("abort") => process::abort(),
        _ => HELD.lock().map_err(|error| error.to_string())?.push((host, nats, stubborn, scratch)),
    }
    match env::args().nth(1).as_deref() {
        Some("static") => Ok(()),
        _ => loop {
            thread::park();
        },
    }
}

/// Says that it is in namespaces of its own, or why it can't be.
fn stay_in_namespaces() -> Result<(), Box<dyn std::error::Error>> {
    match node::enter(|| Ok(()))? {
        Entered::Impossible(reason) => println!("impossible: {reason}"),
        Entered::Outside(_) => {}
        Entered::Inside => {
            println!("inside");
            std::io::stdout().flush()?;
            loop {
                thread::park();
            }
        }
    }
    Ok(())
}
