//! T13 and T4.

use std::time::Duration;

use async_nats::Client;
use futures::StreamExt;
use serde_json::{Value, json};
use simhost::{HostOptions, LatticeOptions, SimLattice};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::secrets::{Backend, TOPIC, reference};
use super::{NOTHING, ask, image_in, real_host};
use crate::support::{SOON, nats, scale};

/// Longer than a host takes that isn't kept waiting.
const WHILE: Duration = Duration::from_secs(1);

/// A signed component, whom alone hosts give secrets.
fn signed(folder: &parts::Scratch) -> String {
    let tiny = parts::components::tiny().unwrap();
    let signed = parts::components::signed(&tiny).unwrap();
    image_in(folder, &signed)
}

fn with_secret() -> Value {
    json!({"config": ["SECRET_s"], "annotations": {"wasmcloud.dev/appspec": "app"}})
}

/// What waits while a secret is fetched for `a` on `host`, and what doesn't; it is fetched for as long
/// as `release` hasn't been called.
async fn while_a_secret_is_fetched(
    client: &Client,
    host: &str,
    image: &str,
    release: impl AsyncFnOnce(),
) {
    let mut beats = client.subscribe("wasmbus.evt.default.host_heartbeat").await.unwrap();
    let (get, scaling) = (format!("host.get.{host}"), format!("component.scale.{host}"));
    let get = ask(client, &get, NOTHING);
    tokio::pin!(get);
    let scaling = ask(client, &scaling, scale(host, "b", image, 1, NOTHING));
    tokio::pin!(scaling);
    let auction = json!({"component_ref": image, "component_id": "z", "constraints": {}});
    let auction = ask(client, "component.auction", auction);
    tokio::pin!(auction);
    let (got, scaled, bid, pinged) = tokio::join!(
        timeout(WHILE, &mut get),
        timeout(WHILE, &mut scaling),
        timeout(WHILE, &mut auction),
        timeout(WHILE, ask(client, "host.ping", NOTHING)),
    );
    assert!(got.is_err(), "host.get: {got:?}");
    assert!(scaled.is_err(), "component.scale: {scaled:?}");
    assert!(bid.is_err(), "component.auction: {bid:?}");
    assert_eq!(pinged.expect("host.ping is answered")["success"], true);
    assert!(timeout(WHILE, ask(client, "link.get", NOTHING)).await.is_ok());
    // One may have been on its way.
    timeout(Duration::from_millis(1), beats.next()).await.ok();
    let beat = timeout(WHILE, beats.next()).await;
    assert!(beat.is_err(), "a heartbeat: {beat:?}");
    release().await;
    let (got, scaled) = tokio::join!(get, scaling);
    assert_eq!((&got["success"], &scaled["success"]), (&json!(true), &json!(true)));
    assert!(timeout(SOON, beats.next()).await.is_ok());
}

/// T13, seen: while the secrets of one component are fetched, answers to `host.get`, to a scale of
/// another component and to auctions wait, and no heartbeat is sent; pings and `link.get` are answered.
/// All that waited is answered once it is over.
#[tokio::test]
async fn t13_fetching_a_secret_makes_all_but_pings_and_links_wait_on_both_hosts() {
    let folder = parts::Scratch::new("t13").unwrap();
    let image = signed(&folder);
    let servers = (nats(None).await, nats(None).await);

    let secrets_topic = Some(TOPIC.to_owned());
    let heartbeat = Duration::from_millis(200);
    let options = parts::HostOptions { secrets_topic, heartbeat, ..parts::HostOptions::default() };
    let real = real_host(&servers.0, options).await;
    let client = async_nats::connect(servers.0.url()).await.unwrap();
    let mut backend = Backend::start(servers.0.url()).await;
    assert_eq!(ask(&client, "config.put.SECRET_s", reference()).await["success"], true);
    let body = scale(real.id(), "a", &image, 1, with_secret());
    let start = ask(&client, &format!("component.scale.{}", real.id()), body).await;
    assert_eq!(start["success"], true, "{start}");
    let request = timeout(SOON, backend.asked()).await.expect("the host asks for its key");
    while_a_secret_is_fetched(&client, real.id(), &image, async || {
        assert!(!backend.answer(request).await);
        backend.give().await;
    })
    .await;

    let secret_fetch = Duration::from_secs(5);
    let options =
        LatticeOptions { secret_fetch, heartbeat_interval: heartbeat, ..LatticeOptions::default() };
    let lattice = SimLattice::start(servers.1.url(), options).await.unwrap();
    lattice.images().signed(&image);
    let simulated = lattice.add_host(HostOptions::default()).await.unwrap();
    let client = async_nats::connect(servers.1.url()).await.unwrap();
    assert_eq!(ask(&client, "config.put.SECRET_s", reference()).await["success"], true);
    let body = scale(simulated.id(), "a", &image, 1, with_secret());
    ask(&client, &format!("component.scale.{}", simulated.id()), body).await;
    // The image is pulled first.
    tokio::time::sleep(Duration::from_millis(200)).await;
    while_a_secret_is_fetched(&client, simulated.id(), &image, async || ()).await;
    spawn_blocking(move || drop(real)).await.unwrap();
}

/// T4, seen: an identical scale of a component with a secret fetches the secret again, which the host
/// does only for what it starts anew; and then it takes the annotations of that request, which an
/// identical scale of one without secrets never does.
#[tokio::test]
async fn t4_a_component_with_a_secret_is_started_anew_by_an_identical_scale() {
    let folder = parts::Scratch::new("t4").unwrap();
    let image = signed(&folder);
    let server = nats(None).await;
    let secrets_topic = Some(TOPIC.to_owned());
    let options = parts::HostOptions { secrets_topic, ..parts::HostOptions::default() };
    let host = real_host(&server, options).await;
    let client = async_nats::connect(server.url()).await.unwrap();
    let mut backend = Backend::start(server.url()).await;
    assert_eq!(ask(&client, "config.put.SECRET_s", reference()).await["success"], true);
    let mut events = client.subscribe("wasmbus.evt.default.component_scaled").await.unwrap();
    let scale_to = async |more: Value| {
        let body = scale(host.id(), "a", &image, 1, more);
        ask(&client, &format!("component.scale.{}", host.id()), body).await
    };
    scale_to(with_secret()).await;
    timeout(SOON, backend.give()).await.expect("a secret for the start");
    for _ in ["first", "second"] {
        timeout(SOON, events.next()).await.expect("it starts").unwrap();
    }
    let mut again = with_secret();
    again["annotations"]["changed"] = "yes".into();
    for more in [with_secret(), again] {
        scale_to(more).await;
        timeout(SOON, backend.give()).await.expect("a secret for a scale that changes nothing");
        timeout(SOON, events.next()).await.expect("it is scaled").unwrap();
    }
    let shown = ask(&client, &format!("host.get.{}", host.id()), NOTHING).await;
    assert_eq!(shown["response"]["components"][0]["annotations"]["changed"], "yes");
    spawn_blocking(move || drop(host)).await.unwrap();
}
