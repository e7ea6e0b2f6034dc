use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::{Deserialize, de::DeserializeOwned};

use super::{
    DecodeError, Fingerprint, HostInventory, decode,
    glance::Glance,
    link::{WireLink, WireLinkKey},
    or_default,
};
use crate::model::{Annotations, ConfigName, HostId, Link, LinkKey, WorkloadId};

/// A CloudEvent of the lattice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The event's `source`. What `data.host_id` repeats is whatever a requester wrote.
    pub host: HostId,
    pub hint: Hint,
}

/// What an event says. Only a heartbeat is the truth; the others save time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    Started,
    Heartbeat(HostInventory),
    /// A heartbeat that says what this host is known to run, told by its [`super::Fingerprint`].
    SameAgain {
        uptime: Duration,
    },
    Stopped,
    Labels(BTreeMap<String, String>),
    /// `instances` 0: it was stopped.
    Scaled {
        id: WorkloadId,
        image: Arc<str>,
        instances: u32,
        annotations: Annotations,
    },
    ScaleFailed {
        id: WorkloadId,
        image: Arc<str>,
        instances: u32,
        error: Arc<str>,
    },
    ProviderStarted {
        id: WorkloadId,
        image: Arc<str>,
        annotations: Annotations,
    },
    ProviderStartFailed {
        id: WorkloadId,
        image: Arc<str>,
        error: Arc<str>,
    },
    ProviderStopped {
        id: WorkloadId,
    },
    /// `None`: the regular report, which says only that somebody looked.
    ProviderHealth {
        id: WorkloadId,
        passed: Option<bool>,
    },
    LinkSet {
        key: LinkKey,
        link: Link,
    },
    LinkSetFailed {
        key: LinkKey,
        error: Arc<str>,
    },
    LinkDeleted {
        key: LinkKey,
    },
    ConfigSet {
        name: ConfigName,
    },
    ConfigDeleted {
        name: ConfigName,
    },
    /// A host older than 1.0, which nobody here can command.
    Old {
        version: Arc<str>,
    },
}

#[derive(Deserialize)]
struct CloudEvent<T> {
    source: HostId,
    data: T,
}

#[derive(Deserialize)]
struct Nothing {}

