//! ApplicationRevisions: which are known, which one an Application needs, and their writing.
//!
//! A revision is made before the first command that it causes, names every target before the first
//! command goes there (those that it is made for as it is made), and is kept until all that only it
//! wanted has been seen gone. So whatever this process forgets can be worked out from etcd and the
//! lattice.
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, ObjectMeta, Patch},
    runtime::watcher::Event,
};
use serde_json::{Map, Value, json};

use super::{
    Error,
    call::{patched, within, written},
    trim::LAST_APPLIED,
};
use crate::{
    api::{Application, ApplicationRevision, ApplicationRevisionSpec, Json, RevisionTarget},
    model::{ApplicationKey, Few},
};

/// The label that names a revision's Application, as in KubeVela.
pub(super) const NAME_LABEL: &str = "app.oam.dev/name";
/// The label that holds the hash, as in KubeVela.
const HASH_LABEL: &str = "app.oam.dev/app-revision-hash";
/// Revisions kept beside those that are in use.
const KEPT: usize = 10;
/// etcd refuses objects over 1.5 MiB; a revision is refused well before.
pub(super) const MAX_BYTES: usize = 1024 * 1024;

type Of = Few<i64, Arc<ApplicationRevision>>;

/// All revisions, by Application and number: those that the watch showed and those that were just
/// written, whichever is newer.
#[derive(Debug, Default)]
pub struct Revisions {
    known: Mutex<BTreeMap<ApplicationKey, Of>>,
    listing: Mutex<BTreeMap<ApplicationKey, Of>>,
    /// Those that somebody else deleted before all of theirs was gone, as happens with a namespace.
    lost: Mutex<BTreeMap<ApplicationKey, Of>>,
    listed: tokio::sync::watch::Sender<bool>,
}

impl Revisions {
    /// The revisions of one Application, oldest first.
    pub fn of(&self, application: &ApplicationKey) -> Vec<Arc<ApplicationRevision>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(application).into_iter().flat_map(Few::values).cloned().collect()
    }

    /// Waits until all have been listed once.
    pub async fn wait_until_ready(&self) {
        // The sender lives as long as `self`, so this can't fail.
        let _ = self.listed.subscribe().wait_for(|listed| *listed).await;
    }

    /// Takes note of a watch event.
    pub fn watched(&self, event: Event<ApplicationRevision>) {
        match event {
            Event::Apply(revision) => self.learn(revision),
            Event::Delete(revision) => self.forget(&revision),
            Event::Init => {
                *self.listing.lock().unwrap_or_else(PoisonError::into_inner) = BTreeMap::new();
            }
            Event::InitApply(revision) => {
                let mut listing = self.listing.lock().unwrap_or_else(PoisonError::into_inner);
                insert(&mut listing, revision);
            }
            Event::InitDone => {
                let mut listing = self.listing.lock().unwrap_or_else(PoisonError::into_inner);
                let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
                let before = std::mem::replace(&mut *known, std::mem::take(&mut listing));
                let missing = |key: &ApplicationKey, number: &i64| {
                    !known.get(key).is_some_and(|of| of.contains_key(number))
                };
                for (key, of) in before {
                    of.into_iter()
                        .filter(|(number, _)| missing(&key, number))
                        .for_each(|(_, revision)| self.lose(&key, revision));
                }
                self.listed.send_replace(true);
            }
        }
    }

    /// Takes note of a revision unless a newer version of it is known.
    pub fn learn(&self, revision: ApplicationRevision) {
        insert(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner), revision);
    }

    fn forget(&self, revision: &ApplicationRevision) {
        let Some(key) = owner(revision) else { return };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of) = known.get_mut(&key) {
            if let Some(revision) = of.remove(&revision.spec.revision) {
                self.lose(&key, revision);
            }
            if of.is_empty() {
                known.remove(&key);
            }
        }
    }

    fn lose(&self, key: &ApplicationKey, revision: Arc<ApplicationRevision>) {
        if !revision.is_swept() {
            let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
            lost.entry(key.clone()).or_default().insert(revision.spec.revision, revision);
        }
    }

    /// The revisions of an Application that may have left something, oldest first: those that are
    /// there, and those that were lost.
    pub fn of_all_times(&self, application: &ApplicationKey) -> Vec<Arc<ApplicationRevision>> {
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: BTreeMap<_, _> =
            lost.get(application).cloned().into_iter().flatten().collect();
        drop(lost);
        all.extend(self.of(application).into_iter().map(|it| (it.spec.revision, it)));
        all.into_values().collect()
    }

    /// Forgets an Application's revisions, because it has gone.
    pub fn drop_all(&self, application: &ApplicationKey) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(application);
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).remove(application);
    }

    /// Forgets the lost revisions of Applications that have gone.
    pub fn drop_lost(&self, is_gone: impl Fn(&ApplicationKey) -> bool) {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        lost.retain(|key, _| !is_gone(key));
    }
}

