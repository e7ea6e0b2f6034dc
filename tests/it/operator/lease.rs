//! Several replicas, of which one acts.
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api,
    api::{DeleteParams, ListParams},
};
use serde_json::json;
use simhost::{Command, SimLattice, Verb};
use trellis::api::Lattice;

use super::{
    audit::{self, Write},
    replica::{Line, Replica},
    simulated::{SHOP, heartbeats, lattice},
    stage::{CLUSTER, PATIENCE, Stage},
};

const LEADING: &str = " leading ";
const RELEASED: &str = " released ";
const STANDING_BY: &str = " standing by";
const SENDING: &str = " sending ";
/// Longer than a new leader waits for what it can't see: a request's time-out and a start's deadline.
const SIGHT: usize = 7;
/// How long nobody may act when one replica leaves its place to another.
const HAND_OVER: Duration = Duration::from_millis(500);

/// A lattice of two hosts, and nobody who acts.
async fn set(name: &str) -> (Stage, SimLattice) {
    let stage = Stage::set(name).await;
    stage.put_lattice(&json!({})).await;
    let sim = lattice(&stage, 2).await;
    (stage, sim)
}

/// One that leads and one that stands by.
async fn pair(stage: &Stage) -> (Replica, Replica) {
    let mut leader = Replica::start(stage, "one").await;
    leader.says(LEADING);
    let mut other = Replica::start(stage, "two").await;
    other.says(STANDING_BY);
    (leader, other)
}

fn shop(name: &str) -> String {
    SHOP.replace("NAME", name)
}

/// The same with another image, which can only be had by stopping the old one.
fn changed(name: &str) -> String {
    shop(name).replace("web:1", "web:2").replace("text: hi", "text: hello")
}

/// Another one, with a component whose id is always the same.
fn with_id(name: &str) -> String {
    json!({
        "apiVersion": "core.oam.dev/v1beta1",
        "kind": "Application",
        "metadata": { "name": name },
        "spec": { "components": [{
            "name": "only",
            "type": "component",
            "properties": { "image": "registry.example/only:1", "id": "only" },
        }] },
    })
    .to_string()
}

/// Commands that follow the very same in their lane, and so were not needed.
fn repeated(sim: &SimLattice, since: Duration) -> Vec<Command> {
    let mut last = BTreeMap::new();
    let mut commands = sim.commands().writes().since(since).0;
    commands.retain(|command| {
        let asked = (command.verb, command.body.clone());
        last.insert(lane(command), asked.clone()) == Some(asked)
    });
    commands
}

fn lane(command: &Command) -> String {
    let of_link = match command.verb {
        Verb::LinkPut | Verb::LinkDel => ["name", "wit_namespace", "wit_package"],
        _ => [""; 3],
    };
    let of_link = of_link.map(|field| command.text(field));
    format!("{:?} {} {of_link:?}", command.target, command.id())
}

/// What replicas wrote, but for the Lease.
fn written(stage: &Stage) -> Vec<Write> {
    let mut writes = audit::writes(stage);
    writes.retain(|write| write.resource != "leases");
    writes
}

fn leases(stage: &Stage) -> Api<Lease> {
    Api::namespaced(stage.kube.clone(), &stage.name)
}

async fn lease(stage: &Stage) -> Lease {
    leases(stage).get(&format!("trellis-{}", stage.name)).await.unwrap()
}

async fn holder(stage: &Stage) -> Option<String> {
    lease(stage).await.spec.unwrap().holder_identity
}

fn web(stage: &Stage, application: &str) -> String {
    format!("{}-{application}-web", stage.name.replace('-', "_"))
}

fn image(application: &str, version: u64) -> String {
    format!("registry.example/{application}/web:{version}")
}

