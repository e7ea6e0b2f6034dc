//! Traps that the script can't show, because they need two commands at once, a slow part or a small
//! server: shown on the real host and the simulated one alike, or on the real one alone.
//!
//! What is said to be seen was seen on the release library `wasmcloud-host` 0.27.1 (wasmCloud 1.9.2)
//! with nats-server 2.15.
//!
//! | trap | seen by |
//! |---|---|
//! | T4, T13 | [`locks`] |
//! | T5, T11 | here |
//! | T10, T12 | [`links`] |
//! | T14 | [`providers`] |
//! | links that change while a host is out of reach | [`cut_off`] |

mod cut_off;
mod links;
mod locks;
mod providers;
mod proxy;
mod secrets;
mod sizes;

use std::time::Duration;

use async_nats::{Client, Subscriber};
use futures::StreamExt;
use futures::future::join_all;
use parts::{Host, Nats, Registry, Scratch};
use serde_json::{Value, json};
use simhost::{HostOptions, LatticeOptions, SimLattice};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout};

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

/// The data of `host_started` and of the first health check of a provider, and how long after its
/// start that came.
async fn beginnings(
    mut events: Subscriber,
    client: &Client,
    provider: &str,
) -> (Value, Value, Duration) {
    let mut next = async |name: &str| loop {
        let message = timeout(SOON * 2, events.next()).await.expect(name).unwrap();
        if message.subject.ends_with(name) {
            let mut event: Value = serde_json::from_slice(&message.payload).unwrap();
            assert_eq!(event["source"].as_str().unwrap().len(), 56);
            break (event["source"].take(), event["data"].take());
        }
    };
    let (host, mut started) = next("host_started").await;
    assert!(started["friendly_name"].take().is_string());
    let host = host.as_str().unwrap();
    let body = json!({"host_id": host, "provider_id": "p", "provider_ref": provider});
    ask(client, &format!("provider.start.{host}"), body).await;
    next("provider_started").await;
    let since = Instant::now();
    let (_, mut health) = next("health_check_passed").await;
    assert_eq!(health["host_id"].take(), host);
    (started, health, since.elapsed())
}

/// A provider that only a host on this machine can start.
async fn provider_image() -> String {
    let program = spawn_blocking(|| parts::programs::http_provider().unwrap()).await.unwrap();
    format!("file://{}", program.display())
}

/// The same of a component.
fn image_in(folder: &parts::Scratch, component: &[u8]) -> String {
    format!("file://{}", folder.write("component.wasm", component).unwrap().display())
}

#[tokio::test]
async fn a_host_and_the_health_of_a_provider_begin_alike_on_both_hosts() {
    let provider = provider_image().await;
    let nats = (nats(None).await, nats(None).await);
    let clients = (
        async_nats::connect(nats.0.url()).await.unwrap(),
        async_nats::connect(nats.1.url()).await.unwrap(),
    );
    let real = clients.0.subscribe("wasmbus.evt.default.>").await.unwrap();
    let simulated = clients.1.subscribe("wasmbus.evt.default.>").await.unwrap();
    simhost::round_trip(&clients.0).await;
    simhost::round_trip(&clients.1).await;
    let host = real_host(&nats.0, parts::HostOptions::default()).await;
    let lattice = SimLattice::start(nats.1.url(), LatticeOptions::default()).await.unwrap();
    lattice.add_host(HostOptions::default()).await.unwrap();
    let (real, simulated) = tokio::join!(
        beginnings(real, &clients.0, &provider),
        beginnings(simulated, &clients.1, &provider),
    );
    assert_eq!((&real.0, &real.1), (&simulated.0, &simulated.1));
    assert!(real.2.abs_diff(simulated.2) < Duration::from_secs(1), "{real:?} {simulated:?}");
    spawn_blocking(move || drop(host)).await.unwrap();
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

/// Where the builtin HTTP server of `host` answers for the component `a`, whatever runs there.
async fn door(client: &Client, host: &str) -> String {
    let [port] = parts::free_ports().unwrap();
    let address = format!("127.0.0.1:{port}");
    let config = json!({"address": address.clone()});
    assert_eq!(ask(client, "config.put.http", config).await["success"], true);
    let to_a = link("server", "a", json!({"source_config": ["http"]}));
    assert_eq!(ask(client, "link.put", to_a).await["success"], true);
    let builtin = "wasmcloud+builtin://http-server";
    let body = json!({"host_id": host, "provider_id": "server", "provider_ref": builtin});
    let started = ask(client, &format!("provider.start.{host}"), body).await;
    assert_eq!(started["success"], true);
    format!("http://{address}/")
}

/// What answers there, once something does.
async fn answer(url: &str) -> String {
    let answered = async {
        loop {
            let url = url.to_owned();
            if let Some((200, body)) = spawn_blocking(move || parts::http::get(&url)).await.unwrap()
            {
                return body;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, answered).await.expect("the component answers")
}

/// T11, seen: both are acknowledged, the second runs first, and in the end the inventory shows the
/// first one's ref, count and annotations on the second one's code.
#[tokio::test]
async fn t11_a_command_that_was_overtaken_renames_what_overtook_it_on_both_hosts() {
    let registry = spawn_blocking(|| Registry::start().unwrap()).await.unwrap();
    let folder = Scratch::new("overtaken").unwrap();
    let hello = |version| parts::components::hello(version).unwrap();
    let v2 = format!("file://{}", folder.write("two.wasm", hello("two")).unwrap().display());
    let one = hello("one");
    let (registry, v1) = spawn_blocking(move || {
        let v1 = registry.push_component("one:1", &one).unwrap();
        (registry, v1)
    })
    .await
    .unwrap();

    let nats = (nats(None).await, nats(None).await);
    let insecure_registries = vec![registry.authority().to_owned()];
    let options = parts::HostOptions { insecure_registries, ..parts::HostOptions::default() };
    let host = real_host(&nats.0, options).await;
    let client = async_nats::connect(nats.0.url()).await.unwrap();
    let door = door(&client, host.id()).await;
    registry.pause().unwrap();
    let resume = async || registry.resume().unwrap();
    let real = overtaken(&client, host.id(), &v1, &v2, resume).await;
    assert_eq!((&real["image_ref"], &real["max_instances"]), (&json!(v1), &json!(1)));
    assert_eq!(answer(&door).await, "hello from trellis two\n");

    let lattice = SimLattice::start(nats.1.url(), LatticeOptions::default()).await.unwrap();
    let simulated = lattice.add_host(HostOptions::default()).await.unwrap();
    let client = async_nats::connect(nats.1.url()).await.unwrap();
    lattice.images().hold(&v1);
    let release = async || lattice.images().release(&v1);
    assert_eq!(overtaken(&client, simulated.id(), &v1, &v2, release).await, real);
    assert_eq!(simulated.code_running("a"), [v2]);
    spawn_blocking(move || drop((host, registry))).await.unwrap();
}
