//! T10 and T12.

use std::collections::BTreeSet;
use std::time::Duration;

use async_nats::client::RequestErrorKind;
use async_nats::{Client, Request, Subscriber, jetstream};
use futures::future::join_all;
use futures::{StreamExt, TryStreamExt};
use parts::Nats;
use serde_json::{Value, json};
use simhost::{HostOptions, LatticeOptions, SimLattice};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use super::proxy::Proxy;
use super::{CONTROL, NOTHING, ask, image_in, provider_image, real_host};
use crate::support::{SOON, link, nats, scale};

/// The names of all links, once they are `expected`.
async fn until_links(client: &Client, expected: &[&str]) {
    let expected: BTreeSet<_> = expected.iter().map(|name| (*name).to_owned()).collect();
    let mut shown = BTreeSet::new();
    let waiting = async {
        while shown != expected {
            sleep(Duration::from_millis(20)).await;
            let answer = ask(client, "link.get", NOTHING).await;
            let links = answer["response"].as_array().unwrap().iter();
            shown = links.map(|link| link["name"].as_str().unwrap().to_owned()).collect();
        }
    };
    let waited = timeout(SOON, waiting).await.is_ok();
    assert!(waited, "{shown:?} instead of {expected:?}");
}

/// The next event about links.
async fn next_about_links(events: &mut Subscriber) -> String {
    loop {
        let event = events.next().await.unwrap();
        let name = event.subject.rsplit('.').next().unwrap();
        if name.starts_with("linkdef_") {
            return name.to_owned();
        }
    }
}

/// There is a link `old` of the id that is being started. While the start has read the record of its
/// links and not written it back, `old` is deleted and `new` is put, both with success.
async fn change_links_meanwhile(client: &Client) {
    let mut events = client.subscribe("wasmbus.evt.default.*").await.unwrap();
    let del = json!({
        "source_id": "a", "name": "old", "wit_namespace": "wasi", "wit_package": "http",
    });
    assert_eq!(ask(client, "link.del", del).await["success"], true);
    let put = link("a", "c", json!({"name": "new"}));
    assert_eq!(ask(client, "link.put", put).await["success"], true);
    until_links(client, &["new"]).await;
    for name in ["linkdef_deleted", "linkdef_set"] {
        assert_eq!(timeout(SOON, next_about_links(&mut events)).await.expect(name), name);
    }
}

/// A real host whose start of `a`, by `start`, meets a change of the links of `a`.
async fn a_start_that_meets_a_change(start: impl AsyncFnOnce(&Client, &str)) {
    let server = nats(None).await;
    let client = async_nats::connect(server.url()).await.unwrap();
    let mut proxy = Proxy::start(server.url(), "COMPONENT_a").await;
    // The one that is asked about links.
    let other = real_host(&server, parts::HostOptions::default()).await;
    let put = link("a", "b", json!({"name": "old"}));
    assert_eq!(ask(&client, "link.put", put).await["success"], true);
    until_links(&client, &["old"]).await;

    let url = proxy.url().to_owned();
    let host = move || parts::Host::start_at(&url, &parts::HostOptions::default());
    let host = spawn_blocking(host).await.unwrap().unwrap();
    let mut events = client.subscribe("wasmbus.evt.default.*").await.unwrap();
    start(&client, host.id()).await;
    timeout(SOON, proxy.until_held()).await.expect("the start writes the record");
    change_links_meanwhile(&client).await;
    proxy.let_go();
    until_links(&client, &["old"]).await;
    for _ in ["the delete", "the put"] {
        next_about_links(&mut events).await;
    }
    let more = timeout(Duration::from_millis(500), next_about_links(&mut events)).await;
    assert!(more.is_err(), "nothing tells of it: {more:?}");
    spawn_blocking(move || drop((host, other))).await.unwrap();
}