fn insert(known: &mut BTreeMap<ApplicationKey, Of>, mut revision: ApplicationRevision) {
    let Some(key) = owner(&revision) else { return };
    shrink(&mut revision);
    let of = known.entry(key).or_default();
    let newer = of.get(&revision.spec.revision).is_none_or(|old| {
        version(&old.metadata) <= version(&revision.metadata) || old.uid() != revision.uid()
    });
    if newer {
        if of.is_empty() {
            // Mostly there is no other.
            *of = Few::with_capacity(1);
        }
        of.insert(revision.spec.revision, Arc::new(revision));
    }
}

/// Leaves only what is read later: there is one of each Application, and none is ever put whole.
fn shrink(revision: &mut ApplicationRevision) {
    let metadata = std::mem::take(&mut revision.metadata);
    revision.metadata = ObjectMeta {
        name: metadata.name,
        namespace: metadata.namespace,
        uid: metadata.uid,
        resource_version: metadata.resource_version,
        ..ObjectMeta::default()
    };
    revision.spec.targets.shrink_to_fit();
    revision.spec.shared.shrink_to_fit();
    if let Some(status) = &mut revision.status {
        status.targets.shrink_to_fit();
    }
}

/// Resource versions grow, and may be compared as numbers (Kubernetes API concepts, 1.35 on).
pub(super) fn version(metadata: &ObjectMeta) -> u64 {
    metadata.resource_version.as_ref().and_then(|v| v.parse().ok()).unwrap_or_default()
}

fn owner(revision: &ApplicationRevision) -> Option<ApplicationKey> {
    let name = revision.labels().get(NAME_LABEL)?;
    Some(ApplicationKey::new(&revision.namespace()?, name))
}

/// Which revision an Application's spec calls for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Choice {
    Keep(Arc<ApplicationRevision>),
    /// The number of the revision to make.
    Make(i64),
}

/// The newest revision if it holds this spec, else the next number; numbers are not used again
/// while the Application lives, so `latest` of its status counts too.
#[must_use]
pub(super) fn choose(hash: &str, revisions: &[Arc<ApplicationRevision>], latest: i64) -> Choice {
    match revisions.last() {
        Some(newest) if newest.spec.hash == hash => Choice::Keep(Arc::clone(newest)),
        newest => Choice::Make(newest.map_or(0, |n| n.spec.revision).max(latest) + 1),
    }
}

