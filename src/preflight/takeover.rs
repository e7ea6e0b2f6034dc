//! Makes the changes of a takeover; only where somebody asked for it.
use std::time::Duration;

use k8s_openapi::{
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    kube_aggregator::pkg::apis::apiregistration::v1::APIService,
};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
};

use super::{Facts, Scope, Severity, Step, findings, read, steps};

/// Who writes, as it stands in `metadata.managedFields`.
const MANAGER: &str = "trellis";
/// How long what was changed may take to be served.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often that is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Why a takeover was not finished.
#[derive(Debug, thiserror::Error)]
pub enum TakeoverError {
    #[error("could not delete APIService {name}")]
    Delete { name: String, source: Box<kube::Error> },
    #[error("could not write CustomResourceDefinition {name}")]
    Write { name: String, source: Box<kube::Error> },
    #[error("could not look at what was changed")]
    Read(#[source] read::Error),
}

/// Makes the changes that `facts` call for and waits until they show.
///
/// # Returns
///
/// What was changed, and what is seen then.
pub async fn takeover(
    kube: &Client,
    scope: &Scope,
    facts: &Facts,
) -> Result<(Vec<Step>, Facts), TakeoverError> {
    let steps = steps(facts);
    for step in &steps {
        make(kube, step).await?;
    }
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        let facts = read(kube, scope).await.map_err(TakeoverError::Read)?;
        let fatal = findings(&facts).iter().any(|found| found.severity == Severity::Fatal);
        if !fatal || self::steps(&facts).is_empty() || tokio::time::Instant::now() >= end {
            return Ok((steps, facts));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

async fn make(kube: &Client, step: &Step) -> Result<(), TakeoverError> {
    match step {
        Step::DeleteApiService { name, uid } => {
            let preconditions = Preconditions { uid: uid.clone(), resource_version: None };
            let params = DeleteParams::default().preconditions(preconditions);
            let api = Api::<APIService>::all(kube.clone());
            let deleted = api.delete(name, &params).await.map(|_| ());
            deleted.map_err(|source| TakeoverError::Delete {
                name: name.clone(),
                source: Box::new(source),
            })
        }
        Step::Apply(crd) => {
            let params = PatchParams::apply(MANAGER).force();
            let api = Api::<CustomResourceDefinition>::all(kube.clone());
            let name = crd.name_any();
            let applied = api.patch(&name, &params, &Patch::Apply(crd)).await.map(|_| ());
            applied.map_err(|source| TakeoverError::Write { name, source: Box::new(source) })
        }
        Step::Replace(crd) => {
            let params =
                PostParams { field_manager: Some(MANAGER.into()), ..PostParams::default() };
            let api = Api::<CustomResourceDefinition>::all(kube.clone());
            let name = crd.name_any();
            let replaced = api.replace(&name, &params, crd).await.map(|_| ());
            replaced.map_err(|source| TakeoverError::Write { name, source: Box::new(source) })
        }
    }
}
