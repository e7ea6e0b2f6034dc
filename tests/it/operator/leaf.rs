//! Hosts behind a leaf node, whose NATS server goes on while its cable is cut.
use std::time::Duration;

use parts::{Cable, Nats, NatsOptions};
use serde_json::json;
use simhost::{Command, HostHandle, HostOptions, LatticeOptions, SimLattice};

use super::{
    owned::{because, message},
    simulated::{heartbeats, web},
    stage::Stage,
};

/// Where leaf nodes are let in, and as whom. Told of it, they would come directly.
const HUB: &str = "
leafnodes: {
    listen: \"127.0.0.1:-1\", no_advertise: true, authorization: { user: leaf, password: leaf }
}";

/// Two hosts at the hub and two behind the leaf, with an instance each.
struct Site {
    stage: Stage,
    cable: Cable,
    _leaf: Nats,
    middle: SimLattice,
    edge: SimLattice,
}

impl Site {
    async fn start(name: &str, on_host_loss: &str) -> Self {
        let stage = Stage::set_with(name, HUB).await;
        let policy = json!([{ "hostSelector": { "site": "north" }, "policy": on_host_loss }]);
        stage.put_lattice(&json!({ "onHostLoss": policy, "lossGrace": "2s" })).await;
        stage.start_operator().await;

        let log = stage.nats.log();
        let line = log.lines().find_map(|line| line.split_once("leafnode connections on "));
        let cable = Cable::to(line.expect("the hub lets leaf nodes in").1.trim()).unwrap();
        let remote = format!("nats-leaf://leaf:leaf@{}", cable.address());
        let config = format!("leafnodes: {{ remotes: [{{ url: \"{remote}\" }}] }}");
        let leaf = tokio::task::spawn_blocking(move || {
            let options = NatsOptions { config, without_jetstream: true, ..Default::default() };
            Nats::start(options).unwrap()
        });
        let leaf = leaf.await.unwrap();

        let heartbeat_interval = Duration::from_secs(1);
        let options = |seed| LatticeOptions { heartbeat_interval, seed, ..Default::default() };
        let middle = SimLattice::start(stage.nats.url(), options(1)).await.unwrap();
        middle.add_hosts(2, |_| HostOptions::default()).await.unwrap();
        let edge = SimLattice::start(leaf.url(), options(2)).await.unwrap();
        edge.add_hosts(2, |_| HostOptions::labelled([("site", "north")])).await.unwrap();
        let site = Self { stage, cable, _leaf: leaf, middle, edge };
        site.hosts_are("ready", 4).await;
        site.stage.apply(&web(4)).await;
        site.stage.settled("shop").await;
        assert_eq!(site.instances(), (vec![1, 1], vec![1, 1]));
        site
    }

    async fn hosts_are(&self, state: &str, wanted: i64) {
        self.stage
            .lattice_until("the hosts to be counted", |lattice| {
                let counts = lattice.status.as_ref().and_then(|status| status.host_counts);
                counts.is_some_and(|counts| {
                    let counts = serde_json::to_value(counts).unwrap();
                    counts[state].as_i64().unwrap_or_default() == wanted
                })
            })
            .await;
    }

    /// What each host runs, in the middle and at the edge.
    fn instances(&self) -> (Vec<u32>, Vec<u32>) {
        let runs = |host: HostHandle| host.component("web").map_or(0, |it| it.max_instances);
        let all = |sim: &SimLattice| sim.hosts().into_iter().map(runs).collect();
        (all(&self.middle), all(&self.edge))
    }

    /// What arrived that changes something, in the middle and at the edge.
    fn writes(&self) -> (Vec<Command>, Vec<Command>) {
        (self.middle.commands().writes().0, self.edge.commands().writes().0)
    }

    /// Nobody was told the same twice in a row.
    fn assert_nothing_twice(&self) {
        for host in self.middle.hosts().into_iter().chain(self.edge.hosts()) {
            let (middle, edge) = self.writes();
            let told = middle.into_iter().chain(edge);
            let told = told.filter(|write| write.target.as_deref() == Some(host.id()));
            let counts: Vec<_> = told.map(|write| write.count()).collect();
            assert!(counts.windows(2).all(|two| two[0] != two[1]), "{}: {counts:?}", host.id());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_behind_a_leaf_that_are_replaced_keep_what_they_run_when_they_return() {
    let site = Site::start("leaf-replaced", "Replace").await;
    let before = site.writes();

    // A cable that is loose for a moment means nothing.
    for _ in 0..3 {
        site.cable.cut();
        tokio::time::sleep(Duration::from_millis(200)).await;
        site.cable.mend();
        heartbeats(&site.stage, &site.middle, 2).await;
    }
    site.hosts_are("ready", 4).await;
    assert_eq!(site.writes(), before, "{}", site.stage.log());

    site.cable.cut();
    site.hosts_are("total", 2).await;
    site.stage.settled("shop").await;
    assert_eq!(site.instances(), (vec![2, 2], vec![1, 1]), "the edge goes on for itself");

    let back = site.edge.elapsed();
    site.cable.mend();
    site.hosts_are("ready", 4).await;
    let even = |sim: &SimLattice| sim.instances("web") == 2;
    site.middle.wait_until(Duration::from_secs(30), even).await.unwrap();
    site.stage.settled("shop").await;
    heartbeats(&site.stage, &site.middle, 3).await;
    assert_eq!(site.instances(), (vec![1, 1], vec![1, 1]));
    assert_eq!(site.edge.fewest_instances("web", back), 2, "what went on was never stopped");
    assert_eq!(site.writes().1, before.1, "nor told anything");
    site.assert_nothing_twice();
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_behind_a_leaf_that_are_held_are_waited_for_without_a_command() {
    let site = Site::start("leaf-held", "Hold").await;
    let before = site.writes();
    site.cable.cut();
    site.hosts_are("held", 2).await;
    let waits = |app: &trellis::api::Application| because(app, "Ready", "HostUnreachable");
    let app = site.stage.until("shop", "the Application to wait", waits).await;
    assert!(message(&app).contains("says Hold"), "{}", message(&app));
    heartbeats(&site.stage, &site.middle, 5).await;
    assert_eq!(site.writes(), before, "nobody takes over");

    site.cable.mend();
    site.hosts_are("ready", 4).await;
    site.stage.settled("shop").await;
    heartbeats(&site.stage, &site.middle, 3).await;
    assert_eq!(site.writes(), before, "it is as it was");
    assert_eq!(site.instances(), (vec![1, 1], vec![1, 1]));
}
