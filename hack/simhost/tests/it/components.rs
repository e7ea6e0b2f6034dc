//! Components on the wire: the table of states and requests, T1 to T4, T11 and T13.

use std::time::Duration;

use serde_json::{Value, json};
use simhost::{HostOptions, LatticeOptions, Verb};

use crate::support::{SOON, scale, world, world_of};

const NOTHING: Value = Value::Null;

#[tokio::test]
async fn a_first_start_is_told_twice_and_a_change_of_scale_once() {
    let mut w = world().await;
    let acknowledged = json!({"success": true, "message": ""});
    assert_eq!(w.scale("a", "img:1", 2, NOTHING).await, acknowledged);
    assert_eq!(w.events(2).await, ["component_scaled 2", "component_scaled 2"]);
    for count in [5, 5, 0, 0] {
        w.scale("a", "img:1", count, NOTHING).await;
        assert_eq!(w.events(1).await, [format!("component_scaled {count}")]);
    }
    assert!(w.quiet().await);
}

#[tokio::test]
async fn t1_scaling_with_another_ref_shows_the_new_image_and_runs_the_old_code() {
    let mut w = world().await;
    w.scale("a", "img:1", 1, NOTHING).await;
    w.events(2).await;
    let answer = w.scale("a", "img:2", 2, json!({"annotations": {"owner": "other"}})).await;
    assert!(answer["message"].as_str().unwrap().contains("img:1 != img:2"), "{answer}");
    let (_, event) = w.event().await;
    assert_eq!(
        (&event["image_ref"], &event["annotations"]["owner"]),
        (&json!("img:1"), &json!("us"))
    );
    let shown = &w.host.inventory()["components"][0];
    assert_eq!(
        (&shown["image_ref"], &shown["annotations"]["owner"]),
        (&json!("img:2"), &json!("other"))
    );
    assert_eq!(w.lattice.code_running(w.host.id(), "a"), ["img:1"]);
}

#[tokio::test]
async fn t1_scaling_with_another_ref_and_the_same_count_changes_nothing() {
    let mut w = world().await;
    w.scale("a", "img:1", 1, NOTHING).await;
    w.events(2).await;
    w.scale("a", "img:2", 1, json!({"annotations": {}})).await;
    w.events(1).await;
    let component = w.host.component("a").unwrap();
    assert_eq!((component.image_ref.as_str(), component.annotations.len()), ("img:1", 1));
}

#[tokio::test]
async fn t2_allow_update_wipes_the_annotations_and_tells_a_false_zero() {
    let mut w = world().await;
    w.scale("a", "img:1", 3, NOTHING).await;
    w.events(2).await;
    w.scale("a", "img:2", 3, json!({"allow_update": true})).await;
    let told = w.events(3).await;
    assert_eq!(told, ["component_scaled 3", "component_scaled 3", "component_scaled 0"]);
    w.lattice
        .wait_until(SOON, |l| l.inventory(w.host.id())["components"][0]["image_ref"] == "img:2")
        .await
        .unwrap();
    let component = w.host.component("a").unwrap();
    assert_eq!((component.annotations.len(), component.max_instances), (0, 3));
}

#[tokio::test]
async fn t3_after_an_update_callers_elsewhere_reach_the_old_code() {
    let mut w = world().await;
    w.scale("a", "img:1", 1, NOTHING).await;
    w.events(2).await;
    let update = json!({"component_id": "a", "new_component_ref": "img:2", "host_id": w.host.id()});
    let answer = w.ask_host("component.update", update).await;
    assert_eq!(answer["message"], "component a updating from img:1 to img:2");
    assert_eq!(w.events(2).await, ["component_scaled 1", "component_scaled 0"]);
    let id = w.host.id();
    w.lattice
        .wait_until(SOON, |l| l.inventory(id)["components"][0]["image_ref"] == "img:2")
        .await
        .unwrap();
    assert_eq!(w.host.code_running("a"), ["img:1"]);
    w.scale("a", "img:2", 2, NOTHING).await;
    w.events(1).await;
    assert_eq!(w.host.code_running("a"), ["img:1", "img:2"]);
}

#[tokio::test]
async fn t4_a_component_with_secrets_is_started_anew_by_an_identical_scale() {
    let mut w = world().await;
    w.lattice.images().signed("img:1");
    w.lattice.seed_config("SECRET-x", [("name".to_owned(), "x".to_owned())].into());
    w.lattice.seed_config("plain", [("k".to_owned(), "v".to_owned())].into());
    for (id, config) in [("secretive", json!(["SECRET-x"])), ("open", json!(["plain"]))] {
        for _ in 0..3 {
            w.scale(id, "img:1", 1, json!({"config": config})).await;
            w.event().await;
        }
        w.event().await;
    }
    let restarts = |id: &str| w.host.component(id).unwrap().restarts;
    assert_eq!((restarts("secretive"), restarts("open")), (2, 0));
}

