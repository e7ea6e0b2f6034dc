//! What is remembered of an Application between passes, so that a pass does only what is new. All of
//! it can be worked out again.
use std::{
    collections::BTreeMap,
    hash::{BuildHasher, RandomState},
    sync::{Arc, LazyLock, PoisonError},
};

use kube::ResourceExt;
use serde_json::Value;

use super::{
    context::Context, convergence::Convergence, decision::Plans, pace::Pace, release::key_of,
    revisions::version, sharing, trim::trim,
};
use crate::{
    api::{Application, ApplicationRevision},
    appfile::{self, Appfile, Manifest, Problems, SharedId, Stamp, Target},
    lattice::clock,
    model::{ApplicationKey, Desired, Few, LatticeName, Owner},
};

/// See the module.
#[derive(Debug, Default)]
pub struct Memory {
    /// A hash of the uid of the Application that this is about: one that has its name later is another,
    /// whose revisions may have the same names.
    of: Option<u64>,
    /// The spec that was read last.
    manifest: Option<Read>,
    /// The targets that it was found to have, and with which facts.
    targets: Option<Resolved>,
    /// What was planned last.
    pub(super) plans: Plans,
    /// How long it has had work.
    pub(super) convergence: Convergence,
    /// Earlier revisions, as read; a revision's spec never changes.
    appfiles: Few<String, Parsed>,
    /// What a revision wants on a lattice, for these namespaces.
    desired: Few<(String, LatticeName), Wanted>,
    /// The Application as it was written last, until the watch shows that or something newer.
    written: Option<Arc<Application>>,
    /// What is put off until it is worth a write.
    pub(super) pace: Pace,
}

/// A spec, as it was read.
#[derive(Debug)]
struct Read {
    from: ManifestKey,
    appfile: Parsed,
    hash: Arc<str>,
}

/// An Appfile, or why there is none; whoever has one of these shares it.
pub(super) type Parsed = Arc<Result<Appfile, Problems>>;

#[derive(Debug)]
struct Resolved {
    appfile: Parsed,
    /// [`Context::facts_version`].
    facts: u64,
    targets: Result<Vec<Target>, Problems>,
}

/// What is wanted, and for which namespaces that was worked out.
#[derive(Debug)]
struct Wanted {
    namespaces: Vec<Arc<str>>,
    desired: Arc<Desired>,
}

static MARKS: LazyLock<RandomState> = LazyLock::new(RandomState::new);

#[derive(Debug, PartialEq, Eq)]
struct ManifestKey {
    generation: Option<i64>,
    /// A hash of its labels and annotations, which nobody outside of this process can foresee.
    marks: u64,
}

impl Memory {
    /// Whether its topologies were last found to choose nothing that can be had.
    pub(super) fn is_without_targets(&self) -> bool {
        self.targets.as_ref().is_some_and(|known| known.targets.is_err())
    }

    pub(super) fn forget_written(&mut self) {
        self.written = None;
    }

    /// The one that is known already if it says the same: what was released last is mostly what is
    /// wanted now.
    fn same(&self, appfile: Result<Appfile, Problems>) -> Parsed {
        let read = self.manifest.iter().map(|read| &read.appfile);
        let mut known = self.appfiles.values().chain(read);
        known.find(|known| ***known == appfile).cloned().unwrap_or_else(|| Arc::new(appfile))
    }
}

/// Forgets what is remembered of an Application that had this one's name before.
pub(super) fn meet(app: &Application, ctx: &Context) {
    let of = Some(MARKS.hash_one(app.uid()));
    let memory = ctx.memories.of(&key_of(app));
    let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
    if memory.of != of {
        *memory = Memory { of, ..Memory::default() };
    }
}

/// The newest that is known of an Application: what the watch shows may be older than what was
/// written last, and whoever decides on that is refused.
pub(super) fn newest(app: Arc<Application>, ctx: &Context) -> Arc<Application> {
    let memory = ctx.memories.of(&key_of(&app));
    let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
    match &memory.written {
        Some(written)
            if written.uid() == app.uid()
                && version(&written.metadata) > version(&app.metadata) =>
        {
            Arc::clone(written)
        }
        _ => {
            memory.written = None;
            app
        }
    }
}

/// Takes note of what was written of an Application.
pub(super) fn learn(mut written: Application, ctx: &Context) -> Arc<Application> {
    trim(&mut written);
    let written = Arc::new(written);
    let memory = ctx.memories.of(&key_of(&written));
    let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
    memory.pace.written(clock::now());
    memory.written = Some(Arc::clone(&written));
    written
}

