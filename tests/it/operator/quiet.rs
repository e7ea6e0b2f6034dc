//! As wanted: no command, no write.
use std::{collections::BTreeMap, time::Duration};

use kube::{Api, ResourceExt};
use simhost::SimLattice;
use trellis::api::Lattice;

use super::{
    audit::{self, Write},
    simulated::{SHOP, heartbeats, lattice},
    stage::{CLUSTER, Stage},
};

/// More than an operator that was started anew waits for what it can't see.
const AFTER_A_RESTART: usize = 9;

/// What the operator has done so far, on both sides.
struct Silence<'a> {
    stage: &'a Stage,
    sim: &'a SimLattice,
    writes: usize,
    since: Duration,
}

impl<'a> Silence<'a> {
    fn begins(stage: &'a Stage, sim: &'a SimLattice) -> Self {
        Self { stage, sim, writes: audit::writes(stage).len(), since: sim.elapsed() }
    }

    /// What was written to the API server; nothing may have been sent to the lattice.
    fn broken(&self) -> Vec<Write> {
        let sent = self.sim.commands().writes().since(self.since);
        assert_eq!(sent.0, [], "{}", self.stage.log());
        audit::writes(self.stage).split_off(self.writes)
    }

    fn holds(&self) {
        assert_eq!(self.broken(), [], "{}", self.stage.log());
    }
}

async fn versions(stage: &Stage) -> [Option<String>; 2] {
    let lattice = Api::<Lattice>::all(stage.kube.clone()).get(&stage.name).await.unwrap();
    let app = stage.applications().get("shop").await.unwrap();
    [lattice.resource_version(), app.resource_version()]
}

fn shop() -> String {
    SHOP.replace("NAME", "shop")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_as_wanted_is_left_alone() {
    let stage = Stage::start("quiet").await;
    let sim = lattice(&stage, 2).await;
    stage.apply(&shop()).await;
    stage.settled("shop").await;
    heartbeats(&stage, &sim, 3).await;

    // Idle, and applied again.
    let silence = Silence::begins(&stage, &sim);
    let before = versions(&stage).await;
    stage.apply(&shop()).await;
    heartbeats(&stage, &sim, 4).await;
    silence.holds();
    assert_eq!(versions(&stage).await, before, "no field ticks");

    // Touched, which changes nothing that is wanted.
    let touch = ["label", "application", "shop", "touched=yes", "--namespace", "quiet"];
    CLUSTER.kubectl(&touch, None).unwrap();
    heartbeats(&stage, &sim, 3).await;
    silence.holds();

    // Started anew.
    stage.stop_operator().await;
    stage.start_operator().await;
    heartbeats(&stage, &sim, AFTER_A_RESTART).await;
    silence.holds();
    stage.kill_operator();
    stage.start_operator().await;
    heartbeats(&stage, &sim, AFTER_A_RESTART).await;
    silence.holds();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_application_costs_few_writes() {
    let stage = Stage::start("thrifty").await;
    let sim = lattice(&stage, 2).await;
    // That a lattice isn't ready yet is told at once.
    let ready = |lattice: &Lattice| {
        let conditions = lattice.status.iter().flat_map(|status| &status.conditions);
        conditions
            .into_iter()
            .any(|it| it.type_ == "Ready" && it.reason.as_deref() == Some("Ready"))
    };
    stage.lattice_until("the lattice to be ready", ready).await;
    let before = audit::writes(&stage).len();
    let began = sim.elapsed();
    stage.apply(&shop()).await;
    stage.settled("shop").await;
    let seconds = usize::try_from(sim.elapsed().saturating_sub(began).as_secs()).unwrap();
    let mut times = BTreeMap::<String, usize>::new();
    for write in audit::writes(&stage).split_off(before) {
        // Events are of the Lattice too.
        let others = ["leases", "events", "lattices", "lattices/status"];
        if !others.contains(&write.resource.as_str()) {
            *times.entry(format!("{} {}", write.verb, write.resource)).or_default() += 1;
        }
    }
    // Progress is told once a second at most, and not in the first two.
    let told = times.remove("update applications/status").unwrap_or_default();
    assert!((1..=2 + seconds).contains(&told), "{told} in {seconds} s {}", stage.log());
    // It may be under way.
    let succeeded = times.remove("patch applicationrevisions/status").unwrap_or_default();
    assert!(succeeded <= 1, "{}", stage.log());
    let once = ["create applicationrevisions", "patch applications"];
    assert_eq!(times, once.map(|write| (write.to_owned(), 1)).into(), "{}", stage.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blip_of_nats_is_not_written_on_applications() {
    let mut stage = Stage::start("blip").await;
    let sim = lattice(&stage, 2).await;
    stage.apply(&shop()).await;
    stage.settled("shop").await;
    heartbeats(&stage, &sim, 3).await;

    let silence = (audit::writes(&stage).len(), sim.elapsed());
    stage.restart_nats();
    heartbeats(&stage, &sim, 5).await;
    // Hangs for less than it takes to give up on a host.
    stage.pause_nats();
    tokio::time::sleep(Duration::from_millis(900)).await;
    stage.resume_nats();
    heartbeats(&stage, &sim, 5).await;
    let (writes, since) = silence;
    let written = Silence { stage: &stage, sim: &sim, writes, since }.broken();
    assert!(written.len() <= 2, "{written:#?} {}", stage.log());
    assert!(written.iter().all(|write| write.resource == "lattices/status"), "{written:#?}");
    let api = stage.applications();
    assert_eq!(api.get("shop").await.unwrap().status.unwrap().summary.unwrap().ready, "3/3");
}
