//! Providers on the wire: start, stop, T8, T9, T14, and the links a process goes by.

use std::time::Duration;

use serde_json::{Value, json};
use simhost::{HostOptions, LatticeOptions, ProviderHealth, Told};

use crate::support::{SOON, World, link, world, world_of};

const NOTHING: Value = Value::Null;

fn quick_health() -> HostOptions {
    HostOptions {
        first_health_check: Duration::from_millis(20),
        health_interval: Duration::from_millis(20),
        ..HostOptions::default()
    }
}

async fn started(w: &mut World, id: &str, image: &str, config: Value) -> Value {
    let answer = w.start_provider(id, image, config).await;
    assert_eq!(answer, json!({"success": true, "message": "successfully started provider"}));
    let (name, data) = w.event().await;
    assert_eq!(name, "provider_started");
    data
}

#[tokio::test]
async fn a_provider_starts_by_event_and_a_second_start_is_refused_whatever_its_image() {
    let mut w = world().await;
    let data = started(&mut w, "p", "reg/p:1", json!([])).await;
    assert_eq!(
        (&data["image_ref"], &data["annotations"]["owner"]),
        (&json!("reg/p:1"), &json!("us"))
    );
    let refused = json!({"success": false, "message": "provider with that ID is already running"});
    assert_eq!(w.start_provider("p", "reg/p:2", json!([])).await, refused);
    let stop = json!({"host_id": w.host.id(), "provider_id": "p"});
    assert_eq!(w.ask_host("provider.stop", stop.clone()).await["success"], true);
    assert_eq!(w.event().await.0, "provider_stopped");
    let refused = json!({"success": false, "message": "provider with that ID is not running"});
    assert_eq!(w.ask_host("provider.stop", stop).await, refused);
}

#[tokio::test]
async fn two_starts_at_once_are_both_acknowledged_and_one_fails_by_event() {
    let mut w = world().await;
    w.lattice.images().hold("reg/p:1");
    w.start_provider("p", "reg/p:1", json!([])).await;
    w.start_provider("p", "reg/p:1", json!([])).await;
    w.lattice.images().release("reg/p:1");
    let mut told = w.events(2).await;
    told.sort();
    assert_eq!(told, ["provider_start_failed", "provider_started"]);
    assert_eq!(w.lattice.most_instances("p"), 1);
}

#[tokio::test]
async fn a_provider_that_cannot_start_is_told_by_event_without_annotations() {
    let mut w = world().await;
    w.lattice.images().missing("reg/none:1");
    for (image, config) in [("reg/none:1", json!([])), ("reg/p:1", json!(["nosuch"]))] {
        w.start_provider("p", image, config).await;
        let (name, data) = w.event().await;
        assert_eq!(
            (name.as_str(), &data["provider_ref"]),
            ("provider_start_failed", &json!(image))
        );
        assert!(data["error"].is_string() && data.get("annotations").is_none(), "{data}");
    }
}

#[tokio::test]
async fn a_builtin_that_the_host_has_not_got_is_not_answered_at_all() {
    let w = world().await;
    let body = json!({"host_id": w.host.id(), "provider_id": "h", "provider_ref": "wasmcloud+builtin://http-server"});
    let subject = format!("provider.start.{}", w.host.id());
    assert_eq!(w.ask_within(&subject, &body, Duration::from_millis(100)).await, None);
}

#[tokio::test]
async fn t9_the_inventory_repeats_some_refs_in_another_form() {
    let options = HostOptions { builtins: ["http-server".to_owned()].into(), ..Default::default() };
    let mut w = world_of(LatticeOptions::default(), options).await;
    let cases = [
        ("a", "wasmcloud+builtin://http-server", "http-server"),
        ("b", "file:///x.par.gz", "/x.par.gz"),
        ("c", "reg/p:1", "reg/p:1"),
    ];
    for (id, image, shown) in cases {
        assert_eq!(started(&mut w, id, image, json!([])).await["image_ref"], shown);
        assert_eq!(w.host.provider(id).unwrap().image_ref, shown);
    }
}

#[tokio::test]
async fn t8_a_provider_keeps_its_link_when_the_same_one_is_put_with_another_config() {
    let mut w = world().await;
    w.lattice.seed_config("one", [("port".to_owned(), "1".to_owned())].into());
    w.lattice.seed_config("two", [("port".to_owned(), "2".to_owned())].into());
    started(&mut w, "p", "reg/p:1", json!([])).await;
    w.put_link("p", "c", json!({"source_config": ["one"]})).await;
    w.put_link("p", "c", json!({"source_config": ["two"]})).await;
    let port = || w.host.provider("p").unwrap().links[0].source_values["port"].clone();
    assert_eq!(port(), "1");
    let ignored =
        |told: &Told| matches!(told, Told::Ignored(link) if link.source_config == ["two"]);
    assert!(w.host.provider("p").unwrap().told.iter().any(ignored));
    let del = json!({"source_id": "p", "name": "default", "wit_namespace": "wasi", "wit_package": "http"});
    w.ask("link.del", del).await;
    w.put_link("p", "c", json!({"source_config": ["two"]})).await;
    assert_eq!(port(), "2");
}

