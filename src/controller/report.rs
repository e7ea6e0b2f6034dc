//! Writes what was found out: status, events, and what became of the revisions.
use std::{sync::PoisonError, time::Duration};

use kube::{Api, ResourceExt};

use super::{
    Error,
    announce::announce,
    buried,
    call::{within, written},
    context::Context,
    decision::{Decision, World},
    events::transitions,
    memory,
    release::{Release, key_of},
    status::{self, Facts, is_uncertain},
};
use crate::{
    api::{Application, ApplicationStatus},
    appfile::PAUSED,
    lattice::clock,
};

/// The annotation whose value the status repeats once it was acted on.
pub(super) const RECONCILE: &str = "lattice.oam.dev/reconcile";
/// How long a lattice's own trouble is the lattice's alone before its Applications say so too.
const LATTICE_GRACE: Duration = Duration::from_secs(30);

/// What reporting did.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub changed: bool,
    /// When the report that was put off is due.
    pub wake_at: Option<Duration>,
}

/// Whether nothing may be changed for now.
pub(super) fn is_paused(app: &Application) -> bool {
    app.annotations().get(PAUSED).is_some_and(|paused| paused == "true")
}

/// Reports one pass of an Application that stays.
pub(super) async fn report(
    app: &Application,
    ctx: &Context,
    release: &Release,
    world: &World,
    decision: &Decision,
) -> Result<Written, Error> {
    let before = app.status.clone().unwrap_or_default();
    if let Some(wait) = put_off(app, ctx, &before, world) {
        return Ok(Written { changed: false, wake_at: Some(wait) });
    }
    let current = release.current.as_ref();
    let name = current.map(super::release::Current::name);
    let types = current.map(super::release::Current::types).unwrap_or_default();
    let facts = Facts {
        generation: app.metadata.generation,
        before: &before,
        refusal: release.refusal.as_ref(),
        revision: name.as_ref(),
        world,
        decision,
        warnings: current.map(super::release::Current::warnings).unwrap_or_default(),
        types: &types,
        token: app.annotations().get(RECONCILE).map(String::as_str),
        paused: is_paused(app),
        now: &now(),
    };
    let after = status::compute(&facts);
    let written = write(app, ctx, &before, after).await?;
    if decision.settled && release.refusal.is_none() && !is_paused(app) {
        buried::lift(ctx, &key_of(app), &[]).await?;
        ctx.sweeps.add(ctx, &key_of(app), release);
    } else {
        ctx.sweeps.remove(&key_of(app));
    }
    Ok(written)
}

/// How long to wait before a status that a lattice's trouble makes uncertain is written: what ran
/// when it began most likely still runs.
fn put_off(
    app: &Application,
    ctx: &Context,
    before: &ApplicationStatus,
    world: &World,
) -> Option<Duration> {
    let memory = ctx.memories.of(&key_of(app));
    let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
    if !is_uncertain(world) {
        memory.uncertain_since = None;
        return None;
    }
    let now = clock::now().0;
    let since = *memory.uncertain_since.get_or_insert(now);
    let left = LATTICE_GRACE.saturating_sub(now.saturating_sub(since));
    let known =
        before.observed_generation == app.metadata.generation && status::is_true(before, "Ready");
    (known && !left.is_zero()).then_some(left)
}

/// Puts the status whole, with the version that it was decided on, if it differs.
pub(super) async fn write(
    app: &Application,
    ctx: &Context,
    before: &ApplicationStatus,
    after: ApplicationStatus,
) -> Result<Written, Error> {
    let memory = ctx.memories.of(&key_of(app));
    let wait = memory.lock().unwrap_or_else(PoisonError::into_inner).pace.wait(
        before,
        &after,
        clock::now(),
    );
    if wait.is_some() || *before == after {
        return Ok(Written { changed: false, wake_at: wait });
    }
    let namespace = app.namespace().unwrap_or_default();
    let api = Api::<Application>::namespaced(ctx.kube.clone(), &namespace);
    let mut next = app.clone();
    next.status = Some(after.clone());
    let written = within(api.replace_status(&app.name_any(), &written(), &next)).await;
    memory::learn(written.map_err(Error::Status)?, ctx);
    ctx.metrics.status_writes.inc();
    for transition in transitions(before, &after) {
        announce(app, ctx, transition);
    }
    Ok(Written { changed: true, wake_at: None })
}

/// RFC 3339, in whole seconds, as Kubernetes writes times.
#[must_use]
pub(super) fn now() -> String {
    let now = jiff::Timestamp::now();
    now.round(jiff::Unit::Second).unwrap_or(now).to_string()
}
