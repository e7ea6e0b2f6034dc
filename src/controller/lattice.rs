//! One pass over one `Lattice`: its task follows its spec, its status follows the task.
use std::{collections::BTreeSet, sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt, runtime::controller::Action};
use tracing::instrument;

use super::{
    Error,
    announce::announce,
    buried::{self, Cleared},
    call::{passed, within, written},
    chain,
    cleanup::FORCE_DELETE,
    conditions::{Verdict, set},
    context::Context,
    deletion,
    finalizer::{Kept, keep, let_go},
    lattice_status::{self, Facts},
    orphans,
    report::now,
    settings::{self, SettingsError},
    trim::trim,
};
use crate::{
    api::{CLASS, Lattice, LatticeStatus},
    lattice::access::Credentials,
    model::LatticeName,
};

/// Kept while an Application may have something there.
pub const FINALIZER: &str = "lattice.oam.dev/in-use";
/// How often a lattice whose deletion waits for Applications is looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// How often a lattice that an older object stands for is looked at.
const TWIN: Duration = Duration::from_secs(15);
/// So many Applications are named that keep a lattice from going.
const USERS: usize = 5;

/// Brings the task that watches a lattice, and the status, in line with the object.
#[instrument(skip_all, fields(lattice = lattice.name_any()))]
pub(super) async fn reconcile(lattice: Arc<Lattice>, ctx: Arc<Context>) -> Result<Action, Error> {
    if lattice.annotations().get(CLASS) != ctx.class.as_ref() {
        leave(&lattice, &ctx).await;
        return Ok(Action::await_change());
    }
    if !ctx.leads() {
        return take_note(&lattice, &ctx).await;
    }
    let (lattice, object) = (ctx.lattices.newest(Arc::clone(&lattice)), lattice);
    let api = Api::<Lattice>::all(ctx.kube.clone());
    let pass = async {
        match keep(&api, FINALIZER, lattice).await? {
            Kept::Stays(lattice) => apply(&lattice, &ctx).await,
            Kept::New(mut lattice) => {
                trim(&mut lattice);
                apply(&Arc::new(lattice), &ctx).await
            }
            Kept::Leaves(lattice) => {
                let action = cleanup(&lattice, &ctx).await?;
                let_go(&api, FINALIZER, &*ctx.lattices.newest(lattice)).await?;
                Ok(action)
            }
            Kept::Gone => Ok(Action::await_change()),
        }
    };
    passed(Box::pin(pass)).await.inspect(|_| ctx.retries.passed(&*object))
}

/// Another installation's: Applications that name it are told so.
async fn leave(lattice: &Lattice, ctx: &Context) {
    let Ok(name) = lattice.name_any().parse::<LatticeName>() else { return };
    let was_ours = ctx.lattices.knows(&name);
    if !ctx.lattices.leave(&name, lattice.annotations().get(CLASS)).await {
        return;
    }
    if was_ours {
        ctx.facts_changed();
    } else {
        ctx.foreign_changed(&name);
    }
}

/// What is done about a pass that failed.
#[allow(clippy::needless_pass_by_value, reason = "kube's controller says how it is called")]
pub(super) fn error_policy(lattice: Arc<Lattice>, error: &Error, ctx: Arc<Context>) -> Action {
    if let Error::Deleting { look_again } = error {
        return Action::requeue(*look_again);
    }
    if error.is_stale() {
        return Action::requeue(Duration::from_millis(200));
    }
    ctx.metrics.failed(error.step());
    tracing::warn!(lattice = lattice.name_any(), error = chain(error), "reconcile failed");
    Action::requeue(ctx.retries.failed(&*lattice))
}

/// Watches it, for the day on which this replica acts.
async fn take_note(lattice: &Arc<Lattice>, ctx: &Context) -> Result<Action, Error> {
    let Ok(name) = lattice.name_any().parse::<LatticeName>() else {
        return Ok(Action::await_change());
    };
    let taken = take_up(lattice, ctx, &name).await?;
    Ok(if taken.is_ok() { Action::await_change() } else { Action::requeue(TWIN) })
}

