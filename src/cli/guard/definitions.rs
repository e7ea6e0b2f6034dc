//! The definitions that an uninstallation is to remove.
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client, ResourceExt};

use super::{Failure, within};
use crate::{api::crds, controller::chain, preflight};

/// Those of ours that are there.
///
/// # Errors
///
/// That one is another's by now: it would take their objects along.
pub(super) async fn ours(kube: &Client) -> Result<Vec<CustomResourceDefinition>, Failure> {
    let api = Api::<CustomResourceDefinition>::all(kube.clone());
    let mut found = Vec::new();
    for name in crds().iter().map(ResourceExt::name_any) {
        let seen = within(api.get_opt(&name)).await;
        let what = || format!("could not look at CustomResourceDefinition {name}");
        match seen.map_err(|error| Failure::because(what(), chain(&error)))? {
            Some(crd) if preflight::is_ours(&crd) => found.push(crd),
            None => {}
            Some(_) => {
                return Err(Failure::Failed(format!(
                    "CustomResourceDefinition {name} is not ours, so it is not deleted; \
                     `trellis check` tells whose it is; keep all with: helm upgrade --set \
                     crds.keep=true"
                )));
            }
        }
    }
    Ok(found)
}

/// Deletes them one after the other, Applications first, and waits until each is gone.
pub(super) async fn delete(
    kube: &Client,
    definitions: &[CustomResourceDefinition],
) -> Result<(), Failure> {
    let api = Api::<CustomResourceDefinition>::all(kube.clone());
    for crd in definitions {
        super::delete(&api, &crd.name_any(), crd.uid()).await?;
    }
    Ok(())
}
