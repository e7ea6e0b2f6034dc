//! `Lattice` and its Secret → the settings of the task that watches it. Pure.
use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;

use crate::{
    api::Lattice,
    lattice::{
        access::{Access, Credentials, CredentialsError},
        watch::Settings,
    },
    model::{HostId, LatticeName, NameError},
};

/// What subjects of answers begin with: within what NATS users may usually subscribe to, and narrow
/// enough for a permission of its own, `_INBOX.trellis.>`.
const INBOX: &str = "_INBOX.trellis";

/// What is wrong with a `Lattice`, for its conditions.
#[derive(Debug, thiserror::Error)]
pub(super) enum SettingsError {
    #[error("metadata.name {0}")]
    Name(#[source] NameError),
    #[error("spec.{field}: `{text}` is no duration; write one such as 30s, 500ms or 1h30m")]
    Duration { field: &'static str, text: String },
    #[error("Secret {name}")]
    Credentials { name: String, source: CredentialsError },
    #[error(
        "Secret {namespace}/{name} does not exist; create it, or mend spec.nats.credentialsSecret.name"
    )]
    NoSecret { namespace: String, name: String },
}

/// The settings that `lattice` asks for; `secret` is the one that it names.
pub(super) fn build(
    lattice: &Lattice,
    secret: Option<&Secret>,
    start_deadline: Duration,
) -> Result<Settings, SettingsError> {
    let spec = &lattice.spec;
    let name: LatticeName = lattice.name_any().parse().map_err(SettingsError::Name)?;
    let credentials = match secret {
        None => Credentials::default(),
        Some(secret) => Credentials::from_secret(&data(secret))
            .map_err(|source| SettingsError::Credentials { name: secret.name_any(), source })?,
    };
    let status = lattice.status.as_ref();
    let known_hosts: Vec<HostId> =
        status.into_iter().flat_map(|s| &s.hosts).filter_map(|host| host.id.parse().ok()).collect();
    let access =
        Access { urls: spec.nats.urls.clone(), credentials, inbox_prefix: Some(INBOX.into()) };
    Ok(Settings {
        wire_name: spec.lattice.clone(),
        control_prefix: spec.control_prefix.clone(),
        event_prefix: spec.event_prefix.clone(),
        heartbeat_interval: duration("heartbeatInterval", &spec.heartbeat_interval)?,
        missed: u32::try_from(spec.missed).unwrap_or(1).max(1),
        probe_interval: duration("probeInterval", &spec.probe_interval)?,
        loss_grace: duration("lossGrace", &spec.loss_grace)?,
        mass_loss_timeout: duration("massLossTimeout", &spec.mass_loss_timeout)?,
        max_in_flight: usize::try_from(spec.max_in_flight).unwrap_or(1).max(1),
        known_hosts,
        start_deadline,
        ..Settings::new(name, access)
    })
}

/// The Secret's values, as bytes.
fn data(secret: &Secret) -> BTreeMap<String, Vec<u8>> {
    let data = secret.data.iter().flatten();
    data.map(|(key, value)| (key.clone(), value.0.clone())).collect()
}

fn duration(field: &'static str, text: &str) -> Result<Duration, SettingsError> {
    let wrong = || SettingsError::Duration { field, text: text.into() };
    let duration: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
    Duration::try_from(duration).ok().filter(|d| !d.is_zero()).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_kubernetes_users_write_them() {
        let seconds = |text| duration("f", text).map(|d| d.as_millis()).ok();
        assert_eq!(seconds("30s"), Some(30_000));
        assert_eq!(seconds("500ms"), Some(500));
        assert_eq!(seconds("1h30m"), Some(5_400_000));
        for wrong in ["", "0s", "30", "-5s", "soon"] {
            assert_eq!(seconds(wrong), None, "{wrong:?}");
        }
    }
}
