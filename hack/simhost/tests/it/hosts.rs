//! Hosts on the wire, and what may happen to them.

use std::time::Duration;

use serde_json::{Value, json};
use simhost::{HostOptions, LatticeOptions, SimLattice, Verb};

use crate::support::{nats, world, world_of, world_on};

const NOTHING: Value = Value::Null;
const GONE: &str = "no responders";

fn beating(millis: u64) -> LatticeOptions {
    LatticeOptions { heartbeat_interval: Duration::from_millis(millis), ..Default::default() }
}

#[tokio::test]
async fn a_ping_and_an_inventory_tell_what_the_host_is() {
    let w = world_of(LatticeOptions::default(), HostOptions::labelled([("zone", "a")])).await;
    let ping = w.ask("host.ping", NOTHING).await;
    let inventory = w.ask_host("host.get", NOTHING).await;
    assert_eq!((&ping["success"], &ping["message"]), (&json!(true), &json!("")));
    assert_eq!(ping["response"]["id"], inventory["response"]["host_id"]);
    assert_eq!(ping["response"]["labels"], inventory["response"]["labels"]);
    assert_eq!(inventory["response"]["labels"]["hostcore.arch"], "x86_64");
}

#[tokio::test]
async fn an_event_is_a_cloudevent_from_its_host_and_a_heartbeat_holds_the_inventory() {
    let mut w = world_of(beating(50), HostOptions::default()).await;
    let (one, two) = (w.envelope().await, w.envelope().await);
    assert_eq!(one["type"], "com.wasmcloud.lattice.host_heartbeat");
    assert_eq!((&one["specversion"], &one["source"]), (&json!("1.0"), &json!(w.host.id())));
    assert_ne!(one["id"], two["id"]);
    assert_eq!(one["data"]["components"], json!([]));
    assert_eq!(one["data"]["host_id"], w.host.id());
}

#[tokio::test]
async fn the_inventory_comes_in_no_stable_order() {
    let w = world().await;
    for number in 0..8 {
        w.host.seed_component(&format!("c{number}"), "img:1", 1, simhost::Map::new());
    }
    assert_ne!(w.host.inventory()["components"], w.host.inventory()["components"]);
}

#[tokio::test]
async fn an_old_host_lists_actors() {
    let old = HostOptions { version: "0.82.0".to_owned(), ..HostOptions::default() };
    let w = world_of(LatticeOptions::default(), old).await;
    assert!(w.host.inventory()["actors"].is_array());
}

#[tokio::test]
async fn labels_change_by_command_except_those_of_the_host() {
    let mut w = world().await;
    assert_eq!(
        w.ask_host("label.put", json!({"key": "rack", "value": "7"})).await["success"],
        true
    );
    assert_eq!(w.event().await.1["labels"]["rack"], "7");
    let refused =
        json!({"success": false, "message": "hostcore.* labels cannot be set dynamically"});
    assert_eq!(w.ask_host("label.put", json!({"key": "hostcore.os", "value": "x"})).await, refused);
    w.ask_host("label.del", json!({"key": "rack"})).await;
    assert_eq!(w.event().await.0, "labels_changed");
    let none = json!({"success": true, "message": "successfully deleted label (no such label)"});
    assert_eq!(w.ask_host("label.del", json!({"key": "rack"})).await, none);
    assert!(w.quiet().await);
}

#[tokio::test]
async fn a_stopped_host_says_so_says_nothing_of_its_work_and_has_no_subjects_left() {
    let mut w = world().await;
    w.scale("a", "img:1", 1, NOTHING).await;
    w.events(2).await;
    assert_eq!(w.ask_host("host.stop", NOTHING).await["success"], true);
    let envelope = w.envelope().await;
    assert_eq!(envelope["type"], "com.wasmcloud.lattice.host_stopped");
    assert!(envelope["data"].get("host_id").is_none());
    assert!(w.quiet().await);
    assert_eq!(w.ask_host("host.get", NOTHING).await, GONE);
    assert_eq!(w.lattice.instances("a"), 0);
}

#[tokio::test]
async fn host_stopped_comes_late_if_the_host_takes_its_time() {
    let slow = HostOptions { stop_takes: Duration::from_millis(300), ..HostOptions::default() };
    let mut w = world_of(LatticeOptions::default(), slow).await;
    w.ask_host("host.stop", json!({"host_id": w.host.id(), "timeout": 500})).await;
    assert!(w.quiet().await);
    assert_eq!(w.ask_host("host.get", NOTHING).await, GONE);
    assert_eq!(w.events(1).await, ["host_stopped"]);
}

#[tokio::test]
async fn a_lattice_without_hosts_has_no_responders_and_keeps_its_links_and_configs() {
    let w = world().await;
    w.put_link("a", "b", NOTHING).await;
    w.ask("config.put.c", json!({"k": "v"})).await;
    w.host.kill().await;
    for subject in ["host.ping", "link.get", "config.get.c", "claims.get"] {
        assert_eq!(w.ask(subject, NOTHING).await, GONE, "{subject}");
    }
    w.lattice.add_host(HostOptions::default()).await.unwrap();
    assert_eq!(w.ask("config.get.c", NOTHING).await["response"], json!({"k": "v"}));
    assert_eq!(w.ask("link.get", NOTHING).await["response"][0]["source_id"], "a");
}

