//! Traps that need two commands at once, shown on the real host and the simulated one alike.

use std::time::Duration;

use async_nats::Client;
use futures::future::join_all;
use parts::{Host, Nats, Registry, Scratch};
use serde_json::{Value, json};
use simhost::{HostOptions, LatticeOptions, SimLattice};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use crate::support::{SOON, link, nats, scale};

const NOTHING: Value = Value::Null;
const CONTROL: &str = "wasmbus.ctl.v1.default";

async fn real_host(nats: &Nats, options: parts::HostOptions) -> Host {
    let url = nats.url().to_owned();
    spawn_blocking(move || Host::start_at(&url, &options)).await.unwrap().unwrap()
}

async fn ask(client: &Client, subject: &str, body: Value) -> Value {
    let payload = if body.is_null() { Vec::new() } else { serde_json::to_vec(&body).unwrap() };
    let answer = client.request(format!("{CONTROL}.{subject}"), payload.into()).await.unwrap();
    serde_json::from_slice(&answer.payload).unwrap()
}

/// Puts twenty links of one source at once; how many were acknowledged, and how many are there.
async fn twenty_links_at_once(client: &Client) -> (usize, usize) {
    let puts = (0..20).map(|number| {
        ask(client, "link.put", link("a", "b", json!({"name": format!("n{number}")})))
    });
    let done = join_all(puts).await.iter().filter(|answer| answer["success"] == true).count();
    sleep(Duration::from_millis(200)).await;
    (done, ask(client, "link.get", NOTHING).await["response"].as_array().unwrap().len())
}

#[tokio::test]
async fn t5_links_put_at_once_for_one_source_are_acknowledged_and_lost_on_both_hosts() {
    let nats = (nats(None).await, nats(None).await);
    let real = real_host(&nats.0, parts::HostOptions::default()).await;
    let lattice = SimLattice::start(nats.1.url(), LatticeOptions::default()).await.unwrap();
    lattice.add_host(HostOptions::default()).await.unwrap();
    for server in [&nats.0, &nats.1] {
        let client = async_nats::connect(server.url()).await.unwrap();
        let (done, kept) = twenty_links_at_once(&client).await;
        assert!(done == 20 && kept < 20, "{kept} of {done} kept");
    }
    spawn_blocking(move || drop(real)).await.unwrap();
}

/// Asks for v1, whose image hangs, then for v2; lets v1's image come. What the inventory shows then.
async fn overtaken(
    client: &Client,
    host: &str,
    v1: &str,
    v2: &str,
    let_go: impl AsyncFnOnce(),
) -> Value {
    let subject = format!("component.scale.{host}");
    let get = format!("host.get.{host}");
    let shown = async || ask(client, &get, NOTHING).await["response"]["components"][0].clone();
    let until_shows = async |image: &str| {
        while shown().await["image_ref"] != image {
            sleep(Duration::from_millis(20)).await;
        }
    };
    for (image, count) in [(v1, 1), (v2, 2)] {
        let answer = ask(client, &subject, scale(host, "a", image, count, NOTHING)).await;
        assert_eq!(answer, json!({"success": true, "message": ""}));
    }
    timeout(SOON, until_shows(v2)).await.expect("v2 runs");
    let_go().await;
    timeout(SOON, until_shows(v1)).await.expect("v2's code is called v1");
    shown().await
}

#[tokio::test]
async fn t11_a_command_that_was_overtaken_renames_what_overtook_it_on_both_hosts() {
    let registry = spawn_blocking(|| Registry::start().unwrap()).await.unwrap();
    let folder = Scratch::new("overtaken").unwrap();
    let tiny = parts::components::tiny().unwrap();
    let v2 = format!("file://{}", folder.write("two.wasm", &tiny).unwrap().display());
    let (registry, v1) = spawn_blocking(move || {
        let v1 = registry.push_component("one:1", &tiny).unwrap();
        (registry, v1)
    })
    .await
    .unwrap();

    let nats = (nats(None).await, nats(None).await);
    let insecure_registries = vec![registry.authority().to_owned()];
    let options = parts::HostOptions { insecure_registries, ..parts::HostOptions::default() };
    let host = real_host(&nats.0, options).await;
    let client = async_nats::connect(nats.0.url()).await.unwrap();
    registry.pause().unwrap();
    let resume = async || registry.resume().unwrap();
    let real = overtaken(&client, host.id(), &v1, &v2, resume).await;

    let lattice = SimLattice::start(nats.1.url(), LatticeOptions::default()).await.unwrap();
    let simulated = lattice.add_host(HostOptions::default()).await.unwrap();
    let client = async_nats::connect(nats.1.url()).await.unwrap();
    lattice.images().hold(&v1);
    let release = async || lattice.images().release(&v1);
    assert_eq!(overtaken(&client, simulated.id(), &v1, &v2, release).await, real);
    assert_eq!(simulated.code_running("a"), [v2]);
    spawn_blocking(move || drop((host, registry))).await.unwrap();
}
