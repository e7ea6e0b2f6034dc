//! Many hosts in one process.

use std::time::Duration;

use futures::StreamExt;
use serde_json::Value;
use simhost::{HostOptions, LatticeOptions, SimLattice, Verb, round_trip};
use tokio::time::{Instant, timeout};

use crate::support::{SOON, nats, scale};

const HOSTS: usize = 2_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_hosts_start_answer_and_work_within_seconds() {
    let nats = nats(None).await;
    let lattice = SimLattice::start(nats.url(), LatticeOptions::default()).await.unwrap();
    let client = async_nats::connect(nats.url()).await.unwrap();
    let started = Instant::now();
    let zone = |number: usize| if number.is_multiple_of(2) { "a" } else { "b" };
    let hosts = lattice.add_hosts(HOSTS, |it| HostOptions::labelled([("zone", zone(it))])).await;
    let hosts = hosts.unwrap();
    let up = started.elapsed();

    let inbox = client.new_inbox();
    let answers = client.subscribe(inbox.clone()).await.unwrap();
    client.publish_with_reply("wasmbus.ctl.v1.default.host.ping", inbox, "".into()).await.unwrap();
    let pinged = answers.take(HOSTS).count();
    assert_eq!(timeout(SOON, pinged).await.expect("an answer of each host"), HOSTS);
    let pinged = started.elapsed();

    for host in &hosts {
        let body = scale(host.id(), "everywhere", "img:1", 2, Value::Null);
        let subject = format!("wasmbus.ctl.v1.default.component.scale.{}", host.id());
        client.publish(subject, serde_json::to_vec(&body).unwrap().into()).await.unwrap();
    }
    let all = u32::try_from(2 * HOSTS).unwrap();
    lattice.wait_until(SOON * 3, |it| it.instances("everywhere") == all).await.unwrap();
    assert_eq!(lattice.commands().of(Verb::ComponentScale).len(), HOSTS);
    println!("{HOSTS} hosts: up {up:?}, pinged {pinged:?}, scaled {:?}", started.elapsed());
}

#[tokio::test]
async fn the_same_seed_makes_the_same_hosts() {
    let nats = nats(None).await;
    let ids = async |seed| {
        let options = LatticeOptions { seed, ..LatticeOptions::named(&format!("l{seed}")) };
        let lattice = SimLattice::start(nats.url(), options).await.unwrap();
        let hosts = lattice.add_hosts(3, |_| HostOptions::default()).await.unwrap();
        hosts.iter().map(|host| host.id().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids(1).await, ids(1).await);
    assert_ne!(ids(1).await, ids(2).await);
}

#[tokio::test]
async fn one_host_of_many_answers_what_the_lattice_is_asked_and_all_answer_a_ping() {
    let nats = nats(None).await;
    let lattice = SimLattice::start(nats.url(), LatticeOptions::default()).await.unwrap();
    lattice.add_hosts(5, |_| HostOptions::default()).await.unwrap();
    let client = async_nats::connect(nats.url()).await.unwrap();
    for (subject, answers) in [("link.get", 1), ("config.get.c", 1), ("host.ping", 5)] {
        let inbox = client.new_inbox();
        let mut inbound = client.subscribe(inbox.clone()).await.unwrap();
        let subject = format!("wasmbus.ctl.v1.default.{subject}");
        client.publish_with_reply(subject.clone(), inbox, "".into()).await.unwrap();
        let mut came = 0;
        while let Ok(Some(_)) = timeout(Duration::from_millis(200), inbound.next()).await {
            came += 1;
        }
        assert_eq!(came, answers, "{subject}");
    }
}

#[tokio::test]
async fn a_dropped_lattice_leaves_no_subject_behind() {
    let nats = nats(None).await;
    let client = async_nats::connect(nats.url()).await.unwrap();
    let lattice = SimLattice::start(nats.url(), LatticeOptions::default()).await.unwrap();
    let host = lattice.add_host(HostOptions::default()).await.unwrap();
    drop((lattice, host));
    let gone = async {
        let ping = || client.request("wasmbus.ctl.v1.default.host.ping", "".into());
        while ping().await.is_ok() {
            round_trip(&client).await;
        }
    };
    timeout(SOON, gone).await.expect("no responders");
}