#[tokio::test]
async fn a_component_that_is_not_signed_cannot_have_secrets() {
    let mut w = world().await;
    w.lattice.seed_config("SECRET-x", [("name".to_owned(), "x".to_owned())].into());
    w.scale("a", "img:1", 1, json!({"config": ["SECRET-x"]})).await;
    let (name, data) = w.event().await;
    assert_eq!(name, "component_scale_failed");
    assert!(data["error"].as_str().unwrap().contains("signed during build"), "{data}");
}

#[tokio::test]
async fn a_config_that_a_host_has_used_is_there_for_it_after_it_was_deleted() {
    let w = world().await;
    let other = w.lattice.add_host(HostOptions::default()).await.unwrap();
    w.ask("config.put.c", json!({"k": "v"})).await;
    w.scale("a", "img:1", 1, json!({"config": ["c"]})).await;
    w.lattice.wait_until(SOON, |l| l.instances("a") == 1).await.unwrap();
    w.ask("config.del.c", NOTHING).await;
    w.scale("b", "img:1", 1, json!({"config": ["c"]})).await;
    w.lattice.wait_until(SOON, |l| l.instances("b") == 1).await.unwrap();
    assert!(w.host.config_seen("b").is_empty());
    let body = scale(other.id(), "z", "img:1", 1, json!({"config": ["c"]}));
    w.ask(&format!("component.scale.{}", other.id()), body).await;
    let failed =
        |l: &simhost::SimLattice| l.events().iter().any(|it| it.data["component_id"] == "z");
    w.lattice.wait_until(SOON, failed).await.unwrap();
    assert_eq!(w.lattice.instances("z"), 0);
}

#[tokio::test]
async fn t11_a_later_command_overtakes_one_whose_image_is_being_pulled() {
    let mut w = world().await;
    w.lattice.images().hold("slow:1");
    w.scale("a", "slow:1", 1, NOTHING).await;
    w.scale("a", "img:2", 1, NOTHING).await;
    w.events(2).await;
    assert_eq!(w.host.code_running("a"), ["img:2"]);
    w.lattice.images().release("slow:1");
    w.scale("a", "slow:1", 3, NOTHING).await;
    w.events(2).await;
    let component = w.host.component("a").unwrap();
    assert_eq!((component.image_ref.as_str(), component.loaded.as_str()), ("slow:1", "img:2"));
}

#[tokio::test]
async fn t11_an_inventory_taken_after_the_answer_may_lack_the_component() {
    let w = world().await;
    w.lattice.images().slow("slow:1", Duration::from_millis(200));
    assert_eq!(w.scale("a", "slow:1", 1, NOTHING).await["success"], true);
    assert_eq!(w.ask_host("host.get", NOTHING).await["response"]["components"], json!([]));
    w.lattice.wait_until(SOON, |l| l.instances("a") == 1).await.unwrap();
}

#[tokio::test]
async fn t13_compiling_makes_get_and_scale_and_heartbeats_wait_but_not_ping() {
    let options =
        LatticeOptions { heartbeat_interval: Duration::from_millis(50), ..Default::default() };
    let mut w = world_of(options, HostOptions::default()).await;
    w.lattice.images().compile_takes("big:1", Duration::from_millis(600));
    w.scale("a", "big:1", 1, NOTHING).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    while !w.quiet().await {}
    let get = format!("host.get.{}", w.host.id());
    let scaling = format!("component.scale.{}", w.host.id());
    let body = scale(w.host.id(), "b", "img:1", 1, NOTHING);
    let soon = Duration::from_millis(100);
    assert_eq!(w.ask_within(&get, &NOTHING, soon).await, None);
    assert_eq!(w.ask_within(&scaling, &body, soon).await, None);
    assert!(w.ask_within("host.ping", &NOTHING, soon).await.is_some());
    assert_eq!(w.ask_host("host.get", NOTHING).await["response"]["components"][0]["id"], "a");
}

#[tokio::test]
async fn t13_a_host_that_is_deaf_while_compiling_answers_no_ping_and_then_all_at_once() {
    let deaf = HostOptions { deaf_while_compiling: true, ..HostOptions::default() };
    let w = world_of(LatticeOptions::default(), deaf).await;
    w.lattice.images().compile_takes("big:1", Duration::from_millis(400));
    w.scale("a", "big:1", 1, NOTHING).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let soon = Duration::from_millis(100);
    assert_eq!(w.ask_within("host.ping", &NOTHING, soon).await, None);
    assert_eq!(w.ask_within("link.get", &NOTHING, soon).await, None);
    assert_eq!(w.ask("host.ping", NOTHING).await["success"], true);
}

