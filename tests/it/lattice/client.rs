//! Every operation, once, over a connection of its own.
use std::{collections::BTreeMap, time::Duration};

use parts::NatsOptions;
use simhost::{HostOptions, LatticeOptions, SimLattice};
use trellis::{
    lattice::{
        client::{Client, Error},
        wire::{Ask, Auction, Subjects},
    },
    model::{Command, ConfigName},
};

use super::world::{PATIENCE, host_id, scale, start_nats};

const WINDOW: Duration = Duration::from_millis(500);

async fn client(nats: &parts::Nats) -> Client {
    let options = async_nats::ConnectOptions::new().request_timeout(Some(WINDOW));
    let nats = options.connect(nats.url()).await.unwrap();
    Client::new(nats, Subjects::new("wasmbus.ctl", "wasmbus.evt", "default").unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_operations() {
    let nats = start_nats(NatsOptions::default()).await;
    let sim = SimLattice::start(nats.url(), LatticeOptions::default()).await.unwrap();
    let a = sim.add_host(HostOptions::labelled([("zone", "a")])).await.unwrap();
    sim.add_host(HostOptions::labelled([("zone", "b")])).await.unwrap();
    let client = client(&nats).await;

    assert_eq!(client.ping(WINDOW, 2).await.unwrap().len(), 2);
    assert!(client.links().await.unwrap().links.is_empty());
    client.claims().await.unwrap();

    let name: ConfigName = "c".parse().unwrap();
    let values = BTreeMap::from([("k".to_owned(), "v".to_owned())]);
    assert_eq!(client.config(&name).await.unwrap(), None);
    let put = Command::PutConfig { name: name.clone(), values: values.clone() };
    client.command(&put).await.unwrap();
    assert_eq!(client.config(&name).await.unwrap(), Some(values));
    client.command(&Command::DeleteConfig { name: name.clone() }).await.unwrap();
    assert_eq!(client.config(&name).await.unwrap(), None);

    let auction = Auction {
        id: "web".parse().unwrap(),
        image: "r/web:1".to_owned(),
        constraints: BTreeMap::from([("zone".to_owned(), "a".to_owned())]),
    };
    assert_eq!(client.component_auction(&auction, WINDOW).await.unwrap(), [host_id(&a)]);
    assert_eq!(client.provider_auction(&auction, WINDOW).await.unwrap(), [host_id(&a)]);

    client.command(&scale(&a, "web", "r/web:1", 2)).await.unwrap();
    sim.wait_until(PATIENCE, |sim| sim.instances("web") == 2).await.unwrap();
    let inventory = client.inventory(&host_id(&a)).await.unwrap();
    assert_eq!(inventory.inventory.components.len(), 1);

    let (host, key) = (host_id(&a), "color".to_owned());
    let put = Ask::PutLabel { host: host.clone(), key: key.clone(), value: "red".to_owned() };
    client.ask(&put).await.unwrap();
    assert_eq!(client.inventory(&host).await.unwrap().labels["color"], "red");
    client.ask(&Ask::DeleteLabel { host: host.clone(), key }).await.unwrap();
    assert!(!client.inventory(&host).await.unwrap().labels.contains_key("color"));
    client.ask(&Ask::StopHost { host, timeout: Some(WINDOW) }).await.unwrap();
    sim.wait_until(PATIENCE, |sim| sim.hosts().len() == 1).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_are_told_apart() {
    let nats = start_nats(NatsOptions::default()).await;
    let sim = SimLattice::start(nats.url(), LatticeOptions::default()).await.unwrap();
    let client = client(&nats).await;
    assert!(client.ping(PATIENCE, 1).await.unwrap().is_empty(), "the server's word is no answer");
    let nobody = client.links().await.unwrap_err();
    assert!(matches!(nobody, Error::NoResponders), "{nobody:?}");

    let host = sim.add_host(HostOptions::default()).await.unwrap();
    let stop = Command::StopProvider { host: host_id(&host), id: "none".parse().unwrap() };
    let refused = client.command(&stop).await.unwrap_err();
    assert!(matches!(&refused, Error::Refused(text) if !text.is_empty()), "{refused:?}");

    let values = BTreeMap::from([("k".to_owned(), "v".repeat(2 << 20))]);
    let put = Command::PutConfig { name: "c".parse().unwrap(), values };
    let large = client.command(&put).await.unwrap_err();
    assert!(matches!(large, Error::TooLarge), "{large:?}");

    host.silence();
    let late = client.inventory(&host_id(&host)).await.unwrap_err();
    assert!(matches!(late, Error::TimedOut), "{late:?}");
}
