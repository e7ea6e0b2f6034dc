//! One pass over one Application.
use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError},
    time::Duration,
};

use kube::{Api, ResourceExt};
use tracing::instrument;

use super::{
    Error,
    call::passed,
    chain,
    cleanup::cleanup,
    context::Context,
    decision::{Decision, Run, Sight, World, decide},
    finalizer::{Kept, keep, let_go},
    index::Names,
    memory,
    metrics::ReconcileResult,
    release::{self, Release, key_of},
    report,
    sharing::Offer,
};
use crate::{
    api::{Application, CLASS},
    lattice::clock,
    model::{ApplicationKey, Command, Desired, LatticeName, LossPolicy, Owner, WorkloadId, few},
    placement::Created,
    workflow,
};

/// Ours; kept while something of the Application may be on a lattice.
pub const FINALIZER: &str = "lattice.oam.dev/cleanup";
/// After another writer was faster, the watch is about to show what it wrote.
const STALE_RETRY: Duration = Duration::from_millis(200);

/// Brings one Application a step closer to its spec; called again until nothing is left to do.
///
/// Says how long to wait before it is called again even if nothing happens.
#[instrument(skip_all, fields(app = %key_of(&app), generation = app.metadata.generation))]
pub(super) async fn reconcile(
    app: Arc<Application>,
    ctx: Arc<Context>,
) -> Result<Option<Duration>, Error> {
    if app.annotations().get(CLASS) != ctx.class.as_ref() {
        // It may have been ours before.
        ctx.forget(&key_of(&app));
        return Ok(None);
    }
    ctx.ready().await;
    if ctx.unseen.misses_some(&key_of(&app).namespace) {
        // What its revisions put where isn't known. Once it is, all are looked at again.
        return Ok(None);
    }
    if !ctx.leads() {
        take_note(&app, &ctx);
        return Ok(None);
    }
    let _timer = ctx.metrics.timer();
    if let Some(since) = ctx.touched.begun(&key_of(&app)) {
        ctx.metrics.event_lag.observe(clock::now().since(since).as_secs_f64());
    }
    memory::meet(&app, &ctx);
    let (app, object) = (memory::newest(Arc::clone(&app), &ctx), app);
    let namespace = app.namespace().unwrap_or_default();
    let api = Api::<Application>::namespaced(ctx.kube.clone(), &namespace);
    let pass = async {
        match keep(&api, FINALIZER, app).await? {
            Kept::Stays(app) => apply(&app, &ctx).await,
            Kept::New(app) => apply(&memory::learn(app, &ctx), &ctx).await,
            Kept::Leaves(app) => {
                cleanup(&app, &ctx).await?;
                let_go(&api, FINALIZER, &*app).await?;
                Ok(None)
            }
            Kept::Gone => Ok(None),
        }
    };
    passed(Box::pin(pass)).await.inspect(|_| ctx.retries.passed(&*object))
}

/// Tells of a pass that failed, and how long to wait before the next one.
pub(super) fn retry_after(app: &Application, error: &Error, ctx: &Context) -> Duration {
    if let Error::Deleting { look_again } = error {
        return *look_again;
    }
    if error.is_stale() {
        tracing::debug!(app = %key_of(app), error = chain(error), "stale");
        return STALE_RETRY;
    }
    ctx.metrics.count(ReconcileResult::Failed);
    ctx.metrics.failed(error.step());
    tracing::warn!(app = %key_of(app), error = chain(error), "reconcile failed");
    ctx.retries.failed(app)
}

/// Takes down what an Application is about without acting on it: before this replica acts, and
/// before anything is decided from what all of them are about.
pub(super) fn take_note(app: &Application, ctx: &Context) {
    memory::meet(app, ctx);
    let release = match app.metadata.deletion_timestamp {
        None => release::last(app, ctx),
        Some(_) => release::remains(app, ctx),
    };
    observe(app, ctx, &release, Run::Unknown);
}

async fn apply(app: &Application, ctx: &Context) -> Result<Option<Duration>, Error> {
    let paused = report::is_paused(app);
    let release = if paused { release::last(app, ctx) } else { release::settle(app, ctx).await? };
    let world = observe(app, ctx, &release, run_of(app, &release));
    let decision = plan(ctx, &key_of(app), &world);
    let sent = !release.unreadable && !paused && act(ctx, &key_of(app), &decision);
    converge(ctx, &key_of(app), (&world, &decision), sent);
    let written = report::report(app, ctx, &release, &world, &decision).await?;
    ctx.metrics.count(if sent || written.changed {
        ReconcileResult::Acted
    } else {
        ReconcileResult::Quiet
    });
    Ok(decision.wake_at.into_iter().chain(written.wake_at).min())
}

/// Decides, with what was decided before at hand.
pub(super) fn plan(ctx: &Context, key: &ApplicationKey, world: &World) -> Decision {
    let memory = ctx.memories.of(key);
    let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
    let decision = decide(world, &mut memory.plans);
    drop(memory);
    reach(ctx, key, world, &decision);
    decision
}

/// Measures how long it takes until nothing is left to do.
pub(super) fn converge(
    ctx: &Context,
    key: &ApplicationKey,
    (world, decision): (&World, &Decision),
    sent: bool,
) {
    let memory = ctx.memories.of(key);
    let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(converged) = memory.convergence.pass(world, decision, sent, clock::now().0) {
        ctx.metrics.converged(&converged);
    }
}

