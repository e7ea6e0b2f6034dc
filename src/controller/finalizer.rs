//! The finalizer, which keeps an object until what was done for it is undone.
use std::{fmt::Debug, sync::Arc};

use kube::{Api, Resource, ResourceExt, api::Patch};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use super::{
    Error,
    call::{patched, within},
};

/// How an object stands with its finalizer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kept<K> {
    /// It has it.
    Stays(Arc<K>),
    /// It has it since now; as it was written.
    New(K),
    /// It is being deleted, and goes once it is [`let_go`].
    Leaves(Arc<K>),
    /// It is being deleted, and has nothing of ours.
    Gone,
}

/// Puts `finalizer` on an object that isn't being deleted.
pub(super) async fn keep<K>(api: &Api<K>, finalizer: &str, object: Arc<K>) -> Result<Kept<K>, Error>
where
    K: Resource + Clone + Debug + Serialize + DeserializeOwned,
{
    let is_kept = object.finalizers().iter().any(|it| it == finalizer);
    let is_leaving = object.meta().deletion_timestamp.is_some();
    match (is_kept, is_leaving) {
        (true, false) => Ok(Kept::Stays(object)),
        (true, true) => Ok(Kept::Leaves(object)),
        (false, true) => Ok(Kept::Gone),
        (false, false) => {
            let others = object.finalizers().iter().map(String::as_str);
            let all: Vec<_> = others.chain([finalizer]).collect();
            put(api, &*object, &all).await.map(Kept::New)
        }
    }
}

/// Takes `finalizer` off, so that the object can go.
pub(super) async fn let_go<K>(api: &Api<K>, finalizer: &str, object: &K) -> Result<(), Error>
where
    K: Resource + Clone + Debug + Serialize + DeserializeOwned,
{
    let others = object.finalizers().iter().map(String::as_str);
    let others: Vec<_> = others.filter(|it| *it != finalizer).collect();
    put(api, object, &others).await.map(drop)
}

/// The list is replaced whole, so what somebody else has written since must not be lost.
async fn put<K>(api: &Api<K>, object: &K, finalizers: &[&str]) -> Result<K, Error>
where
    K: Resource + Clone + Debug + Serialize + DeserializeOwned,
{
    let decided_on = object.resource_version();
    let metadata = json!({ "resourceVersion": decided_on, "finalizers": finalizers });
    let patch = Patch::Merge(json!({ "metadata": metadata }));
    within(api.patch(&object.name_any(), &patched(), &patch)).await.map_err(Error::Finalizer)
}
