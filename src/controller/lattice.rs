//! One pass over one `Lattice`: its task follows its spec, its status follows the task.
use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, ResourceExt,
    runtime::{
        controller::Action,
        finalizer::{Event, finalizer},
    },
};
use tracing::instrument;

use super::{
    Error,
    application::CLASS,
    call::{within, written},
    chain,
    context::Context,
    lattice_status::{self, Facts},
    report::now,
    settings::{self, SettingsError},
};
use crate::{api::Lattice, lattice::watch::Settings, model::LatticeName};

/// Kept while an Application may have something there.
const FINALIZER: &str = "lattice.oam.dev/in-use";
/// How often a lattice whose deletion waits for Applications is looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_secs(5);

/// Brings the task that watches a lattice, and the status, in line with the object.
#[instrument(skip_all, fields(lattice = lattice.name_any()))]
pub(super) async fn reconcile(lattice: Arc<Lattice>, ctx: Arc<Context>) -> Result<Action, Error> {
    if lattice.annotations().get(CLASS) != ctx.class.as_ref() {
        return Ok(Action::await_change());
    }
    let api = Api::<Lattice>::all(ctx.kube.clone());
    finalizer(&api, FINALIZER, lattice, |event| async {
        match event {
            Event::Apply(lattice) => apply(&lattice, &ctx).await,
            Event::Cleanup(lattice) => cleanup(&lattice, &ctx).await,
        }
    })
    .await
    .map_err(Error::from)
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
    Action::requeue(RETRY)
}

async fn apply(lattice: &Arc<Lattice>, ctx: &Context) -> Result<Action, Error> {
    let settings = read(lattice, ctx).await?;
    let Ok(name) = lattice.name_any().parse::<LatticeName>() else {
        return Ok(Action::await_change()); // Kubernetes names with a dot; the status says so.
    };
    let usable = settings.as_ref().ok().cloned();
    if ctx.lattices.put(&name, Arc::clone(lattice), usable).await {
        ctx.facts_changed();
    }
    write_status(lattice, ctx, &name, settings.as_ref().err()).await
}

async fn read(lattice: &Lattice, ctx: &Context) -> Result<Result<Settings, SettingsError>, Error> {
    let Some(secret) = &lattice.spec.nats.credentials_secret else {
        return Ok(settings::build(lattice, None, ctx.start_deadline));
    };
    let api = Api::<Secret>::namespaced(ctx.kube.clone(), &ctx.namespace);
    let found = within(api.get_opt(&secret.name))
        .await
        .map_err(|source| Error::Secret { name: secret.name.clone(), source })?;
    Ok(match found {
        Some(secret) => settings::build(lattice, Some(&secret), ctx.start_deadline),
        None => Err(SettingsError::NoSecret {
            namespace: ctx.namespace.clone(),
            name: secret.name.clone(),
        }),
    })
}

async fn write_status(
    lattice: &Lattice,
    ctx: &Context,
    name: &LatticeName,
    error: Option<&SettingsError>,
) -> Result<Action, Error> {
    let handle = ctx.lattices.handle(name);
    let seen = handle.as_ref().map(|handle| (handle.health(), handle.observed()));
    let (after, wake) = match (error, &seen) {
        (Some(error), _) => lattice_status::compute(lattice, &Facts::Unusable(error), &now()),
        (None, Some((health, observed))) => {
            let unusable_for = ctx.lattices.unusable_for(name, &health.gate);
            let facts = Facts::Watched { health, observed, unusable_for };
            lattice_status::compute(lattice, &facts, &now())
        }
        (None, None) => return Ok(Action::await_change()),
    };
    if lattice.status.as_ref() != Some(&after) {
        let mut next = lattice.clone();
        next.metadata.managed_fields = None;
        next.status = Some(after);
        let api = Api::<Lattice>::all(ctx.kube.clone());
        within(api.replace_status(&lattice.name_any(), &written(), &next))
            .await
            .map_err(Error::Status)?;
        ctx.metrics.status_writes.inc();
    }
    Ok(wake.map_or_else(Action::await_change, Action::requeue))
}

/// A lattice goes once no Application can have anything there; its credentials are kept till then.
async fn cleanup(lattice: &Lattice, ctx: &Context) -> Result<Action, Error> {
    ctx.ready().await;
    let Ok(name) = lattice.name_any().parse::<LatticeName>() else {
        return Ok(Action::await_change());
    };
    let user = ctx.index().of_lattice(&name).next().map(ToString::to_string);
    if let Some(user) = user {
        tracing::debug!(user, "still in use");
        return Err(Error::Deleting { look_again: LOOK_AGAIN });
    }
    ctx.lattices.remove(&name).await;
    ctx.facts_changed();
    Ok(Action::await_change())
}
