//! What a host does to Applications that it means nothing to: nothing.
use std::time::Duration;

use kube::{Api, api::DeleteParams};
use serde_json::json;
use simhost::{HostOptions, SimLattice};
use trellis::api::{Application, Lattice};

use super::{
    scrape::{metrics, sum},
    simulated::{heartbeats, lattice},
    stage::Stage,
};

const APPLICATIONS: u64 = 40;

const WEB: &str = "
apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: { name: NAME }
spec:
  components:
    - name: web
      type: component
      properties: { image: registry.example/web:1 }
      traits:
        - { type: SCALER, properties: { instances: COUNT, spread: [{ name: all, requirements: { WHERE } }] } }
";

fn manifest(name: &str, scaler: &str, count: usize, wanted: &str) -> String {
    WEB.replace("NAME", name)
        .replace("SCALER", scaler)
        .replace("COUNT", &count.to_string())
        .replace("WHERE", wanted)
}

/// Passes over Applications so far.
fn passes(stage: &Stage) -> u64 {
    sum(&metrics(stage), "trellis_reconciles_total")
}

async fn hosts_are(stage: &Stage, count: i64) {
    stage
        .lattice_until("the hosts to be counted", |lattice| {
            let counts = lattice.status.as_ref().and_then(|status| status.host_counts);
            counts.is_some_and(|counts| counts.total == count)
        })
        .await;
}

/// Waits until the operator has come to rest.
async fn rest(stage: &Stage, sim: &SimLattice) {
    loop {
        let before = passes(stage);
        heartbeats(stage, sim, 3).await;
        if passes(stage) == before {
            return;
        }
    }
}

/// An operator that has come to rest with 40 Applications of two instances each.
async fn crowd(name: &str) -> (Stage, SimLattice) {
    let stage = Stage::start(name).await;
    let sim = lattice(&stage, 2).await;
    for number in 0..APPLICATIONS {
        let name = format!("app-{number}");
        stage.apply(&manifest(&name, "spreadscaler", 2, "")).await;
    }
    for number in 0..APPLICATIONS {
        stage.settled(&format!("app-{number}")).await;
    }
    rest(&stage, &sim).await;
    (stage, sim)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_looked_at_for_those_only_that_it_can_matter_to() {
    let (stage, sim) = crowd("proportional").await;
    stage.apply(&manifest("short", "spreadscaler", 1, "zone: mars")).await;
    stage.apply(&manifest("daemon", "daemonscaler", 1, "zone: mars")).await;
    rest(&stage, &sim).await;

    // One that nobody waits for comes and goes: not one of the 42 is looked at.
    let before = passes(&stage);
    let moon = sim.add_host(HostOptions::labelled([("zone", "moon")])).await.unwrap();
    hosts_are(&stage, 3).await;
    heartbeats(&stage, &sim, 3).await;
    moon.stop().await;
    hosts_are(&stage, 2).await;
    heartbeats(&stage, &sim, 3).await;
    assert_eq!(passes(&stage), before);

    let before = passes(&stage);
    // One that two wait for: they get what they want, and are looked at a few times each.
    let mars = sim.add_host(HostOptions::labelled([("zone", "mars")])).await.unwrap();
    stage.settled("short").await;
    stage.settled("daemon").await;
    assert_eq!(mars.inventory()["components"].as_array().unwrap().len(), 2);
    rest(&stage, &sim).await;
    let looked = passes(&stage) - before;
    assert!((2..APPLICATIONS / 2).contains(&looked), "{looked} passes");
}

/// Somebody else's Lattice was taken for one that anybody could use: each Application was looked at.
#[tokio::test(flavor = "multi_thread")]
async fn a_lattice_of_another_class_is_looked_at_for_those_only_that_named_it() {
    let (stage, sim) = crowd("strangers").await;
    let other = "strangers-other";
    let topology = format!("topology, properties: {{ lattices: [{other}] }}");
    let named = manifest("named", "spreadscaler", 1, "");
    stage.apply(&format!("{named}  policies: [{{ name: there, type: {topology} }}]\n")).await;
    let said = async |text: &'static str| {
        let says = |app: &Application| {
            let conditions = app.status.iter().flat_map(|status| &status.conditions);
            conditions.filter_map(|c| c.message.as_deref()).any(|message| message.contains(text))
        };
        stage.until("named", text, says).await;
    };
    said("there is no Lattice").await;
    rest(&stage, &sim).await;

    let before = passes(&stage);
    let object = json!({
        "apiVersion": "lattice.oam.dev/v1alpha1", "kind": "Lattice",
        "metadata": { "name": other },
        "spec": { "nats": { "urls": ["nats://nowhere:4222"] } },
    });
    stage.put_for("another", &object).await;
    said("is of controller class another").await;
    let lattices = Api::<Lattice>::all(stage.kube.clone());
    lattices.delete(other, &DeleteParams::default()).await.unwrap();
    said("there is no Lattice").await;
    rest(&stage, &sim).await;
    let looked = passes(&stage) - before;
    assert!((2..APPLICATIONS / 2).contains(&looked), "{looked} passes");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_carries_an_applications_name_and_was_never_known_of_is_removed() {
    let stage = Stage::start("stray").await;
    let sim = lattice(&stage, 1).await;
    stage.apply(&manifest("shop", "spreadscaler", 1, "")).await;
    stage.settled("shop").await;
    let host = sim.hosts().remove(0);
    let web = host.component("stray-shop-web").unwrap();
    rest(&stage, &sim).await;

    host.seed_component("long-gone", "registry.example/old:1", 1, web.annotations);
    let gone = |_: &SimLattice| host.component("long-gone").is_none();
    sim.wait_until(Duration::from_secs(30), gone).await.unwrap();
    stage.settled("shop").await;
    assert_eq!(sim.instances("stray-shop-web"), 1);
}
