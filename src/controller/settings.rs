//! `Lattice` and its Secret → the settings of the task that watches it. Pure.
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;

use super::{held, missed_links};
use crate::{
    api::{Lattice, LossPolicy, NatsSpec, OnHostLoss},
    lattice::{
        access::{Access, Credentials, CredentialsError},
        inventory,
        watch::Settings,
    },
    model::{self, CONFIRM_LOSS, FORGET_HOST, HostId, LatticeName, NameError},
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
    #[error(
        "Lattice {other} has the same spec.nats, lattice and controlPrefix; use that one, or \
         mend spec.lattice"
    )]
    Twin { other: String },
    #[error("Secret {name}")]
    Credentials { name: String, source: CredentialsError },
    #[error(
        "Secret {namespace}/{name} does not exist; create it, or mend spec.nats.credentialsSecret.name"
    )]
    NoSecret { namespace: String, name: String },
    #[error(
        "not allowed to read Secret {namespace}/{name}; add {name} to the chart's value `secrets`, \
         or grant the operator's ServiceAccount get and watch on it"
    )]
    ForbiddenSecret { namespace: String, name: String },
    #[error("Secret {namespace}/{name} no longer has {keys}; put that back")]
    LostKeys { namespace: String, name: String, keys: &'static str },
}

/// What `secret` says that we are.
pub(super) fn credentials(secret: &Secret) -> Result<Credentials, SettingsError> {
    Credentials::from_secret(&data(secret))
        .map_err(|source| SettingsError::Credentials { name: secret.name_any(), source })
}

/// The credentials to use: those that were `found`, or those of `before` with the reason why these are
/// no use. A lattice that is used goes on with what it was told before.
pub(super) fn kept(
    found: Result<Credentials, SettingsError>,
    before: Option<Credentials>,
    lattice: &Lattice,
    namespace: &str,
) -> Result<(Credentials, Option<SettingsError>), SettingsError> {
    match (found, before) {
        (Ok(found), Some(before)) => Ok(match found.lost(&before) {
            Some(keys) => {
                let secret = lattice.spec.nats.credentials_secret.as_ref();
                let name = secret.map(|secret| secret.name.clone()).unwrap_or_default();
                let lost = SettingsError::LostKeys { namespace: namespace.into(), name, keys };
                (before, Some(lost))
            }
            None => (found, None),
        }),
        (Ok(found), None) => Ok((found, None)),
        (Err(error), Some(before)) => Ok((before, Some(error))),
        (Err(error), None) => Err(error),
    }
}

/// The settings that `lattice` asks for, with the credentials of the Secret that it names.
pub(super) fn build(
    lattice: &Lattice,
    credentials: Credentials,
    start_deadline: Duration,
) -> Result<Settings, SettingsError> {
    let spec = &lattice.spec;
    let name: LatticeName = lattice.name_any().parse().map_err(SettingsError::Name)?;
    let status = lattice.status.as_ref();
    let hosts = status.into_iter().flat_map(|status| &status.hosts);
    let known_hosts = hosts.filter_map(|host| held::from_status(host, &spec.installation));
    let known_hosts = known_hosts.collect();
    let missed = status.map_or(&[][..], |status| &status.missed_links);
    let access = Access { urls: urls(&spec.nats), credentials, inbox_prefix: Some(INBOX.into()) };
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
        missed_links: missed_links::from_status(missed),
        on_host_loss: spec.on_host_loss.iter().map(on_host_loss).collect(),
        forgotten: forgotten(lattice),
        confirmed_loss: lattice.annotations().get(CONFIRM_LOSS).map(|token| token.trim().into()),
        start_deadline,
        ..Settings::new(name, access)
    })
}

fn on_host_loss(on: &OnHostLoss) -> inventory::OnHostLoss {
    inventory::OnHostLoss { labels: on.host_selector.clone(), policy: policy(on.policy) }
}

#[must_use]
pub(super) fn policy(policy: LossPolicy) -> model::LossPolicy {
    match policy {
        LossPolicy::Replace => model::LossPolicy::Replace,
        LossPolicy::Hold => model::LossPolicy::Hold,
    }
}

/// How long a deletion waits for what can't be reached on `lattice`.
#[must_use]
pub(super) fn deletion_deadline(lattice: &Lattice) -> Duration {
    let [shortest, default, longest] =
        [Duration::from_secs(1), Duration::from_hours(1), Duration::from_hours(168)];
    // The schema refuses what is no duration within these bounds.
    let asked = duration("deletionDeadline", &lattice.spec.deletion_deadline);
    asked.map_or(default, |asked| asked.clamp(shortest, longest))
}

