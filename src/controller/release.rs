//! What of an Application is in force: the revision that was released last, and what earlier ones
//! may have left.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError},
    time::Duration,
};

use kube::ResourceExt;
use serde_json::Value;

use super::{
    Error,
    context::Context,
    decision::Plans,
    refusal::{Refusal, Stage},
    revisions::{self, Choice},
};
use crate::{
    api::{Application, ApplicationRevision, RevisionName, RevisionTarget},
    appfile::{self, Appfile, Manifest, Problem, Problems, Stamp, Target},
    model::{ApplicationKey, Desired, LatticeName, Owner},
};

/// What is remembered of one Application between passes. All of it can be worked out again.
#[derive(Debug, Default)]
pub struct Memory {
    /// The spec that was read last.
    manifest: Option<Read>,
    /// The targets that it was found to have, and with which facts.
    targets: Option<Resolved>,
    /// What was planned last.
    pub(super) plans: Plans,
    /// Earlier revisions, as read; a revision's spec never changes.
    appfiles: BTreeMap<String, Parsed>,
    /// What a revision wants on a lattice, for these namespaces.
    desired: BTreeMap<(String, LatticeName), Wanted>,
    /// When the status was written last, in this process's time.
    pub last_write: Option<Duration>,
    /// Since when a lattice that it uses can't be judged.
    pub uncertain_since: Option<Duration>,
}

/// A spec, as it was read.
#[derive(Debug)]
struct Read {
    from: ManifestKey,
    appfile: Parsed,
    hash: Arc<str>,
}

/// An Appfile, or why there is none; whoever has one of these shares it.
type Parsed = Arc<Result<Appfile, Problems>>;

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

#[derive(Debug, PartialEq, Eq)]
struct ManifestKey {
    generation: Option<i64>,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

/// What is in force, and what came before it.
#[derive(Debug, Default)]
pub(super) struct Release {
    pub refusal: Option<Refusal>,
    pub current: Option<Current>,
    /// What revisions that aren't swept may have left, by lattice, newest first.
    pub former: BTreeMap<LatticeName, Vec<Arc<Desired>>>,
    /// Whether the revision in force can't be read by this version, so that nobody knows what it
    /// wants: then nothing may be changed.
    pub unreadable: bool,
    /// Those revisions.
    pub unswept: Vec<Arc<ApplicationRevision>>,
}

/// The revision in force.
#[derive(Debug)]
pub(super) struct Current {
    pub revision: Arc<ApplicationRevision>,
    pub appfile: Parsed,
    pub targets: Vec<Target>,
    pub desired: BTreeMap<LatticeName, Arc<Desired>>,
}

impl Current {
    /// As it stands in the Application's status.
    #[must_use]
    pub(super) fn name(&self) -> RevisionName {
        RevisionName {
            name: self.revision.name_any(),
            revision: self.revision.spec.revision,
            revision_hash: self.revision.spec.hash.clone(),
        }
    }
}

impl Current {
    /// The Application's.
    #[must_use]
    pub(super) fn key(&self) -> ApplicationKey {
        let name = self.revision.labels().get(revisions::NAME_LABEL);
        let namespace = self.revision.namespace().unwrap_or_default();
        ApplicationKey::new(&namespace, name.map_or("", String::as_str))
    }