/// The Appfile and its hash, read anew only if what they are read from is new.
pub(super) fn parse(app: &Application, ctx: &Context, key: &ApplicationKey) -> (Parsed, Arc<str>) {
    let from = ManifestKey {
        generation: app.metadata.generation,
        marks: MARKS.hash_one((app.labels(), app.annotations())),
    };
    let memory = ctx.memories.of(key);
    let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = &memory.manifest
        && known.from == from
    {
        return (Arc::clone(&known.appfile), Arc::clone(&known.hash));
    }
    let spec = app.spec.0.read();
    let appfile = memory.same(appfile::parse(&Manifest {
        namespace: &key.namespace,
        name: &key.name,
        labels: app.labels(),
        annotations: app.annotations(),
        spec: &spec,
    }));
    let hash = hash(&spec, &appfile, &[]);
    let known = Read { from, appfile: Arc::clone(&appfile), hash: Arc::clone(&hash) };
    memory.manifest = Some(known);
    (appfile, hash)
}

/// The hash of what a revision holds.
pub(super) fn hash(spec: &Value, appfile: &Parsed, shared: &[SharedId]) -> Arc<str> {
    let adopt = appfile.as_ref().as_ref().map(|appfile| appfile.adopt).unwrap_or_default();
    let shared = serde_json::to_value(sharing::record(shared)).unwrap_or_default();
    appfile::release_hash(spec, adopt, &shared).into()
}

/// The targets, resolved anew only if the Appfile or what there is to choose from is new.
pub(super) fn resolve(
    ctx: &Context,
    key: &ApplicationKey,
    parsed: &Parsed,
    appfile: &Appfile,
) -> Result<Vec<Target>, Problems> {
    let memory = ctx.memories.of(key);
    let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
    let facts = ctx.facts_version();
    if let Some(known) = &memory.targets
        && known.facts == facts
        && Arc::ptr_eq(&known.appfile, parsed)
    {
        return known.targets.clone();
    }
    ctx.abroad().set(key, appfile.namespaces().cloned());
    let targets = appfile.targets(&ctx.lattices.facts(ctx, appfile));
    let known = Resolved { appfile: Arc::clone(parsed), facts, targets: targets.clone() };
    memory.targets = Some(known);
    targets
}

/// A revision's own Appfile, from what it stored.
pub(super) fn stored(
    ctx: &Context,
    key: &ApplicationKey,
    revision: &ApplicationRevision,
) -> Parsed {
    let memory = ctx.memories.of(key);
    let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
    let name = revision.name_any();
    if let Some(known) = memory.appfiles.get(&name) {
        return Arc::clone(known);
    }
    let application = revision.spec.application.read();
    let texts = |field: &str| -> BTreeMap<String, String> {
        let map = application.get("metadata").and_then(|m| m.get(field)).cloned();
        map.and_then(|map| serde_json::from_value(map).ok()).unwrap_or_default()
    };
    let (labels, annotations) = (texts("labels"), texts("annotations"));
    let appfile = memory.same(appfile::parse(&Manifest {
        namespace: &key.namespace,
        name: &key.name,
        labels: &labels,
        annotations: &annotations,
        spec: application.get("spec").unwrap_or(&Value::Null),
    }));
    memory.appfiles.insert(name, Arc::clone(&appfile));
    appfile
}

/// What a revision wants on a lattice, for the targets there with these namespaces.
pub(super) fn desired(
    app: &Application,
    ctx: &Context,
    revision: &ApplicationRevision,
    appfile: &Result<Appfile, Problems>,
    (lattice, namespaces): (&LatticeName, Vec<Arc<str>>),
) -> Arc<Desired> {
    let key = key_of(app);
    let owner =
        Owner { installation: ctx.lattices.installation(lattice), application: key.clone() };
    let Ok(appfile) = appfile else { return Arc::new(Desired::nothing(owner)) };
    let memory = ctx.memories.of(&key);
    let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
    let place = (revision.name_any(), lattice.clone());
    if let Some(wanted) = memory.desired.get(&place)
        && wanted.namespaces == namespaces
        && wanted.desired.owner == owner
    {
        return Arc::clone(&wanted.desired);
    }
    let uid = app.uid().unwrap_or_default().into();
    let shared = sharing::recorded(revision, lattice);
    let stamp = Stamp { owner, uid, revision: place.0.as_str().into(), shared };
    let desired = Arc::new(appfile.desired(&stamp, &namespaces));
    if memory.desired.is_empty() {
        // Mostly there is no other.
        memory.desired = Few::with_capacity(1);
    }
    memory.desired.insert(place, Wanted { namespaces, desired: Arc::clone(&desired) });
    desired
}

/// Drops what is remembered of revisions that nothing is left of.
pub(super) fn forget_others(ctx: &Context, key: &ApplicationKey, current: Option<&str>) {
    let swept: Vec<_> = ctx
        .revisions
        .of(key)
        .iter()
        .filter(|revision| revision.status.as_ref().is_some_and(|status| status.swept))
        .map(|revision| revision.name_any())
        .filter(|name| Some(name.as_str()) != current)
        .collect();
    let memory = ctx.memories.of(key);
    let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
    for name in swept {
        memory.appfiles.remove(&name);
        memory.desired.retain(|(revision, _), _| *revision != name);
    }
}