#[tokio::test]
async fn a_killed_host_says_nothing_and_its_subjects_are_withdrawn() {
    let mut w = world_of(beating(50), HostOptions::default()).await;
    w.host.kill().await;
    while !w.quiet().await {}
    assert_eq!(w.ask_host("host.get", NOTHING).await, GONE);
}

#[tokio::test]
async fn a_lost_machine_still_looks_subscribed_and_takes_its_share_of_the_queue_groups() {
    let w = world().await;
    w.host.lose_machine();
    let soon = Duration::from_millis(100);
    let get = format!("host.get.{}", w.host.id());
    assert_eq!(w.ask_within(&get, &NOTHING, soon).await, None);
    assert_eq!(w.ask_within("link.get", &NOTHING, soon).await, None);
    assert_eq!(w.lattice.commands().of(Verb::LinkGet).to(w.host.id()).len(), 1);
}

#[tokio::test]
async fn a_silent_host_goes_on_with_its_work_and_can_be_heard_again() {
    let mut w = world_of(beating(50), HostOptions::default()).await;
    w.lattice.images().hold("img:1");
    w.scale("a", "img:1", 1, NOTHING).await;
    w.host.silence();
    w.lattice.images().release("img:1");
    w.lattice.wait_until(crate::support::SOON, |l| l.instances("a") == 1).await.unwrap();
    while !w.quiet().await {}
    let get = format!("host.get.{}", w.host.id());
    assert_eq!(w.ask_within(&get, &NOTHING, Duration::from_millis(100)).await, None);
    w.host.unsilence();
    assert_eq!(w.events(1).await, ["host_heartbeat"]);
    assert_eq!(w.ask_host("host.get", NOTHING).await["response"]["components"][0]["id"], "a");
}

#[tokio::test]
async fn a_restart_loses_work_and_labels_and_may_keep_the_id() {
    let w = world_of(LatticeOptions::default(), HostOptions::labelled([("zone", "a")])).await;
    w.scale("a", "img:1", 1, NOTHING).await;
    w.ask_host("label.put", json!({"key": "rack", "value": "7"})).await;
    let same = w.host.restart().await.unwrap();
    assert_eq!(same.id(), w.host.id());
    assert_eq!((same.labels().get("rack"), same.labels()["zone"].as_str()), (None, "a"));
    assert_eq!(same.inventory()["components"], json!([]));
    let other = same.restart_with_new_id().await.unwrap();
    assert_ne!(other.id(), w.host.id());
    assert_eq!(w.ask_host("host.get", NOTHING).await, GONE);
}

#[tokio::test]
async fn a_heartbeat_over_the_largest_message_is_never_sent() {
    let server = nats(Some(8 * 1024)).await;
    let mut w = world_on(server, beating(50), HostOptions::default()).await;
    let long = json!({"annotations": {"long": "x".repeat(1024)}});
    for number in 0..8 {
        w.scale(&format!("c{number}"), "img:1", 1, long.clone()).await;
    }
    w.lattice.wait_until(crate::support::SOON, |l| l.instances("c7") == 1).await.unwrap();
    while !w.quiet().await {}
    assert_eq!(w.ask("host.ping", NOTHING).await["success"], true);
}

#[tokio::test]
async fn subjects_and_prefixes_are_those_that_were_set() {
    let options = LatticeOptions {
        name: "blue".to_owned(),
        control_prefix: "acme.ctl".to_owned(),
        event_prefix: "acme.evt".to_owned(),
        ..LatticeOptions::default()
    };
    let mut w = world_of(options, HostOptions::default()).await;
    w.scale("a", "img:1", 1, NOTHING).await;
    assert_eq!(w.events(2).await.len(), 2);
}

#[tokio::test]
async fn a_host_that_is_cut_off_has_no_subjects_works_on_and_comes_back() {
    let w = world().await;
    w.host.seed_component("a", "img:1", 2, [("owner".to_owned(), "us".to_owned())].into());
    w.host.cut_off().await;
    assert_eq!(w.ask_host("host.get", NOTHING).await, GONE);
    assert_eq!((w.ask("host.ping", NOTHING).await, w.lattice.instances("a")), (json!(GONE), 2));
    w.host.reconnect().await.unwrap();
    assert_eq!(w.ask_host("host.get", NOTHING).await["response"]["components"][0]["id"], "a");
}

#[tokio::test]
async fn what_was_seeded_runs_without_a_word() {
    let mut w = world().await;
    w.host.seed_component("a", "img:1", 2, simhost::Map::new());
    w.host.seed_provider("p", "file:///p.par.gz", simhost::Map::new());
    let inventory = w.host.inventory();
    assert_eq!(inventory["components"][0]["max_instances"], 2);
    assert_eq!(inventory["providers"][0]["image_ref"], "/p.par.gz");
    assert!(w.quiet().await);
}

#[tokio::test]
async fn hosts_answer_again_once_the_nats_server_is_back() {
    let mut server = nats(None).await;
    let lattice = SimLattice::start(server.url(), LatticeOptions::default()).await.unwrap();
    let host = lattice.add_host(HostOptions::default()).await.unwrap();
    let server = tokio::task::spawn_blocking(move || {
        server.restart().unwrap();
        server
    });
    let server = server.await.unwrap();
    let client = async_nats::connect(server.url()).await.unwrap();
    let subject = format!("wasmbus.ctl.v1.default.host.get.{}", host.id());
    let answered = async {
        while client.request(subject.clone(), "".into()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(crate::support::SOON, answered).await.expect("an answer");
}