#[derive(Deserialize)]
struct Labels {
    #[serde(default, deserialize_with = "or_default")]
    labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Scaled {
    component_id: WorkloadId,
    #[serde(default, deserialize_with = "or_default")]
    image_ref: String,
    #[serde(default)]
    max_instances: u32,
    #[serde(default, deserialize_with = "or_default")]
    annotations: Annotations,
    #[serde(default, deserialize_with = "or_default")]
    error: String,
}

#[derive(Deserialize)]
struct Provider {
    #[serde(rename = "provider_id")]
    id: WorkloadId,
    #[serde(default, alias = "provider_ref", deserialize_with = "or_default")]
    image_ref: String,
    #[serde(default, deserialize_with = "or_default")]
    annotations: Annotations,
    #[serde(default, deserialize_with = "or_default")]
    error: String,
}

#[derive(Deserialize)]
struct FailedLink {
    #[serde(flatten)]
    key: WireLinkKey,
    #[serde(default, deserialize_with = "or_default")]
    error: String,
}

#[derive(Deserialize)]
struct Config {
    config_name: ConfigName,
}

/// The least that a host of any version says of itself.
#[derive(Deserialize)]
struct Version {
    #[serde(default, deserialize_with = "or_default")]
    version: String,
}

/// Whether a host of this version is one that we can't command.
pub(super) fn is_old(version: &str) -> bool {
    version.starts_with("0.")
}

/// Reads the event that came on `subject`; `None` for one that means nothing to us.
pub fn decode_event(subject: &str, payload: &[u8]) -> Result<Option<Event>, DecodeError> {
    decode_news(subject, payload, |_, _| false)
}

/// As [`decode_event`], but a heartbeat of which it is `known` what it says isn't read. The subject's
/// last token tells which event it is, so that others are read in one pass.
pub fn decode_news(
    subject: &str,
    payload: &[u8],
    known: impl FnOnce(&HostId, Fingerprint) -> bool,
) -> Result<Option<Event>, DecodeError> {
    let name = subject.rsplit('.').next().unwrap_or(subject);
    let event = match name {
        "host_heartbeat" => heartbeat(payload, known)?,
        "host_started" => with(payload, |data: Version| match data.version {
            old if is_old(&old) => Hint::Old { version: old.into() },
            _ => Hint::Started,
        })?,
        "host_stopped" => with(payload, |_: Nothing| Hint::Stopped)?,
        "labels_changed" => with(payload, |data: Labels| Hint::Labels(data.labels))?,
        "component_scaled" => with(payload, |data: Scaled| Hint::Scaled {
            id: data.component_id,
            image: data.image_ref.into(),
            instances: data.max_instances,
            annotations: data.annotations,
        })?,
        "component_scale_failed" => with(payload, |data: Scaled| Hint::ScaleFailed {
            id: data.component_id,
            image: data.image_ref.into(),
            instances: data.max_instances,
            error: data.error.into(),
        })?,
        _ => return decode_rest(name, payload),
    };
    Ok(Some(event))
}

fn decode_rest(name: &str, payload: &[u8]) -> Result<Option<Event>, DecodeError> {
    let health = |passed| move |data: Provider| Hint::ProviderHealth { id: data.id, passed };
    let event = match name {
        "provider_started" => with(payload, |data: Provider| Hint::ProviderStarted {
            id: data.id,
            image: data.image_ref.into(),
            annotations: data.annotations,
        })?,
        "provider_start_failed" => with(payload, |data: Provider| Hint::ProviderStartFailed {
            id: data.id,
            image: data.image_ref.into(),
            error: data.error.into(),
        })?,
        "provider_stopped" => {
            with(payload, |data: Provider| Hint::ProviderStopped { id: data.id })?
        }
        "health_check_passed" => with(payload, health(Some(true)))?,
        "health_check_failed" => with(payload, health(Some(false)))?,
        "health_check_status" => with(payload, health(None))?,
        "linkdef_set" => with(payload, |data: WireLink| {
            let (key, link) = data.into_parts();
            Hint::LinkSet { key, link }
        })?,
        "linkdef_set_failed" => with(payload, |data: FailedLink| Hint::LinkSetFailed {
            key: data.key.into(),
            error: data.error.into(),
        })?,
        "linkdef_deleted" => {
            with(payload, |data: WireLinkKey| Hint::LinkDeleted { key: data.into() })?
        }
        "config_set" => with(payload, |data: Config| Hint::ConfigSet { name: data.config_name })?,
        "config_deleted" => {
            with(payload, |data: Config| Hint::ConfigDeleted { name: data.config_name })?
        }
        _ => return Ok(None),
    };
    Ok(Some(event))
}

fn with<T: DeserializeOwned>(
    payload: &[u8],
    hint: impl FnOnce(T) -> Hint,
) -> Result<Event, DecodeError> {
    let event: CloudEvent<T> = decode(payload)?;
    Ok(Event { host: event.source, hint: hint(event.data) })
}

fn heartbeat(
    payload: &[u8],
    known: impl FnOnce(&HostId, Fingerprint) -> bool,
) -> Result<Event, DecodeError> {
    let glance = Glance::at(payload);
    let print = glance.as_ref().map(|glance| glance.print);
    if let Some(Glance { host, uptime, print }) = glance
        && known(&host, print)
    {
        return Ok(Event { host, hint: Hint::SameAgain { uptime } });
    }
    let read = decode::<CloudEvent<HostInventory>>(payload);
    match read {
        Ok(event) if !is_old(&event.data.version) => {
            let inventory = HostInventory { print, ..event.data };
            Ok(Event { host: event.source, hint: Hint::Heartbeat(inventory) })
        }
        // Hosts before 1.0 keep what they run in other shapes; their version is all we need.
        Ok(_) | Err(_) => match (decode::<CloudEvent<Version>>(payload), read) {
            (Ok(event), _) if is_old(&event.data.version) => {
                let version = event.data.version.into();
                Ok(Event { host: event.source, hint: Hint::Old { version } })
            }
            (_, Err(error)) => Err(error),
            (_, Ok(event)) => Ok(Event { host: event.source, hint: Hint::Heartbeat(event.data) }),
        },
    }
}
