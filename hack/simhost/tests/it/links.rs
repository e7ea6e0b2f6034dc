//! Links and configs on the wire: T5 to T7, T10, T12.

use std::time::Duration;

use futures::future::join;
use serde_json::{Value, json};
use simhost::{HostOptions, LatticeOptions};

use crate::support::{SOON, link, nats, world, world_of, world_on};

const NOTHING: Value = Value::Null;

fn del(source: &str) -> Value {
    json!({"source_id": source, "name": "default", "wit_namespace": "wasi", "wit_package": "http"})
}

fn wide_gap() -> LatticeOptions {
    LatticeOptions { store_gap: Duration::from_millis(50), ..LatticeOptions::default() }
}

#[tokio::test]
async fn a_link_is_put_replaced_refused_and_deleted_as_on_the_real_host() {
    let mut w = world().await;
    let done = json!({"success": true, "message": "successfully set link"});
    assert_eq!(w.put_link("a", "b", NOTHING).await, done);
    assert_eq!(w.put_link("a", "b", NOTHING).await, done);
    assert_eq!(w.put_link("a", "c", NOTHING).await["success"], false);
    assert_eq!(
        w.put_link("a", "b", json!({"name": "n2", "source_config": ["x"]})).await["message"],
        "Failed to validate configuration and secrets. Configuration x not found in config store. "
    );
    let told = w.events(4).await;
    assert_eq!(told, ["linkdef_set", "linkdef_set", "linkdef_set_failed", "linkdef_set_failed"]);
    w.ask("link.del", del("a")).await;
    w.ask("link.del", del("a")).await;
    let (first, second) = (w.event().await.1, w.event().await.1);
    assert_eq!((first.get("target"), second.get("target")), (Some(&json!("b")), None));
    let never =
        json!({"success": true, "message": "successfully deleted link (spec doesn't exist)"});
    assert_eq!(w.ask("link.del", del("never")).await, never);
    assert!(w.quiet().await);
}

#[tokio::test]
async fn t5_of_two_links_put_at_once_for_one_source_one_is_lost() {
    let w = world_of(wide_gap(), HostOptions::default()).await;
    let (one, two) =
        join(w.put_link("a", "b", NOTHING), w.put_link("a", "c", json!({"name": "n2"}))).await;
    assert_eq!((&one["success"], &two["success"]), (&json!(true), &json!(true)));
    assert_eq!(w.lattice.links().len(), 1);
    join(w.put_link("x", "b", NOTHING), w.put_link("y", "b", NOTHING)).await;
    assert_eq!(w.lattice.links().len(), 3, "sources don't disturb each other");
}

#[tokio::test]
async fn t6_links_that_differ_only_in_interfaces_overwrite_each_other() {
    let w = world().await;
    w.put_link("a", "b", json!({"interfaces": ["one"]})).await;
    w.put_link("a", "b", json!({"interfaces": ["two"]})).await;
    let links = w.lattice.links();
    assert_eq!((links.len(), &links[0].interfaces), (1, &vec!["two".to_owned()]));
}

#[tokio::test]
async fn t7_a_delete_takes_the_first_match_whatever_its_target() {
    let w = world().await;
    w.put_link("a", "b", json!({"interfaces": ["one"]})).await;
    w.put_link("a", "c", json!({"interfaces": ["two"]})).await;
    w.ask("link.del", del("a")).await;
    let links = w.lattice.links();
    assert_eq!((links.len(), links[0].target.as_str()), (1, "c"));
}

#[tokio::test]
async fn t10_the_start_of_a_source_undoes_a_link_that_is_put_meanwhile() {
    // Wide enough to be met also on a busy machine.
    let gap = LatticeOptions { start_gap: Duration::from_millis(500), ..LatticeOptions::default() };
    let mut w = world_of(gap, HostOptions::default()).await;
    w.put_link("a", "b", NOTHING).await;
    w.events(1).await;
    let slow = json!({"name": "n2"});
    w.scale("a", "img:1", 1, NOTHING).await;
    // The put reads after the start did and writes before it does.
    w.lattice.wait_until(SOON, |l| l.records_in_hand() > 0).await.unwrap();
    w.lattice.seed_link(serde_json::from_value(link("a", "c", slow)).unwrap());
    assert_eq!(w.lattice.links().len(), 2);
    w.lattice.wait_until(SOON, |l| l.links().len() == 1).await.unwrap();
    assert_eq!(w.events(2).await, ["component_scaled 1", "component_scaled 1"]);
    assert!(w.quiet().await, "nothing tells of it");
}

#[tokio::test]
async fn t12_more_links_than_fit_one_message_are_not_answered() {
    let server = nats(Some(16 * 1024)).await;
    let w = world_on(server, LatticeOptions::default(), HostOptions::default()).await;
    let put = |number: usize| {
        let link = link(&format!("source-{number}"), "b", NOTHING);
        w.lattice.seed_link(serde_json::from_value(link).unwrap());
    };
    (0..10).for_each(put);
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(w.ask("link.get", NOTHING).await["response"].as_array().unwrap().len(), 10);
    (10..100).for_each(put);
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(w.ask_within("link.get", &NOTHING, Duration::from_millis(200)).await, None);
}

#[tokio::test]
async fn a_link_just_put_may_be_missing_from_what_a_host_tells() {
    let slow = HostOptions { link_lag: Duration::from_millis(100), ..HostOptions::default() };
    let w = world_of(LatticeOptions::default(), slow).await;
    w.put_link("a", "b", NOTHING).await;
    assert_eq!(w.ask("link.get", NOTHING).await["response"], json!([]));
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(w.ask("link.get", NOTHING).await["response"][0]["target"], "b");
}

#[tokio::test]
async fn a_config_is_put_read_and_deleted_as_on_the_real_host() {
    let mut w = world().await;
    let refused =
        json!({"success": false, "message": "config data should be a map of string -> string"});
    assert_eq!(w.ask("config.put.c", json!({"a": 2})).await, refused);
    assert_eq!(w.ask("config.put.c", json!({"a": "1"})).await["success"], true);
    assert_eq!(w.ask("config.put.c", json!({"a": "1"})).await["success"], true);
    assert_eq!(w.ask("config.get.c", NOTHING).await["response"], json!({"a": "1"}));
    assert_eq!(w.ask("config.del.c", NOTHING).await["success"], true);
    let missing = json!({"success": true, "message": "Configuration not found"});
    assert_eq!(w.ask("config.get.c", NOTHING).await, missing);
    assert_eq!(w.ask("config.get.two.tokens", NOTHING).await["message"], "unsupported subject");
    assert_eq!(w.events(3).await, ["config_set", "config_set", "config_deleted"]);
}