#[tokio::test]
async fn a_provider_is_given_at_start_the_links_whose_configs_are_there() {
    let mut w = world().await;
    let with = |target: &str, config: &str| {
        serde_json::from_value(link("p", target, json!({"source_config": [config]}))).unwrap()
    };
    w.lattice.seed_config("there", [("k".to_owned(), "v".to_owned())].into());
    w.lattice.seed_link(with("a", "there"));
    w.lattice.seed_link(with("b", "missing"));
    tokio::time::sleep(Duration::from_millis(10)).await;
    started(&mut w, "p", "reg/p:1", json!([])).await;
    let links = w.host.provider("p").unwrap().links;
    assert_eq!((links.len(), links[0].link.target.as_str()), (1, "a"));
}

#[tokio::test]
async fn a_link_that_arrives_while_a_provider_boots_is_lost_on_it() {
    let boot = HostOptions { provider_boot: Duration::from_mins(1), ..HostOptions::default() };
    let mut w = world_of(LatticeOptions::default(), boot).await;
    started(&mut w, "p", "reg/p:1", json!([])).await;
    w.put_link("p", "c", NOTHING).await;
    let provider = w.host.provider("p").unwrap();
    assert!(matches!(provider.told[0], Told::Lost(_)) && provider.links.is_empty());
}

#[tokio::test]
async fn values_of_a_providers_own_config_are_pushed_and_those_of_its_links_are_not() {
    let mut w = world().await;
    for config in ["own", "linked"] {
        w.ask(&format!("config.put.{config}"), json!({config: "old"})).await;
        w.events(1).await;
    }
    started(&mut w, "p", "reg/p:1", json!(["own"])).await;
    w.put_link("p", "c", json!({"source_config": ["linked"]})).await;
    for config in ["own", "linked"] {
        w.ask(&format!("config.put.{config}"), json!({config: "new"})).await;
    }
    assert_eq!(w.host.config_seen("p")["own"], "new");
    assert_eq!(w.host.provider("p").unwrap().links[0].source_values["linked"], "old");
    w.ask("config.del.own", NOTHING).await;
    assert!(w.host.config_seen("p").is_empty());
}

#[tokio::test]
async fn health_is_told_on_change_and_as_status_in_between() {
    let mut w = world_of(LatticeOptions::default(), quick_health()).await;
    started(&mut w, "p", "reg/p:1", json!([])).await;
    assert_eq!(w.events(2).await, ["health_check_passed", "health_check_status"]);
    w.host.set_health("p", ProviderHealth::Unhealthy);
    while w.event().await.0 != "health_check_failed" {}
    assert_eq!(w.events(1).await, ["health_check_status"]);
}

#[tokio::test]
async fn t14_a_provider_whose_restart_failed_stays_in_the_inventory_and_says_nothing() {
    let mut w = world_of(LatticeOptions::default(), quick_health()).await;
    started(&mut w, "p", "reg/p:1", json!([])).await;
    w.events(1).await;
    w.host.crash_provider("p", false);
    while !w.quiet().await {}
    assert_eq!(w.host.inventory()["providers"][0]["id"], "p");
    let refused = json!({"success": false, "message": "provider with that ID is already running"});
    assert_eq!(w.start_provider("p", "reg/p:1", json!([])).await, refused);
    let stop = json!({"host_id": w.host.id(), "provider_id": "p"});
    assert_eq!(w.ask_host("provider.stop", stop).await["success"], true);
    assert_eq!(w.host.inventory()["providers"], json!([]));
}

#[tokio::test]
async fn t14_a_healthy_process_elsewhere_answers_for_one_that_is_gone() {
    let mut w = world_of(LatticeOptions::default(), quick_health()).await;
    started(&mut w, "p", "reg/p:1", json!([])).await;
    let other = w.lattice.add_host(quick_health()).await.unwrap();
    let body = json!({"host_id": other.id(), "provider_id": "p", "provider_ref": "reg/p:1"});
    w.ask(&format!("provider.start.{}", other.id()), body).await;
    w.lattice.wait_until(SOON, |l| l.instances("p") == 2).await.unwrap();
    w.host.crash_provider("p", false);
    let until = w.lattice.elapsed();
    let id = w.host.id().to_owned();
    let tells = move |l: &simhost::SimLattice| {
        l.events().iter().any(|it| it.at > until && it.host == id && it.name.starts_with("health"))
    };
    w.lattice.wait_until(SOON, tells).await.unwrap();
}

#[tokio::test]
async fn claims_of_providers_stay_when_none_runs_any_more() {
    let mut w = world().await;
    started(&mut w, "p", "reg/p:1", json!([])).await;
    w.ask_host("provider.stop", json!({"host_id": w.host.id(), "provider_id": "p"})).await;
    assert_eq!(w.ask("claims.get", NOTHING).await["response"].as_array().unwrap().len(), 1);
}
