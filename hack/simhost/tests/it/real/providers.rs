//! T14.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use async_nats::Client;
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use super::{NOTHING, ask, provider_image, real_host};
use crate::support::{SOON, nats};

/// The first health check comes five seconds after the start.
const FIRST_CHECK: Duration = Duration::from_secs(30);

async fn start(client: &Client, host: &parts::Host, image: &str) {
    start_as(client, host, image, "p").await;
}

async fn start_as(client: &Client, host: &parts::Host, image: &str, id: &str) {
    let mut events = client.subscribe("wasmbus.evt.default.provider_started").await.unwrap();
    let body = json!({"host_id": host.id(), "provider_id": id, "provider_ref": image});
    let done = ask(client, &format!("provider.start.{}", host.id()), body).await;
    assert_eq!(done["success"], true);
    timeout(SOON, events.next()).await.expect("it starts").unwrap();
}

/// The one process that a host has started.
fn child(host: &parts::Host) -> u32 {
    let tasks = fs::read_dir(format!("/proc/{}/task", host.process_id())).unwrap();
    let children = tasks
        .map(|task| fs::read_to_string(task.unwrap().path().join("children")).unwrap_or_default());
    let children = children.collect::<String>();
    children.split_whitespace().next().expect("a child").parse().unwrap()
}

/// Ends the provider of `host` for good: its program is gone when the host wants to start it again.
async fn end_for_good(host: &parts::Host) {
    let process = child(host);
    let program: PathBuf = fs::read_link(format!("/proc/{process}/exe")).unwrap();
    fs::remove_file(program).unwrap();
    let killed = std::process::Command::new("kill").args(["-9", &process.to_string()]).status();
    assert!(killed.unwrap().success());
    let failed = async {
        while !host.log().contains("failed to restart provider") {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, failed).await.expect("the host gives up");
}

async fn providers(client: &Client, host: &parts::Host) -> Value {
    ask(client, &format!("host.get.{}", host.id()), NOTHING).await["response"]["providers"].clone()
}

/// T14, seen: no event tells that the process is gone and doesn't come back, nor that its health isn't
/// answered any more; the inventory goes on showing it, and a start is refused as of one that runs. A
/// stop succeeds and takes it out of the inventory.
#[tokio::test]
async fn t14_a_real_provider_whose_restart_failed_is_shown_and_can_only_be_stopped() {
    let image = provider_image().await;
    let server = nats(None).await;
    let client = async_nats::connect(server.url()).await.unwrap();
    let host = real_host(&server, parts::HostOptions::default()).await;
    start(&client, &host, &image).await;
    let mut events = client.subscribe("wasmbus.evt.default.*").await.unwrap();
    end_for_good(&host).await;
    let unanswered = async {
        while !host.log().contains("failed to request provider health") {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(FIRST_CHECK, unanswered).await.expect("a health check");
    assert_eq!(providers(&client, &host).await[0]["id"], "p");
    let body = json!({"host_id": host.id(), "provider_id": "p", "provider_ref": image});
    let again = ask(&client, &format!("provider.start.{}", host.id()), body).await;
    assert_eq!(again["message"], "provider with that ID is already running");
    let until_now = timeout(Duration::from_millis(200), async {
        while let Some(event) = events.next().await {
            assert!(event.subject.ends_with(".host_heartbeat"), "{}", event.subject);
        }
    });
    assert!(until_now.await.is_err());
    let body = json!({"host_id": host.id(), "provider_id": "p"});
    let stopped = ask(&client, &format!("provider.stop.{}", host.id()), body).await;
    assert_eq!(stopped["success"], true, "{stopped}");
    assert_eq!(providers(&client, &host).await, json!([]));
    spawn_blocking(move || drop(host)).await.unwrap();
}

/// T14, seen: a host whose provider is gone hears the one of another host, and says that its own is
/// healthy.
#[tokio::test]
async fn t14_a_real_host_takes_the_health_of_another_hosts_provider_for_its_own() {
    let image = provider_image().await;
    let server = nats(None).await;
    let client = async_nats::connect(server.url()).await.unwrap();
    let dead = real_host(&server, parts::HostOptions::default()).await;
    let other = real_host(&server, parts::HostOptions::default()).await;
    let mut health = client.subscribe("wasmbus.evt.default.health_check_passed").await.unwrap();
    start(&client, &dead, &image).await;
    end_for_good(&dead).await;
    start(&client, &other, &image).await;
    let told = async {
        loop {
            let event = health.next().await.unwrap();
            let event: Value = serde_json::from_slice(&event.payload).unwrap();
            if event["source"] == dead.id() {
                break;
            }
        }
    };
    timeout(FIRST_CHECK, told).await.expect("a host speaks for a process that is gone");
    spawn_blocking(move || drop((dead, other))).await.unwrap();
}

/// Answers for the health of the process `id`, in its place.
async fn answers(client: &Client, id: &str, healthy: impl Fn(usize) -> bool + Send + 'static) {
    let subject = format!("wasmbus.rpc.default.{id}.health");
    let mut asked = client.subscribe(subject).await.unwrap();
    let client = client.clone();
    tokio::spawn(async move {
        let mut times = 0;
        while let Some(question) = asked.next().await {
            let answer = json!({ "healthy": healthy(times) }).to_string();
            times += 1;
            client.publish(question.reply.unwrap(), answer.into()).await.unwrap();
        }
    });
}

/// Seen: the first bad answer of a process that was well is `failed`, and further ones are `status`, as
/// good ones are that follow a good one. What was never well is told of as `status` alone.
#[tokio::test]
async fn a_real_host_tells_of_health_by_change_and_begins_with_unhealthy() {
    let image = provider_image().await;
    let server = nats(None).await;
    let client = async_nats::connect(server.url()).await.unwrap();
    let (well, never) = (
        real_host(&server, parts::HostOptions::default()).await,
        real_host(&server, parts::HostOptions::default()).await,
    );
    let mut health = client.subscribe("wasmbus.evt.default.*").await.unwrap();
    for (host, id) in [(&well, "p"), (&never, "q")] {
        start_as(&client, host, &image, id).await;
        end_for_good(host).await;
    }
    answers(&client, "p", |times| times == 0).await;
    answers(&client, "q", |_| false).await;
    let mut told = Vec::new();
    let all = async {
        while told.len() < 4 {
            let event = health.next().await.unwrap();
            let name = event.subject.rsplit('.').next().unwrap().to_owned();
            let body: Value = serde_json::from_slice(&event.payload).unwrap();
            if let Some(kind) = name.strip_prefix("health_check_") {
                assert_eq!(body["data"].as_object().unwrap().len(), 2, "{body}");
                told.push(format!("{} {kind}", body["data"]["provider_id"].as_str().unwrap()));
            }
        }
    };
    timeout(2 * FIRST_CHECK, all).await.expect("two checks each");
    told.sort();
    assert_eq!(told, ["p failed", "p passed", "q status", "q status"]);
    spawn_blocking(move || drop((well, never))).await.unwrap();
}