fn images(sim: &SimLattice, id: &str) -> BTreeSet<String> {
    sim.hosts().iter().flat_map(|host| host.code_running(id)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_alone_needs_no_lease() {
    let stage = Stage::start("lease-alone").await;
    assert_eq!(leases(&stage).list(&ListParams::default()).await.unwrap().items, []);
    let url = format!("{}/metrics", stage.operator_url());
    let (_, metrics) = tokio::task::block_in_place(|| parts::http::get(&url)).unwrap();
    assert!(metrics.contains("\ntrellis_leader 1\n"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_replicas_one_acts() {
    let (stage, sim) = set("lease-two").await;
    let (leader, other) = pair(&stage).await;
    assert!(holder(&stage).await.unwrap().starts_with("one_"));

    stage.apply(&shop("shop")).await;
    stage.settled("shop").await;
    stage.apply(&changed("shop")).await;
    stage.settled("shop").await;
    stage.apply(&shop("gone")).await;
    stage.settled("gone").await;
    stage.delete("gone").await;
    heartbeats(&stage, &sim, 3).await;
    a_lattice_comes_and_goes(&stage, &other).await;

    assert_eq!(leader.metric("trellis_leader"), "1");
    assert_eq!(repeated(&sim, Duration::ZERO), []);
    assert_eq!(other.get("/readyz").0, 200);
    assert_eq!(other.metric("trellis_leader"), "0");
    assert_eq!(other.metric("trellis_status_writes_total"), "0");
    let log = other.log();
    for word in [SENDING, " event reason=", " WARN ", " ERROR ", "panicked", LEADING] {
        assert!(!log.contains(word), "{word}: {log}");
    }
}

/// Who stands by watches it as long as it is there.
async fn a_lattice_comes_and_goes(stage: &Stage, other: &Replica) {
    let name = format!("{}-other", stage.name);
    let spec = json!({ "nats": { "urls": [stage.nats.url()] }, "lattice": "other" });
    let object = json!({
        "apiVersion": "lattice.oam.dev/v1alpha1", "kind": "Lattice",
        "metadata": { "name": name }, "spec": spec,
    });
    let is_watched = || other.get("/metrics").1.contains(&format!("lattice=\"{name}\""));
    stage.put(&object).await;
    stage.wait("the lattice to be watched", until(is_watched)).await;
    let lattices = Api::<Lattice>::all(stage.kube.clone());
    lattices.delete(&name, &DeleteParams::default()).await.unwrap();
    stage.wait("the lattice to be let go", until(|| !is_watched())).await;
}

async fn until(holds: impl Fn() -> bool) {
    while !holds() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until the Lease is the leader's again.
async fn put_right(stage: &Stage, what: &str) {
    let is_right = async || {
        // One with a time that can't be read is none here.
        let lease = leases(stage).get(&format!("trellis-{}", stage.name)).await.ok();
        let spec = lease.and_then(|lease| lease.spec);
        spec.is_some_and(|spec| {
            let is_of = |of: &String| of.starts_with("one_");
            spec.holder_identity.is_some_and(|it| is_of(&it))
                && spec.lease_duration_seconds == Some(6)
        })
    };
    let waiting = async {
        while !is_right().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    stage.wait(what, waiting).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_somebody_edits_or_deletes_stays_with_who_leads() {
    let (stage, sim) = set("lease-edit").await;
    let (leader, other) = pair(&stage).await;
    let name = format!("trellis-{}", stage.name);
    let kubectl = |arguments: &[&str]| {
        let arguments = [arguments, &["--namespace", &stage.name]].concat();
        tokio::task::block_in_place(|| CLUSTER.kubectl(&arguments, None).unwrap())
    };
    let never = "9999-12-31T23:59:59.000000Z";
    for spec in [
        json!({ "renewTime": never, "acquireTime": never }),
        json!({ "holderIdentity": "somebody", "leaseDurationSeconds": 1 }),
        json!({ "holderIdentity": null }),
    ] {
        let patch = json!({ "spec": spec }).to_string();
        kubectl(&["patch", "lease", &name, "--type=merge", "--patch", &patch]);
        put_right(&stage, &patch).await;
    }
    kubectl(&["delete", "lease", &name]);
    put_right(&stage, "the Lease to be there again").await;

    stage.apply(&shop("shop")).await;
    stage.settled("shop").await;
    heartbeats(&stage, &sim, SIGHT).await;
    assert_eq!((leader.count(LEADING), leader.count(STANDING_BY)), (1, 0), "{}", leader.log());
    assert_eq!(other.count(LEADING), 0, "{}", other.log());
    assert_eq!(repeated(&sim, Duration::ZERO), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_killed_is_replaced_once_its_lease_is_over() {
    let (stage, sim) = set("lease-kill").await;
    let (leader, mut other) = pair(&stage).await;
    stage.apply(&shop("shop")).await;
    stage.settled("shop").await;
    heartbeats(&stage, &sim, 2).await;

    // Nothing to do: nothing is done.
    let (before, since) = (written(&stage).len(), sim.elapsed());
    leader.kill();
    other.says(LEADING);
    assert_eq!(other.metric("trellis_leader"), "1");
    heartbeats(&stage, &sim, SIGHT).await;
    assert_eq!(sim.commands().writes().since(since).0, [], "{}", other.log());
    assert_eq!(written(&stage).split_off(before), [], "{}", other.log());
    assert_eq!(lease(&stage).await.spec.unwrap().lease_transitions, Some(1));

    // Killed while a pull is under way that nobody can see.
    let mut third = Replica::start(&stage, "three").await;
    sim.images().hold("registry.example/late/web:1");
    stage.apply(&shop("late")).await;
    let id = web(&stage, "late");
    let asked = |sim: &SimLattice| !sim.commands().of(Verb::ComponentScale).about(&id).is_empty();
    sim.wait_until(PATIENCE, asked).await.unwrap();
    other.kill();
    third.says(LEADING);
    sim.images().release("registry.example/late/web:1");
    stage.settled("late").await;
    assert_eq!((sim.instances(&id), sim.most_instances(&id)), (2, 2));

    stage.apply(&changed("shop")).await;
    stage.settled("shop").await;
    assert_eq!(images(&sim, &web(&stage, "shop")).len(), 1);
    let again = repeated(&sim, Duration::ZERO);
    assert!(again.iter().all(|command| command.id().contains("late")), "{again:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_ended_leaves_its_place_at_once() {
    let (stage, sim) = set("lease-term").await;
    let (mut leader, mut other) = pair(&stage).await;
    stage.apply(&shop("shop")).await;
    stage.settled("shop").await;
    // What has gone is forgotten by both, and its id is free.
    stage.apply(&with_id("first")).await;
    stage.settled("first").await;
    stage.delete("first").await;
    // So long a leader that has just begun can't say what is under way.
    heartbeats(&stage, &sim, SIGHT).await;

    let (before, since) = (written(&stage).len(), sim.elapsed());
    assert_eq!(leader.stop().code(), Some(0), "{}", leader.log());
    other.says(LEADING);
    let took = leader.said_at(RELEASED).duration_until(other.said_at(LEADING));
    println!("hand-over in {took:?}");
    assert!(took.unsigned_abs() < HAND_OVER, "{took:?}");
    assert!(other.log().contains("from=Drained"), "{}\n{}", leader.log(), other.log());

    // An update that needs a stop doesn't wait for what can't be seen: all was seen.
    stage.apply(&changed("shop")).await;
    let asked = |sim: &SimLattice| !sim.commands().writes().since(since).is_empty();
    sim.wait_until(Duration::from_secs(2), asked).await.unwrap();
    assert!(sim.commands().writes().since(since).0[0].body.to_string().contains("hello"));
    stage.settled("shop").await;
    stage.apply(&with_id("second")).await;
    stage.settled("second").await;
    assert_eq!(repeated(&sim, Duration::ZERO), []);
    assert!(written(&stage).len() > before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_and_a_delete_in_the_midst_of_a_hand_over_end_right() {
    let (stage, sim) = set("lease-midst").await;
    let (mut leader, mut other) = pair(&stage).await;
    for image in ["kept/web:1", "kept/web:2", "gone/web:1"] {
        sim.images().slow(&format!("registry.example/{image}"), Duration::from_millis(600));
    }
    heartbeats(&stage, &sim, SIGHT).await;
    for round in 0..4_u64 {
        stage.apply(&shop("gone")).await;
        stage.settled("gone").await;
        let wanted = if round % 2 == 0 { shop("kept") } else { changed("kept") };
        stage.apply(&wanted).await;
        let gone = stage.applications();
        gone.delete("gone", &DeleteParams::default()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(round * 250)).await;

        assert_eq!(leader.stop().code(), Some(0), "{}", leader.log());
        other.says(LEADING);
        stage.settled("kept").await;
        stage.gone("gone").await;
        let wanted = BTreeSet::from([image("kept", 1 + round % 2)]);
        assert_eq!(images(&sim, &web(&stage, "kept")), wanted);
        assert_eq!(sim.instances(&web(&stage, "kept")), 2);
        assert_eq!(sim.instances(&web(&stage, "gone")), 0);
        leader = other;
        other = Replica::start(&stage, &format!("next-{round}")).await;
    }
    assert_eq!(sim.most_instances(&web(&stage, "kept")), 2);
    assert_eq!(repeated(&sim, Duration::ZERO), []);
}

/// An Application of so many components, one after the other on a lattice that takes one command at
/// a time.
fn many(sim: &SimLattice, components: usize) -> String {
    let mut application = json!({
        "apiVersion": "core.oam.dev/v1beta1",
        "kind": "Application",
        "metadata": { "name": "many" },
        "spec": { "components": [] },
    });
    for n in 0..components {
        let image = format!("registry.example/many/{n}:1");
        sim.images().slow(&image, Duration::from_millis(150));
        application["spec"]["components"].as_array_mut().unwrap().push(json!({
            "name": format!("part-{n}"), "type": "component", "properties": { "image": image },
        }));
    }
    application.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_was_paused_past_its_lease_sends_nothing() {
    let (stage, sim) = set("lease-pause").await;
    stage.put_lattice(&json!({ "maxInFlight": 1 })).await;
    let (mut leader, mut other) = pair(&stage).await;
    stage.apply(&shop("shop")).await;
    stage.settled("shop").await;

    // In the midst of something: most of it waits in line to be sent.
    stage.apply(&many(&sim, 20)).await;
    let begun = |sim: &SimLattice| {
        sim.commands().of(Verb::ComponentScale).only(|c| c.id().contains("part")).len() > 3
    };
    sim.wait_until(PATIENCE, begun).await.unwrap();
    leader.pause();
    let (sent, stood_by) = (leader.count(SENDING), leader.count(STANDING_BY));
    assert!(sent < 20, "all was sent before the pause");
    other.says(LEADING);
    stage.settled("many").await;
    stage.apply(&changed("shop")).await;
    stage.settled("shop").await;
    heartbeats(&stage, &sim, 2).await;

    let (before, since) = (written(&stage).len(), sim.elapsed());
    leader.resume();
    leader.says_again(STANDING_BY, stood_by);
    heartbeats(&stage, &sim, 4).await;
    assert_eq!(sim.commands().writes().since(since).0, [], "{}", leader.log());
    assert_eq!(written(&stage).split_off(before), [], "{}", leader.log());
    assert_eq!(leader.count(SENDING), sent, "{}", leader.log());
    assert_eq!(leader.metric("trellis_leader"), "0");

    // Each part was started once, but for the one that was under way unseen.
    let starts = sim.commands().of(Verb::ComponentScale).only(|c| c.id().contains("part"));
    assert!((20..=21).contains(&starts.len()), "{}", starts.len());
    assert_eq!(images(&sim, &web(&stage, "shop")), BTreeSet::from([image("shop", 2)]));

    // What it missed it has learned: it can lead again.
    assert_eq!(other.stop().code(), Some(0));
    leader.says_again(LEADING, 1);
    stage.apply(&changed("shop").replace("instances: 2", "instances: 1")).await;
    stage.settled("shop").await;
    assert_eq!(sim.instances(&web(&stage, "shop")), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_can_t_reach_the_api_server_stops_in_time() {
    let (stage, sim) = set("lease-cut").await;
    let line = Line::to_the_api_server().await;
    // Leaves the stage's kubeconfig behind, which the line's is made from.
    let mut first = Replica::start(&stage, "first").await;
    first.says(LEADING);
    first.kill();
    let mut leader = Replica::start_behind(&stage, "one", &line).await;
    leader.says(LEADING);
    let mut other = Replica::start(&stage, "two").await;
    stage.apply(&shop("shop")).await;
    stage.settled("shop").await;

    line.cut();
    let sent = leader.count(SENDING);
    leader.says("not renewed in time");
    other.says(LEADING);
    assert!(leader.said_at("not renewed in time") < other.said_at(LEADING));
    let since = sim.elapsed();
    // What the old leader sees on the lattice, it would like to mend.
    sim.hosts()[0].kill().await;
    stage.apply(&changed("shop")).await;
    stage.settled("shop").await;
    heartbeats(&stage, &sim, 2).await;
    assert_eq!(leader.count(SENDING), sent, "{}", leader.log());
    assert_eq!(repeated(&sim, since), []);

    let stood_by = leader.count(STANDING_BY);
    line.mend();
    leader.says_again(STANDING_BY, stood_by);
    let since = sim.elapsed();
    heartbeats(&stage, &sim, 3).await;
    assert_eq!(sim.commands().writes().since(since).0, []);
    assert!(holder(&stage).await.unwrap().starts_with("two_"));
}
