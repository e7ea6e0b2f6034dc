//! What of an Application is in force: the revision that was released last, and what earlier ones
//! may have left.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use kube::ResourceExt;

use super::{
    Error,
    context::Context,
    memory::{self, Parsed},
    refusal::{Refusal, Stage},
    revisions::{self, Choice},
    sharing,
};
use crate::{
    api::{
        self, Application, ApplicationRevision, ApplicationRevisionStatus, RevisionName,
        RevisionTarget,
    },
    appfile::{self, Problem, SharedId, Target},
    model::{ApplicationKey, Desired, LatticeName},
};

/// What is in force, and what came before it.
#[derive(Debug, Default)]
pub(super) struct Release {
    pub refusal: Option<Refusal>,
    pub current: Option<Current>,
    /// What revisions that aren't swept may have left, by lattice, newest first, and behind them an
    /// Application that had this name before.
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

    /// What is likely to be a mistake, or deprecated.
    #[must_use]
    pub(super) fn warnings(&self) -> &[Problem] {
        self.appfile.as_ref().as_ref().map_or(&[], |appfile| &appfile.warnings)
    }

    /// Whether it is leaving a target: labels can choose other lattices for the same revision. What
    /// it was seen to be elsewhere says nothing of where it goes then.
    #[must_use]
    pub(super) fn is_moving(&self) -> bool {
        let targets: BTreeSet<_> = self.targets.iter().map(record).collect();
        self.revision.targets().iter().any(|recorded| !targets.contains(recorded))
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
    let (parsed, hash) = memory::parse(app, ctx, &key);
    let candidate = match &*parsed {
        Ok(appfile) => memory::resolve(ctx, &key, &parsed, appfile)
            .and_then(|targets| {
                let shared = sharing::resolve(ctx, appfile, &targets)?;
                Ok((targets, shared))
            })
            .map_err(|problems| Refusal { stage: Stage::Policy, problems }),
        Err(problems) => Err(Refusal { stage: Stage::Parse, problems: problems.clone() }),
    };
    let (current, refusal) = match candidate {
        Ok((targets, shared)) => {
            let hash = if shared.is_empty() {
                hash
            } else {
                memory::hash(&app.spec.0.read(), &parsed, &shared)
            };
            let wanted = Wanted { hash: &hash, targets: &targets, shared: &shared };
            match revise(app, ctx, &known, &wanted).await? {
                Ok(revision) => (Some((revision, parsed, targets)), None),
                Err(refusal) => (fall_back(ctx, &key, &known), Some(refusal)),
            }
        }
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
    let in_force = current.as_ref().map(|(revision, ..)| revision.name_any());
    memory::forget_others(ctx, &key, in_force.as_deref());
    for revision in all(app, ctx, &key).into_iter().rev() {
        if revision.is_swept() {
            continue;
        }
        let appfile = memory::stored(ctx, &key, &revision);
        for (lattice, namespaces) in recorded(&revision) {
            let wanted = memory::desired(app, ctx, &revision, &appfile, (&lattice, namespaces));
            release.former.entry(lattice).or_default().push(wanted);
        }
        release.unswept.push(revision);
    }
    for (lattice, left) in ctx.lattices.left_by(&key) {
        release.former.entry(lattice).or_default().extend(left);
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
                let wanted = memory::desired(app, ctx, &revision, &appfile, (&lattice, namespaces));
                (lattice, wanted)
            })
            .collect();
        Current { revision, appfile, targets, desired }
    });
    release
}

/// The revisions that may have left something. With a namespace, or in a deletion that begins with what
/// depends on the object, they go before the Application does.
fn all(app: &Application, ctx: &Context, key: &ApplicationKey) -> Vec<Arc<ApplicationRevision>> {
    if app.metadata.deletion_timestamp.is_none() {
        return ctx.revisions.of(key);
    }
    let all = ctx.revisions.of_all_times(key);
    if all.is_empty() { lost_unseen(app).into_iter().map(Arc::new).collect() } else { all }
}

/// What the revision in force must have held that went while nobody looked: the spec, and the targets
/// that the status says it was released to.
fn lost_unseen(app: &Application) -> Option<ApplicationRevision> {
    let status = app.status.as_ref()?;
    let latest = status.latest_revision.as_ref()?;
    let mut revision = revisions::build(app, latest.revision, &latest.revision_hash);
    let target = |of: &api::Released| RevisionTarget {
        lattice: of.lattice.clone(),
        namespace: of.namespace.clone(),
    };
    let targets: BTreeSet<_> = status.released.iter().map(target).collect();
    revision.status = Some(ApplicationRevisionStatus {
        targets: targets.into_iter().collect(),
        ..ApplicationRevisionStatus::default()
    });
    Some(revision)
}

/// `namespace/name`.
#[must_use]
pub(super) fn key_of(app: &Application) -> ApplicationKey {
    ApplicationKey::new(&app.namespace().unwrap_or_default(), &app.name_any())
}