/// Lets changes of hosts find this Application. One that came since its lattices were looked at
/// found it by what was known before, so then it is looked at again.
fn reach(ctx: &Context, key: &ApplicationKey, world: &World, decision: &Decision) {
    for (lattice, plan) in &decision.plans {
        if ctx.index().has_reach(lattice, key, &plan.reach) {
            continue;
        }
        ctx.index_mut().set_reach(lattice, key, &plan.reach);
        let seen = world.sights.get(lattice).map(|sight| sight.observed.hosts_version);
        if seen != Some(ctx.lattices.look(lattice).0.hosts_version) {
            ctx.touched.add(key);
        }
    }
}

/// Takes down what this Application is about, and takes a look at its lattices.
pub(super) fn observe(app: &Application, ctx: &Context, release: &Release, run: Run) -> World {
    let key = key_of(app);
    let none = BTreeMap::new();
    let desired = release.current.as_ref().map_or(&none, |current| &current.desired);
    claim(app, ctx, desired);
    let mut places: BTreeMap<LatticeName, Arc<Desired>> = desired.clone();
    let former = release.former.keys().cloned();
    for lattice in former.chain(ctx.lattices.with_things_of(&key)) {
        let nothing = || {
            let installation = ctx.lattices.installation(&lattice);
            Arc::new(Desired::nothing(Owner { installation, application: key.clone() }))
        };
        places.entry(lattice.clone()).or_insert_with(nothing);
    }
    register(ctx, &key, &places, release);
    let sights = places
        .into_iter()
        .map(|(lattice, desired)| {
            let (observed, time) = ctx.lattices.look(&lattice);
            let former = release.former.get(&lattice).cloned().unwrap_or_default();
            let claims = ctx.claims().of(&lattice);
            (lattice, Sight { desired, former, observed, claims, time })
        })
        .collect();
    let steps = release
        .current
        .as_ref()
        .and_then(|current| Some((current.appfile.as_ref().as_ref().ok()?, current)))
        .map(|(appfile, current)| workflow::generate(appfile, &current.targets))
        .unwrap_or_default();
    World { steps, run, sights }
}

/// Whether the revision in force was seen whole before, where it is wanted now. Where none is in
/// force, be it that all were lost or that it can't be read, nobody knows what is wanted.
fn run_of(app: &Application, release: &Release) -> Run {
    let Some(current) = release.current.as_ref().filter(|_| !release.unreadable) else {
        return Run::Unknown;
    };
    let run = app.status.as_ref().and_then(|status| status.workflow.as_ref());
    let seen_whole =
        run.is_some_and(|run| run.finished && run.app_revision == current.revision.name_any());
    if seen_whole && !current.is_moving() { Run::Finished } else { Run::Underway }
}

fn claim(app: &Application, ctx: &Context, desired: &BTreeMap<LatticeName, Arc<Desired>>) {
    let key = key_of(app);
    let desired = desired.iter().map(|(lattice, wanted)| (lattice.clone(), Arc::clone(wanted)));
    let mut touched = ctx.claims().set(&key, &created(app), few(desired));
    touched.extend(ctx.claims().offer(&key, Offer::of(app)));
    for other in touched {
        ctx.touched.add(&other);
    }
}

/// Which of two Applications is the older one.
pub(super) fn created(app: &Application) -> Created {
    let at = app.creation_timestamp().map(|time| time.0.as_second());
    Created { at: at.unwrap_or_default(), uid: app.uid().unwrap_or_default().into() }
}

/// Lets changes on the lattices find this Application, and keeps its configs read.
fn register(
    ctx: &Context,
    key: &ApplicationKey,
    places: &BTreeMap<LatticeName, Arc<Desired>>,
    release: &Release,
) {
    let names = few(places.iter().map(|(lattice, desired)| {
        let mut names = Names::default();
        names.add(desired);
        for former in release.former.get(lattice).into_iter().flatten() {
            names.add(former);
        }
        (lattice.clone(), names)
    }));
    for (lattice, names) in &names {
        ctx.lattices.want_configs(lattice, key, &names.configs);
    }
    for (lattice, desired) in places {
        let former = release.former.get(lattice).map(Vec::as_slice).unwrap_or_default();
        let policies = on_host_loss(former.iter().rev().chain([desired]));
        ctx.lattices.want_on_host_loss(lattice, key, policies);
    }
    ctx.index_mut().set(key, names);
}

/// What scalers say of lost hosts; of several releases, the last that says anything. What is wanted
/// no more stays held until it is seen gone, for nobody could stop it before.
pub(super) fn on_host_loss<'a>(
    releases: impl Iterator<Item = &'a Arc<Desired>>,
) -> BTreeMap<WorkloadId, LossPolicy> {
    let mut policies = BTreeMap::new();
    for (id, workload) in releases.flat_map(|desired| &desired.workloads) {
        match workload.on_host_loss {
            Some(policy) => policies.insert(id.clone(), policy),
            None => policies.remove(id),
        };
    }
    policies
}

/// Sends what may be sent now. Whether anything was.
pub(super) fn act(ctx: &Context, key: &ApplicationKey, decision: &Decision) -> bool {
    let mut sent = false;
    for (lattice, plan) in &decision.plans {
        let commands: Vec<Command> = plan.now.iter().map(|p| p.command.clone()).collect();
        if commands.is_empty() {
            continue;
        }
        for command in &commands {
            tracing::debug!(%lattice, %command, "wanted");
        }
        ctx.lattices.submit(lattice, key, commands);
        sent = true;
    }
    sent
}
