//! Heartbeats that are too large to be sent, and limits that don't hold.

use std::time::Duration;

use async_nats::Client;
use async_nats::client::RequestErrorKind;
use futures::StreamExt;
use serde_json::json;
use simhost::{HostOptions, LatticeOptions, SimLattice};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::{CONTROL, NOTHING, answer, ask, door, image_in, real_host};
use crate::support::{SOON, nats, scale};

async fn outgrow_one_message(client: &Client, host: &str, image: &str) {
    let mut beats = client.subscribe("wasmbus.evt.default.host_heartbeat").await.unwrap();
    timeout(SOON, beats.next()).await.expect("a heartbeat").unwrap();
    let mut events = client.subscribe("wasmbus.evt.default.component_scaled").await.unwrap();
    for number in 0..6 {
        let more = json!({"annotations": {"much": "x".repeat(2000)}});
        let body = scale(host, &format!("c{number}"), image, 1, more);
        ask(client, &format!("component.scale.{host}"), body).await;
        for _ in ["first", "second"] {
            timeout(SOON, events.next()).await.expect("it starts").unwrap();
        }
    }
    // What was sent before the last one started.
    while timeout(Duration::from_millis(1), beats.next()).await.is_ok() {}
    assert!(timeout(Duration::from_secs(1), beats.next()).await.is_err(), "a heartbeat");
    let request = async_nats::Request::new().timeout(Some(Duration::from_secs(1)));
    let get = client.send_request(format!("{CONTROL}.host.get.{host}"), request).await;
    assert_eq!(get.unwrap_err().kind(), RequestErrorKind::TimedOut);
    assert_eq!(ask(client, "host.ping", NOTHING).await["success"], true);
    let body = scale(host, "c0", image, 0, NOTHING);
    ask(client, &format!("component.scale.{host}"), body).await;
    let body = scale(host, "c1", image, 0, NOTHING);
    ask(client, &format!("component.scale.{host}"), body).await;
    timeout(SOON, beats.next()).await.expect("a heartbeat, now that it fits").unwrap();
}

/// Seen: beyond the server's `max_payload` a host sends no heartbeat; over its answer to `host.get` it
/// loses its connection, each time. It answers pings and does as it is told, and goes on with the first
/// inventory that fits.
#[tokio::test]
async fn a_host_whose_inventory_outgrew_one_message_is_mute_and_obeys_on_both_hosts() {
    let folder = parts::Scratch::new("sizes").unwrap();
    let image = image_in(&folder, &parts::components::tiny().unwrap());
    let servers = (nats(Some(12 * 1024)).await, nats(Some(12 * 1024)).await);
    let heartbeat = Duration::from_millis(200);
    let options = parts::HostOptions { heartbeat, ..parts::HostOptions::default() };
    let real = real_host(&servers.0, options).await;
    let client = async_nats::connect(servers.0.url()).await.unwrap();
    outgrow_one_message(&client, real.id(), &image).await;
    for said in ["failed to publish heartbeat", "Maximum Payload Violation"] {
        assert!(real.log().contains(said), "not in the host's log: {said}\n{}", real.log());
    }

    let options = LatticeOptions { heartbeat_interval: heartbeat, ..LatticeOptions::default() };
    let lattice = SimLattice::start(servers.1.url(), options).await.unwrap();
    let simulated = lattice.add_host(HostOptions::default()).await.unwrap();
    let client = async_nats::connect(servers.1.url()).await.unwrap();
    outgrow_one_message(&client, simulated.id(), &image).await;
    assert!(lattice.cut_offs() > 0);
    spawn_blocking(move || drop(real)).await.unwrap();
}

/// Seen: a scale with limits shows them in the inventory, and the component that runs keeps those that
/// it was started with; they hold from the next start on, which fails here.
#[tokio::test]
async fn limits_of_a_running_component_are_shown_and_hold_from_its_next_start_on() {
    let folder = parts::Scratch::new("limits").unwrap();
    let image = image_in(&folder, &parts::components::hello("v1").unwrap());
    let server = nats(None).await;
    let host = real_host(&server, parts::HostOptions::default()).await;
    let client = async_nats::connect(server.url()).await.unwrap();
    let mut events = client.subscribe("wasmbus.evt.default.component_scaled").await.unwrap();
    let mut scale_to = async |count: u32, more: serde_json::Value, events_expected: usize| {
        let body = scale(host.id(), "a", &image, count, more);
        ask(&client, &format!("component.scale.{}", host.id()), body).await;
        for _ in 0..events_expected {
            timeout(SOON, events.next()).await.expect("it is scaled").unwrap();
        }
    };
    // Less than one page of memory, with which nothing can run.
    let limits = json!({"component_limits": {"max_memory_limit": "1024"}});
    scale_to(1, NOTHING, 2).await;
    let door = door(&client, host.id()).await;
    assert_eq!(answer(&door).await, "hello from trellis v1\n");
    scale_to(2, limits.clone(), 1).await;
    let shown = ask(&client, &format!("host.get.{}", host.id()), NOTHING).await;
    let shown = &shown["response"]["components"][0];
    assert_eq!(shown["limits"]["max_memory_limit"], "1024", "{shown}");
    assert_eq!(answer(&door).await, "hello from trellis v1\n");
    scale_to(0, NOTHING, 1).await;
    let mut failures =
        client.subscribe("wasmbus.evt.default.component_scale_failed").await.unwrap();
    scale_to(2, limits, 0).await;
    let failed = timeout(SOON, failures.next()).await.expect("too little memory").unwrap();
    let failed: serde_json::Value = serde_json::from_slice(&failed.payload).unwrap();
    let error = failed["data"]["error"].as_str().unwrap();
    assert!(error.contains("memory"), "{error}");
    spawn_blocking(move || drop(host)).await.unwrap();
}
