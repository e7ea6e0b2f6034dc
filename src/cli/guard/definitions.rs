//! The definitions that an uninstallation is to remove.
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, ResourceExt};

use super::{
    Failure, Guard,
    removal::{self, Removal},
    within,
};
use crate::{api::crds, controller::chain, preflight};

fn api(guard: &Guard<'_>) -> Api<CustomResourceDefinition> {
    Api::all(guard.cluster.client.clone())
}

/// The names of those of ours that are there, Applications' first.
///
/// # Errors
///
/// That one is another's by now: it would take their objects along.
pub(super) async fn ours(guard: &Guard<'_>) -> Result<Vec<String>, Failure> {
    let mut found = Vec::new();
    for name in crds().iter().map(ResourceExt::name_any) {
        if seen(guard, &name).await?.is_some() {
            found.push(name);
        }
    }
    Ok(found)
}

async fn seen(guard: &Guard<'_>, name: &str) -> Result<Option<CustomResourceDefinition>, Failure> {
    guard.does(format!("it was looking at CustomResourceDefinition {name}"));
    let seen = within(api(guard).get_opt(name)).await;
    let what = || format!("could not look at CustomResourceDefinition {name}");
    let seen = seen.map_err(|error| Failure::because(what(), chain(&error)))?;
    if seen.as_ref().is_some_and(|crd| !preflight::is_ours(crd)) {
        return Err(Failure::Failed(format!(
            "CustomResourceDefinition {name} is not ours, so it is not deleted; `trellis check` tells \
             whose it is; keep all with: helm rollback, then helm upgrade --set crds.keep=true"
        )));
    }
    Ok(seen)
}

/// Deletes one if nothing is left, and waits until it is gone. No precondition tells the API server to
/// refuse that for the sake of objects, so they are looked for last.
pub(super) async fn delete(guard: &Guard<'_>, name: &str) -> Result<(), Failure> {
    while let Some(crd) = seen(guard, name).await? {
        guard.look(None).await?;
        if removal::delete(guard, &api(guard), &crd).await? == Removal::Gone {
            break;
        }
    }
    Ok(())
}
