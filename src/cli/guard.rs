//! `trellis guard`: says no to an uninstallation that would leave objects which nobody could delete, or
//! delete what others have, and removes what Helm is not to remove by itself.
//!
//! Applications and Lattices carry finalizers that only a running operator takes off.
mod definitions;
mod left;

use std::{fmt::Debug, time::Duration};

use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, Preconditions},
    runtime::wait::{await_condition, conditions},
};
use serde::de::DeserializeOwned;

use super::{
    Failure,
    cluster::{self, Cluster},
    scope::ScopeArgs,
};
use crate::{api::Lattice, controller::chain};

/// An operator that runs lets go of a Lattice that nobody uses within a moment.
const LONGEST: Duration = Duration::from_secs(30);
/// An API server that doesn't answer for longer will not.
const CALL: Duration = Duration::from_secs(15);

#[derive(Debug, clap::Args)]
pub struct GuardArgs {
    #[command(flatten)]
    scope: ScopeArgs,

    /// The Lattice that was installed along with the operator, and is deleted with it
    #[arg(long, env = "TRELLIS_OWN_LATTICE", value_name = "NAME")]
    own_lattice: Option<String>,

    /// Delete our CustomResourceDefinitions too, and refuse while there is any Application or Lattice
    /// in the cluster, whoever acts on it
    #[arg(long, env = "TRELLIS_DELETE_CRDS")]
    delete_crds: bool,
}

/// Refuses while something is left that needs the operator.
///
/// # Errors
///
/// What is left and how to delete it, or what keeps that from being known.
pub fn guard(args: &GuardArgs) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::because("could not start", error))?;
    runtime.block_on(async {
        let cluster = cluster::reach().await.map_err(|error| Failure::Failed(chain(&error)))?;
        clear(&cluster, args).await
    })
}

async fn clear(cluster: &Cluster, args: &GuardArgs) -> Result<(), Failure> {
    let kube = &cluster.client;
    let left = left::find(kube, args).await.map_err(|failure| cluster.names(failure))?;
    if let Some(refusal) = left::refusal(&left, args.delete_crds) {
        return Err(Failure::Failed(refusal));
    }
    let doomed = if args.delete_crds { definitions::ours(kube).await? } else { Vec::new() };
    if let Some(name) = &args.own_lattice {
        delete(&Api::<Lattice>::all(kube.clone()), name, None).await?;
    }
    definitions::delete(kube, &doomed).await
}

async fn within<T>(call: impl Future<Output = kube::Result<T>>) -> kube::Result<T> {
    let late = |_| kube::Error::Service("the API server did not answer in time".into());
    tokio::time::timeout(CALL, call).await.map_err(late)?
}

/// Deletes the object, and none but that of `uid` where one is given, and waits until it is gone.
async fn delete<K>(api: &Api<K>, name: &str, uid: Option<String>) -> Result<(), Failure>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let kind = K::kind(&());
    let what = || format!("could not delete {kind} {name}");
    let preconditions = Preconditions { uid, resource_version: None };
    let params = DeleteParams::default().preconditions(preconditions);
    let deleted = within(api.delete(name, &params)).await;
    let uid = match deleted {
        Ok(deleted) => deleted.left().and_then(|object| object.uid()),
        Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(()),
        Err(error) => return Err(Failure::because(what(), chain(&error))),
    };
    let Some(uid) = uid else { return Ok(()) };
    let gone = await_condition(api.clone(), name, conditions::is_deleted(&uid));
    match tokio::time::timeout(LONGEST, gone).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(Failure::because(what(), chain(&error))),
        Err(_) => Err(Failure::Failed(format!(
            "{}: the operator has not let go of it within {} s; its logs and \
             `kubectl describe {} {name}` say why",
            what(),
            LONGEST.as_secs(),
            kind.to_lowercase(),
        ))),
    }
}
