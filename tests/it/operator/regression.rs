//! What broke once, each named after it.
use futures::StreamExt;
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
    runtime::watcher,
};
use serde_json::{Value, json};
use trellis::api::{Application, ApplicationRevision, Lattice, Phase};

use super::{
    simulated::{SHOP, heartbeats, lattice},
    stage::{NATS_USER, Stage},
};

fn reason(status: Option<&trellis::api::ApplicationStatus>, type_: &str) -> String {
    let conditions = status.into_iter().flat_map(|status| &status.conditions);
    let mut named = conditions.filter(|condition| condition.type_ == type_);
    named.next().and_then(|condition| condition.reason.clone()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_starts_while_a_lattice_is_being_deleted_goes_on() {
    let stage = Stage::start("going").await;
    let sim = lattice(&stage, 1).await;
    stage.apply(&SHOP.replace("NAME", "shop")).await;
    stage.settled("shop").await;
    let api = Api::<Lattice>::all(stage.kube.clone());
    api.delete("going", &DeleteParams::default()).await.unwrap();
    stage
        .lattice_until("the Lattice to say who uses it", |lattice| {
            lattice.status.as_ref().is_some_and(|status| {
                status.conditions.iter().any(|condition| {
                    condition.type_ == "Terminating"
                        && condition.message.as_ref().is_some_and(|m| m.contains("going/shop"))
                })
            })
        })
        .await;

    stage.kill_operator();
    stage.start_operator().await;
    stage.delete("shop").await;
    assert_eq!(sim.instances("going-shop-web"), 0);
    stage
        .wait("the Lattice to be gone", async {
            let mut seen = std::pin::pin!(watcher::watch_object(api, "going"));
            while !matches!(seen.next().await, Some(Ok(None))) {}
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_spec_whose_revisions_were_lost_stops_nothing() {
    let stage = Stage::start("lost-revisions").await;
    let sim = lattice(&stage, 1).await;
    stage.apply(&SHOP.replace("NAME", "shop")).await;
    stage.settled("shop").await;
    let running = sim.instances("lost_revisions-shop-web");
    assert!(running > 0);

    let patch = |patch: Value| {
        let apps = stage.applications();
        async move {
            apps.patch("shop", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
        }
    };
    patch(json!({ "spec": { "components": [] } })).await;
    stage
        .until("shop", "the spec to be refused", |app| {
            reason(app.status.as_ref(), "Stalled") == "FailedParse"
        })
        .await;
    let revisions = Api::<ApplicationRevision>::namespaced(stage.kube.clone(), &stage.name);
    revisions.delete("shop-v1", &DeleteParams::default()).await.unwrap();
    stage.kill_operator();
    stage.start_operator().await;
    patch(json!({ "metadata": { "annotations": { "lattice.oam.dev/reconcile": "1" } } })).await;
    stage
        .until("shop", "a pass", |app| {
            app.status.as_ref().and_then(|status| status.reconciled.as_deref()) == Some("1")
        })
        .await;
    // The time in which what an earlier process sent could show up is over by then.
    heartbeats(&stage, &sim, 6).await;
    assert_eq!(sim.instances("lost_revisions-shop-web"), running);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_lattices_for_the_same_hosts_the_younger_one_is_refused() {
    let stage = Stage::start("twins").await;
    let _sim = lattice(&stage, 1).await;
    stage
        .lattice_until("the Lattice to be ready", |lattice| {
            lattice.status.as_ref().is_some_and(|status| {
                status
                    .conditions
                    .iter()
                    .any(|c| c.type_ == "Ready" && c.reason.as_deref() == Some("Ready"))
            })
        })
        .await;
    stage
        .put(&json!({
            "apiVersion": "lattice.oam.dev/v1alpha1",
            "kind": "Lattice",
            "metadata": { "name": "twins-younger" },
            "spec": { "nats": {
                "urls": [stage.nats.url()],
                "credentialsSecret": { "name": NATS_USER },
            } },
        }))
        .await;
    let api = Api::<Lattice>::all(stage.kube.clone());
    stage
        .wait("the younger Lattice to be refused", async {
            let mut seen = std::pin::pin!(watcher::watch_object(api, "twins-younger"));
            loop {
                if let Some(Ok(Some(lattice))) = seen.next().await
                    && let Some(status) = lattice.status
                    && let Some(message) =
                        status.conditions.iter().find_map(|condition| condition.message.clone())
                {
                    assert!(message.contains("Lattice twins has the same"), "{message}");
                    return;
                }
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_lattice_is_not_reported_as_one_without_hosts() {
    let stage = Stage::set("nowhere").await;
    stage.put_lattice(&json!({ "nats": { "urls": ["nats://127.0.0.1:1"] } })).await;
    stage.start_operator().await;
    stage.apply(&SHOP.replace("NAME", "shop")).await;
    stage
        .until("shop", "the lattice to be named", |app| {
            reason(app.status.as_ref(), "Ready") == "LatticeUnavailable"
        })
        .await;
    stage.applications().delete("shop", &DeleteParams::default()).await.unwrap();
    stage
        .until("shop", "the way out", |app| {
            let summary = app.status.as_ref().and_then(|status| status.summary.as_ref());
            summary.is_some_and(|s| s.message.contains("lattice.oam.dev/force-delete"))
        })
        .await;
    let force =
        json!({ "metadata": { "annotations": { "lattice.oam.dev/force-delete": "true" } } });
    let apps = stage.applications();
    apps.patch("shop", &PatchParams::default(), &Patch::Merge(force)).await.unwrap();
    stage.gone("shop").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ran_on_a_lattice_that_stays_away_is_not_said_to_run() {
    let mut stage = Stage::start("astray").await;
    let _sim = lattice(&stage, 2).await;
    stage.apply(&SHOP.replace("NAME", "shop")).await;
    stage.settled("shop").await;
    stage.stop_nats();
    stage
        .until("shop", "the lattice to be missed", |app| {
            let status = app.status.as_ref().unwrap();
            reason(Some(status), "Ready") == "LatticeUnavailable"
                && status.status == Some(Phase::Unhealthy)
        })
        .await;
    stage.restart_nats();
    stage.settled("shop").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_typo_during_a_rollout_does_not_make_it_succeed() {
    let stage = Stage::start("typo").await;
    let _sim = lattice(&stage, 0).await;
    let app = |image: &str| {
        json!({
            "apiVersion": "core.oam.dev/v1beta1",
            "kind": "Application",
            "metadata": { "name": "shop" },
            "spec": {
                "components": [
                    { "name": "web", "type": "component", "properties": { image: "r.example/web:1" } },
                ],
                "policies": [
                    { "name": "here", "type": "topology", "properties": { "lattices": ["typo"] } },
                ],
            },
        })
    };
    stage.put(&app("image")).await;
    stage
        .until("shop", "no host to be found", |app| {
            reason(app.status.as_ref(), "Ready") == "NoEligibleHosts"
        })
        .await;
    stage.put(&app("imgae")).await;
    stage
        .until("shop", "the typo to be refused", |app| {
            reason(app.status.as_ref(), "Stalled") == "FailedParse"
        })
        .await;
    stage.put(&app("image")).await;
    let app = stage
        .until("shop", "the typo to be mended", |app| {
            reason(app.status.as_ref(), "Ready") == "NoEligibleHosts"
        })
        .await;
    let run = app.status.unwrap().workflow.unwrap();
    assert_eq!((run.finished, run.steps[0].phase.as_str()), (false, "running"));
}

/// It was told that there is no such Lattice, and to create it.
#[tokio::test(flavor = "multi_thread")]
async fn an_application_is_told_that_its_lattice_is_of_another_class() {
    let stage = Stage::start("foreign").await;
    let name = "foreign-to-it";
    let topology = format!(
        "spec:\n  policies:\n    - {{name: a, type: topology, properties: {{lattices: [{name}]}}}}"
    );
    stage.apply(&SHOP.replace("NAME", "shop").replace("spec:", &topology)).await;
    let said = async |text: &'static str| {
        let says = |app: &Application| {
            let conditions = app.status.iter().flat_map(|status| &status.conditions);
            conditions.filter_map(|c| c.message.as_deref()).any(|m| m.contains(text))
        };
        stage.until("shop", text, says).await;
    };
    said("there is no Lattice foreign-to-it; create").await;
    let lattices = Api::<Lattice>::all(stage.kube.clone());
    let another: Lattice = serde_json::from_value(json!({
        "apiVersion": "lattice.oam.dev/v1alpha1", "kind": "Lattice",
        "metadata": {
            "name": name, "annotations": { "lattice.oam.dev/controller-class": "another" },
        },
        "spec": { "nats": { "urls": ["nats://nowhere:4222"] } },
    }))
    .unwrap();
    lattices.create(&PostParams::default(), &another).await.unwrap();
    said("Lattice foreign-to-it is of controller class another; give it").await;
    lattices.delete(name, &DeleteParams::default()).await.unwrap();
    said("there is no Lattice foreign-to-it; create").await;
}

/// It was still commanded by the operator that it had been taken from.
#[tokio::test(flavor = "multi_thread")]
async fn a_lattice_that_is_given_to_another_class_is_left_alone() {
    let stage = Stage::start("given-away").await;
    let sim = lattice(&stage, 1).await;
    stage.apply(&SHOP.replace("NAME", "shop")).await;
    stage.settled("shop").await;

    let change = json!({
        "metadata": { "annotations": { "lattice.oam.dev/controller-class": "another" } },
    });
    let lattices = Api::<Lattice>::all(stage.kube.clone());
    let params = PatchParams::default();
    lattices.patch(&stage.name, &params, &Patch::Merge(&change)).await.unwrap();
    stage
        .until("shop", "the Application to say that there is no lattice for it", |app| {
            let conditions = app.status.iter().flat_map(|status| &status.conditions);
            conditions.filter_map(|c| c.message.as_deref()).any(|m| m.contains("no Lattice admits"))
        })
        .await;

    let since = sim.elapsed();
    stage.apply(&SHOP.replace("NAME", "shop").replace("instances: 2", "instances: 3")).await;
    stage
        .until("shop", "the change to be looked at", |app| {
            let status = app.status.as_ref();
            status.is_some_and(|s| s.observed_generation == app.metadata.generation)
        })
        .await;
    assert_eq!(sim.commands().writes().since(since).0.len(), 0);
}
