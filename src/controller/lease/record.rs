//! `Lease` ↔ [`Record`], [`Words`]. Pure.
use std::{
    collections::{BTreeMap, btree_map::Entry},
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::{
    api::{authentication::v1::UserInfo, coordination::v1},
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{
    Resource, ResourceExt,
    api::{ObjectMeta, TypeMeta},
};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::decision::{Record, Released, Words};

/// On a Lease that was released: whether nothing that its last holder sent is still without an outcome.
const DRAINED: &str = "lattice.oam.dev/drained";
/// What a replica wrote, once more: a Lease that says something else was edited by somebody.
const WRITTEN: &str = "lattice.oam.dev/written";

/// A Lease whose times are text: what somebody has written there can't keep it from being read.
#[derive(Debug, Clone, Default, PartialEq, Resource, Serialize, Deserialize)]
#[resource(inherit = v1::Lease)]
pub(super) struct Lease {
    #[serde(flatten)]
    types: Option<TypeMeta>,
    #[serde(deserialize_with = "without_managers")]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: Spec,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    holder_identity: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lease_duration_seconds: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    acquire_time: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    renew_time: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lease_transitions: Option<i32>,
    /// What others have put there.
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

/// Who manages which field is of no use here, and has times too.
fn without_managers<'de, D: Deserializer<'de>>(from: D) -> Result<ObjectMeta, D::Error> {
    let mut metadata = Value::deserialize(from)?;
    if let Some(fields) = metadata.as_object_mut() {
        fields.remove("managedFields");
    }
    serde_json::from_value(metadata).map_err(serde::de::Error::custom)
}

impl Lease {
    fn said(&self, annotation: &str) -> Option<&str> {
        self.annotations().get(annotation).map(String::as_str)
    }

    fn is_intact(&self) -> bool {
        self.said(WRITTEN) == Some(&self.spec.line(self.said(DRAINED)))
    }
}

impl Spec {
    /// All that replicas write and might go by, on one line.
    fn line(&self, drained: Option<&str>) -> String {
        let seconds = self.lease_duration_seconds.map(|seconds| seconds.to_string());
        let parts = [
            self.holder_identity.as_deref(),
            self.acquire_time.as_deref(),
            self.renew_time.as_deref(),
            seconds.as_deref(),
            drained,
        ];
        parts.map(|part| part.filter(|part| !part.is_empty()).unwrap_or("-")).join(" ")
    }
}

/// What `lease` says; one without a duration is taken to hold for `default`.
#[must_use]
pub(super) fn read(lease: &Lease, default: Duration) -> Record {
    let Spec { holder_identity, lease_duration_seconds, lease_transitions, .. } = &lease.spec;
    let seconds = lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    Record {
        // Another Lease of the same name has other versions too.
        version: lease.resource_version().unwrap_or_default(),
        intact: lease.is_intact(),
        // Other programs release a Lease by naming nobody.
        holder: holder_identity.clone().filter(|holder| !holder.is_empty()),
        duration: seconds.map_or(default, Duration::from_secs),
        transitions: lease_transitions.unwrap_or_default(),
        released: lease.said(DRAINED).map(|drained| Released { drained: drained == "true" }),
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

/// What shows that there was an election about Lease `name`, and is never read: an object that says
/// nothing. No Lease has its name, for no class has a dot.
#[must_use]
pub(super) fn trace(name: &str, owner: Option<&OwnerReference>) -> Lease {
    named(&format!("{name}.begun"), owner)
}

fn named(name: &str, owner: Option<&OwnerReference>) -> Lease {
    Lease {
        types: Some(TypeMeta::resource::<Lease>()),
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            owner_references: owner.map(|owner| vec![owner.clone()]),
            ..ObjectMeta::default()
        },
        spec: Spec::default(),
    }
}

/// What is to be written so that Lease `name` says `words`, in place of what was `seen`.
#[must_use]
pub(super) fn written(
    name: &str,
    owner: Option<&OwnerReference>,
    seen: Option<&Lease>,
    words: &Words,
) -> Lease {
    let mut lease = seen.cloned().unwrap_or_else(|| named(name, owner));
    if let Some(owner) = owner {
        lease.metadata.owner_references = Some(vec![owner.clone()]);
    }
    let is_intact = lease.is_intact();
    let before = std::mem::take(&mut lease.spec);
    let now = text(words.renewed);
    let same = is_intact && before.holder_identity == words.holder;
    lease.spec = Spec {
        holder_identity: words.holder.clone(),
        acquire_time: before.acquire_time.filter(|_| same).or_else(|| Some(now.clone())),
        renew_time: Some(now),
        lease_duration_seconds: i64::try_from(words.duration.as_secs()).ok(),
        lease_transitions: Some(words.transitions),
        rest: before.rest,
    };
    let drained = words.released.map(|released| released.drained.to_string());
    let line = lease.spec.line(drained.as_deref());
    let annotations = lease.metadata.annotations.get_or_insert_default();
    annotations.insert(WRITTEN.to_owned(), line);
    match (annotations.entry(DRAINED.to_owned()), drained) {
        (entry, Some(drained)) => drop(entry.insert_entry(drained)),
        (Entry::Occupied(entry), None) => drop(entry.remove()),
        (Entry::Vacant(_), None) => {}
    }
    lease
}

/// As the API server writes it again.
fn text(time: Timestamp) -> String {
    format!("{time:.6}")
}

/// How a Lease that was learned of compares with what is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Age {
    New,
    /// A watch showed what was so before.
    Late,
    /// It is so again, as after etcd was restored from a backup: what came between never was.
    Restored,
}

/// `read`: it was asked for after `known` was known, and so can't be late. Resource versions grow, and
/// may be compared as numbers (Kubernetes API concepts, 1.35 on).
#[must_use]
pub(super) fn age(lease: &Lease, known: &Lease, read: bool) -> Age {
    let version = |lease: &Lease| lease.resource_version().and_then(|v| v.parse::<u64>().ok());
    if lease.uid() != known.uid() || version(lease) >= version(known) {
        return Age::New;
    }
    if read { Age::Restored } else { Age::Late }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_older_lease_is_late_from_a_watch_and_restored_when_it_is_read() {
        let lease = |uid: &str, version: &str| -> Lease {
            let metadata = json!({ "name": "trellis", "uid": uid, "resourceVersion": version });
            serde_json::from_value(json!({ "metadata": metadata })).unwrap()
        };
        let known = lease("a", "286");
        assert_eq!(age(&lease("a", "273"), &known, false), Age::Late);
        assert_eq!(age(&lease("a", "273"), &known, true), Age::Restored);
        assert_eq!(age(&lease("a", "286"), &known, true), Age::New);
        assert_eq!(age(&lease("a", "1000"), &known, false), Age::New);
        assert_eq!(age(&lease("b", "9"), &known, false), Age::New, "another of the same name");
    }

    fn words(holder: Option<&str>, renewed: i64) -> Words {
        Words {
            holder: holder.map(str::to_owned),
            renewed: Timestamp::from_second(renewed).unwrap(),
            duration: 15 * SECOND,
            transitions: 3,
            released: None,
        }
    }

    /// What was written, as the API server tells it.
    fn told(lease: &Lease) -> Value {
        let mut told = serde_json::to_value(lease).unwrap();
        told["metadata"]["resourceVersion"] = json!("7");
        told
    }

    fn understood(told: Value) -> Record {
        read(&serde_json::from_value(told).unwrap(), SECOND)
    }

    #[test]
    fn what_is_written_is_read_again() {
        let taken = written("trellis", None, None, &words(Some("a"), 10));
        let record = understood(told(&taken));
        let said = Record {
            version: "7".into(),
            intact: true,
            holder: Some("a".into()),
            duration: 15 * SECOND,
            transitions: 3,
            released: None,
        };
        assert_eq!(record, said);
        let renewed = written("trellis", None, Some(&taken), &words(Some("a"), 15));
        assert_eq!(renewed.spec.acquire_time, taken.spec.acquire_time, "it is the same holder");

        let released = Words { released: Some(Released { drained: true }), ..words(None, 20) };
        let lease = written("trellis", None, Some(&renewed), &released);
        let record = understood(told(&lease));
        assert_eq!((record.intact, record.released), (true, released.released));
        let next = written("trellis", None, Some(&lease), &words(Some("b"), 21));
        let record = understood(told(&next));
        assert_eq!((record.intact, record.released), (true, None));
        assert_ne!(next.spec.acquire_time, renewed.spec.acquire_time);
    }

    #[test]
    fn what_somebody_has_edited_is_told_from_what_a_replica_wrote() {
        let held = told(&written("trellis", None, None, &words(Some("a"), 10)));
        let edited = |path: &str, value: Value| {
            let mut told = held.clone();
            *told.pointer_mut(path).unwrap() = value;
            understood(told).intact
        };
        assert!(edited("/spec/leaseTransitions", json!(9)), "which decides nothing");
        assert!(!edited("/spec/holderIdentity", json!("b")));
        assert!(!edited("/spec/holderIdentity", json!("")));
        assert!(!edited("/spec/holderIdentity", json!(null)));
        assert!(!edited("/spec/leaseDurationSeconds", json!(1)));
        assert!(!edited("/spec/renewTime", json!("1970-01-01T00:00:11.000000Z")));
        assert!(!edited("/spec/acquireTime", json!("1970-01-01T00:00:11.000000Z")));
        assert!(!edited("/metadata/annotations", json!({})));
        let mut drained = held.clone();
        drained["metadata"]["annotations"][DRAINED] = json!("true");
        assert!(!understood(drained).intact);
    }

    #[test]
    fn a_time_that_no_calendar_reads_keeps_nobody_from_reading_the_lease() {
        let mut edited = told(&written("trellis", None, None, &words(Some("a"), 10)));
        for field in ["renewTime", "acquireTime"] {
            edited["spec"][field] = json!("9999-12-31T23:59:59.000000Z");
        }
        edited["spec"]["strategy"] = json!("OldestEmulationVersion");
        edited["metadata"]["managedFields"] = json!([{ "time": "9999-12-31T23:59:59Z" }]);
        let lease = serde_json::from_value(edited).unwrap();
        let record = read(&lease, SECOND);
        assert_eq!((record.holder.as_deref(), record.intact), (Some("a"), false));
        let again = written("trellis", None, Some(&lease), &words(Some("a"), 20));
        assert!(understood(told(&again)).intact);
        assert!(!told(&again).to_string().contains("9999"), "others have to read it, too");
        assert_eq!(again.spec.rest["strategy"], "OldestEmulationVersion");
    }

    #[test]
    fn times_are_written_as_the_api_server_writes_them_again() {
        let time = |text: &str| super::text(text.parse().unwrap());
        assert_eq!(time("2026-01-02T03:04:05Z"), "2026-01-02T03:04:05.000000Z");
        assert_eq!(time("2026-01-02T03:04:05.123456789Z"), "2026-01-02T03:04:05.123456Z");
    }

    #[test]
    fn a_lease_of_another_program_is_understood() {
        let read = understood(json!({ "metadata": {}, "spec": { "holderIdentity": "" } }));
        assert_eq!((read.holder, read.duration, read.transitions), (None, SECOND, 0));
        assert!(!read.intact);
        assert!(!understood(json!({ "metadata": {} })).intact);
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