async fn apply(lattice: &Arc<Lattice>, ctx: &Context) -> Result<Action, Error> {
    // The schema refuses names that can't be a lattice's.
    let Ok(name) = lattice.name_any().parse::<LatticeName>() else {
        return Ok(Action::await_change());
    };
    let taken = take_up(lattice, ctx, &name).await?;
    write_status(lattice, ctx, &name, &taken).await
}

/// A lattice that can be watched as its object asks for it.
struct Taken {
    /// Why it is watched with credentials that were read before.
    kept: Option<SettingsError>,
}

/// Starts the task that watches a lattice, or has it follow what is new. One that is being deleted
/// is taken up too: what Applications have there can only be removed through it.
async fn take_up(
    lattice: &Arc<Lattice>,
    ctx: &Context,
    name: &LatticeName,
) -> Result<Result<Taken, SettingsError>, Error> {
    let read = match twin(lattice, &ctx.lattice_objects.state()) {
        Some(other) => Err(SettingsError::Twin { other }),
        None => read(lattice, ctx, name).await?,
    };
    let built = read.and_then(|(credentials, kept)| {
        Ok((settings::build(lattice, credentials, ctx.start_deadline)?, Taken { kept }))
    });
    let (settings, taken) = match built {
        Ok((settings, taken)) => (Some(settings), Ok(taken)),
        Err(error) => (None, Err(error)),
    };
    if ctx.lattices.put(name, Arc::clone(lattice), settings).await {
        ctx.facts_changed();
    }
    Ok(taken)
}

/// An older object of ours for the same hosts: two would count and command them twice. Other
/// credentials may mean another NATS account, and with it other hosts; another class is another
/// operator's, who has them under a name of its own.
fn twin(lattice: &Lattice, all: &[Arc<Lattice>]) -> Option<String> {
    let wire = |l: &Lattice| {
        let mut urls = l.spec.nats.urls.clone();
        urls.sort();
        let secret = l.spec.nats.credentials_secret.clone();
        (urls, secret, l.spec.lattice.clone(), l.spec.control_prefix.clone())
    };
    let age = |l: &Lattice| (l.creation_timestamp().map(|time| time.0), l.name_any());
    let same = |other: &&Arc<Lattice>| {
        other.name_any() != lattice.name_any()
            && other.annotations().get(CLASS) == lattice.annotations().get(CLASS)
            && age(other) < age(lattice)
            && wire(other) == wire(lattice)
    };
    all.iter().find(same).map(|other| other.name_any())
}

/// The credentials that `lattice` asks for; those that it is used with already, and why, if its
/// Secret doesn't say them any more: what works isn't cut for that. They are shown to no other server.
async fn read(
    lattice: &Lattice,
    ctx: &Context,
    name: &LatticeName,
) -> Result<Result<(Credentials, Option<SettingsError>), SettingsError>, Error> {
    let Some(secret) = &lattice.spec.nats.credentials_secret else {
        return Ok(Ok((Credentials::default(), None)));
    };
    let before = ctx.lattices.access(name, &secret.name);
    let before = before.filter(|before| settings::is_there(lattice, before));
    let before = before.map(|before| before.credentials);
    let api = Api::<Secret>::namespaced(ctx.kube.clone(), &ctx.namespace);
    let (namespace, secret) = (ctx.namespace.clone(), secret.name.clone());
    let found = match within(api.get_opt(&secret)).await {
        Ok(Some(found)) => settings::credentials(&found),
        Ok(None) => Err(SettingsError::NoSecret { namespace, name: secret }),
        Err(error) if error.is_forbidden() => {
            Err(SettingsError::ForbiddenSecret { namespace, name: secret })
        }
        Err(source) => return Err(Error::Secret { name: secret, source }),
    };
    Ok(settings::kept(found, before, lattice, &ctx.namespace))
}

