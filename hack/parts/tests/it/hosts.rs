use std::{sync::Arc, time::Duration};

use parts::{
    Auth, Door, Host, HostOptions, Nats, NatsOptions, Network, Registry, components, free_ports,
};
use serde_json::json;

use crate::{
    control::{Control, Link, serves},
    exits::has_processes,
};

struct Lattice {
    control: Control,
    host: Host,
    registry: Registry,
    nats: Nats,
}

impl Lattice {
    async fn start() -> Self {
        let nats = Nats::start(NatsOptions::default()).unwrap();
        let registry = Registry::start().unwrap();
        let options = HostOptions {
            labels: vec![("zone".to_owned(), "a".to_owned())],
            insecure_registries: vec![registry.authority().to_owned()],
            ..HostOptions::default()
        };
        let host = Host::start(&nats, &options).unwrap();
        Self { control: Control::connect(&nats).await, host, registry, nats }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_runs_a_component_from_the_registry() {
    let mut lattice = Lattice::start().await;
    let image =
        lattice.registry.push_component("tiny:0.1.0", &components::tiny().unwrap()).unwrap();
    let host = lattice.host.id().to_owned();

    lattice.control.start_component(&host, "tiny", &image, &[]).await;

    let inventory = lattice.control.command(&format!("host.get.{host}"), json!({})).await;
    assert_eq!(inventory["response"]["labels"]["zone"], "a");
    assert_eq!(inventory["response"]["components"][0]["image_ref"], image);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_config_value_shows_in_the_answer_of_hello() {
    let mut lattice = Lattice::start().await;
    let image =
        lattice.registry.push_component("hello:0.1.0", &components::hello("v1").unwrap()).unwrap();
    let host = lattice.host.id().to_owned();
    let [port] = free_ports().unwrap();
    let address = format!("127.0.0.1:{port}");

    let control = &mut lattice.control;
    control.put_config("listen", json!({ "address": address })).await;
    control.put_config("words", json!({ "other": "value" })).await;
    control.start_component(&host, "hello", &image, &["words"]).await;
    control.start_provider(&host, "http", "wasmcloud+builtin://http-server").await;
    control.link(Link::HTTP_TO_HELLO).await;
    let url = format!("http://{address}/");
    serves(&url, "hello from trellis v1\n").await;

    control.put_config("words", json!({ "greeting": "good morning" })).await;
    serves(&url, "good morning v1\n").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn echo_answers_over_the_builtin_messaging_provider() {
    let mut lattice = Lattice::start().await;
    let image =
        lattice.registry.push_component("echo:0.1.0", &components::echo().unwrap()).unwrap();
    let host = lattice.host.id().to_owned();
    let url = lattice.nats.url().to_owned();

    let control = &mut lattice.control;
    control.put_config("words", json!({ "cluster_uris": url, "subscriptions": "words.*" })).await;
    control.put_config("server", json!({ "cluster_uris": url })).await;
    control.start_component(&host, "echo", &image, &[]).await;
    control.start_provider(&host, "messaging", "wasmcloud+builtin://messaging-nats").await;
    control
        .link(Link {
            source: "echo",
            target: "messaging",
            interface: "wasmcloud:messaging/consumer",
            target_config: &["server"],
            ..Link::default()
        })
        .await;
    control
        .link(Link {
            source: "messaging",
            target: "echo",
            interface: "wasmcloud:messaging/handler",
            source_config: &["words"],
            ..Link::default()
        })
        .await;

    // The subscription comes some time after the link.
    let mut tries = 0;
    let answer = loop {
        match control.nats.request("words.one", "a word".into()).await {
            Ok(answer) => break answer,
            Err(error) if tries == 50 => panic!("{error}\n{}", lattice.host.log()),
            Err(_) => {
                tries += 1;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    };
    assert_eq!(answer.payload, "a word");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_http_provider_serves_a_component_of_another_host() {
    let mut lattice = Lattice::start().await;
    let archive = std::fs::read(parts::programs::http_provider().unwrap()).unwrap();
    let provider = lattice.registry.push_provider("http-server:0.27.1", &archive).unwrap();
    let hello =
        lattice.registry.push_component("hello:0.2.0", &components::hello("v2").unwrap()).unwrap();
    let options = HostOptions {
        insecure_registries: vec![lattice.registry.authority().to_owned()],
        ..HostOptions::default()
    };
    let other = Host::start(&lattice.nats, &options).unwrap();
    let host = lattice.host.id().to_owned();
    let [port] = free_ports().unwrap();
    let address = format!("127.0.0.1:{port}");

    let control = &mut lattice.control;
    control.put_config("listen", json!({ "address": address })).await;
    control.start_component(other.id(), "hello", &hello, &[]).await;
    // The link first: one that comes between `provider_started` and the moment in which the provider
    // has subscribed is lost to it.
    control.link(Link::HTTP_TO_HELLO).await;
    control.start_provider(&host, "http", &provider).await;
    serves(&format!("http://{address}/"), "hello from trellis v2\n").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn providers_of_a_killed_host_end_with_its_value() {
    let mut lattice = Lattice::start().await;
    let archive = std::fs::read(parts::programs::http_provider().unwrap()).unwrap();
    let provider = lattice.registry.push_provider("http-server:0.27.1", &archive).unwrap();
    let host = lattice.host.id().to_owned();
    lattice.control.start_provider(&host, "http", &provider).await;
    let group = lattice.host.process_id();

    lattice.host.kill_without_providers();
    assert!(has_processes(group), "the provider is an orphan");

    drop(lattice.host);
    let gone = parts::poll(Duration::from_secs(5), || (!has_processes(group)).then_some(()));
    assert!(gone.is_some());
}

#[test]
fn a_host_logs_in_wherever_it_can() {
    for auth in [Auth::Jwt, Auth::Tls] {
        let nats = Nats::start(NatsOptions { auth, ..NatsOptions::default() }).unwrap();
        let host = Host::start(&nats, &HostOptions::default());
        assert!(host.is_ok(), "{auth:?}: {}", host.unwrap_err());
    }
}

#[test]
fn one_process_runs_many_hosts() {
    let nats = Nats::start(NatsOptions::default()).unwrap();
    let options = HostOptions { count: 5, ..HostOptions::default() };
    let mut hosts = Host::start(&nats, &options).unwrap();
    let mut ids = hosts.ids().to_vec();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 5);
    assert!(hosts.stop().unwrap().success(), "{}", hosts.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_in_a_network_of_its_own_finds_nats_at_its_well_known_port() {
    let nats = Nats::start(NatsOptions::default()).unwrap();
    let network = Network::start(&[Door { inside: 4222, outside: nats.port() }]).unwrap();
    let options = HostOptions { network: Some(Arc::new(network)), ..HostOptions::default() };

    let host = Host::start_at("nats://127.0.0.1:4222", &options).unwrap();

    let control = Control::connect(&nats).await;
    let inventory = control.command(&format!("host.get.{}", host.id()), json!({})).await;
    assert_eq!(inventory["response"]["host_id"], host.id());
}
