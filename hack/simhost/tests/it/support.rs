//! A NATS server, a lattice on it, and requests as an operator would send them.

use std::time::Duration;

use async_nats::{Client, Subscriber};
use futures::StreamExt;
use parts::{Nats, NatsOptions};
use serde_json::{Value, json};
use simhost::{HostHandle, HostOptions, LatticeOptions, SimLattice};
use tokio::time::timeout;

/// Long enough for a busy machine, short enough to notice.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// A server of this test's own, with the given `max_payload` if it isn't the usual one.
pub(crate) async fn nats(max_payload: Option<u32>) -> Nats {
    let start = move || Nats::start(NatsOptions { max_payload, ..NatsOptions::default() });
    tokio::task::spawn_blocking(start).await.unwrap().unwrap()
}

/// A lattice with one host, seen through a client and its events.
pub(crate) struct World {
    pub(crate) lattice: SimLattice,
    pub(crate) host: HostHandle,
    pub(crate) client: Client,
    events: Subscriber,
    _nats: Nats,
}

pub(crate) async fn world() -> World {
    world_of(LatticeOptions::default(), HostOptions::default()).await
}

pub(crate) async fn world_of(lattice: LatticeOptions, host: HostOptions) -> World {
    let nats = nats(None).await;
    world_on(nats, lattice, host).await
}

pub(crate) async fn world_on(nats: Nats, lattice: LatticeOptions, host: HostOptions) -> World {
    let client = async_nats::connect(nats.url()).await.unwrap();
    let lattice = SimLattice::start(nats.url(), lattice).await.unwrap();
    let subject = format!("{}.{}.>", lattice.options().event_prefix, lattice.options().name);
    let events = client.subscribe(subject).await.unwrap();
    simhost::round_trip(&client).await;
    let host = lattice.add_host(host).await.unwrap();
    let mut world = World { lattice, host, client, events, _nats: nats };
    assert_eq!(world.event().await.0, "host_started");
    world
}

impl World {
    /// Sends a request and gives its answer; None if nobody answered in `within`.
    pub(crate) async fn ask_within(
        &self,
        rest: &str,
        body: &Value,
        within: Duration,
    ) -> Option<Value> {
        let options = self.lattice.options();
        let subject = format!("{}.v1.{}.{rest}", options.control_prefix, options.name);
        let payload = if body.is_null() { Vec::new() } else { serde_json::to_vec(body).unwrap() };
        match timeout(within, self.client.request(subject, payload.into())).await {
            Ok(Ok(answer)) => Some(serde_json::from_slice(&answer.payload).unwrap()),
            Ok(Err(error))
                if error.kind() == async_nats::client::RequestErrorKind::NoResponders =>
            {
                Some(json!("no responders"))
            }
            Ok(Err(_)) | Err(_) => None,
        }
    }

    pub(crate) async fn ask(&self, rest: &str, body: Value) -> Value {
        self.ask_within(rest, &body, SOON).await.expect("an answer")
    }

    /// Sends a request that belongs to the world's one host.
    pub(crate) async fn ask_host(&self, verb: &str, body: Value) -> Value {
        self.ask(&format!("{verb}.{}", self.host.id()), body).await
    }

    pub(crate) async fn scale(&self, id: &str, image: &str, count: u32, more: Value) -> Value {
        self.ask_host("component.scale", scale(self.host.id(), id, image, count, more)).await
    }

    pub(crate) async fn start_provider(&self, id: &str, image: &str, config: Value) -> Value {
        let body = json!({
            "host_id": self.host.id(), "provider_id": id, "provider_ref": image, "config": config,
            "annotations": {"owner": "us"},
        });
        self.ask_host("provider.start", body).await
    }

    /// The next event: its name and its data.
    pub(crate) async fn event(&mut self) -> (String, Value) {
        let envelope = self.envelope().await;
        let name = envelope["type"].as_str().unwrap().rsplit('.').next().unwrap().to_owned();
        (name, envelope["data"].clone())
    }

    pub(crate) async fn envelope(&mut self) -> Value {
        let message = timeout(SOON, self.events.next()).await.expect("an event").unwrap();
        serde_json::from_slice(&message.payload).unwrap()
    }

    /// The names and counts of the next `count` events, as in `component_scaled 2`.
    pub(crate) async fn events(&mut self, count: usize) -> Vec<String> {
        let mut told = Vec::new();
        for _ in 0..count {
            let (name, data) = self.event().await;
            told.push(match data.get("max_instances") {
                Some(count) => format!("{name} {count}"),
                None => name,
            });
        }
        told
    }

    /// True if no event comes for a while.
    pub(crate) async fn quiet(&mut self) -> bool {
        timeout(Duration::from_millis(100), self.events.next()).await.is_err()
    }

    /// Puts a link with defaults for what the test doesn't care for.
    pub(crate) async fn put_link(&self, source: &str, target: &str, more: Value) -> Value {
        self.ask("link.put", link(source, target, more)).await
    }
}

pub(crate) fn scale(host: &str, id: &str, image: &str, count: u32, more: Value) -> Value {
    let body = json!({
        "host_id": host, "component_id": id, "component_ref": image, "count": count,
        "annotations": {"owner": "us"}, "config": [], "allow_update": false,
    });
    merged(body, more)
}

pub(crate) fn link(source: &str, target: &str, more: Value) -> Value {
    let body = json!({
        "source_id": source, "target": target, "name": "default", "wit_namespace": "wasi",
        "wit_package": "http", "interfaces": ["incoming-handler"], "source_config": [],
        "target_config": [],
    });
    merged(body, more)
}

fn merged(mut body: Value, more: Value) -> Value {
    if let Value::Object(more) = more {
        body.as_object_mut().unwrap().extend(more);
    }
    body
}
