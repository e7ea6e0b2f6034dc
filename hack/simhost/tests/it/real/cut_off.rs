//! A host that is out of reach while a link of its provider changes.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::time::Duration;

use async_nats::Client;
use futures::StreamExt;
use parts::Cable;
use serde_json::{Value, json};
use simhost::{HostOptions, LatticeOptions, Map, SimLattice, Told};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use super::{NOTHING, ask, provider_image, real_host};
use crate::support::{SOON, link, nats};

/// Longer than a host that is connected again takes to pass on what it knows.
const PASSED_ON: Duration = Duration::from_secs(3);

async fn put_link(client: &Client, config: &str, port: u16) {
    let address = json!({ "address": format!("127.0.0.1:{port}") });
    assert_eq!(ask(client, &format!("config.put.{config}"), address).await["success"], true);
    let put = link("http", "web", json!({ "source_config": [config] }));
    let put = ask(client, "link.put", put).await;
    assert_eq!(put["success"], true, "{put}");
}

fn serves(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

async fn until_served(port: u16) {
    let served = async {
        while !serves(port) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, served).await.expect("the provider serves");
}

async fn is_asked(client: &Client, host: &str, what: &str, body: Value) -> Value {
    let subject = format!("{what}.{host}");
    ask(client, &subject, body).await
}

const DELETED: [(&str, &str); 4] = [
    ("source_id", "http"),
    ("name", "default"),
    ("wit_namespace", "wasi"),
    ("wit_package", "http"),
];

/// Seen: it goes by the link that it had, though that was deleted, until it is started anew.
#[tokio::test]
async fn a_provider_keeps_a_link_that_was_changed_while_its_host_was_out_of_reach() {
    let server = nats(None).await;
    let client = async_nats::connect(server.url()).await.unwrap();
    let cable = Cable::to(server.url().trim_start_matches("nats://")).unwrap();
    let url = format!("nats://{}", cable.address());
    let there = move || parts::Host::start_at(&url, &parts::HostOptions::default());
    let there = spawn_blocking(there).await.unwrap().unwrap();
    // The one that is asked about links meanwhile.
    let other = real_host(&server, parts::HostOptions::default()).await;
    let [old, new] = parts::free_ports().unwrap();
    put_link(&client, "old", old).await;
    let mut events = client.subscribe("wasmbus.evt.default.provider_started").await.unwrap();
    let start = json!({
        "host_id": there.id(), "provider_id": "http", "provider_ref": provider_image().await,
    });
    is_asked(&client, there.id(), "provider.start", start.clone()).await;
    timeout(SOON, events.next()).await.expect("it starts").unwrap();
    until_served(old).await;

    cable.cut();
    let del = json!(BTreeMap::from(DELETED));
    assert_eq!(ask(&client, "link.del", del).await["success"], true);
    put_link(&client, "new", new).await;
    cable.mend();
    let back = async {
        let subject = format!("{}.host.get.{}", super::CONTROL, there.id());
        while client.request(subject.clone(), "".into()).await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON * 2, back).await.expect("it is back");
    sleep(PASSED_ON).await;
    assert!(serves(old) && !serves(new), "it goes by what it was told");

    let stop = json!({ "host_id": there.id(), "provider_id": "http" });
    assert_eq!(is_asked(&client, there.id(), "provider.stop", stop).await["success"], true);
    is_asked(&client, there.id(), "provider.start", start).await;
    until_served(new).await;
    assert!(!serves(old));
    assert_eq!(ask(&client, "link.get", NOTHING).await["response"].as_array().unwrap().len(), 1);
    spawn_blocking(move || drop((there, other, cable))).await.unwrap();
}

#[tokio::test]
async fn a_provider_of_a_simulated_host_keeps_it_as_long() {
    let server = nats(None).await;
    let client = async_nats::connect(server.url()).await.unwrap();
    let sim = SimLattice::start(server.url(), LatticeOptions::default()).await.unwrap();
    let there = sim.add_host(HostOptions::default()).await.unwrap();
    sim.add_host(HostOptions::default()).await.unwrap();
    put_link(&client, "old", 1).await;
    there.seed_provider("http", "registry.example/http:1", Map::new());
    let linked = |_: &SimLattice| !there.provider("http").unwrap().links.is_empty();
    sim.wait_until(SOON, linked).await.unwrap();

    there.cut_off().await;
    let del = json!(BTreeMap::from(DELETED));
    assert_eq!(ask(&client, "link.del", del).await["success"], true);
    put_link(&client, "new", 2).await;
    there.reconnect().await.unwrap();
    let ignores = |told: &Told| matches!(told, Told::Ignored(_));
    let passed_on = |_: &SimLattice| there.provider("http").unwrap().told.iter().any(ignores);
    sim.wait_until(SOON, passed_on).await.unwrap();
    let links = there.provider("http").unwrap().links;
    let configs: Vec<_> = links.iter().map(|it| it.link.source_config.clone()).collect();
    assert_eq!(configs, [["old"]]);
}
