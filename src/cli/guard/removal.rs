//! Deletes an object as it was looked at, and waits until it is gone.
use std::{fmt::Debug, pin::pin, time::Duration};

use futures::StreamExt;
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, Preconditions},
    runtime::watcher::watch_object,
};
use serde::de::DeserializeOwned;

use super::{Failure, Guard, within};
use crate::controller::{LATTICE_FINALIZER, chain};

/// What the API server puts on a definition until all objects of its kind are gone.
const INSTANCES: &str = "customresourcecleanup.apiextensions.k8s.io";
/// Before what was written meanwhile is looked at again.
const PAUSE: Duration = Duration::from_millis(250);

/// What became of an object that was to be deleted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Removal {
    Gone,
    /// It is no longer as it was looked at, and was left alone.
    Changed,
}

/// Deletes `seen` if nobody has written it since, and waits until it is gone.
pub(super) async fn delete<K>(guard: &Guard<'_>, api: &Api<K>, seen: &K) -> Result<Removal, Failure>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let (name, kind) = (seen.name_any(), K::kind(&()));
    let what = format!("{kind} {name}");
    let preconditions =
        Preconditions { uid: seen.uid(), resource_version: seen.resource_version() };
    let params = DeleteParams::default().preconditions(preconditions);
    guard.does(format!("it was deleting {what}"));
    match within(api.delete(&name, &params)).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(Removal::Gone),
        Err(kube::Error::Api(status)) if status.is_conflict() => {
            tokio::time::sleep(PAUSE).await;
            return Ok(Removal::Changed);
        }
        Err(error) => {
            return Err(Failure::because(format!("could not delete {what}"), chain(&error)));
        }
    }
    gone(guard, api, seen).await.map_err(|error| {
        Failure::because(format!("{what} was deleted, but could not be watched"), chain(&error))
    })?;
    guard.has_deleted(what);
    Ok(Removal::Gone)
}

async fn gone<K>(
    guard: &Guard<'_>,
    api: &Api<K>,
    seen: &K,
) -> Result<(), kube::runtime::watcher::Error>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let (name, kind) = (seen.name_any(), K::kind(&()));
    let waits = |object: &K| guard.does(waits_for(&kind, &name, object.finalizers()));
    waits(seen);
    let mut states = pin!(watch_object(api.clone(), &name));
    while let Some(state) = states.next().await {
        match state? {
            Some(object) if object.uid() == seen.uid() => waits(&object),
            // Another of that name is a new one.
            Some(_) | None => break,
        }
    }
    Ok(())
}

/// What an object that is being deleted waits for, by what holds it.
fn waits_for(kind: &str, name: &str, finalizers: &[String]) -> String {
    let why = match finalizers {
        [] => "the API server has not removed it yet".to_owned(),
        [one] if one == LATTICE_FINALIZER => format!(
            "the operator has not let go of it, for which its logs and `kubectl describe {} \
             {name}` have the reason",
            kind.to_lowercase()
        ),
        [one] if one == INSTANCES => {
            format!(
                "the API server is removing what is left of its kind; see kubectl get {name} -A"
            )
        }
        all => format!("it is held by the finalizers {}", all.join(", ")),
    };
    format!("it was waiting for {kind} {name} to be gone: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_waited_for_is_said_by_what_holds_it() {
        let waits = |kind: &str, finalizers: &[&str]| {
            let finalizers: Vec<_> = finalizers.iter().map(|it| (*it).to_owned()).collect();
            waits_for(kind, "it", &finalizers)
        };
        let operator = waits("Lattice", &[LATTICE_FINALIZER]);
        assert!(operator.contains("the operator has not let go of it"), "{operator}");
        assert!(operator.contains("`kubectl describe lattice it`"), "{operator}");
        for (kind, finalizers, said) in [
            ("Lattice", [LATTICE_FINALIZER, "else/where"].as_slice(), ", else/where"),
            ("CustomResourceDefinition", &[INSTANCES], "kubectl get it -A"),
            ("CustomResourceDefinition", &[], "the API server has not removed it"),
        ] {
            let text = waits(kind, finalizers);
            assert!(text.contains(said) && !text.contains("the operator"), "{text}");
        }
    }
}
