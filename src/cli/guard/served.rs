//! Whether what the API server answers for a kind is what there is of it.
use k8s_openapi::{
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    kube_aggregator::pkg::apis::apiregistration::v1::APIService,
};
use kube::{Api, Client, CustomResourceExt, Resource};

use super::{Failure, within};
use crate::{controller::chain, preflight};

/// Whether a kind of ours is defined, so that there may be objects of it.
///
/// # Errors
///
/// That the API server has somebody else answer for it: whatever that one says, there may be some.
pub(super) async fn is_defined<K>(kube: &Client) -> Result<bool, Failure>
where
    K: Resource<DynamicType = ()> + CustomResourceExt,
{
    let name = K::crd_name();
    let failed = |kind: &str, name: &str, error: &kube::Error| {
        Failure::because(format!("could not look at {kind} {name}"), chain(error))
    };
    let definitions = Api::<CustomResourceDefinition>::all(kube.clone());
    let found = within(definitions.get_opt(name)).await;
    if found.map_err(|error| failed("CustomResourceDefinition", name, &error))?.is_none() {
        return Ok(false);
    }
    let service = format!("{}.{}", K::version(&()), K::group(&()));
    let services = Api::<APIService>::all(kube.clone());
    let found = within(services.get_opt(&service)).await;
    let found = found.map_err(|error| failed("APIService", &service, &error))?;
    match found.as_ref().and_then(preflight::hidden) {
        None => Ok(true),
        Some(hidden) => Err(Failure::Failed(format!(
            "can't see what is left of {name}: {}: {}; {}; then uninstall again",
            hidden.what, hidden.why, hidden.fix
        ))),
    }
}

/// What to say where a kind that is defined isn't served.
pub(super) fn unserved<K: CustomResourceExt>() -> Failure {
    let name = K::crd_name();
    Failure::Failed(format!(
        "can't see what is left of {name}: it is defined, and the API server does not serve it; \
         `trellis check` and `kubectl describe crd {name}` tell why; mend that, then uninstall again"
    ))
}
