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
    let memory = ctx.memories.of(&key_of(app));
    let wait = memory.lock().unwrap_or_else(PoisonError::into_inner).pace.wait_for_lattice(
        &before,
        app.metadata.generation,
        is_uncertain(world),
        clock::now(),
    );
    if wait.is_some() {
        return Ok(Written { changed: false, wake_at: wait });
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