/// T10, seen: the put is lost, what was deleted is back, and no event says so. The window is one round
/// trip to the server, which the proxy stretches; both writes were acknowledged within it.
#[tokio::test]
async fn t10_a_starting_component_brings_back_and_drops_links_that_were_changed_meanwhile() {
    let folder = parts::Scratch::new("t10").unwrap();
    let image = image_in(&folder, &parts::components::tiny().unwrap());
    a_start_that_meets_a_change(async |client, host| {
        let body = scale(host, "a", &image, 1, NOTHING);
        let done = ask(client, &format!("component.scale.{host}"), body).await;
        assert_eq!(done["success"], true);
    })
    .await;
}

/// T10, seen for providers as for components.
#[tokio::test]
async fn t10_a_starting_provider_brings_back_and_drops_links_that_were_changed_meanwhile() {
    let image = provider_image().await;
    a_start_that_meets_a_change(async |client, host| {
        let body = json!({"host_id": host, "provider_id": "a", "provider_ref": image});
        let done = ask(client, &format!("provider.start.{host}"), body).await;
        assert_eq!(done["success"], true);
    })
    .await;
}

#[tokio::test]
async fn t10_a_start_on_a_simulated_host_undoes_as_much() {
    let server = nats(None).await;
    let client = async_nats::connect(server.url()).await.unwrap();
    // Wide enough to be met also on a busy machine.
    let start_gap = Duration::from_secs(2);
    let options = LatticeOptions { start_gap, ..LatticeOptions::default() };
    let lattice = SimLattice::start(server.url(), options).await.unwrap();
    let host = lattice.add_host(HostOptions::default()).await.unwrap();
    let put = link("a", "b", json!({"name": "old"}));
    assert_eq!(ask(&client, "link.put", put).await["success"], true);
    let body = scale(host.id(), "a", "img:1", 1, NOTHING);
    ask(&client, &format!("component.scale.{}", host.id()), body).await;
    lattice.wait_until(SOON, |lattice| lattice.records_in_hand() > 0).await.unwrap();
    change_links_meanwhile(&client).await;
    until_links(&client, &["old"]).await;
}

/// Puts one link each for `sources`.
async fn put_links(client: &Client, sources: std::ops::Range<usize>) {
    let puts = sources.map(|number| {
        ask(client, "link.put", link(&format!("source-{number}"), "target", NOTHING))
    });
    for done in join_all(puts).await {
        assert_eq!(done["success"], true, "{done}");
    }
}

/// How `link.get` ends for who asks.
async fn links(client: &Client) -> Result<usize, RequestErrorKind> {
    let request = Request::new().timeout(Some(Duration::from_secs(2)));
    let answer = client.send_request(format!("{CONTROL}.link.get"), request).await;
    let answer = answer.map_err(|error| error.kind())?;
    let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
    Ok(answer["response"].as_array().unwrap().len())
}

async fn small_server() -> Nats {
    nats(Some(16 * 1024)).await
}