/// What can't be an id names no host.
fn forgotten(lattice: &Lattice) -> BTreeSet<HostId> {
    let named = lattice.annotations().get(FORGET_HOST).map_or("", String::as_str);
    named.split(',').filter_map(|id| id.trim().parse().ok()).collect()
}

/// Whether `lattice` is nowhere but where it was reached `before`.
#[must_use]
pub(super) fn is_there(lattice: &Lattice, before: &Access) -> bool {
    urls(&lattice.spec.nats).iter().all(|url| before.urls.contains(url))
}

/// With `tls.required`, a server that offers no TLS is refused: the scheme says so.
fn urls(nats: &NatsSpec) -> Vec<String> {
    let required = nats.tls.as_ref().is_some_and(|tls| tls.required);
    let url = |url: &String| match url.strip_prefix("nats://") {
        Some(rest) if required => format!("tls://{rest}"),
        Some(_) | None => url.clone(),
    };
    nats.urls.iter().map(url).collect()
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
    use serde_json::json;

    use super::*;
    use crate::api::TlsSpec;

    #[test]
    fn required_tls_is_asked_for_by_the_scheme() {
        let nats = |required| NatsSpec {
            urls: vec!["nats://a:4222".into(), "tls://b:4222".into()],
            tls: Some(TlsSpec { required }),
            ..NatsSpec::default()
        };
        assert_eq!(urls(&nats(true)), ["tls://a:4222", "tls://b:4222"]);
        assert_eq!(urls(&nats(false)), ["nats://a:4222", "tls://b:4222"]);
    }

    #[test]
    fn hosts_to_forget_are_named_by_their_ids() {
        let spec = serde_json::json!({ "nats": { "urls": ["nats://n"] } });
        let mut lattice = Lattice::new("edge", serde_json::from_value(spec).unwrap());
        lattice.annotations_mut().insert(FORGET_HOST.into(), "NA, NB,,no id".into());
        let named: Vec<_> = forgotten(&lattice).into_iter().map(|id| id.to_string()).collect();
        assert_eq!(named, ["NA", "NB"]);
    }

    #[test]
    fn credentials_that_work_are_kept_when_their_secret_no_longer_says_them() {
        let nats = json!({ "urls": ["nats://a"], "credentialsSecret": { "name": "nats" } });
        let spec = serde_json::from_value(json!({ "nats": nats })).unwrap();
        let lattice = Lattice::new("edge", spec);
        let of = |keys: &[(&str, &str)]| {
            let data = keys.iter().map(|(key, value)| ((*key).into(), value.as_bytes().to_vec()));
            Credentials::from_secret(&data.collect()).unwrap()
        };
        let missing = || SettingsError::NoSecret { namespace: "home".into(), name: "nats".into() };
        let (token, other, none) = (of(&[("token", "a")]), of(&[("token", "b")]), of(&[]));
        let chosen = |found, before: Option<&Credentials>| {
            let kept = kept(found, before.cloned(), &lattice, "home").unwrap();
            (kept.0, kept.1.map(|error| error.to_string()))
        };
        assert_eq!(chosen(Ok(other.clone()), Some(&token)), (other, None));
        assert_eq!(chosen(Ok(none.clone()), None), (none.clone(), None));
        let (used, why) = chosen(Err(missing()), Some(&token));
        assert_eq!((used, why.is_some()), (token.clone(), true));
        let (used, why) = chosen(Ok(none), Some(&token));
        assert_eq!(used, token);
        assert!(
            why.unwrap().starts_with("Secret home/nats no longer has user and password, token")
        );
        assert!(kept(Err(missing()), None, &lattice, "home").is_err());
    }

    #[test]
    fn credentials_that_are_kept_go_to_no_other_server_than_before() {
        let lattice = |urls: &[&str], tls: bool| {
            let nats = json!({ "urls": urls, "tls": { "required": tls } });
            Lattice::new("edge", serde_json::from_value(json!({ "nats": nats })).unwrap())
        };
        let before = Access {
            urls: urls(&lattice(&["nats://a", "nats://b"], true).spec.nats),
            credentials: Credentials::default(),
            inbox_prefix: None,
        };
        assert!(is_there(&lattice(&["nats://b", "nats://a"], true), &before));
        assert!(is_there(&lattice(&["nats://a"], true), &before));
        assert!(!is_there(&lattice(&["nats://a", "nats://elsewhere"], true), &before));
        assert!(!is_there(&lattice(&["nats://a"], false), &before), "anybody could read them");
    }

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