async fn write_status(
    lattice: &Lattice,
    ctx: &Context,
    name: &LatticeName,
    taken: &Result<Taken, SettingsError>,
) -> Result<Action, Error> {
    let cleared = buried::clear(ctx, name);
    let handle = ctx.lattices.handle(name);
    let seen = handle.as_ref().map(|handle| (handle.health(), handle.observed()));
    let (mut after, wake) = match (taken, &seen) {
        (Err(error), _) => lattice_status::compute(lattice, &Facts::Unusable(error), &now()),
        (Ok(Taken { kept }), Some((health, observed))) => {
            let unusable_for = ctx.lattices.unusable_for(name, &health.gate);
            let orphans = orphans::find(ctx, name, observed);
            let facts = Facts::Watched {
                health,
                observed,
                unusable_for,
                kept: kept.as_ref(),
                orphans: orphans.as_deref(),
            };
            lattice_status::compute(lattice, &facts, &now())
        }
        (Ok(_), None) => return Ok(Action::await_change()),
    };
    lift(&mut after, &cleared);
    put_status(lattice, ctx, after).await?;
    forget(ctx, &cleared);
    let wake = wake.into_iter().chain(cleared.wake_at).min();
    // The older one of two may go without a word to the other.
    let wake = wake.or(matches!(taken, Err(SettingsError::Twin { .. })).then_some(TWIN));
    Ok(wake.map_or_else(Action::await_change, Action::requeue))
}

/// Drops the tombstones of those of whom nothing is left.
fn lift(status: &mut LatticeStatus, cleared: &Cleared) {
    let names: BTreeSet<_> = cleared.all_of.iter().map(ToString::to_string).collect();
    status.tombstones.retain(|tombstone| !names.contains(&tombstone.application));
}

fn forget(ctx: &Context, cleared: &Cleared) {
    for key in &cleared.all_of {
        ctx.lattices.forget(key);
    }
}

/// A lattice goes once no Application can have anything there; its credentials are kept till then.
async fn cleanup(lattice: &Arc<Lattice>, ctx: &Context) -> Result<Action, Error> {
    let Ok(name) = lattice.name_any().parse::<LatticeName>() else {
        return Ok(Action::await_change());
    };
    if let Err(error) = take_up(lattice, ctx, &name).await? {
        tracing::warn!(error = chain(&error), "what is left there can't be removed");
    }
    if !ctx.ready.initialized() {
        // Who uses it isn't known before every Application has been looked at.
        return Err(Error::Deleting { look_again: LOOK_AGAIN });
    }
    let users: Vec<_> =
        ctx.index().of_lattice(&name).take(USERS + 1).map(ToString::to_string).collect();
    if !users.is_empty() {
        say_who_uses_it(lattice, ctx, &users).await?;
        return Err(Error::Deleting { look_again: LOOK_AGAIN });
    }
    let unseen = ctx.unseen_namespaces();
    if !unseen.is_empty() {
        say_who_may_use_it(lattice, ctx, &unseen).await?;
        return Err(Error::Deleting { look_again: LOOK_AGAIN });
    }
    let cleared = buried::clear(ctx, &name);
    let mut status = lattice.status.clone().unwrap_or_default();
    lift(&mut status, &cleared);
    if !status.tombstones.is_empty()
        && let Some(left) = waits_for(lattice)
    {
        say_who_left_something(lattice, ctx, status).await?;
        forget(ctx, &cleared);
        let look_again = cleared.wake_at.into_iter().chain([LOOK_AGAIN, left]).min();
        return Err(Error::Deleting { look_again: look_again.unwrap_or(LOOK_AGAIN) });
    }
    for tombstone in &status.tombstones {
        tracing::warn!(app = tombstone.application, "what it left there is left there for good");
    }
    ctx.lattices.remove(&name).await;
    ctx.facts_changed();
    Ok(Action::await_change())
}

/// How long a deletion still waits for what Applications that went have left; `None`: no longer.
fn waits_for(lattice: &Lattice) -> Option<Duration> {
    let forced = lattice.annotations().get(FORCE_DELETE).is_some_and(|force| force == "true");
    let deadline = settings::deletion_deadline(lattice);
    let left = deadline.saturating_sub(deletion::waited(&lattice.metadata));
    (!forced && !left.is_zero()).then_some(left)
}

