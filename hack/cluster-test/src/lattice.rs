//! A lattice as its NATS server shows it, with nothing of the operator's in between.

use std::time::Duration;

use async_nats::{Client, Subscriber};
use futures::StreamExt;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::failure::Failure;

const CONTROL: &str = "wasmbus.ctl.v1.default.";
/// What only looks.
const READS: [&str; 5] = ["host.ping", "host.get", "link.get", "config.get", "claims.get"];
/// Hosts answer a ping at once.
const ANSWERS: Duration = Duration::from_secs(2);

pub(crate) struct Lattice {
    runtime: Runtime,
    nats: Client,
    /// Everything that anybody sends to hosts.
    sent: Subscriber,
}

impl Lattice {
    /// Connects to the NATS server at `address`, and records commands from now on.
    pub(crate) fn connect(address: &str) -> Result<Self, Failure> {
        let runtime = Runtime::new()?;
        let (nats, sent) = runtime.block_on(async {
            let nats = async_nats::connect(address).await.map_err(Failure::nats)?;
            let sent = nats.subscribe("wasmbus.ctl.>").await.map_err(Failure::nats)?;
            Ok::<_, Failure>((nats, sent))
        })?;
        let mut lattice = Self { runtime, nats, sent };
        // The first mark that comes back shows that the server records.
        lattice.commands()?;
        Ok(lattice)
    }

    /// The commands since the last call that change something, such as `component.scale`.
    pub(crate) fn commands(&mut self) -> Result<Vec<String>, Failure> {
        const MARK: &str = "wasmbus.ctl.mark";
        let Self { runtime, nats, sent } = self;
        runtime.block_on(async {
            // What the server had before this comes before it.
            nats.publish(MARK, "".into()).await.map_err(Failure::nats)?;
            let mut commands = Vec::new();
            while let Some(message) = sent.next().await {
                let subject = message.subject.as_str();
                if subject == MARK {
                    return Ok(commands);
                }
                let verb = subject.strip_prefix(CONTROL).unwrap_or(subject);
                let verb = verb.split('.').take(2).collect::<Vec<_>>().join(".");
                if !READS.contains(&verb.as_str()) {
                    commands.push(verb);
                }
            }
            Err(Failure::Wrong("NATS closed the connection that records commands".to_owned()))
        })
    }

    /// What hosts and the lattice hold, a line a thing.
    pub(crate) fn things(&self) -> Result<Vec<String>, Failure> {
        let mut things = Vec::new();
        for host in self.hosts()? {
            let inventory = self.ask(&format!("host.get.{host}"))?;
            for kind in ["components", "providers"] {
                let listed = inventory["response"][kind].as_array().into_iter().flatten();
                things.extend(listed.map(|thing| format!("{kind} of {host}: {}", thing["id"])));
            }
        }
        let links = self.ask("link.get")?;
        let links = links["response"].as_array().into_iter().flatten();
        things
            .extend(links.map(|link| format!("link {} -> {}", link["source_id"], link["target"])));
        Ok(things)
    }

    /// The ids of all hosts that answer.
    fn hosts(&self) -> Result<Vec<String>, Failure> {
        self.runtime.block_on(async {
            let inbox = self.nats.new_inbox();
            let mut answers = self.nats.subscribe(inbox.clone()).await.map_err(Failure::nats)?;
            let ping = format!("{CONTROL}host.ping");
            let sent = self.nats.publish_with_reply(ping, inbox, "".into()).await;
            sent.map_err(Failure::nats)?;
            let mut hosts = Vec::new();
            // Nobody knows how many there are, so the last is the one that none came after.
            while let Ok(Some(answer)) = tokio::time::timeout(ANSWERS, answers.next()).await {
                let answer: Value = serde_json::from_slice(&answer.payload)?;
                hosts.extend(answer["response"]["id"].as_str().map(str::to_owned));
                if hosts.len() == crate::HOSTS {
                    break;
                }
            }
            Ok(hosts)
        })
    }

    fn ask(&self, question: &str) -> Result<Value, Failure> {
        let answer =
            self.runtime.block_on(self.nats.request(format!("{CONTROL}{question}"), "".into()));
        Ok(serde_json::from_slice(&answer.map_err(Failure::nats)?.payload)?)
    }
}
