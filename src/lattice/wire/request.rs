use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::link::{WireLink, WireLinkKey};
use crate::model::{Annotations, Command, ConfigName, HostId, NameError, WorkloadId};

/// A message to the lattice, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub subject: String,
    pub payload: Vec<u8>,
}

/// A question that changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Read {
    /// Every host answers.
    Ping,
    Inventory(HostId),
    Links,
    Config(ConfigName),
    Claims,
}

/// What people do by hand; placement never sends these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    StopHost { host: HostId, timeout: Option<Duration> },
    PutLabel { host: HostId, key: String, value: String },
    DeleteLabel { host: HostId, key: String },
}

/// Which hosts could run something: those that could, answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auction {
    pub id: WorkloadId,
    pub image: String,
    /// Labels that a host must have.
    pub constraints: BTreeMap<String, String>,
}

/// An answer to an auction.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Bid {
    pub host_id: HostId,
}

/// The subjects of one lattice.
///
/// An account can map both prefixes, so neither is a constant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subjects {
    control: String,
    events: String,
    /// The bucket in which hosts keep links.
    bucket: String,
}

/// Order on the wire is that of the fields; hosts don't care, people who read logs do.
#[derive(Serialize)]
struct Scale<'a> {
    component_id: &'a WorkloadId,
    component_ref: &'a str,
    host_id: &'a HostId,
    count: u32,
    annotations: &'a Annotations,
    config: &'a [ConfigName],
    #[serde(skip_serializing_if = "Option::is_none")]
    component_limits: Option<Limits>,
    /// Never true: an update wipes the annotations, which say whose it is.
    allow_update: bool,
}

/// Hosts read numbers from texts here, and what they can't read is no limit to them.
#[derive(Serialize)]
struct Limits {
    max_memory_limit: String,
}

impl Subjects {
    /// `lattice` and each token of the prefixes must be able to stand in a subject.
    pub fn new(control_prefix: &str, event_prefix: &str, lattice: &str) -> Result<Self, NameError> {
        let tokens = control_prefix.split('.').chain(event_prefix.split('.'));
        for token in tokens.chain([lattice]) {
            token.parse::<WorkloadId>()?;
        }
        Ok(Self {
            control: format!("{control_prefix}.v1.{lattice}"),
            events: format!("{event_prefix}.{lattice}.*"),
            bucket: format!("LATTICEDATA_{lattice}"),
        })
    }

    /// What to subscribe to for all events of the lattice.
    #[must_use]
    pub fn events(&self) -> &str {
        &self.events
    }

    /// `subject` as permissions are written: with `*` for the one host, workload or config that it
    /// is about.
    #[must_use]
    pub fn permission(&self, subject: &str) -> String {
        let verb = subject.strip_prefix(&self.control).and_then(|verb| verb.strip_prefix('.'));
        let mut tokens = verb.into_iter().flat_map(|verb| verb.split('.'));
        match (tokens.next(), tokens.next(), tokens.next()) {
            (Some(noun), Some(verb), Some(_)) => self.of(&format!("{noun}.{verb}.*")),
            _ => subject.to_owned(),
        }
    }

    #[must_use]
    pub fn read(&self, read: &Read) -> Request {
        let subject = match read {
            Read::Ping => self.of("host.ping"),
            Read::Inventory(host) => self.on("host.get", host.as_str()),
            Read::Links => self.of("link.get"),
            Read::Config(name) => self.on("config.get", name.as_str()),
            Read::Claims => self.of("claims.get"),
        };
        Request { subject, payload: Vec::new() }
    }

    /// Asks the NATS server, and no host, for the first record of links from `sequence` on.
    #[must_use]
    pub fn stored_links(&self, sequence: u64) -> Request {
        let Self { bucket, .. } = self;
        Request {
            subject: format!("$JS.API.DIRECT.GET.KV_{bucket}"),
            payload: bytes(&json!({ "seq": sequence, "next_by_subj": format!("$KV.{bucket}.>") })),
        }
    }

    /// Whether a subject of ours is one that needn't be allowed.
    #[must_use]
    pub fn is_optional(&self, subject: &str) -> bool {
        subject == self.stored_links(0).subject
    }

    #[must_use]
    pub fn command(&self, command: &Command) -> Request {
        match command {
            Command::PutConfig { name, values } => {
                Request { subject: self.on("config.put", name.as_str()), payload: bytes(values) }
            }
            Command::DeleteConfig { name } => {
                Request { subject: self.on("config.del", name.as_str()), payload: Vec::new() }
            }
            Command::PutLink { key, link } => {
                Request { subject: self.of("link.put"), payload: bytes(&WireLink::of(key, link)) }
            }
            Command::DeleteLink { key } => {
                Request { subject: self.of("link.del"), payload: bytes(&WireLinkKey::of(key)) }
            }
            Command::StartProvider { host, id, image, config, annotations } => Request {
                subject: self.on("provider.start", host.as_str()),
                payload: bytes(&json!({
                    "provider_id": id, "provider_ref": image, "host_id": host,
                    "config": config, "annotations": **annotations,
                })),
            },
            Command::StopProvider { host, id } => Request {
                subject: self.on("provider.stop", host.as_str()),
                payload: bytes(&json!({ "host_id": host, "provider_id": id })),
            },
            Command::ScaleComponent { host, id, image, count, config, annotations, max_memory } => {
                let limits = max_memory.map(|bytes| Limits { max_memory_limit: bytes.to_string() });
                Request {
                    subject: self.on("component.scale", host.as_str()),
                    payload: bytes(&Scale {
                        component_id: id,
                        component_ref: image,
                        host_id: host,
                        count: *count,
                        annotations,
                        config,
                        component_limits: limits,
                        allow_update: false,
                    }),
                }
            }
        }
    }

    #[must_use]
    pub fn ask(&self, ask: &Ask) -> Request {
        match ask {
            Ask::StopHost { host, timeout } => Request {
                subject: self.on("host.stop", host.as_str()),
                payload: bytes(&json!({
                    "host_id": host,
                    // The handler reads milliseconds, whatever older documents say.
                    "timeout": timeout.map(|t| u64::try_from(t.as_millis()).unwrap_or(u64::MAX)),
                })),
            },
            Ask::PutLabel { host, key, value } => Request {
                subject: self.on("label.put", host.as_str()),
                payload: bytes(&json!({ "key": key, "value": value })),
            },
            Ask::DeleteLabel { host, key } => Request {
                subject: self.on("label.del", host.as_str()),
                payload: bytes(&json!({ "key": key })),
            },
        }
    }

    #[must_use]
    pub fn component_auction(&self, auction: &Auction) -> Request {
        Request {
            subject: self.of("component.auction"),
            payload: bytes(&json!({
                "component_id": auction.id, "component_ref": auction.image,
                "constraints": auction.constraints,
            })),
        }
    }

    #[must_use]
    pub fn provider_auction(&self, auction: &Auction) -> Request {
        Request {
            subject: self.of("provider.auction"),
            payload: bytes(&json!({
                "provider_id": auction.id, "provider_ref": auction.image,
                "constraints": auction.constraints,
            })),
        }
    }

    fn of(&self, verb: &str) -> String {
        format!("{}.{verb}", self.control)
    }

    fn on(&self, verb: &str, id: &str) -> String {
        format!("{}.{verb}.{id}", self.control)
    }
}

/// JSON of maps with text keys can't fail to be written; if it ever did, the host would refuse
/// the empty body in its own words.
fn bytes(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}
