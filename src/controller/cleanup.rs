//! Deletes what an Application put on its lattices, before the Application itself goes.
use std::{collections::BTreeMap, time::Duration};

use kube::{ResourceExt, runtime::controller::Action};

use super::{
    Error,
    application::{act, observe, plan},
    context::Context,
    decision::{Decision, Run, World},
    release::{self, Release, key_of},
    report, revisions, sharing,
    status::{self, Facts},
};
use crate::api::{Application, ApplicationStatus};

/// `Orphan` leaves everything running.
pub(super) const DELETION_POLICY: &str = "lattice.oam.dev/deletion-policy";
/// `"true"` lets the Application go whatever is left.
pub(super) const FORCE_DELETE: &str = "lattice.oam.dev/force-delete";
/// How often a deletion that waits for a lattice is looked at, beside the lattice's own changes.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
static NO_TYPES: BTreeMap<String, String> = BTreeMap::new();
/// So many Applications are named that keep this one.
const NAMED: usize = 5;

/// One pass over an Application that is being deleted. Its finalizer goes when this returns `Ok`;
/// as long as something is left it returns [`Error::Deleting`], which is no fault.
pub(super) async fn cleanup(app: &Application, ctx: &Context) -> Result<Action, Error> {
    let release = release::remains(app, ctx);
    let let_go = app.annotations().get(DELETION_POLICY).is_some_and(|policy| policy == "Orphan")
        || app.annotations().get(FORCE_DELETE).is_some_and(|force| force == "true");
    if let_go {
        tracing::info!("let go without removing what runs");
        return done(app, ctx, &release).await;
    }
    let before = app.status.clone().unwrap_or_default();
    if let Some((reason, message)) = held(app, ctx) {
        return hold(app, ctx, &before, (reason, &message)).await;
    }
    let world = observe(app, ctx, &release, Run::Finished);
    let decision = plan(ctx, &key_of(app), &world);
    act(ctx, &key_of(app), &decision);
    if decision.settled {
        return done(app, ctx, &release).await;
    }
    let now = report::now();
    let after = status::deleting(&facts(app, &before, (&world, &decision), &now));
    let written = report::write(app, ctx, &before, after).await?;
    // A message that was put off is due soon, and nothing else may happen until then.
    let look_again = decision.wake_at.into_iter().chain(written.wake_at).chain([LOOK_AGAIN]).min();
    Err(Error::Deleting { look_again: look_again.unwrap_or(LOOK_AGAIN) })
}

/// Of an Application that is to go.
fn facts<'a>(
    app: &Application,
    before: &'a ApplicationStatus,
    (world, decision): (&'a World, &'a Decision),
    now: &'a str,
) -> Facts<'a> {
    Facts {
        generation: app.metadata.generation,
        before,
        refusal: None,
        revision: None,
        world,
        decision,
        warnings: &[],
        types: &NO_TYPES,
        token: None,
        paused: false,
        now,
    }
}

/// Why nothing may be removed yet.
fn held(app: &Application, ctx: &Context) -> Option<(&'static str, String)> {
    if report::is_paused(app) {
        let message = "paused: remove the annotation lattice.oam.dev/paused to have it deleted";
        return Some(("Paused", message.into()));
    }
    let referrers = sharing::referrers(app, ctx);
    if referrers.is_empty() {
        return None;
    }
    let more = if referrers.len() > NAMED { " and others" } else { "" };
    let named = referrers.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    let message = format!(
        "components are shared with {named}{more}, which still link to or from them: delete these \
         Applications or their references, or set the annotation {FORCE_DELETE}: \"true\""
    );
    Some(("StillReferenced", message))
}

/// Keeps what was released last, and says why it stays.
async fn hold(
    app: &Application,
    ctx: &Context,
    before: &ApplicationStatus,
    (reason, message): (&'static str, &str),
) -> Result<Action, Error> {
    let release = release::last(app, ctx);
    let world = observe(app, ctx, &release, Run::Unknown);
    let decision = plan(ctx, &key_of(app), &world);
    if !release.unreadable && !report::is_paused(app) {
        act(ctx, &key_of(app), &decision);
    }
    let now = report::now();
    let facts = facts(app, before, (&world, &decision), &now);
    let after = status::held(&facts, reason, message);
    report::write(app, ctx, before, after).await?;
    Err(Error::Deleting { look_again: LOOK_AGAIN })
}

/// Everything is gone from the lattices, or let go: so do the traces in Kubernetes and here.
async fn done(app: &Application, ctx: &Context, release: &Release) -> Result<Action, Error> {
    let key = key_of(app);
    for revision in ctx.revisions.of(&key) {
        revisions::delete(&ctx.kube, &revision).await?;
    }
    tracing::info!(app = %key, revisions = release.unswept.len(), "deleted");
    ctx.forget(&key);
    Ok(Action::await_change())
}