/// What a new revision of `app` holds.
#[must_use]
pub(super) fn build(app: &Application, number: i64, hash: &str) -> ApplicationRevision {
    let name = app.name_any();
    let annotations: Map<String, Value> = app
        .annotations()
        .iter()
        .filter(|(key, _)| *key != LAST_APPLIED)
        .map(|(key, value)| (key.clone(), json!(value)))
        .collect();
    let application = json!({
        "apiVersion": Application::api_version(&()),
        "kind": Application::kind(&()),
        "metadata": {
            "name": name,
            "namespace": app.namespace(),
            "labels": app.labels(),
            "annotations": annotations,
        },
        "spec": app.spec.0.read(),
    });
    let spec = ApplicationRevisionSpec {
        revision: number,
        hash: hash.into(),
        application: Json::from(&application),
        ..ApplicationRevisionSpec::default()
    };
    let labels = [(NAME_LABEL, name.as_str()), (HASH_LABEL, hash.get(..16).unwrap_or(hash))];
    ApplicationRevision {
        metadata: ObjectMeta {
            name: Some(format!("{name}-v{number}")),
            namespace: app.namespace(),
            labels: Some(labels.map(|(k, v)| (k.into(), v.into())).into()),
            owner_references: app.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec,
        status: None,
    }
}

/// Makes the revision. That there is one of its name means that the watch was late: the next pass,
/// which knows it, takes it if it holds this very spec, and another number if not.
pub(super) async fn make(
    kube: &Client,
    revision: &ApplicationRevision,
) -> Result<ApplicationRevision, Error> {
    let api = api(kube, revision);
    match within(api.create(&written(), revision)).await {
        Err(error) if error.is_already_exists() => Err(Error::Stale),
        made => made.map_err(Error::Revision),
    }
}

/// Writes down where else a revision may put something, before anything is put there.
pub(super) async fn record_targets(
    kube: &Client,
    revision: &ApplicationRevision,
    targets: &[RevisionTarget],
) -> Result<ApplicationRevision, Error> {
    patch(kube, revision, &json!({ "targets": targets, "swept": false })).await
}

/// Writes down that a revision was seen whole, and that its targets are these alone.
pub(super) async fn record_success(
    kube: &Client,
    revision: &ApplicationRevision,
    targets: &[RevisionTarget],
) -> Result<ApplicationRevision, Error> {
    patch(kube, revision, &json!({ "targets": targets, "succeeded": true })).await
}

/// Writes down that nothing is left of what only this revision wanted.
pub(super) async fn record_sweep(
    kube: &Client,
    revision: &ApplicationRevision,
) -> Result<ApplicationRevision, Error> {
    patch(kube, revision, &json!({ "swept": true })).await
}

async fn patch(
    kube: &Client,
    revision: &ApplicationRevision,
    status: &Value,
) -> Result<ApplicationRevision, Error> {
    // Decided on this version: what another replica has written since must not be lost.
    let decided_on = json!({ "resourceVersion": revision.resource_version() });
    let patch = Patch::Merge(json!({ "metadata": decided_on, "status": status }));
    let api = api(kube, revision);
    within(api.patch_status(&revision.name_any(), &patched(), &patch))
        .await
        .map_err(Error::Revision)
}

/// Deletes a revision; one that is gone already is as good.
pub(super) async fn delete(kube: &Client, revision: &ApplicationRevision) -> Result<(), Error> {
    let api = api(kube, revision);
    match within(api.delete(&revision.name_any(), &DeleteParams::default())).await {
        Err(error) if !error.is_not_found() => Err(Error::Revision(error)),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// The revisions that may go: all but the newest ten, those not swept yet, and the one in force.
#[must_use]
pub(super) fn superfluous<'a>(
    revisions: &'a [Arc<ApplicationRevision>],
    current: &str,
) -> Vec<&'a Arc<ApplicationRevision>> {
    let old = revisions.len().saturating_sub(KEPT);
    revisions[..old]
        .iter()
        .filter(|revision| revision.name_any() != current)
        .filter(|revision| revision.is_swept())
        .collect()
}

fn api(kube: &Client, revision: &ApplicationRevision) -> Api<ApplicationRevision> {
    Api::namespaced(kube.clone(), &revision.namespace().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{ApplicationRevisionStatus, ApplicationSpec};

    fn revision(number: i64, hash: &str, swept: bool, version: &str) -> ApplicationRevision {
        let app = Application {
            metadata: ObjectMeta {
                name: Some("shop".into()),
                namespace: Some("default".into()),
                ..ObjectMeta::default()
            },
            spec: ApplicationSpec(Json::from(&json!({ "components": [] }))),
            status: None,
        };
        let mut revision = build(&app, number, hash);
        revision.metadata.resource_version = Some(version.into());
        revision.status = Some(ApplicationRevisionStatus { swept, ..Default::default() });
        revision
    }

    #[test]
    fn a_spec_keeps_the_newest_revision_that_holds_it_and_no_number_is_used_twice() {
        let two: Vec<_> =
            [revision(1, "a", true, "1"), revision(2, "b", false, "2")].map(Arc::new).to_vec();
        assert_eq!(choose("b", &two, 2), Choice::Keep(Arc::clone(&two[1])));
        assert_eq!(choose("a", &two, 2), Choice::Make(3), "an old spec is a new revision");
        assert_eq!(choose("c", &two, 7), Choice::Make(8), "numbers of deleted revisions count");
        assert_eq!(choose("c", &[], 0), Choice::Make(1));
    }

    #[test]
    fn what_was_just_written_is_not_replaced_by_what_a_slow_watch_shows() {
        let revisions = Revisions::default();
        let key = ApplicationKey::new("default", "shop");
        revisions.learn(revision(1, "a", true, "20"));
        revisions.watched(Event::Apply(revision(1, "a", false, "10")));
        let swept = |r: &Revisions| r.of(&key)[0].status.as_ref().is_some_and(|s| s.swept);
        assert!(swept(&revisions));
        revisions.watched(Event::Apply(revision(1, "a", false, "30")));
        assert!(!swept(&revisions));
    }

    #[test]
    fn what_was_deleted_before_all_of_its_was_gone_is_remembered_as_long_as_its_application() {
        let revisions = Revisions::default();
        let key = ApplicationKey::new("default", "shop");
        let [one, two, three] =
            [(1, true), (2, false), (3, false)].map(|(n, swept)| revision(n, "a", swept, "1"));
        for revision in [&one, &two, &three] {
            revisions.learn(revision.clone());
        }
        revisions.watched(Event::Delete(one));
        revisions.watched(Event::Delete(two));
        let numbers = |all: Vec<Arc<ApplicationRevision>>| -> Vec<_> {
            all.into_iter().map(|revision| revision.spec.revision).collect()
        };
        let seen = || (numbers(revisions.of(&key)), numbers(revisions.of_all_times(&key)));
        assert_eq!(seen(), (vec![3], vec![2, 3]));
        revisions.watched(Event::Init);
        revisions.watched(Event::InitDone);
        assert_eq!(seen(), (vec![], vec![2, 3]), "as when a watch begins anew");

        revisions.drop_lost(|_| false);
        assert_eq!(seen(), (vec![], vec![2, 3]));
        revisions.drop_lost(|gone| *gone == key);
        assert_eq!(seen(), (vec![], vec![]));

        revisions.learn(three.clone());
        revisions.drop_all(&key);
        revisions.watched(Event::Delete(three));
        assert_eq!(seen(), (vec![], vec![]), "the operator deleted it, for nothing is left");
    }

    #[test]
    fn the_newest_ten_and_what_is_in_use_are_kept() {
        let all: Vec<_> = (1..=14).map(|n| Arc::new(revision(n, "x", n != 2, "1"))).collect();
        let names: Vec<_> =
            superfluous(&all, "shop-v3").into_iter().map(|r| r.name_any()).collect();
        assert_eq!(names, ["shop-v1", "shop-v4"]);
    }
}