async fn say_who_left_something(
    lattice: &Lattice,
    ctx: &Context,
    mut status: LatticeStatus,
) -> Result<(), Error> {
    let names: Vec<_> =
        status.tombstones.iter().take(USERS + 1).map(|of| of.application.clone()).collect();
    let message = format!(
        "waits until what these Applications left is removed (status.tombstones), for {} at most: {}; \
         to leave it running for good, set the annotation {FORCE_DELETE}: \"true\" on the Lattice",
        lattice.spec.deletion_deadline,
        some_of(&names)
    );
    let verdict = Verdict::yes("Terminating", "LeftBehind", &message);
    set(&mut status.conditions, &verdict, lattice.metadata.generation, &now());
    put_status(lattice, ctx, status).await
}

async fn say_who_uses_it(lattice: &Lattice, ctx: &Context, users: &[String]) -> Result<(), Error> {
    let named = some_of(users);
    let message = format!("waits until these Applications are gone from it: {named}");
    say_terminating(lattice, ctx, "InUse", &message).await
}

async fn say_who_may_use_it(
    lattice: &Lattice,
    ctx: &Context,
    unseen: &[String],
) -> Result<(), Error> {
    let message = format!(
        "the operator may not watch Applications in these namespaces, and some may be on it: {}; \
         grant the rights that the chart grants there, or leave the namespaces out of the chart's \
         value `watchNamespaces`",
        some_of(unseen)
    );
    say_terminating(lattice, ctx, "MayBeInUse", &message).await
}

fn some_of(names: &[String]) -> String {
    let more = if names.len() > USERS { " and others" } else { "" };
    format!("{}{more}", names.iter().take(USERS).cloned().collect::<Vec<_>>().join(", "))
}

async fn say_terminating(
    lattice: &Lattice,
    ctx: &Context,
    reason: &'static str,
    message: &str,
) -> Result<(), Error> {
    let mut status = lattice.status.clone().unwrap_or_default();
    let verdict = Verdict::yes("Terminating", reason, message);
    set(&mut status.conditions, &verdict, lattice.metadata.generation, &now());
    put_status(lattice, ctx, status).await
}

/// Puts the status whole, if it differs.
pub(super) async fn put_status(
    lattice: &Lattice,
    ctx: &Context,
    after: LatticeStatus,
) -> Result<(), Error> {
    let before = lattice.status.clone().unwrap_or_default();
    if lattice.status.is_some() && before == after {
        return Ok(());
    }
    let transitions = lattice_status::transitions(&before, &after);
    let mut next = lattice.clone();
    next.status = Some(after);
    let api = Api::<Lattice>::all(ctx.kube.clone());
    let written = within(api.replace_status(&lattice.name_any(), &written(), &next)).await;
    let mut written = written.map_err(Error::Status)?;
    trim(&mut written);
    if let Ok(name) = written.name_any().parse() {
        ctx.lattices.learn(&name, written);
    }
    ctx.metrics.status_writes.inc();
    for transition in transitions {
        announce(lattice, ctx, transition);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lattice(name: &str, created: &str, url: &str) -> Arc<Lattice> {
        let object = json!({
            "apiVersion": "lattice.oam.dev/v1alpha1",
            "kind": "Lattice",
            "metadata": { "name": name, "creationTimestamp": created },
            "spec": { "nats": { "urls": [url] } },
        });
        Arc::new(serde_json::from_value(object).unwrap())
    }

    #[test]
    fn of_two_objects_for_the_same_hosts_the_older_one_has_them() {
        let old = lattice("old", "2026-01-01T00:00:00Z", "nats://a:4222");
        let new = lattice("new", "2026-01-02T00:00:00Z", "nats://a:4222");
        let other = lattice("other", "2026-01-01T00:00:00Z", "nats://b:4222");
        let all = [Arc::clone(&old), Arc::clone(&new), Arc::clone(&other)];
        assert_eq!(twin(&new, &all).as_deref(), Some("old"));
        assert_eq!(twin(&old, &all), None);
        assert_eq!(twin(&other, &all), None);
        let mut of_another = Lattice::clone(&new);
        of_another.annotations_mut().insert(CLASS.into(), "another".into());
        assert_eq!(twin(&of_another, &all), None, "installations may share hosts");
    }
}
