//! `trellis guard`: says no to an uninstallation that would leave objects which nobody could delete, or
//! delete what others have, and removes what Helm is not to remove by itself.
//!
//! ```text
//! look ──▶ first Lattice ──▶ look ──▶ definition ──▶ look ──▶ definition …
//!   └─▶ refusal                └─▶ refusal              └─▶ refusal
//! ```
//!
//! 1. Applications and Lattices carry finalizers that only a running operator takes off.
//! 2. Nothing is taken to be absent that the API server may hide (`served`).
//! 3. What is deleted is what was looked at, as it was then; what came meanwhile is looked for again.
mod definitions;
mod first;
mod left;
mod refusal;
mod release;
mod removal;
mod served;

use std::{cell::RefCell, time::Duration};

use super::{
    Failure,
    cluster::{self, Cluster},
    duration,
    scope::ScopeArgs,
};
use crate::controller::chain;
use release::Release;

/// An API server that doesn't answer for longer will not.
const CALL: Duration = Duration::from_secs(15);

#[derive(Debug, clap::Args)]
pub struct GuardArgs {
    #[command(flatten)]
    scope: ScopeArgs,

    /// The Lattice that was installed along with the operator, and is deleted with it, unless another
    /// controller class or release has it by now
    #[arg(long, env = "TRELLIS_OWN_LATTICE", value_name = "NAME")]
    own_lattice: Option<String>,

    /// Delete our CustomResourceDefinitions too, and refuse while there is any Application or Lattice
    /// in the cluster, whoever acts on it
    #[arg(long, env = "TRELLIS_DELETE_CRDS")]
    delete_crds: bool,

    /// The Helm release that is uninstalled
    #[arg(long, env = "TRELLIS_RELEASE", value_name = "NAMESPACE/NAME/REVISION")]
    release: Option<Release>,

    /// How long all of it may take
    #[arg(long, env = "TRELLIS_GUARD_TIMEOUT", default_value = "2m", value_parser = duration)]
    timeout: Duration,
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
        let guard = Guard { cluster, args, doing: RefCell::default(), deleted: RefCell::default() };
        let ended = tokio::time::timeout(args.timeout, guard.clear()).await;
        ended.unwrap_or_else(|_| Err(guard.late())).map_err(|failure| guard.with_deleted(failure))
    })
}

struct Guard<'a> {
    cluster: Cluster,
    args: &'a GuardArgs,
    /// What it is at, for the case that its time is over.
    doing: RefCell<String>,
    /// What was deleted so far, with its kind.
    deleted: RefCell<Vec<String>>,
}

impl Guard<'_> {
    async fn clear(&self) -> Result<(), Failure> {
        let own = self.in_cluster(first::ours(self).await)?;
        self.look(own.as_ref()).await?;
        let doomed =
            if self.args.delete_crds { definitions::ours(self).await? } else { Vec::new() };
        if let Some(own) = own {
            first::delete(self, own).await?;
        }
        for definition in &doomed {
            definitions::delete(self, definition).await?;
        }
        // Each definition was looked at in its turn.
        if doomed.is_empty() { self.look(None).await } else { Ok(()) }
    }

    /// Refuses if anything is left, but for the Lattice that is about to be deleted.
    async fn look(&self, but: Option<&first::First>) -> Result<(), Failure> {
        self.does("it was looking for what is left".to_owned());
        let found = left::find(&self.cluster.client, self.args, but).await;
        let left = self.in_cluster(found)?;
        let refusal = refusal::refusal(&left, self.args.delete_crds, self.args.release.as_ref());
        refusal.map_or(Ok(()), |text| Err(Failure::Failed(text)))
    }

    fn in_cluster<T>(&self, outcome: Result<T, Failure>) -> Result<T, Failure> {
        outcome.map_err(|failure| self.cluster.names(failure))
    }

    fn does(&self, what: String) {
        *self.doing.borrow_mut() = what;
    }

    fn has_deleted(&self, what: String) {
        self.deleted.borrow_mut().push(what);
    }

    fn late(&self) -> Failure {
        let limit = self.args.timeout.as_secs();
        Failure::Failed(format!("gave up after {limit} s: {}", self.doing.borrow()))
    }

    fn with_deleted(&self, failure: Failure) -> Failure {
        match (failure, self.deleted.borrow().as_slice()) {
            (Failure::Failed(text), [_, ..]) => Failure::Failed(format!(
                "{text}\nalready deleted: {}; helm upgrade makes that again",
                self.deleted.borrow().join(", ")
            )),
            (failure, _) => failure,
        }
    }
}

async fn within<T>(call: impl Future<Output = kube::Result<T>>) -> kube::Result<T> {
    let late = |_| kube::Error::Service("the API server did not answer in time".into());
    tokio::time::timeout(CALL, call).await.map_err(late)?
}
