//! What breaks, and what comes of it.
use k8s_openapi::api::core::v1::Event;
use kube::{Api, ResourceExt, api::ListParams};
use tokio::task::block_in_place;
use trellis::api::Phase;

use super::{
    LIMIT, Real, answers, condition, free_address,
    lifecycle::{shop, shown},
    now,
    scaling::pool,
};

/// Reasons of the Application's events, in order.
async fn reasons(real: &Real, app: &str) -> Vec<String> {
    let api = Api::<Event>::namespaced(real.stage.kube.clone(), &real.stage.name);
    let events = api.list(&ListParams::default()).await.unwrap().items;
    let mut events: Vec<_> = events
        .into_iter()
        .filter(|event| event.involved_object.name.as_deref() == Some(app))
        .map(|event| (event.event_time.unwrap().0, event.reason.unwrap()))
        .collect();
    events.sort();
    events.into_iter().map(|(_, reason)| reason).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_isn_t_there_is_reported_in_the_host_s_words_and_can_be_corrected() {
    let real = Real::start("real-missing", &[("a", &[])]).await;
    let good = pool("{type: spreadscaler, properties: {instances: 1}}").await;
    real.stage.apply(&good.replace("tiny:1", "missing:1")).await;

    let app = real
        .stage
        .until("pool", "the failure in the status", |app| {
            condition(app, "Ready").is_some_and(|(_, reason, _)| reason == "Failing")
        })
        .await;
    let (status, _, message) = condition(&app, "Ready").unwrap();
    assert_eq!(status, "False");
    // The host's own words, what they are about, and what to do.
    for words in ["missing:1", "manifest unknown", "properties.image of component worker"] {
        assert!(message.contains(words), "{message}");
    }
    let status = app.status.unwrap();
    assert_eq!(status.status, Some(Phase::RunningWorkflow));
    assert!(status.services[0].message.contains("manifest unknown"), "{status:?}");

    let worker = "a: component ~pool-worker = tiny:1 x1, of pool/worker";
    real.becomes("pool", &good, &[worker]).await;
    real.leaves_nothing("pool").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ran_on_a_host_that_is_killed_is_made_up_for() {
    let mut real = Real::start("real-kill", &[("a", &[]), ("b", &[])]).await;
    let on = |host: &str, count: u32| {
        format!("{host}: component ~pool-worker = tiny:1 x{count}, of pool/worker")
    };
    let manifest = pool("{type: spreadscaler, properties: {instances: 4}}").await;
    real.becomes("pool", &manifest, &[&on("a", 2), &on("b", 2)]).await;

    let mut lost = real.hosts.remove("b").unwrap();
    let start = now();
    block_in_place(|| lost.kill());
    real.comes_to_hold(&[&on("a", 4)]).await;
    let took = start.elapsed();
    assert!(took < LIMIT, "it took {took:?}\n{}", real.stage.log());
    real.stage.settled("pool").await;
    real.stage
        .wait("both events", async {
            while !reasons(&real, "pool").await.ends_with(&["Degraded".into(), "Recovered".into()])
            {
                tokio::time::sleep(super::POLL).await;
            }
        })
        .await;

    real.leaves_nothing("pool").await;
}

/// A shop on two hosts, with its front on `a`; which may go to `b` as well.
async fn with_a_shop_on_two_hosts(name: &str) -> (Real, String) {
    let real = Real::start_for_providers(name, &[("a", &[("zone", "a")]), ("b", &[])]).await;
    let address = free_address();
    let manifest = shop(&address).await;
    real.deploys("shop", &manifest, &shown(&address, "a", &["a", "b"])).await;
    let anywhere = manifest.replace("requirements: { zone: a }", "requirements: {}");
    real.becomes("shop", &anywhere, &shown(&address, "a", &["a", "b"])).await;
    answers(&address, "good morning v1").await;
    (real, address)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_moves_away_from_a_host_that_is_killed() {
    let (mut real, address) = with_a_shop_on_two_hosts("real-kill-provider").await;
    let mut lost = real.hosts.remove("a").unwrap();
    block_in_place(|| lost.kill());
    moved_to_b(&real, &address).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_moves_away_from_a_host_that_is_stopped() {
    let (mut real, address) = with_a_shop_on_two_hosts("real-stop-provider").await;
    let mut stopped = real.hosts.remove("a").unwrap();
    let status = block_in_place(|| stopped.stop().unwrap());
    assert!(status.success(), "{}", stopped.log());
    moved_to_b(&real, &address).await;
}

async fn moved_to_b(real: &Real, address: &str) {
    let expected = shown(address, "b", &["b", "b"]);
    let took = real.comes_to_hold(&expected).await;
    assert!(took < LIMIT, "it took {took:?}\n{}", real.stage.log());
    real.stage.settled("shop").await;
    answers(address, "good morning v1").await;
    real.leaves_nothing("shop").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_the_server_restarts_nothing_and_is_not_written() {
    let mut real =
        Real::start_for_providers("real-nats", &[("a", &[("zone", "a")]), ("b", &[])]).await;
    let address = free_address();
    let manifest = shop(&address).await;
    let expected = shown(&address, "a", &["a", "b"]);
    real.deploys("shop", &manifest, &expected).await;
    let before = real.stage.applications().get("shop").await.unwrap();
    let sent = |real: &Real| real.stage.log().matches("lattice::watch::requests: sending").count();
    let sent_before = sent(&real);

    let connected = |real: &Real| real.stage.log().matches("task: connected").count();
    real.stage.stop_nats();
    real.until_log("the connection to be lost", |log| log.contains("disconnected")).await;
    let connections = connected(&real);
    real.stage.restart_nats();
    real.until_log("a new connection", |log| log.matches("task: connected").count() > connections)
        .await;
    real.comes_to_hold(&expected).await;
    answers(&address, "good morning v1").await;
    // What may be removed is removed only once the lattice is trusted again: so it is now.
    let manifest = manifest.replace("instances: 2", "instances: 4");
    let after = real.stage.applications().get("shop").await.unwrap();
    assert_eq!(after.resource_version(), before.resource_version(), "{:?}", after.status);
    assert_eq!(sent(&real), sent_before, "{}", real.stage.log());

    let four = shown(&address, "a", &["a", "a", "b", "b"]);
    real.becomes("shop", &manifest, &four).await;
    assert_eq!(sent(&real), sent_before + 2, "{}", real.stage.log());
    real.leaves_nothing("shop").await;
}
