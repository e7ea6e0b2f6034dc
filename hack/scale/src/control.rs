//! The way of an event to its command without an operator: a process that asks the host and sends the
//! start. What that takes is the machine's, the server's and the host's share.

use std::collections::BTreeMap;

use async_nats::Client;
use futures::StreamExt as _;
use parts::{Nats, Process, Program, Scratch};
use serde_json::{Value, json};
use simhost::{HostHandle, HostOptions, LatticeOptions, SimLattice};

use crate::failure::Failure;

const LATTICE: &str = "control";
const IMAGE: &str = "registry.example/web:1.0.0";

/// A lattice of its own with one host, and the process that keeps it as it is.
pub(crate) struct Control {
    pub(crate) lattice: SimLattice,
    pub(crate) host: HostHandle,
    _process: Process,
    _scratch: Scratch,
}

impl Control {
    /// With as many components as other hosts have, and as much said of each.
    pub(crate) async fn start(nats: &Nats, components: usize) -> Result<Self, Failure> {
        let lattice = SimLattice::start(nats.url(), LatticeOptions::named(LATTICE)).await?;
        let host = lattice.add_host(HostOptions::default()).await?;
        for number in 0..components.max(1) {
            let said = |key: u8| (format!("lattice.example/key-{key}"), "x".repeat(24));
            let annotations: BTreeMap<_, _> = (0..8).map(said).collect();
            host.seed_component(&Self::id(number), IMAGE, 1, annotations);
        }
        let scratch = Scratch::new("control")?;
        let this = std::env::current_exe()?;
        let program = Program::new("control", &this).args(["echo", nats.url()]);
        let mut process = Process::spawn(&program, &scratch.path().join("control.log"))?;
        process.wait_for("it listened", crate::trellis::START, |it| {
            it.log().contains(LISTENS).then_some(())
        })?;
        Ok(Self { lattice, host, _process: process, _scratch: scratch })
    }

    pub(crate) fn id(number: usize) -> String {
        format!("control-{number}")
    }
}

const LISTENS: &str = "listens";

/// What that process does, until it is ended.
#[allow(clippy::print_stdout, reason = "it is how it says that it is ready")]
pub(crate) async fn echo(nats: &str) -> Result<(), Failure> {
    let client = async_nats::connect(nats).await.map_err(Failure::step("reach NATS"))?;
    let events = format!("wasmbus.evt.{LATTICE}.component_scaled");
    let mut events = client.subscribe(events).await.map_err(Failure::step("listen"))?;
    client.flush().await.map_err(Failure::step("listen"))?;
    println!("{LISTENS}");
    while let Some(message) = events.next().await {
        let event: Value =
            serde_json::from_slice(&message.payload).map_err(Failure::step("read an event"))?;
        if event["data"]["max_instances"] == 0 {
            restart(&client, &event).await?;
        }
    }
    Ok(())
}

async fn restart(client: &Client, event: &Value) -> Result<(), Failure> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (host, id) = (text(&event["source"]), text(&event["data"]["component_id"]));
    let ask = async |what: &str, body: Value| {
        let subject = format!("wasmbus.ctl.v1.{LATTICE}.{what}.{host}");
        let body = if body.is_null() { String::new() } else { body.to_string() };
        client.request(subject, body.into()).await.map_err(Failure::step("ask a host"))
    };
    let shown = ask("host.get", Value::Null).await?;
    let shown: Value =
        serde_json::from_slice(&shown.payload).map_err(Failure::step("read an inventory"))?;
    let running = shown["response"]["components"].as_array().into_iter().flatten();
    if running.into_iter().any(|component| component["id"] == *id) {
        return Ok(());
    }
    let scale = json!({
        "component_id": id, "component_ref": IMAGE, "host_id": host, "count": 1,
        "annotations": {}, "config": [], "allow_update": false,
    });
    ask("component.scale", scale).await.map(drop)
}