    /// Types of the components, by name.
    #[must_use]
    pub(super) fn types(&self) -> BTreeMap<String, String> {
        let components = self.appfile.as_ref().as_ref().map(|appfile| &appfile.components);
        let named = |c: &appfile::Component| (c.name.to_string(), c.type_.to_string());
        components.into_iter().flatten().map(named).collect()
    }
}

/// Works out what is in force. Writes a revision if the spec is new, and its targets if they are.
pub(super) async fn settle(app: &Application, ctx: &Context) -> Result<Release, Error> {
    let key = key_of(app);
    let known = ctx.revisions.of(&key);
    let (parsed, hash) = parse(app, ctx, &key);
    let candidate = match &*parsed {
        Ok(appfile) => resolve(ctx, &key, &parsed, appfile)
            .map_err(|problems| Refusal { stage: Stage::Policy, problems }),
        Err(problems) => Err(Refusal { stage: Stage::Parse, problems: problems.clone() }),
    };
    let (current, refusal) = match candidate {
        Ok(targets) => match revise(app, ctx, &hash, &known, &targets).await? {
            Ok(revision) => (Some((revision, parsed, targets)), None),
            Err(refusal) => (fall_back(ctx, &key, &known), Some(refusal)),
        },
        Err(refusal) => (fall_back(ctx, &key, &known), Some(refusal)),
    };
    Ok(assemble(app, ctx, current, refusal))
}

/// What was released last, whatever the spec says now.
pub(super) fn last(app: &Application, ctx: &Context) -> Release {
    let key = key_of(app);
    let current = fall_back(ctx, &key, &ctx.revisions.of(&key));
    assemble(app, ctx, current, None)
}

/// What revisions left, for an Application that wants nothing any more.
pub(super) fn remains(app: &Application, ctx: &Context) -> Release {
    assemble(app, ctx, None, None)
}

type Released = (Arc<ApplicationRevision>, Parsed, Vec<Target>);

fn assemble(
    app: &Application,
    ctx: &Context,
    current: Option<Released>,
    refusal: Option<Refusal>,
) -> Release {
    let key = key_of(app);
    let mut release = Release { refusal, ..Release::default() };
    forget_others(ctx, &key, current.as_ref());
    for revision in ctx.revisions.of(&key).into_iter().rev() {
        if revision.status.as_ref().is_some_and(|status| status.swept) {
            continue;
        }
        let appfile = stored(ctx, &key, &revision);
        for (lattice, namespaces) in recorded(&revision) {
            let wanted = desired(app, ctx, &revision, &appfile, (&lattice, namespaces));
            release.former.entry(lattice).or_default().push(wanted);
        }
        release.unswept.push(revision);
    }
    release.unreadable = current.as_ref().is_some_and(|(_, appfile, _)| appfile.is_err());
    release.current = current.map(|(revision, appfile, targets)| {
        let mut by_lattice = BTreeMap::<LatticeName, Vec<Arc<str>>>::new();
        for target in &targets {
            by_lattice
                .entry(target.lattice.clone())
                .or_default()
                .push(Arc::clone(&target.namespace));
        }
        let desired = by_lattice
            .into_iter()
            .map(|(lattice, namespaces)| {
                let wanted = desired(app, ctx, &revision, &appfile, (&lattice, namespaces));
                (lattice, wanted)
            })
            .collect();
        Current { revision, appfile, targets, desired }
    });
    release
}

/// Drops what is remembered of revisions that nothing is left of.
fn forget_others(ctx: &Context, key: &ApplicationKey, current: Option<&Released>) {
    let current = current.map(|(revision, ..)| revision.name_any());
    let swept: Vec<_> = ctx
        .revisions
        .of(key)
        .iter()
        .filter(|revision| revision.status.as_ref().is_some_and(|status| status.swept))
        .map(|revision| revision.name_any())
        .filter(|name| Some(name) != current.as_ref())
        .collect();
    let memory = ctx.memories.of(key);
    let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
    for name in swept {
        memory.appfiles.remove(&name);
        memory.desired.retain(|(revision, _), _| *revision != name);
    }
}

/// `namespace/name`.
#[must_use]
pub(super) fn key_of(app: &Application) -> ApplicationKey {
    ApplicationKey::new(&app.namespace().unwrap_or_default(), &app.name_any())
}

/// The Appfile and its hash, read anew only if what they are read from is new.
fn parse(app: &Application, ctx: &Context, key: &ApplicationKey) -> (Parsed, Arc<str>) {
    let from = ManifestKey {
        generation: app.metadata.generation,
        labels: app.labels().clone(),
        annotations: app.annotations().clone(),
    };
    let memory = ctx.memories.of(key);
    let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = &memory.manifest
        && known.from == from
    {
        return (Arc::clone(&known.appfile), Arc::clone(&known.hash));
    }
    let appfile = Arc::new(appfile::parse(&Manifest {
        namespace: &key.namespace,
        name: &key.name,
        labels: app.labels(),
        annotations: app.annotations(),
        spec: &app.spec.0,
    }));
    let hash: Arc<str> = appfile::revision_hash(&app.spec.0).into();
    let known = Read { from, appfile: Arc::clone(&appfile), hash: Arc::clone(&hash) };
    memory.manifest = Some(known);
    (appfile, hash)
}

/// The targets, resolved anew only if the Appfile or what there is to choose from is new.
fn resolve(
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
    let targets = appfile.targets(&ctx.lattices.facts(ctx, appfile));
    let known = Resolved { appfile: Arc::clone(parsed), facts, targets: targets.clone() };
    memory.targets = Some(known);
    targets
}

/// A revision's own Appfile, from what it stored.
fn stored(ctx: &Context, key: &ApplicationKey, revision: &ApplicationRevision) -> Parsed {
    let memory = ctx.memories.of(key);
    let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
    let read = || {
        let application = &revision.spec.application;
        let texts = |field: &str| -> BTreeMap<String, String> {
            let map = application.get("metadata").and_then(|m| m.get(field)).cloned();
            map.and_then(|map| serde_json::from_value(map).ok()).unwrap_or_default()
        };
        let (labels, annotations) = (texts("labels"), texts("annotations"));
        Arc::new(appfile::parse(&Manifest {
            namespace: &key.namespace,
            name: &key.name,
            labels: &labels,
            annotations: &annotations,
            spec: application.get("spec").unwrap_or(&Value::Null),
        }))
    };
    Arc::clone(memory.appfiles.entry(revision.name_any()).or_insert_with(read))
}

/// What a revision wants on a lattice, for the targets there with these namespaces.
fn desired(
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
    let stamp = Stamp { owner, uid, revision: place.0.as_str().into() };
    let desired = Arc::new(appfile.desired(&stamp, &namespaces));
    memory.desired.insert(place, Wanted { namespaces, desired: Arc::clone(&desired) });
    desired
}

/// The targets that a revision wrote down, by lattice.
fn recorded(revision: &ApplicationRevision) -> BTreeMap<LatticeName, Vec<Arc<str>>> {
    let mut by_lattice = BTreeMap::<LatticeName, BTreeSet<Arc<str>>>::new();
    for target in revision.status.iter().flat_map(|status| &status.targets) {
        if let Ok(lattice) = target.lattice.parse::<LatticeName>() {
            by_lattice.entry(lattice).or_default().insert(target.namespace.as_str().into());
        }
    }
    by_lattice.into_iter().map(|(lattice, of)| (lattice, of.into_iter().collect())).collect()
}

/// What was released last, for a spec that can't be.
fn fall_back(
    ctx: &Context,
    key: &ApplicationKey,
    known: &[Arc<ApplicationRevision>],
) -> Option<Released> {
    let newest = known.last()?;
    let appfile = stored(ctx, key, newest);
    let targets = newest.status.iter().flat_map(|status| &status.targets);
    let targets = targets
        .filter_map(|target| {
            Some(Target {
                lattice: target.lattice.parse().ok()?,
                namespace: target.namespace.as_str().into(),
                topologies: Vec::new(),
            })
        })
        .collect();
    Some((Arc::clone(newest), appfile, targets))
}

/// The revision that holds this spec, with all its targets written down.
async fn revise(
    app: &Application,
    ctx: &Context,
    hash: &str,
    known: &[Arc<ApplicationRevision>],
    targets: &[Target],
) -> Result<Result<Arc<ApplicationRevision>, Refusal>, Error> {
    let latest = app.status.as_ref().and_then(|s| s.latest_revision.as_ref());
    let revision = match revisions::choose(hash, known, latest.map_or(0, |l| l.revision)) {
        Choice::Keep(revision) => revision,
        Choice::Make(number) => {
            let revision = revisions::build(app, number, hash);
            if let Some(refusal) = too_large(&revision) {
                return Ok(Err(refusal));
            }
            let made = revisions::make(&ctx.kube, &revision).await?;
            ctx.revisions.learn(made.clone());
            tracing::info!(app = %key_of(app), revision = %made.name_any(), "made a revision");
            Arc::new(made)
        }
    };
    let status = revision.status.clone().unwrap_or_default();
    let wanted: BTreeSet<_> = targets.iter().map(record).collect();
    let recorded: BTreeSet<_> = status.targets.iter().cloned().collect();
    if wanted.is_subset(&recorded) && !status.swept {
        return Ok(Ok(revision));
    }
    let all: Vec<_> = recorded.union(&wanted).cloned().collect();
    let written = revisions::record_targets(&ctx.kube, &revision, &all).await?;
    ctx.revisions.learn(written.clone());
    Ok(Ok(Arc::new(written)))
}

/// A target as a revision writes it down.
#[must_use]
pub(super) fn record(target: &Target) -> RevisionTarget {
    RevisionTarget { lattice: target.lattice.to_string(), namespace: target.namespace.to_string() }
}

fn too_large(revision: &ApplicationRevision) -> Option<Refusal> {
    let bytes = serde_json::to_vec(revision).map_or(0, |json| json.len());
    (bytes > revisions::MAX_BYTES).then(|| Refusal {
        stage: Stage::Revision,
        problems: Problem {
            path: "spec".into(),
            wrong: format!(
                "makes a revision of {} KiB, and at most {} KiB can be stored",
                bytes / 1024,
                revisions::MAX_BYTES / 1024
            ),
            todo: "split the Application".into(),
            reason: "TooLarge",
        }
        .into(),
    })
}
