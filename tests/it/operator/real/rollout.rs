//! Changes that stop and start things, and one that can't succeed.
use std::future::Future;

use serde_json::{Value, json};

use super::{
    Commands, POLL, Real, answers,
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
    assert_eq!(calls.failed, 0, "{calls:?}");
    assert!(calls.dropped <= 4, "more than one for each stop: {calls:?}");
    assert_eq!(calls.answered.len(), 2, "the old and the new: {calls:?}");

    real.leaves_nothing("shop").await;
}

/// How few hosts ran it at any look while `change` went on.
async fn fewest_amid(real: &Real, change: impl Future<Output = ()>) -> usize {
    let mut fewest = usize::MAX;
    let look = async {
        loop {
            let lines = real.lines().await;
            fewest = fewest.min(lines.iter().filter(|line| line.contains(": component ")).count());
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::select! {
        () = change => {}
        () = look => {}
    }
    fewest
}

/// How many hosts had been told to stop it and not yet to start it again, at most.
fn most_away(sent: &[(String, Value)]) -> usize {
    let mut away: usize = 0;
    let counts = sent.iter().filter(|(verb, _)| verb == "component.scale").map(|(_, body)| {
        away = if body["count"] == 0 { away + 1 } else { away - 1 };
        away
    });
    counts.max().unwrap_or(0)
}

/// Of three hosts that serve, two may be away, and then one.
#[tokio::test(flavor = "multi_thread")]
async fn as_many_hosts_change_at_a_time_as_may_be_away_and_callers_are_answered() {
    let hosts: [(&str, &[(&str, &str)]); 3] = [("a", &[("zone", "a")]), ("b", &[]), ("c", &[])];
    let real = Real::start_for_providers("real-unavailable", &hosts).await;
    let address = free_address();
    let of = async |image: &str, away: usize| {
        let rollout = format!("instances: 3\n            rollout: {{ maxUnavailable: {away} }}");
        shop(&address).await.replace("instances: 2", &rollout).replace("hello:1", image)
    };
    let expected = shown(&address, "a", &["a", "b", "c"]);
    real.deploys("shop", &of("hello:1", 2).await, &expected).await;
    answers(&address, "good morning v1").await;

    let (mut from, mut commands) = ("hello:1", Commands::record(real.stage.nats.url()).await);
    for (to, away) in [("hello:2", 2), ("hello:1", 1)] {
        let caller = Caller::of(&address);
        let (manifest, now) = (of(to, away).await, with(expected.clone(), "hello:1", to));
        let change = Box::pin(real.becomes("shop", &manifest, &now));
        let fewest = Box::pin(fewest_amid(&real, change)).await;
        let calls = caller.end().await;
        assert!(fewest >= 3 - away, "{fewest} hosts served while {away} might be away");
        assert_eq!(most_away(&commands.so_far().await), away, "from {from} to {to}");
        assert_eq!(calls.failed, 0, "{calls:?}");
        assert!(calls.dropped <= 3, "more than one for each stop: {calls:?}");
        assert_eq!(calls.answered.len(), 2, "the old and the new: {calls:?}");
        from = to;
    }
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
    assert!(calls.failed == 0 && calls.dropped <= 1, "{calls:?}");
    assert_eq!(calls.answered.len(), 2, "the old and the new: {calls:?}");
    answers(&address, "good morning v2").await;
    let sent = commands.so_far().await;
    let scales: Vec<_> =
        sent.iter().map(|(verb, body)| (verb.as_str(), &body["host_id"], &body["count"])).collect();
    let (old, new) = (json!(real.hosts[at].id()), json!(real.hosts[other].id()));
    let expected = [("component.scale", &new, &json!(1)), ("component.scale", &old, &json!(0))];
    assert_eq!(scales, expected, "{sent:?}");

    real.leaves_nothing("shop").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_memory_is_set_changed_and_taken_off_by_one_stop_and_start_each() {
    let (real, manifest, address) = with_a_shop("real-limits", &["a", "b"]).await;
    let expected = shown(&address, "a", &["a", "b"]);
    let image = format!("image: '{}'\n", image("hello:1").await);
    let mut commands = Commands::record(real.stage.nats.url()).await;
    for (limits, shown) in [
        ("        limits: { maxMemory: 64Mi }\n", "x1 of 67108864 B,"),
        ("        limits: { maxMemory: 128Mi }\n", "x1 of 134217728 B,"),
        ("", "x1,"),
    ] {
        let limited = manifest.replace(&image, &format!("{image}{limits}"));
        real.becomes("shop", &limited, &with(expected.clone(), "x1,", shown)).await;
        answers(&address, "good morning v1").await;
        let sent = commands.so_far().await;
        assert_eq!((sent.len(), most_away(&sent)), (4, 1), "{sent:?}");
    }
    real.leaves_nothing("shop").await;
}
