//! A minimal client of the lattice control interface, version 1.

use std::time::Duration;

use async_nats::{Client, Subscriber};
use futures::StreamExt as _;
use parts::Nats;
use serde_json::{Value, json};

/// Longer than the slowest step that a host takes, a provider's first start.
const LIMIT: Duration = Duration::from_mins(1);

#[derive(Default)]
pub(crate) struct Link<'a> {
    pub(crate) source: &'a str,
    pub(crate) target: &'a str,
    pub(crate) interface: &'a str,
    pub(crate) source_config: &'a [&'a str],
    pub(crate) target_config: &'a [&'a str],
}

impl Link<'_> {
    /// From the provider `http`, configured by `listen`, to the component `hello`.
    pub(crate) const HTTP_TO_HELLO: Self = Link {
        source: "http",
        target: "hello",
        interface: "wasi:http/incoming-handler",
        source_config: &["listen"],
        target_config: &[],
    };
}

pub(crate) struct Control {
    pub(crate) nats: Client,
    events: Subscriber,
}

impl Control {
    pub(crate) async fn connect(nats: &Nats) -> Self {
        let nats = async_nats::connect(nats.url()).await.unwrap();
        let events = nats.subscribe("wasmbus.evt.default.>").await.unwrap();
        nats.flush().await.unwrap();
        Self { nats, events }
    }

    /// Sends a command and insists on its acknowledgement.
    pub(crate) async fn command(&self, subject: &str, body: Value) -> Value {
        let subject = format!("wasmbus.ctl.v1.default.{subject}");
        let answer = self.nats.request(subject.clone(), body.to_string().into()).await.unwrap();
        let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
        assert_eq!(answer["success"], true, "{subject}: {answer}");
        answer
    }

    /// The data of the next event of this name. Others are skipped, failures are fatal.
    pub(crate) async fn event(&mut self, name: &str) -> Value {
        let next = async {
            loop {
                let message = self.events.next().await.unwrap();
                let event: Value = serde_json::from_slice(&message.payload).unwrap();
                assert!(!message.subject.ends_with("_failed"), "{event}");
                if message.subject.ends_with(&format!(".{name}")) {
                    return event["data"].clone();
                }
            }
        };
        tokio::time::timeout(LIMIT, next).await.unwrap_or_else(|_| panic!("no event {name}"))
    }

    pub(crate) async fn start_component(
        &mut self,
        host: &str,
        id: &str,
        image: &str,
        config: &[&str],
    ) {
        let body = json!({
            "component_ref": image, "component_id": id, "host_id": host, "count": 1,
            "annotations": {}, "config": config, "allow_update": false,
        });
        self.command(&format!("component.scale.{host}"), body).await;
        let event = self.event("component_scaled").await;
        assert_eq!(event["max_instances"], 1);
    }

    pub(crate) async fn start_provider(&mut self, host: &str, id: &str, image: &str) {
        let body = json!({
            "provider_ref": image, "provider_id": id, "host_id": host,
            "annotations": {}, "config": [],
        });
        self.command(&format!("provider.start.{host}"), body).await;
        self.event("provider_started").await;
    }

    pub(crate) async fn put_config(&self, name: &str, config: Value) {
        self.command(&format!("config.put.{name}"), config).await;
    }

    /// Makes a link between a component and a provider; its interface is `NAMESPACE:PACKAGE/NAME`.
    pub(crate) async fn link(&self, link: Link<'_>) {
        let (namespace, rest) = link.interface.split_once(':').unwrap();
        let (package, interface) = rest.split_once('/').unwrap();
        let body = json!({
            "source_id": link.source, "target": link.target, "name": "default",
            "wit_namespace": namespace, "wit_package": package, "interfaces": [interface],
            "source_config": link.source_config, "target_config": link.target_config,
        });
        self.command("link.put", body).await;
    }
}

/// Waits until `url` answers 200 with this body.
pub(crate) async fn serves(url: &str, body: &str) {
    let (url, expected) = (url.to_owned(), body.to_owned());
    let served = tokio::task::spawn_blocking(move || {
        let mut last = None;
        let served = parts::poll(LIMIT, || {
            last = parts::http::get(&url);
            (last.as_ref()? == &(200, expected.clone())).then_some(())
        });
        assert!(served.is_some(), "{url} answered {last:?} instead of {expected:?}");
    });
    served.await.unwrap();
}
