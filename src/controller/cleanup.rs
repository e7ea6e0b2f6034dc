//! Deletes what an Application put on its lattices, before the Application itself goes.
use std::time::Duration;

use kube::{ResourceExt, runtime::controller::Action};

use super::{
    Error,
    application::{act, observe, plan},
    context::Context,
    decision::Run,
    release::{self, Release, key_of},
    report, revisions,
    status::{self, Facts},
};
use crate::api::Application;

/// `Orphan` leaves everything running.
pub(super) const DELETION_POLICY: &str = "lattice.oam.dev/deletion-policy";
/// `"true"` lets the Application go whatever is left.
pub(super) const FORCE_DELETE: &str = "lattice.oam.dev/force-delete";
/// How often a deletion that waits for a lattice is looked at, beside the lattice's own changes.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

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
    let world = observe(app, ctx, &release, Run::Finished);
    let decision = plan(ctx, &key_of(app), &world);
    act(ctx, &key_of(app), &decision);
    if decision.settled {
        return done(app, ctx, &release).await;
    }
    let before = app.status.clone().unwrap_or_default();
    let after = status::deleting(&Facts {
        generation: app.metadata.generation,
        before: &before,
        refusal: None,
        revision: None,
        world: &world,
        decision: &decision,
        warnings: &[],
        types: &std::collections::BTreeMap::new(),
        token: None,
        now: &report::now(),
    });
    let written = report::write(app, ctx, &before, after).await?;
    // A message that was put off is due soon, and nothing else may happen until then.
    let look_again = decision.wake_at.into_iter().chain(written.wake_at).chain([LOOK_AGAIN]).min();
    Err(Error::Deleting { look_again: look_again.unwrap_or(LOOK_AGAIN) })
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
