//! Changes that stop and start things, and one that can't succeed.
use serde_json::json;

use super::{
    Commands, Real, answers,
    caller::Caller,
    condition, free_address, image,
    lifecycle::{shop, shown},
    with,
};

async fn with_a_shop(name: &str, web_hosts: &[&str]) -> (Real, String, String) {
    let real = Real::start_for_providers(name, &[("a", &[("zone", "a")]), ("b", &[])]).await;
    let address = free_address();
    let instances = format!("instances: {}", web_hosts.len());
    let manifest = shop(&address).await.replace("instances: 2", &instances);
    real.deploys("shop", &manifest, &shown(&address, "a", web_hosts)).await;
    answers(&address, "good morning v1").await;
    (real, manifest, address)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_of_an_image_that_isn_t_there_leaves_the_rest_of_the_old_running() {
    let (real, manifest, address) = with_a_shop("real-bad-rollout", &["a", "b"]).await;

    real.stage.apply(&manifest.replace("hello:1", "missing:1")).await;
    real.stage
        .until("shop", "the failure in the status", |app| {
            condition(app, "Ready").is_some_and(|(_, reason, message)| {
                reason == "Failing" && message.contains("manifest unknown")
            })
        })
        .await;
    let web: Vec<_> =
        real.lines().await.into_iter().filter(|line| line.contains(": component ")).collect();
    assert_eq!(web.len(), 1, "{web:?}");
    assert!(web[0].ends_with(": component ~shop-web = hello:1 x1, of shop/web"), "{web:?}");
    for _ in 0..10 {
        answers(&address, "good morning v1").await;
    }

    real.becomes("shop", &manifest, &shown(&address, "a", &["a", "b"])).await;
    real.leaves_nothing("shop").await;
}

/// While one host changes, the other answers.
#[tokio::test(flavor = "multi_thread")]
async fn callers_are_answered_while_an_image_changes_and_changes_back() {
    let (real, manifest, address) = with_a_shop("real-served", &["a", "b"]).await;
    let expected = shown(&address, "a", &["a", "b"]);

    let caller = Caller::of(&address);
    let changed = manifest.replace("hello:1", "hello:2");
    real.becomes("shop", &changed, &with(expected.clone(), "hello:1", "hello:2")).await;
    real.becomes("shop", &manifest, &expected).await;
    let calls = caller.end().await;
    eprintln!("{calls:?}");
    assert_eq!(calls.failed, 0, "{calls:?}");
    assert!(calls.dropped <= 4, "more than one for each stop: {calls:?}");
    assert!(calls.answered > 50, "{calls:?}");

    real.leaves_nothing("shop").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_is_started_anew_for_another_image_and_for_another_config() {
    let (real, manifest, address) = with_a_shop("real-provider", &["a", "b"]).await;
    let expected = shown(&address, "a", &["a", "b"]);

    let manifest = manifest.replace("http-server:1", "http-server:2");
    let mut expected = with(expected, "http-server:1", "http-server:2");
    real.becomes("shop", &manifest, &expected).await;
    answers(&address, "good morning v1").await;

    let image = format!("image: '{}'\n", image("http-server:2").await);
    let config = "        config: [{name: limits, properties: {timeout_ms: 5000}}]\n";
    let manifest = manifest.replace(&image, &format!("{image}{config}"));
    expected.push(r#"config ~shop-limits {"timeout_ms":"5000"}"#.to_owned());
    real.becomes("shop", &manifest, &expected).await;
    answers(&address, "good morning v1").await;

    real.leaves_nothing("shop").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_instance_is_replaced_on_another_host_before_it_stops() {
    let real =
        Real::start_for_providers("real-surge", &[("a", &[("zone", "a")]), ("b", &[])]).await;
    let address = free_address();
    let manifest = shop(&address).await.replace("instances: 2", "instances: 1");
    real.stage.apply(&manifest).await;
    real.stage.settled("shop").await;
    answers(&address, "good morning v1").await;
    let at = if real.lines().await.contains(&shown(&address, "a", &["a"])[0]) { "a" } else { "b" };
    real.holds(&shown(&address, "a", &[at])).await;

    let other = if at == "a" { "b" } else { "a" };
    let changed = with(shown(&address, "a", &[other]), "hello:1", "hello:2");
    let mut commands = Commands::record(real.stage.nats.url()).await;
    let caller = Caller::of(&address);
    real.becomes("shop", &manifest.replace("hello:1", "hello:2"), &changed).await;
    let calls = caller.end().await;
    assert!(calls.failed == 0 && calls.dropped <= 1 && calls.answered > 10, "{calls:?}");
    answers(&address, "good morning v2").await;
    let sent = commands.so_far().await;
    let scales: Vec<_> =
        sent.iter().map(|(verb, body)| (verb.as_str(), &body["host_id"], &body["count"])).collect();
    let (old, new) = (json!(real.hosts[at].id()), json!(real.hosts[other].id()));
    let expected = [("component.scale", &new, &json!(1)), ("component.scale", &old, &json!(0))];
    assert_eq!(scales, expected, "{sent:?}");

    real.leaves_nothing("shop").await;
}