#[tokio::test]
async fn t13_heartbeats_that_waited_for_a_compilation_come_all_at_once() {
    let quick = HostOptions {
        heartbeat_interval: Some(Duration::from_millis(100)),
        ..HostOptions::default()
    };
    let mut w = world_of(LatticeOptions::default(), quick).await;
    w.lattice.images().compile_takes("big:1", Duration::from_millis(650));
    w.scale("a", "big:1", 1, NOTHING).await;
    while w.event().await.0 == "host_heartbeat" {}
    let compiled = tokio::time::Instant::now();
    for _ in 0..4 {
        while w.event().await.0 != "host_heartbeat" {}
    }
    assert!(compiled.elapsed() < Duration::from_millis(200), "{:?}", compiled.elapsed());
}

#[tokio::test]
async fn a_scale_with_a_wrong_field_for_the_count_is_a_scale_to_zero() {
    let mut w = world().await;
    let body = json!({"component_id": "a", "component_ref": "img:1", "max_instances": 4});
    assert_eq!(w.ask_host("component.scale", body).await["success"], true);
    assert_eq!(w.events(1).await, ["component_scaled 0"]);
}

#[tokio::test]
async fn a_scale_to_zero_waits_for_its_image_too() {
    let mut w = world().await;
    w.scale("a", "img:1", 1, NOTHING).await;
    w.events(2).await;
    w.lattice.images().hold("other:1");
    w.scale("a", "other:1", 0, NOTHING).await;
    assert!(w.quiet().await);
    w.lattice.images().release("other:1");
    assert_eq!(w.events(1).await, ["component_scaled 0"]);
    assert_eq!(w.host.component("a"), None);
}

#[tokio::test]
async fn what_cannot_be_fetched_loaded_or_configured_fails_by_event_only() {
    let mut w = world().await;
    w.lattice.images().missing("reg/none:1");
    w.lattice.images().garbage("text:1");
    w.lattice.images().core_module("core:1");
    let cases = [
        ("reg/none:1", json!([]), "manifest unknown"),
        ("text:1", json!([]), "magic header not detected"),
        ("core:1", json!([]), "failed to encode a component from module"),
        (
            "img:1",
            json!(["nosuch"]),
            "Unable to fetch requested config: Config nosuch does not exist",
        ),
    ];
    for (image, config, error) in cases {
        let answer = w.scale("a", image, 1, json!({"config": config})).await;
        assert_eq!(answer["success"], true, "{image}");
        let (name, data) = w.event().await;
        assert_eq!(name, "component_scale_failed", "{image}");
        assert!(data["error"].as_str().unwrap().contains(error), "{image}: {data}");
    }
    assert_eq!(w.lattice.most_instances("a"), 0);
}

#[tokio::test]
async fn a_malformed_scale_is_refused_in_the_answer() {
    let w = world().await;
    let refused =
        json!({"success": false, "message": "failed to deserialize component scale command"});
    assert_eq!(w.ask_host("component.scale", json!({"component_ref": "x"})).await, refused);
}

#[tokio::test]
async fn a_component_auction_is_bid_for_by_label_and_repeats_the_ref_as_id() {
    let w = world_of(LatticeOptions::default(), HostOptions::labelled([("zone", "a")])).await;
    let ask = |zone: &str| json!({"component_ref": "img:1", "component_id": "a", "constraints": {"zone": zone}});
    let bid = w.ask("component.auction", ask("a")).await;
    assert_eq!(
        (&bid["response"]["host_id"], &bid["response"]["component_id"]),
        (&json!(w.host.id()), &json!("img:1"))
    );
    assert_eq!(
        w.ask_within("component.auction", &ask("b"), Duration::from_millis(100)).await,
        None
    );
}

#[tokio::test]
async fn the_log_tells_every_command_in_order_with_its_body() {
    let w = world().await;
    w.scale("a", "img:1", 2, NOTHING).await;
    w.ask("config.put.c", json!({"k": "v"})).await;
    w.ask("host.ping", NOTHING).await;
    let all = w.lattice.commands();
    let verbs: Vec<Verb> = all.0.iter().map(|command| command.verb).collect();
    assert_eq!(verbs, [Verb::ComponentScale, Verb::ConfigPut, Verb::HostPing]);
    let scales = all.clone().of(Verb::ComponentScale).to(w.host.id()).about("a");
    assert_eq!(scales.0[0].count(), Some(2));
    assert_eq!(all.0[1].target.as_deref(), Some("c"));
    assert_eq!(all.writes().len(), 2);
}
