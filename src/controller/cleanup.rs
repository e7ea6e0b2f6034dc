//! Deletes what an Application put on its lattices, before the Application itself goes.
use std::{collections::BTreeMap, time::Duration};

use kube::ResourceExt;

use super::{
    Error,
    announce::announce,
    application::{act, converge, observe, plan},
    buried::{self, Burial},
    conditions::shorten,
    context::Context,
    decision::{Decision, Run, Sight, World},
    deletion,
    events::{MAX_NOTE, Transition},
    release::{self, Release, key_of},
    report, revisions, settings, sharing,
    status::{self, Facts},
};
use crate::{
    api::{Application, ApplicationStatus},
    model::LatticeName,
};

/// `Orphan` leaves everything running.
const DELETION_POLICY: &str = "lattice.oam.dev/deletion-policy";
/// `"true"` lets go of an Application, or of a Lattice, whatever is left.
pub(super) const FORCE_DELETE: &str = "lattice.oam.dev/force-delete";
static NO_TYPES: BTreeMap<String, String> = BTreeMap::new();
/// So many Applications are named that keep this one.
const NAMED: usize = 5;

/// One pass over an Application that is being deleted. Its finalizer goes when this returns `Ok`;
/// as long as something is left it returns [`Error::Deleting`], which is no fault.
pub(super) async fn cleanup(app: &Application, ctx: &Context) -> Result<(), Error> {
    let release = release::remains(app, ctx);
    if says(app, DELETION_POLICY, "Orphan") {
        tracing::info!("let go without removing what runs");
        return done(app, ctx, &release, &[]).await;
    }
    let before = app.status.clone().unwrap_or_default();
    let forced = says(app, FORCE_DELETE, "true");
    if let Some((reason, message)) = held(app, ctx).filter(|_| !forced) {
        return hold(app, ctx, &before, (reason, &message)).await;
    }
    let world = observe(app, ctx, &release, Run::Finished);
    let decision = plan(ctx, &key_of(app), &world);
    let sent = act(ctx, &key_of(app), &decision);
    converge(ctx, &key_of(app), (&world, &decision), sent);
    let left = unsettled(&world, &decision);
    if left.is_empty() {
        return done(app, ctx, &release, &[]).await;
    }
    let deadline = deadline(ctx, &left);
    let waited = deletion::waited(&app.metadata);
    let mut refusal = None;
    if forced || deadline.is_some_and(|deadline| waited >= deadline) {
        let leave = leave(app, ctx, &world, &left).await?;
        if leave.new || (forced && leave.refusal.is_some()) {
            announce(app, ctx, let_go(&left, leave.refusal.as_deref()));
        }
        if leave.refusal.is_none() || forced {
            return done(app, ctx, &release, &left).await;
        }
        refusal = leave.refusal;
    }
    let now = report::now();
    let facts = facts(app, &before, (&world, &decision), &now);
    let after = if let Some(message) = &refusal {
        status::held(&facts, "NoTombstone", message)
    } else {
        let end = deadline.and_then(|deadline| deletion::ends(&app.metadata, deadline));
        status::deleting(&facts, end.as_deref())
    };
    let written = report::write(app, ctx, &before, after).await?;
    let end = deadline.map(|deadline| deadline.saturating_sub(waited)).filter(|end| !end.is_zero());
    // A message that was put off is due soon, and nothing else may happen until then.
    let due = decision.wake_at.into_iter().chain(written.wake_at).chain(end);
    let look_again = deletion::look_again(waited);
    Err(Error::Deleting { look_again: due.fold(look_again, Duration::min) })
}

fn says(app: &Application, annotation: &str, value: &str) -> bool {
    app.annotations().get(annotation).is_some_and(|said| said == value)
}

/// The lattices on which something is left, or may be.
fn unsettled(world: &World, decision: &Decision) -> Vec<LatticeName> {
    let settled = |name: &LatticeName, sight: &Sight| {
        let plan = decision.plans.get(name);
        plan.is_some_and(|plan| plan.is_settled()) && sight.is_certain()
    };
    let left = world.sights.iter().filter(|(name, sight)| !settled(name, sight));
    left.map(|(name, _)| name.clone()).collect()
}

/// After how long a deletion doesn't wait for these any more; `None`: there is nowhere to write down
/// what is left.
fn deadline(ctx: &Context, left: &[LatticeName]) -> Option<Duration> {
    let all = left.iter().map(|name| ctx.lattices.object(name));
    let all: Option<Vec<_>> =
        all.map(|object| object.map(|object| settings::deletion_deadline(&object))).collect();
    all?.into_iter().max()
}

/// Whether what is left is written down.
#[derive(Default)]
struct Leave {
    /// It wasn't before; a pass that fails after that comes again.
    new: bool,
    /// Why it can't be.
    refusal: Option<String>,
}

/// Writes down what is left, on each lattice.
async fn leave(
    app: &Application,
    ctx: &Context,
    world: &World,
    left: &[LatticeName],
) -> Result<Leave, Error> {
    let mut leave = Leave::default();
    for name in left {
        let former = world.sights.get(name).map_or(&[][..], |sight| &sight.former);
        let wrong = match buried::bury(app, ctx, name, former).await? {
            Burial::Done { new } => {
                leave.new |= new;
                continue;
            }
            Burial::NoLattice => format!("there is no Lattice {name} of this installation"),
            Burial::NoRoom => {
                format!("what others left fills status.tombstones of Lattice {name}")
            }
        };
        let refusal = format!(
            "lattice {name} can't be cleared, and what is left there can't be written down: {wrong}; \
             mend that, or leave it behind with the annotation {FORCE_DELETE}: \"true\""
        );
        return Ok(Leave { refusal: Some(refusal), ..leave });
    }
    Ok(leave)
}

fn let_go(left: &[LatticeName], refusal: Option<&str>) -> Transition {
    let names: Vec<_> = left.iter().map(ToString::to_string).collect();
    let names = names.join(", ");
    let note = match refusal {
        None => format!(
            "went before all of it was seen gone from {names}; the rest is removed as soon as that can \
             be done, see status.tombstones of the Lattice"
        ),
        Some(refusal) => format!("went, and left what runs on {names}: {refusal}"),
    };
    Transition { warning: true, reason: "LeftBehind".into(), note: shorten(&note, MAX_NOTE) }
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
) -> Result<(), Error> {
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
    Err(Error::Deleting { look_again: deletion::look_again(deletion::waited(&app.metadata)) })
}

/// Everything is gone from the lattices, or let go, but for what was written down on those of `left`:
/// so do the traces in Kubernetes and here.
async fn done(
    app: &Application,
    ctx: &Context,
    release: &Release,
    left: &[LatticeName],
) -> Result<(), Error> {
    let key = key_of(app);
    buried::lift(ctx, &key, left).await?;
    for revision in ctx.revisions.of(&key) {
        revisions::delete(&ctx.kube, &revision).await?;
    }
    ctx.revisions.drop_all(&key);
    tracing::info!(app = %key, revisions = release.unswept.len(), "deleted");
    ctx.forget(&key);
    Ok(())
}
