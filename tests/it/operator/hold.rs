//! Hosts at the edge that go on working while they are cut off.
use std::time::Duration;

use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use simhost::{HostHandle, HostOptions, SimLattice};
use trellis::api::{Application, HostSummary, Lattice};

use super::{
    owned::{because, message},
    simulated::{lattice, web},
    stage::Stage,
    tombstones::tombstones,
};

async fn patch(stage: &Stage, patch: Value) {
    let api = Api::<Lattice>::all(stage.kube.clone());
    api.patch(&stage.name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}

fn waits_for_host(app: &Application) -> bool {
    let conditions = app.status.iter().flat_map(|status| &status.conditions);
    let mut ready = conditions.filter(|condition| condition.type_ == "Ready");
    ready.any(|ready| {
        ready.reason.as_deref() == Some("HostUnreachable")
            && ready.message.as_ref().is_some_and(|message| message.contains("says Hold"))
    })
}

fn summary<'a>(lattice: &'a Lattice, host: &HostHandle) -> Option<&'a HostSummary> {
    let hosts = &lattice.status.as_ref()?.hosts;
    hosts.iter().find(|summary| summary.id == host.id())
}

fn running(host: &HostHandle) -> u32 {
    host.component("web").map_or(0, |component| component.max_instances)
}

/// One host in the middle and one at the edge, each with an instance, and the edge cut off.
async fn cut_off(stage: &Stage) -> (SimLattice, HostHandle, HostHandle) {
    cut_off_with(stage, &web(2)).await
}

async fn cut_off_with(stage: &Stage, manifest: &str) -> (SimLattice, HostHandle, HostHandle) {
    let sim = lattice(stage, 1).await;
    let middle = sim.hosts().remove(0);
    let edge = sim.add_host(HostOptions::labelled([("site", "north")])).await.unwrap();
    stage
        .lattice_until("both hosts", |lattice| {
            let counts = lattice.status.as_ref().and_then(|status| status.host_counts);
            counts.is_some_and(|counts| counts.ready == 2)
        })
        .await;
    stage.apply(manifest).await;
    stage.settled("shop").await;
    assert_eq!((running(&middle), running(&edge)), (1, 1));
    (sim, middle, edge)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_share_of_a_host_that_is_held_stays_there_though_the_operator_restarts() {
    let stage = Stage::start("hold").await;
    let hold = json!([{ "hostSelector": { "site": "north" }, "policy": "Hold" }]);
    patch(&stage, json!({ "spec": { "onHostLoss": hold, "lossGrace": "1s" } })).await;
    let (_sim, middle, edge) = cut_off(&stage).await;
    stage
        .lattice_until("what the host runs to be written down", |lattice| {
            summary(lattice, &edge).is_some_and(|host| {
                host.labels["site"] == "north" && host.held.iter().any(|held| held.id == "web")
            })
        })
        .await;

    stage.kill_operator();
    edge.cut_off().await;
    stage.start_operator().await;
    stage
        .lattice_until("the host to be held", |lattice| {
            let counts = lattice.status.as_ref().and_then(|status| status.host_counts);
            counts.is_some_and(|counts| counts.held == 1)
        })
        .await;
    stage.until("shop", "the Application to say so", waits_for_host).await;
    assert_eq!(running(&middle), 1, "nobody takes over");

    edge.reconnect().await.unwrap();
    stage.settled("shop").await;
    assert_eq!((running(&middle), running(&edge)), (1, 1));

    edge.cut_off().await;
    stage.until("shop", "the Application to say so again", waits_for_host).await;
    let forget = json!({ "lattice.oam.dev/forget-host": edge.id() });
    patch(&stage, json!({ "metadata": { "annotations": forget } })).await;
    stage.settled("shop").await;
    assert_eq!(running(&middle), 2, "the host was given up");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_was_replaced_and_comes_back_keeps_nothing_twice() {
    let stage = Stage::start("replaced").await;
    patch(&stage, json!({ "spec": { "lossGrace": "1s" } })).await;
    let (sim, middle, edge) = cut_off(&stage).await;
    edge.cut_off().await;
    stage
        .lattice_until("the host to be gone", |lattice| {
            let counts = lattice.status.as_ref().and_then(|status| status.host_counts);
            counts.is_some_and(|counts| counts.total == 1)
        })
        .await;
    stage.settled("shop").await;
    assert_eq!(running(&middle), 2);

    edge.reconnect().await.unwrap();
    stage
        .lattice_until("the host to be back", |lattice| {
            let counts = lattice.status.as_ref().and_then(|status| status.host_counts);
            counts.is_some_and(|counts| counts.ready == 2)
        })
        .await;
    let two = |sim: &SimLattice| sim.instances("web") == 2;
    sim.wait_until(Duration::from_secs(30), two).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_waits_for_a_held_host_up_to_its_deadline_and_ends_there_when_it_is_back() {
    let stage = Stage::start("held-grave").await;
    patch(&stage, json!({ "spec": { "lossGrace": "1s", "deletionDeadline": "4s" } })).await;
    let held_by_scaler = web(2).replace("instances: 2", "instances: 2, onHostLoss: Hold");
    let (_sim, middle, edge) = cut_off_with(&stage, &held_by_scaler).await;
    edge.cut_off().await;
    let held = |lattice: &Lattice| {
        let counts = lattice.status.as_ref().and_then(|status| status.host_counts);
        counts.is_some_and(|counts| counts.held == 1)
    };
    stage.lattice_until("the host to be held", held).await;

    let apps = stage.applications();
    apps.delete("shop", &DeleteParams::default()).await.unwrap();
    stage
        .until("shop", "the host and the end to be named", |app| {
            because(app, "Ready", "HostUnreachable")
                && message(app).contains("is cut off, and what it ran is held; after 2")
        })
        .await;
    stage.gone("shop").await;
    assert_eq!((running(&middle), running(&edge)), (0, 1));

    stage.kill_operator();
    stage.start_operator().await;
    let buried = |lattice: &Lattice| held(lattice) && tombstones(lattice).len() == 1;
    stage.lattice_until("the host to be held on", buried).await;
    edge.reconnect().await.unwrap();
    stage.lattice_until("nothing to be left", |it| tombstones(it).is_empty()).await;
    assert_eq!(running(&edge), 0);
}