/// T12, seen, and worse than it reads: who asks for more links than fit one message waits until its own
/// time-out. The host warns of it in its log and sends the answer all the same, for which the server
/// ends its connection: each such question cuts one host off for as long as it takes to connect again.
#[tokio::test]
async fn t12_who_asks_for_more_links_than_fit_a_message_hears_nothing_from_both_hosts() {
    let servers = (small_server().await, small_server().await);
    let real = real_host(&servers.0, parts::HostOptions::default()).await;
    let lattice = SimLattice::start(servers.1.url(), LatticeOptions::default()).await.unwrap();
    lattice.add_host(HostOptions::default()).await.unwrap();
    for server in [&servers.0, &servers.1] {
        let client = async_nats::connect(server.url()).await.unwrap();
        put_links(&client, 0..20).await;
        let all = async {
            while links(&client).await != Ok(20) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(SOON, all).await.expect("twenty links");
        put_links(&client, 20..120).await;
        let none = async { while links(&client).await != Err(RequestErrorKind::TimedOut) {} };
        timeout(SOON, none).await.expect("no answer");
        assert_eq!(ask(&client, "host.ping", NOTHING).await["success"], true);
    }
    let log = real.log();
    for said in [
        "ctl response payload is too large to publish and may fail",
        "Maximum Payload Violation",
        "disconnected",
    ] {
        assert!(log.contains(said), "not in the host's log: {said}\n{log}");
    }
    assert!(lattice.cut_offs() > 0);
    spawn_blocking(move || drop(real)).await.unwrap();
}

/// All entries of the bucket, by key.
async fn bucket(server: &Nats) -> Vec<(String, Value)> {
    let client = async_nats::connect(server.url()).await.unwrap();
    // The way that needs no more than one permission.
    let first = json!({"seq": 1, "next_by_subj": "$KV.LATTICEDATA_default.>"}).to_string();
    let direct = "$JS.API.DIRECT.GET.KV_LATTICEDATA_default";
    let first = client.request(direct, first.into()).await.unwrap();
    let subject = first.headers.unwrap().get("Nats-Subject").unwrap().to_string();
    assert!(subject.starts_with("$KV.LATTICEDATA_default.COMPONENT_source-"), "{subject}");
    let context = jetstream::new(client);
    let bucket = context.get_key_value("LATTICEDATA_default").await.unwrap();
    let mut keys: Vec<String> = bucket.keys().await.unwrap().try_collect().await.unwrap();
    keys.sort();
    let values = keys.into_iter().map(async |key| {
        let value = bucket.get(&key).await.unwrap().unwrap();
        (key, serde_json::from_slice(&value).unwrap())
    });
    join_all(values).await
}

/// T12, seen: the bucket holds what no message can. One entry `COMPONENT_{id}` for each id that has
/// been started or has had a link, also when it has none left; its `url` is that of the first start, or
/// empty for ever where a link came first.
#[tokio::test]
async fn t12_the_bucket_of_both_hosts_holds_the_links_that_no_message_can() {
    let folder = parts::Scratch::new("t12").unwrap();
    let image = image_in(&folder, &parts::components::tiny().unwrap());
    let servers = (small_server().await, small_server().await);
    let real = real_host(&servers.0, parts::HostOptions::default()).await;
    let options = LatticeOptions { bucket: true, ..LatticeOptions::default() };
    let lattice = SimLattice::start(servers.1.url(), options).await.unwrap();
    let simulated = lattice.add_host(HostOptions::default()).await.unwrap();
    let mut told = Vec::new();
    for (server, host) in [(&servers.0, real.id()), (&servers.1, simulated.id())] {
        let client = async_nats::connect(server.url()).await.unwrap();
        put_links(&client, 0..100).await;
        assert_eq!(links(&client).await, Err(RequestErrorKind::TimedOut));
        let del = json!({
            "source_id": "source-7", "name": "default", "wit_namespace": "wasi",
            "wit_package": "http",
        });
        assert_eq!(ask(&client, "link.del", del).await["success"], true);
        let mut events = client.subscribe("wasmbus.evt.default.component_scaled").await.unwrap();
        for id in ["source-8", "without-links"] {
            let body = scale(host, id, &image, 1, NOTHING);
            ask(&client, &format!("component.scale.{host}"), body).await;
            timeout(SOON, events.next()).await.expect("it starts").unwrap();
            timeout(SOON, events.next()).await.expect("it starts").unwrap();
        }
        let records = bucket(server).await;
        assert_eq!(records.len(), 101);
        let record = |id: &str| {
            let key = format!("COMPONENT_{id}");
            records.iter().find(|(other, _)| *other == key).unwrap().1.clone()
        };
        let one = link("source-8", "target", NOTHING);
        assert_eq!(record("source-7"), json!({"url": "", "links": []}));
        assert_eq!(record("source-8"), json!({"url": "", "links": [one]}));
        assert_eq!(record("without-links"), json!({"url": image, "links": []}));
        told.push(records);
    }
    assert_eq!(told[0], told[1]);
    spawn_blocking(move || drop(real)).await.unwrap();
}
