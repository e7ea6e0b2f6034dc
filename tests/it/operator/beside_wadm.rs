//! What wadm is known to do late, or at the wrong time, done by the whole operator on hosts whose
//! heartbeats don't come in time to help. `placement::tests::wadm` lists all that is known of it.
use std::time::Duration;

use serde_json::json;
use simhost::{Fault, HostOptions, LatticeOptions, SimLattice, Verb};

use super::{owned::because, simulated::web, stage::Stage};

/// Hosts that are as good as without heartbeats, and an operator that knows it.
async fn unhurried(name: &str, hosts: usize) -> (Stage, SimLattice) {
    let stage = Stage::set(name).await;
    // A host that is lost soon after the operator has connected has `lossGrace` to come back.
    let spec = json!({ "heartbeatInterval": "10m", "probeInterval": "4s", "lossGrace": "5s" });
    stage.put_lattice(&spec).await;
    stage.start_operator().await;
    let options =
        LatticeOptions { heartbeat_interval: Duration::from_mins(10), ..LatticeOptions::default() };
    let sim = SimLattice::start(stage.nats.url(), options).await.unwrap();
    sim.add_hosts(hosts, |_| HostOptions::default()).await.unwrap();
    (stage, sim)
}

/// When each start of `web` came, counted from the start of the lattice.
fn starts(sim: &SimLattice) -> Vec<Duration> {
    sim.commands().of(Verb::ComponentScale).0.iter().map(|scale| scale.at).collect()
}

/// It acts on a heartbeat, and finds a dead host after 70 to 105 s.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_lost_is_made_up_for_long_before_a_heartbeat() {
    let (stage, sim) = unhurried("unhurried", 4).await;
    stage.apply(&web(4)).await;
    stage.settled("shop").await;
    let all = |sim: &SimLattice| sim.instances("web") == 4;

    // Stopped behind its back: the event is enough.
    let nats = async_nats::connect(stage.nats.url()).await.unwrap();
    let mut scale = sim.commands().of(Verb::ComponentScale).0.last().unwrap().clone();
    scale.body["count"] = json!(0);
    let subject = format!("wasmbus.ctl.v1.default.component.scale.{}", scale.target.unwrap());
    let before = starts(&sim).len();
    nats.request(subject, scale.body.to_string().into()).await.unwrap();
    // Theirs, and ours.
    let again = |sim: &SimLattice| starts(sim).len() == before + 2 && all(sim);
    sim.wait_until(Duration::from_secs(5), again).await.unwrap();

    // Ended in good order, then killed; the others are as many as before.
    sim.hosts()[0].stop().await;
    sim.wait_until(Duration::from_secs(10), all).await.unwrap();
    sim.hosts()[0].kill().await;
    sim.wait_until(Duration::from_secs(15), all).await.unwrap();
    assert!(sim.events().iter().all(|event| event.name != "host_heartbeat"));
}

/// It tries again every 5 s, for ever.
#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_tried_again_ever_later() {
    let (stage, sim) = unhurried("ever-later", 1).await;
    sim.inject(Fault::fail_start("out of luck"));
    stage.apply(&web(4)).await;
    stage.until("shop", "the failure", |app| because(app, "Ready", "Failing")).await;
    let five = |sim: &SimLattice| starts(sim).len() == 5;
    sim.wait_until(Duration::from_mins(1), five).await.unwrap();
    let starts: Vec<f64> = starts(&sim).iter().map(Duration::as_secs_f64).collect();
    let pauses: Vec<f64> = starts.windows(2).map(|two| two[1] - two[0]).collect();
    let grows = |two: &[f64]| two[1] > two[0] * 1.5;
    assert!(pauses.windows(2).all(grows), "{pauses:?}");
    assert!(pauses[0] < 3.0 && pauses[3] > 12.0, "{pauses:?}");
}
