//! Events: their envelope, and what may go wrong on their way.

use std::time::Duration;

use async_nats::Subject;
use serde::Serialize;
use serde_json::Value;
use tokio::time::sleep;

use crate::fault::{Effect, Occasion};
use crate::host::Cx;
use crate::{ids, lock};

/// An event that was sent, or would have been had it not been lost.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// When it happened, counted from the start of the lattice.
    pub at: Duration,
    /// The host it comes from.
    pub host: String,
    /// As in `component_scaled`.
    pub name: String,
    /// The data of the CloudEvent.
    pub data: Value,
}

/// A CloudEvent 1.0, its fields in the order in which the real host writes them.
#[derive(Debug, Serialize)]
struct Envelope<'a> {
    specversion: &'static str,
    id: String,
    #[serde(rename = "type")]
    kind: String,
    source: &'a str,
    datacontenttype: &'static str,
    time: String,
    data: &'a Value,
}

/// Heartbeats aren't kept for tests: a thousand hosts send too many, and the inventory says it all.
pub(crate) const HEARTBEAT: &str = "host_heartbeat";

impl Cx {
    /// Publishes an event of this host, unless it is past speaking.
    pub(crate) async fn emit(&self, name: &str, data: Value) {
        if !self.host.speaks() {
            return;
        }
        let sent = self.envelope(name, &data);
        if name != HEARTBEAT {
            let (at, host) = (self.lattice.clock.elapsed(), self.host.id.clone());
            let event = Event { at, host, name: name.to_owned(), data: data.clone() };
            lock(&self.lattice.events).push(event);
        }
        self.lattice.touch();
        self.send(name, sent, &data).await;
    }

    fn envelope(&self, name: &str, data: &Value) -> Vec<u8> {
        let envelope = Envelope {
            specversion: "1.0",
            id: ids::event_id(&mut lock(&self.lattice.ids)),
            kind: format!("com.wasmcloud.lattice.{name}"),
            source: &self.host.id,
            datacontenttype: "application/json",
            time: self.lattice.clock.rfc3339(self.host.options.clock_skew),
            data,
        };
        serde_json::to_vec(&envelope).unwrap_or_default()
    }

    async fn send(&self, name: &str, sent: Vec<u8>, data: &Value) {
        let id = ["component_id", "provider_id", "source_id"]
            .iter()
            .find_map(|field| data.get(field).and_then(Value::as_str))
            .unwrap_or_default();
        let occasion = Occasion { host: &self.host.id, id, event: Some(name), verb: None };
        let fate = self.lattice.strike(&occasion, |effect| match effect {
            Effect::LoseEvent | Effect::DoubleEvent | Effect::DelayEvent(_) => Some(effect.clone()),
            Effect::Refuse(_)
            | Effect::LoseReply
            | Effect::DelayReply(_)
            | Effect::FailStart(_)
            | Effect::SlowStart(_) => None,
        });
        let lattice = self.lattice.clone();
        let subject = Subject::from(lattice.options.event_subject(name));
        match fate {
            Some(Effect::LoseEvent) => {}
            Some(Effect::DelayEvent(by)) => {
                tokio::spawn(async move {
                    sleep(by).await;
                    lattice.publish(subject, sent).await;
                });
            }
            Some(Effect::DoubleEvent) => {
                lattice.publish(subject.clone(), sent.clone()).await;
                lattice.publish(subject, sent).await;
            }
            Some(_) | None => lattice.publish(subject, sent).await,
        }
    }
}
