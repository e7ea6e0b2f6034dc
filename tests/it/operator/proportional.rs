//! What a host does to Applications that it means nothing to: nothing.
use std::time::Duration;

use simhost::{HostOptions, SimLattice};

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

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_looked_at_for_those_only_that_it_can_matter_to() {
    let stage = Stage::start("proportional").await;
    let sim = lattice(&stage, 2).await;
    for number in 0..APPLICATIONS {
        let name = format!("app-{number}");
        stage.apply(&manifest(&name, "spreadscaler", 2, "")).await;
    }
    stage.apply(&manifest("short", "spreadscaler", 1, "zone: mars")).await;
    stage.apply(&manifest("daemon", "daemonscaler", 1, "zone: mars")).await;
    for number in 0..APPLICATIONS {
        stage.settled(&format!("app-{number}")).await;
    }
    rest(&stage, &sim).await;

    // One that nobody waits for comes and goes: not one of the 42 is looked at, but for those that
    // something else concerns just then, as the end of what can't be seen after a start.
    let unnoticed = Box::pin(async {
        loop {
            let before = passes(&stage);
            let moon = sim.add_host(HostOptions::labelled([("zone", "moon")])).await.unwrap();
            hosts_are(&stage, 3).await;
            heartbeats(&stage, &sim, 3).await;
            moon.stop().await;
            hosts_are(&stage, 2).await;
            heartbeats(&stage, &sim, 3).await;
            if passes(&stage) == before {
                break;
            }
        }
    });
    stage.wait("a host to come and go without a look at anybody", unnoticed).await;

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
