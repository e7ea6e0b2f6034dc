//! What others do to a lattice, and what comes to pass while the operator is away.
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::{
    Commands, LIMIT, Real, answers, free_address,
    lifecycle::{shop, shown},
};

async fn with_a_shop(name: &str) -> (Real, String, Vec<String>) {
    let real = Real::start(name, &[("a", &[("zone", "a")]), ("b", &[])]).await;
    real.is_open().await;
    let address = free_address();
    let expected = shown(&address, "a", &["a", "b"]);
    real.becomes("shop", &shop(&address).await, &expected).await;
    answers(&address, "good morning v1").await;
    (real, address, expected)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_change_is_put_right() {
    let (real, address, expected) = with_a_shop("real-drift").await;
    let (a, b) = (real.hosts["a"].id(), real.hosts["b"].id());
    let (web, http) = ("real_drift-shop-web", "real_drift-shop-http");
    let stop = json!({ "component_id": web, "component_ref": super::image("hello:1").await,
        "host_id": b, "count": 0, "annotations": {}, "config": [] });
    let unlink = json!({ "source_id": http, "name": "default", "wit_namespace": "wasi",
        "wit_package": "http" });
    let words = "real_drift-shop-words";
    let changes = [
        (format!("component.scale.{b}"), stop),
        (format!("config.put.{words}"), json!({ "greeting": "good grief" })),
        (format!("config.del.{words}"), json!(null)),
        ("link.del".to_owned(), unlink),
        (format!("provider.stop.{a}"), json!({ "provider_id": http, "host_id": a })),
    ];
    for (command, body) in changes {
        real.truth.interfere(&command, &body).await;
        let took = real.comes_to_hold(&expected).await;
        assert!(took < LIMIT, "{command}: it took {took:?}\n{}", real.stage.log());
        answers(&address, "good morning v1").await;
        real.stage.settled("shop").await;
    }
    real.leaves_nothing("shop").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_comes_back_changes_nothing_and_finishes_what_was_asked_meanwhile() {
    let (real, _, expected) = with_a_shop("real-restart").await;
    let mut commands = Commands::record(real.stage.nats.url()).await;

    real.stage.kill_operator();
    real.stage.start_operator().await;
    let token = json!({ "metadata": { "annotations": { "lattice.oam.dev/reconcile": "again" } } });
    let apps = real.stage.applications();
    apps.patch("shop", &PatchParams::default(), &Patch::Merge(token)).await.unwrap();
    real.stage
        .until("shop", "the new operator to have looked", |app| {
            app.status.as_ref().is_some_and(|s| s.reconciled.as_deref() == Some("again"))
        })
        .await;
    real.stage.settled("shop").await;
    real.holds(&expected).await;
    assert_eq!(commands.so_far().await, []);

    assert_eq!(real.stage.stop_operator().await, Some(0));
    apps.delete("shop", &kube::api::DeleteParams::default()).await.unwrap();
    real.holds(&expected).await;
    real.stage.start_operator().await;
    real.stage.gone("shop").await;
    real.holds::<&str>(&[]).await;
}
