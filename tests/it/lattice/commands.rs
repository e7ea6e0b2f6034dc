use std::{collections::BTreeMap, time::Duration};

use simhost::{Fault, Verb};
use trellis::model::{Command, ConfigName, FewOf, Lane, Link, LinkKey, Links};

use super::world::{World, annotations, app, host_id, scale, shown};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_is_in_flight_until_the_host_shows_it() {
    let mut world = World::start_with(|settings| settings, 1).await;
    let host = world.sim.hosts().remove(0);
    world.open().await;
    world.sim.images().hold("r/web:1");

    assert_eq!(world.handle.submit(&app(), vec![scale(&host, "web", "r/web:1", 3)]), 1);
    assert_eq!(world.handle.submit(&app(), vec![scale(&host, "web", "r/web:1", 4)]), 0);
    let lane = Lane::Workload(host_id(&host), "web".parse().unwrap());
    assert!(world.handle.observed().in_flight.pending.contains_key(&lane));

    world.sim.images().release("r/web:1");
    let observed = world.until("three instances", |o| shown(o, &host, "web") == 3).await;
    assert!(observed.in_flight.pending.is_empty());
    assert_eq!(world.sim.commands().of(Verb::ComponentScale).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_event_is_made_up_for_by_asking() {
    let slow = |settings| trellis::lattice::watch::Settings {
        heartbeat_interval: Duration::from_mins(5),
        ..settings
    };
    let mut world = World::start_with(slow, 1).await;
    let host = world.sim.hosts().remove(0);
    world.open().await;
    world.sim.inject(Fault::lose_event("component_scaled"));
    world.handle.submit(&app(), vec![scale(&host, "web", "r/web:1", 2)]);
    world
        .until("the start to be resolved", |o| {
            shown(o, &host, "web") == 2 && o.in_flight.pending.is_empty()
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_has_the_hosts_own_words() {
    let mut world = World::start_with(|settings| settings, 1).await;
    let host = world.sim.hosts().remove(0);
    world.open().await;
    world.sim.images().missing("r/none:1");
    world.handle.submit(&app(), vec![scale(&host, "web", "r/none:1", 1)]);
    let observed = world.until("a failure", |o| !o.in_flight.failures.is_empty()).await;
    let failure = observed.in_flight.failures.values().next().unwrap();
    assert!(failure.error.contains("manifest unknown"), "{}", failure.error);
    assert_eq!(world.handle.submit(&app(), vec![scale(&host, "web", "r/none:1", 1)]), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_are_put_and_deleted_and_shown() {
    let mut world = World::start_with(|settings| settings, 2).await;
    let read = |links: &Links| matches!(links, Links::Read(links) if links.is_empty());
    world.until("links read", |o| o.gate.may_remove() && read(&o.links)).await;
    let key = LinkKey {
        source: "web".parse().unwrap(),
        name: "default".into(),
        namespace: "wasi".into(),
        package: "keyvalue".into(),
    };
    let link = Link {
        target: "kv".parse().unwrap(),
        interfaces: FewOf::from(["store".into()]),
        source_config: Vec::new(),
        target_config: Vec::new(),
    };
    let put = Command::PutLink { key: key.clone(), link: link.clone() };
    assert_eq!(world.handle.submit(&app(), vec![put]), 1);
    let has = |links: &Links| matches!(links, Links::Read(all) if all.get(&key) == Some(&link));
    let observed = world.until("the link", |o| has(&o.links)).await;
    assert!(observed.in_flight.pending.is_empty());
    assert_eq!(world.sim.links().len(), 1);

    let delete = Command::DeleteLink { key: key.clone() };
    assert_eq!(world.handle.submit(&app(), vec![delete]), 1);
    world.until("no link", |o| read(&o.links) && o.in_flight.pending.is_empty()).await;
    assert!(world.sim.links().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_elses_link_is_seen() {
    let mut world = World::start_with(|settings| settings, 1).await;
    world.until("links read", |o| matches!(o.links, Links::Read(_))).await;
    let body = r#"{"source_id":"a","target":"b","name":"default","wit_namespace":"wasi",
        "wit_package":"http","interfaces":["incoming-handler"],"source_config":[],"target_config":[]}"#;
    let nats = async_nats::connect(world.nats.url()).await.unwrap();
    nats.request("wasmbus.ctl.v1.default.link.put", body.into()).await.unwrap();
    world.until("the link", |o| matches!(&o.links, Links::Read(all) if all.len() == 1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wanted_configs_are_kept_read() {
    let mut world = World::start_with(|settings| settings, 1).await;
    world.open().await;
    let name: ConfigName = "shop-web-c".parse().unwrap();
    world.handle.want_configs(&app(), FewOf::from([name.clone()]));
    world.until("that there is none", |o| o.configs.get(&name) == Some(&None)).await;

    let values = BTreeMap::from([("k".to_owned(), "v".to_owned())]);
    let put = Command::PutConfig { name: name.clone(), values: values.clone() };
    world.handle.submit(&app(), vec![put]);
    let shown = |o: &trellis::model::Observed| {
        o.configs.get(&name).is_some_and(|shown| shown.as_deref() == Some(&values))
    };
    world.until("our values", shown).await;

    let nats = async_nats::connect(world.nats.url()).await.unwrap();
    let subject = "wasmbus.ctl.v1.default.config.put.shop-web-c";
    nats.request(subject, r#"{"a":"b"}"#.into()).await.unwrap();
    world.until("somebody else's values", |o| o.configs.contains_key(&name) && !shown(o)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_starts_and_stops() {
    let mut world = World::start_with(|settings| settings, 1).await;
    let host = world.sim.hosts().remove(0);
    world.open().await;
    let id: trellis::model::WorkloadId = "kv".parse().unwrap();
    let start = Command::StartProvider {
        host: host_id(&host),
        id: id.clone(),
        image: "r/kv:1".into(),
        config: Vec::new(),
        annotations: annotations("1.a.b"),
    };
    let runs = |o: &trellis::model::Observed| {
        let host = o.hosts.get(&host_id(&host));
        let inventory = host.and_then(|host| host.inventory.as_ref());
        inventory.is_some_and(|i| i.providers.contains_key(&id))
    };
    world.handle.submit(&app(), vec![start]);
    world.until("the provider", |o| runs(o) && o.in_flight.pending.is_empty()).await;
    let stop = Command::StopProvider { host: host_id(&host), id: id.clone() };
    world.handle.submit(&app(), vec![stop]);
    world.until("no provider", |o| !runs(o) && o.in_flight.pending.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_of_what_somebody_else_replaced_is_not_sent() {
    let slow = |settings| trellis::lattice::watch::Settings {
        heartbeat_interval: Duration::from_mins(5),
        // Nor is it looked at for what an earlier process may have sent.
        start_deadline: Duration::from_mins(5),
        ..settings
    };
    let mut world = World::start_with(slow, 1).await;
    let host = world.sim.hosts().remove(0);
    world.open().await;
    world.handle.submit(&app(), vec![scale(&host, "web", "r/web:1", 1)]);
    world.until("it to run", |o| shown(o, &host, "web") == 1).await;

    // What the host shows grows old, and somebody else puts another thing in its place unseen.
    tokio::time::sleep(Duration::from_millis(6_500)).await;
    world.sim.inject(Fault::lose_event("component_scaled"));
    let nats = async_nats::connect(world.nats.url()).await.unwrap();
    for count in [0, 1] {
        let body = format!(
            r#"{{"component_id":"web","component_ref":"r/web:2","host_id":"{}","count":{count},
                "annotations":{{"who":"else"}},"config":[],"allow_update":false}}"#,
            host.id()
        );
        let subject = format!("wasmbus.ctl.v1.default.component.scale.{}", host.id());
        nats.request(subject, body.into()).await.unwrap();
        world
            .sim
            .wait_until(Duration::from_secs(5), |s| s.instances("web") == count)
            .await
            .unwrap();
    }
    let before = world.sim.commands().of(Verb::ComponentScale).len();
    world.handle.submit(&app(), vec![scale(&host, "web", "r/web:1", 0)]);
    world
        .until("what somebody else put there", |o| {
            o.in_flight.pending.is_empty()
                && o.hosts.values().any(|host| {
                    host.inventory.as_ref().is_some_and(|i| {
                        i.components
                            .values()
                            .any(|running| running.annotations.get("who").is_some())
                    })
                })
        })
        .await;
    assert_eq!(world.sim.commands().of(Verb::ComponentScale).len(), before);
    assert_eq!(world.sim.instances("web"), 1);
}
