//! `Lease` ↔ [`Record`]. Pure.
use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{
    api::{
        authentication::v1::UserInfo,
        coordination::v1::{Lease, LeaseSpec},
    },
    apimachinery::pkg::apis::meta::v1::{MicroTime, OwnerReference},
};
use kube::{ResourceExt, api::ObjectMeta};

use super::decision::{Record, Released};

/// On a Lease that was released: whether nothing that its last holder sent is still without an outcome.
/// A Lease without it and without a holder was edited by somebody.
const DRAINED: &str = "lattice.oam.dev/drained";

/// What `lease` says; one without a duration is taken to hold for `default`.
#[must_use]
pub(super) fn read(lease: &Lease, default: Duration) -> Record {
    let spec = lease.spec.clone().unwrap_or_default();
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    Record {
        // Other programs release a Lease by naming nobody.
        holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
        renewed: spec.renew_time.map(|time| time.0),
        duration: seconds.map_or(default, Duration::from_secs),
        transitions: spec.lease_transitions.unwrap_or_default(),
        released: lease
            .annotations()
            .get(DRAINED)
            .map(|drained| Released { drained: drained == "true" }),
    }
}

/// The ServiceAccount that `user` is, if it is one of `namespace`: a Lease that belongs to it goes
/// with it, whichever way the operator is uninstalled.
#[must_use]
pub(super) fn owner(user: &UserInfo, namespace: &str) -> Option<OwnerReference> {
    // <https://kubernetes.io/docs/reference/access-authn-authz/authentication/#service-account-tokens>
    let account = user.username.as_deref()?.strip_prefix("system:serviceaccount:")?;
    let (place, name) = account.split_once(':')?;
    Some(OwnerReference {
        api_version: "v1".to_owned(),
        kind: "ServiceAccount".to_owned(),
        name: name.to_owned(),
        uid: user.uid.clone().filter(|_| place == namespace)?,
        ..OwnerReference::default()
    })
}

/// What is to be written so that Lease `name` says `record`, in place of what was `seen`.
#[must_use]
pub(super) fn written(
    name: &str,
    owner: Option<&OwnerReference>,
    seen: Option<&Lease>,
    record: &Record,
) -> Lease {
    let mut lease = seen.cloned().unwrap_or_else(|| Lease {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        spec: None,
    });
    lease.metadata.managed_fields = None;
    if let Some(owner) = owner {
        lease.metadata.owner_references = Some(vec![owner.clone()]);
    }
    let annotations = lease.metadata.annotations.get_or_insert_with(BTreeMap::new);
    annotations.remove(DRAINED);
    if let Some(Released { drained }) = record.released {
        annotations.insert(DRAINED.to_owned(), drained.to_string());
    }
    let before = lease.spec.take().unwrap_or_default();
    let same = before.holder_identity == record.holder;
    let acquired = if same { before.acquire_time } else { record.renewed.map(MicroTime) };
    let seconds = record.duration.as_secs();
    lease.spec = Some(LeaseSpec {
        holder_identity: record.holder.clone(),
        acquire_time: acquired,
        renew_time: record.renewed.map(MicroTime),
        lease_duration_seconds: Some(i32::try_from(seconds).unwrap_or(i32::MAX)),
        lease_transitions: Some(record.transitions),
        ..before
    });
    lease
}

/// Whether `old` is older than `new`. Resource versions grow, and may be compared as numbers
/// (Kubernetes API concepts, 1.35 on).
#[must_use]
pub(super) fn is_older(old: &Lease, new: &Lease) -> bool {
    let version = |lease: &Lease| lease.resource_version().and_then(|v| v.parse::<u64>().ok());
    old.uid() == new.uid() && version(old) < version(new)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn record(holder: Option<&str>, renewed: i64) -> Record {
        Record {
            holder: holder.map(str::to_owned),
            renewed: Some(Timestamp::from_second(renewed).unwrap()),
            duration: 15 * SECOND,
            transitions: 3,
            released: None,
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let taken = record(Some("a"), 10);
        let lease = written("trellis", None, None, &taken);
        assert_eq!(read(&lease, SECOND), taken);
        let renewed = written("trellis", None, Some(&lease), &record(Some("a"), 15));
        let acquired = |lease: &Lease| lease.spec.as_ref().unwrap().acquire_time.clone();
        assert_eq!(acquired(&renewed), acquired(&lease), "it is the same holder");

        let released = Record { released: Some(Released { drained: true }), ..record(None, 20) };
        let lease = written("trellis", None, Some(&renewed), &released);
        assert_eq!(read(&lease, SECOND), released);
        let taken = written("trellis", None, Some(&lease), &record(Some("b"), 21));
        assert_eq!(read(&taken, SECOND).released, None);
        assert_ne!(acquired(&taken), acquired(&renewed));
    }

    #[test]
    fn a_lease_of_another_program_is_understood() {
        let spec = LeaseSpec { holder_identity: Some(String::new()), ..LeaseSpec::default() };
        let lease = Lease { spec: Some(spec), ..Lease::default() };
        let read = read(&lease, SECOND);
        assert_eq!((read.holder, read.duration, read.transitions), (None, SECOND, 0));
    }

    #[test]
    fn a_service_account_of_the_namespace_owns_the_lease_and_nobody_else() {
        let user = |name: &str| UserInfo {
            username: Some(name.to_owned()),
            uid: Some("u".to_owned()),
            ..UserInfo::default()
        };
        let owned = owner(&user("system:serviceaccount:home:trellis"), "home").unwrap();
        assert_eq!((owned.kind.as_str(), owned.name.as_str()), ("ServiceAccount", "trellis"));
        assert_eq!(owner(&user("system:serviceaccount:away:trellis"), "home"), None);
        assert_eq!(owner(&user("admin"), "home"), None);
    }
}