/// The targets that a revision wrote down, by lattice.
fn recorded(revision: &ApplicationRevision) -> BTreeMap<LatticeName, Vec<Arc<str>>> {
    let mut by_lattice = BTreeMap::<LatticeName, BTreeSet<Arc<str>>>::new();
    for target in revision.targets() {
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
    let appfile = memory::stored(ctx, key, newest);
    // Which topology chose a target isn't written down: every step has to see all of them.
    let topologies: Vec<_> = appfile
        .as_ref()
        .as_ref()
        .map(|appfile| appfile.topologies.iter().map(|of| Arc::clone(&of.name)).collect())
        .unwrap_or_default();
    let targets = newest.targets().iter();
    let targets = targets
        .filter_map(|target| {
            Some(Target {
                lattice: target.lattice.parse().ok()?,
                namespace: target.namespace.as_str().into(),
                topologies: topologies.clone(),
            })
        })
        .collect();
    Some((Arc::clone(newest), appfile, targets))
}

/// What a revision is to hold.
struct Wanted<'a> {
    hash: &'a str,
    targets: &'a [Target],
    shared: &'a [SharedId],
}

/// The revision that holds this spec, with all its targets written down.
async fn revise(
    app: &Application,
    ctx: &Context,
    known: &[Arc<ApplicationRevision>],
    &Wanted { hash, targets, shared }: &Wanted<'_>,
) -> Result<Result<Arc<ApplicationRevision>, Refusal>, Error> {
    let wanted: BTreeSet<_> = targets.iter().map(record).collect();
    let latest = app.status.as_ref().and_then(|s| s.latest_revision.as_ref());
    let revision = match revisions::choose(hash, known, latest.map_or(0, |l| l.revision)) {
        Choice::Keep(revision) => revision,
        Choice::Make(number) => {
            let mut revision = revisions::build(app, number, hash);
            revision.spec.targets = wanted.iter().cloned().collect();
            revision.spec.shared = sharing::record(shared);
            if let Some(refusal) = too_large(&revision) {
                return Ok(Err(refusal));
            }
            let made = revisions::make(&ctx.kube, &revision).await?;
            ctx.revisions.learn(made.clone());
            tracing::info!(app = %key_of(app), revision = %made.name_any(), "made a revision");
            Arc::new(made)
        }
    };
    let recorded: BTreeSet<_> = revision.targets().iter().cloned().collect();
    if wanted.is_subset(&recorded) && !revision.is_swept() {
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

#[cfg(test)]
mod tests {
    use kube::api::ObjectMeta;

    use super::*;
    use crate::api::{ApplicationSpec, ApplicationStatus, Json};

    #[test]
    fn a_revision_that_was_lost_unseen_is_made_up_from_the_object() {
        let mut app = Application {
            metadata: ObjectMeta { name: Some("shop".into()), ..ObjectMeta::default() },
            spec: ApplicationSpec(Json::from(&serde_json::json!({ "components": [] }))),
            status: None,
        };
        assert!(lost_unseen(&app).is_none(), "nothing was released");
        let released = |component: &str| api::Released {
            lattice: "edge".into(),
            namespace: "n".into(),
            component: component.into(),
            ..api::Released::default()
        };
        app.status = Some(ApplicationStatus {
            latest_revision: Some(RevisionName { revision: 3, ..RevisionName::default() }),
            released: vec![released("web"), released("api")],
            ..ApplicationStatus::default()
        });
        let made_up = lost_unseen(&app).unwrap();
        assert_eq!(made_up.spec.application.read()["spec"], app.spec.0.read());
        let targets = made_up.status.unwrap().targets;
        assert_eq!(targets.len(), 1);
        assert_eq!((targets[0].lattice.as_str(), targets[0].namespace.as_str()), ("edge", "n"));
    }

    #[test]
    fn what_leaves_a_target_is_moving() {
        let target = |lattice: &str| Target {
            lattice: lattice.parse().unwrap(),
            namespace: "default".into(),
            topologies: Vec::new(),
        };
        let moving = |recorded: &[&str], now: &[&str]| {
            let app = Application {
                metadata: ObjectMeta { name: Some("shop".into()), ..ObjectMeta::default() },
                spec: ApplicationSpec(Json::default()),
                status: None,
            };
            let mut revision = revisions::build(&app, 1, "a");
            revision.status = Some(ApplicationRevisionStatus {
                targets: recorded.iter().map(|lattice| record(&target(lattice))).collect(),
                ..ApplicationRevisionStatus::default()
            });
            let problem = Problem {
                path: "spec".into(),
                wrong: "is not read here".into(),
                todo: String::new(),
                reason: "None",
            };
            let current = Current {
                revision: Arc::new(revision),
                appfile: Arc::new(Err(problem.into())),
                targets: now.iter().map(|lattice| target(lattice)).collect(),
                desired: BTreeMap::new(),
            };
            current.is_moving()
        };
        assert!(!moving(&["east"], &["east"]));
        assert!(!moving(&["east"], &["east", "west"]), "it only grows");
        assert!(moving(&["east", "west"], &["west"]));
    }
}
