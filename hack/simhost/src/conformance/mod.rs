//! One script for the real host and the simulated one: they must read the same.
//!
//! `script.txt` is the data, [`run`] sends it, and a [`Transcript`] is what came back with all
//! that may differ taken out: ids, times, paths. A test compares the two transcripts; where they
//! differ, the real host is right.

mod normal;
mod script;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use async_nats::client::RequestErrorKind;
use async_nats::{Client, Subscriber};
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::dispatch::round_trip;
use crate::lattice::LatticeOptions;
use crate::sim::SimLattice;
use normal::Normal;
use script::{Expect, Step, script};

/// Longer than a host without optimization takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long nothing may happen before a step is taken to be over: an event too many is found by it.
const QUIET: Duration = Duration::from_millis(150);

/// How long an answer is waited for that mustn't come.
const NO_ANSWER: Duration = Duration::from_millis(500);

/// What could keep the script from being run to its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection is gone.
    #[error("could not subscribe to events")]
    Subscribe(#[source] async_nats::SubscribeError),

    /// An answer or event isn't JSON.
    #[error("could not read what came for {step}")]
    NotJson {
        /// The step.
        step: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// What the script starts, in any form that the host can load.
#[derive(Debug, Clone)]
pub struct Refs {
    /// A component.
    pub tiny_v1: String,
    /// Another, or the same under another ref.
    pub tiny_v2: String,
    /// A component that isn't there.
    pub missing: String,
    /// Something that isn't WebAssembly.
    pub garbage: String,
    /// A provider.
    pub provider: String,
    /// A provider that isn't there.
    pub missing_provider: String,
}

impl Refs {
    fn named(&self) -> BTreeMap<&'static str, &str> {
        [
            ("tiny_v1", self.tiny_v1.as_str()),
            ("tiny_v2", &self.tiny_v2),
            ("missing", &self.missing),
            ("garbage", &self.garbage),
            ("provider", &self.provider),
            ("missing_provider", &self.missing_provider),
        ]
        .into()
    }

    /// Makes a simulated lattice find behind these refs what the real host finds.
    pub fn teach(&self, lattice: &SimLattice) {
        lattice.images().missing(&self.missing);
        lattice.images().missing(&self.missing_provider);
        lattice.images().garbage(&self.garbage);
    }
}

/// What one command led to.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// What the command is there to show.
    pub step: &'static str,
    /// The answer, or why there is none.
    pub answer: Value,
    /// Events in the order in which they came, by name.
    pub events: Vec<(String, Value)>,
    /// The inventory afterwards.
    pub inventory: Value,
}

/// What the whole script led to. Two are compared with `==` or, to see where, as text.
#[derive(Debug, Clone, PartialEq)]
pub struct Transcript(pub Vec<Entry>);

impl fmt::Display for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Entry { step, answer, events, inventory } in &self.0 {
            writeln!(f, "### {step}\n< {answer}")?;
            for (name, data) in events {
                writeln!(f, "  {name} {data}")?;
            }
            writeln!(f, "= {inventory}\n")?;
        }
        Ok(())
    }
}

impl Transcript {
    /// The steps at which two transcripts differ, each as both tell it; empty if they are the same.
    #[must_use]
    pub fn differences(&self, other: &Self) -> String {
        let same_length = (self.0.len() == other.0.len()).then_some(String::new());
        let unequal = self.0.iter().zip(&other.0).filter(|(ours, theirs)| ours != theirs);
        unequal.fold(same_length.unwrap_or("not as many steps\n".to_owned()), |told, (a, b)| {
            told + &Self(vec![a.clone()]).to_string() + &Self(vec![b.clone()]).to_string()
        })
    }
}

/// Waits for a heartbeat, sends the script to one host, the only one of its lattice, and stops it in
/// the end.
pub async fn run(
    nats: &Client,
    lattice: &LatticeOptions,
    host: &str,
    refs: &Refs,
) -> Result<Transcript, Error> {
    let subject = lattice.event_subject(">");
    let events = nats.subscribe(subject).await.map_err(Error::Subscribe)?;
    round_trip(nats).await;
    let prefix = lattice.control_subject();
    let normal = Normal::new(host, refs);
    let mut runner = Runner { nats, prefix, host, refs, normal, events };
    let mut entries = vec![runner.heartbeat().await?];
    for step in script() {
        entries.push(runner.step(&step).await?);
    }
    Ok(Transcript(entries))
}

struct Runner<'a> {
    nats: &'a Client,
    prefix: String,
    host: &'a str,
    refs: &'a Refs,
    normal: Normal,
    events: Subscriber,
}

impl Runner<'_> {
    async fn step(&mut self, step: &Step) -> Result<Entry, Error> {
        let patience = if step.expect == Expect::Silence { NO_ANSWER } else { PATIENCE };
        let answer = self.ask(step, step.subject, self.filled(step.body), patience).await?;
        let events = self.events(step).await?;
        let inventory = self.ask(step, "host.get.{host}", String::new(), PATIENCE).await?;
        Ok(Entry {
            step: step.name,
            answer: self.normal.value(answer),
            events,
            inventory: self.normal.value(inventory["response"].clone()),
        })
    }

    fn filled(&self, template: &str) -> String {
        self.refs.named().iter().fold(template.replace("{host}", self.host), |text, (name, to)| {
            text.replace(&format!("{{{name}}}"), to)
        })
    }

    async fn ask(
        &self,
        step: &Step,
        subject: &str,
        body: String,
        patience: Duration,
    ) -> Result<Value, Error> {
        let subject = format!("{}.{}", self.prefix, self.filled(subject));
        let request = async_nats::Request::new().payload(body.into()).timeout(Some(patience));
        match self.nats.send_request(subject, request).await {
            Ok(message) => serde_json::from_slice(&message.payload)
                .map_err(|source| Error::NotJson { step: step.name, source }),
            Err(error) if error.kind() == RequestErrorKind::NoResponders => {
                Ok(json!("no responders"))
            }
            Err(_) => Ok(json!("no answer")),
        }
    }

    /// The next heartbeat. Later ones are left out: they come by the clock, not by the script.
    async fn heartbeat(&mut self) -> Result<Entry, Error> {
        let step = "a heartbeat";
        let (answer, inventory) = (Value::Null, Value::Null);
        let mut entry = Entry { step, answer, events: Vec::new(), inventory };
        while let Ok(Some(message)) = timeout(PATIENCE, self.events.next()).await {
            if message.subject.ends_with(".host_heartbeat") {
                let event = serde_json::from_slice(&message.payload)
                    .map_err(|source| Error::NotJson { step, source })?;
                entry.events.push(("host_heartbeat".to_owned(), self.normal.event(event)));
                break;
            }
        }
        Ok(entry)
    }

    /// The events of a step: as many as are expected, and those too many.
    async fn events(&mut self, step: &Step) -> Result<Vec<(String, Value)>, Error> {
        let expected = match step.expect {
            Expect::Events(count) => count,
            Expect::Silence => 0,
        };
        let mut came = Vec::new();
        loop {
            let patience = if came.len() < expected { PATIENCE } else { QUIET };
            let Ok(Some(message)) = timeout(patience, self.events.next()).await else {
                return Ok(came);
            };
            let name = message.subject.rsplit('.').next().unwrap_or_default().to_owned();
            if name == "host_heartbeat" || name.starts_with("health_check") {
                continue;
            }
            let event: Value = serde_json::from_slice(&message.payload)
                .map_err(|source| Error::NotJson { step: step.name, source })?;
            came.push((name, self.normal.event(event)));
        }
    }
}
