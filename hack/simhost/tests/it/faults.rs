//! Faults on demand.

use std::time::Duration;

use serde_json::{Value, json};
use simhost::{ANY_EVENT, Fault, Verb};

use crate::support::{SOON, scale, world};

const NOTHING: Value = Value::Null;

#[tokio::test]
async fn a_refused_command_does_nothing_and_says_why() {
    let w = world().await;
    w.lattice.inject(Fault::refuse("not today").on(Verb::ComponentScale).times(1));
    let refused = json!({"success": false, "message": "not today"});
    assert_eq!(w.scale("a", "img:1", 1, NOTHING).await, refused);
    assert_eq!(w.scale("a", "img:1", 1, NOTHING).await["success"], true);
    w.lattice.wait_until(SOON, |l| l.instances("a") == 1).await.unwrap();
}

#[tokio::test]
async fn a_command_whose_answer_is_lost_or_late_is_carried_out_all_the_same() {
    let w = world().await;
    w.lattice.inject(Fault::lose_reply().about("lost"));
    w.lattice.inject(Fault::delay_reply(Duration::from_millis(300)).about("late"));
    let subject = format!("component.scale.{}", w.host.id());
    for id in ["lost", "late"] {
        let body = scale(w.host.id(), id, "img:1", 1, NOTHING);
        assert_eq!(w.ask_within(&subject, &body, Duration::from_millis(100)).await, None, "{id}");
        w.lattice.wait_until(SOON, |l| l.instances(id) == 1).await.unwrap();
    }
}

#[tokio::test]
async fn a_start_fails_as_often_as_it_was_told_to() {
    let mut w = world().await;
    w.lattice.inject(Fault::fail_start("out of luck").at(w.host.id()).times(2));
    for _ in 0..2 {
        w.scale("a", "img:1", 1, NOTHING).await;
        let (name, data) = w.event().await;
        assert_eq!(
            (name.as_str(), &data["error"]),
            ("component_scale_failed", &json!("out of luck"))
        );
    }
    w.scale("a", "img:1", 1, NOTHING).await;
    assert_eq!(w.events(2).await, ["component_scaled 1", "component_scaled 1"]);
}

#[tokio::test]
async fn a_slow_start_is_acknowledged_at_once_and_leaves_the_host_answering() {
    let mut w = world().await;
    w.lattice.inject(Fault::slow_start(Duration::from_millis(300)));
    w.scale("a", "img:1", 1, NOTHING).await;
    assert_eq!(w.ask_host("host.get", NOTHING).await["response"]["components"], json!([]));
    assert!(w.quiet().await);
    assert_eq!(w.events(2).await.len(), 2);
}

#[tokio::test]
async fn events_are_lost_doubled_and_late() {
    let mut w = world().await;
    w.lattice.inject(Fault::lose_event("config_set").times(1));
    w.lattice.inject(Fault::double_event("config_deleted"));
    w.lattice.inject(Fault::delay_event("linkdef_set", Duration::from_millis(200)));
    w.put_link("a", "b", NOTHING).await;
    w.ask("config.put.c", json!({})).await;
    w.ask("config.put.c", json!({})).await;
    w.ask("config.del.c", NOTHING).await;
    let told = w.events(3).await;
    assert_eq!(told, ["config_set", "config_deleted", "config_deleted"]);
    assert_eq!(w.events(1).await, ["linkdef_set"]);
    w.lattice.heal();
    w.ask("config.del.c", NOTHING).await;
    assert_eq!(w.events(1).await, ["config_deleted"]);
    assert!(w.quiet().await);
}

#[tokio::test]
async fn a_doubled_event_is_the_same_to_the_letter() {
    let mut w = world().await;
    w.lattice.inject(Fault::double_event("config_set"));
    w.ask("config.put.c", json!({})).await;
    assert_eq!(w.envelope().await, w.envelope().await);
}

#[tokio::test]
async fn the_census_remembers_the_most_and_the_fewest() {
    let w = world().await;
    for count in [2, 5, 1] {
        w.scale("a", "img:1", count, NOTHING).await;
        w.lattice.wait_until(SOON, |l| l.instances("a") == count).await.unwrap();
    }
    let since = w.lattice.elapsed();
    assert_eq!((w.lattice.most_instances("a"), w.lattice.most_hosts("a")), (5, 1));
    w.scale("a", "img:1", 3, NOTHING).await;
    w.lattice.wait_until(SOON, |l| l.instances("a") == 3).await.unwrap();
    assert_eq!(w.lattice.fewest_instances("a", since), 1);
}

#[tokio::test]
async fn what_is_waited_for_in_vain_tells_what_had_arrived() {
    let w = world().await;
    w.ask("host.ping", NOTHING).await;
    let error = w.lattice.wait_until(Duration::from_millis(10), |_| false).await.unwrap_err();
    assert!(error.to_string().contains("HostPing: 1"), "{error}");
}

#[tokio::test]
async fn all_events_can_be_lost_with_heartbeats_kept() {
    let mut w = world().await;
    w.lattice.inject(Fault::lose_event(ANY_EVENT));
    w.scale("a", "img:1", 1, NOTHING).await;
    w.lattice.wait_until(SOON, |l| l.instances("a") == 1).await.unwrap();
    w.host.beat().await;
    assert_eq!(w.events(1).await, ["host_heartbeat"]);
}

#[tokio::test]
async fn the_same_seed_loses_the_same_events() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let mut w = world().await;
        w.lattice.inject(Fault::lose_event("config_set").percent(50));
        for number in 0..12 {
            w.ask(&format!("config.put.c{number}"), json!({})).await;
        }
        w.ask("config.del.end", NOTHING).await;
        let mut came = Vec::new();
        while let (name, data) = w.event().await
            && name == "config_set"
        {
            came.push(data["config_name"].clone());
        }
        assert!((1..12).contains(&came.len()), "{came:?}");
        runs.push(came);
    }
    assert_eq!(runs[0], runs[1]);
}
