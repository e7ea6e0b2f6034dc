//! What all passes share.
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Client, ResourceExt,
    runtime::{events::Recorder, reflector::Store},
};
use tokio::sync::{Notify, OnceCell};

use super::{
    application::{CLASS, claim_released},
    claims::ClaimTables,
    index::Index,
    lattices::Lattices,
    memory::Memory,
    metrics::Metrics,
    revisions::Revisions,
    touched::Touched,
};
use crate::{
    api::{Application, Lattice},
    model::ApplicationKey,
};

pub struct Context {
    pub kube: Client,
    pub recorder: Recorder,
    pub applications: Store<Application>,
    pub namespaces: Store<Namespace>,
    pub lattice_objects: Store<Lattice>,
    /// Whether other Secrets may be wanted than before.
    pub lattices_changed: Arc<Notify>,
    pub revisions: Arc<Revisions>,
    pub lattices: Arc<Lattices>,
    pub claims: Mutex<ClaimTables>,
    pub index: RwLock<Index>,
    pub memories: Memories,
    /// Applications to look at again.
    pub touched: Arc<Touched>,
    /// Has all Applications looked at again.
    pub everything: Arc<Notify>,
    pub metrics: Metrics,
    /// How long a start may take, the pull of its image included.
    pub start_deadline: Duration,
    /// The operator's own, where Secrets are.
    pub namespace: String,
    /// Which installation's objects are ours; `None`: those that name none.
    pub class: Option<String>,
    /// Counts the changes of lattices and namespaces that targets are resolved with.
    pub facts: AtomicU64,
    pub ready: OnceCell<()>,
}

impl Context {
    pub fn facts_version(&self) -> u64 {
        self.facts.load(Relaxed)
    }

    /// Lattices or namespaces have changed: every Application may have other targets.
    pub fn facts_changed(&self) {
        self.facts.fetch_add(1, Relaxed);
        self.everything.notify_one();
    }

    /// Waits until everything has been listed once and all claims are in their tables, because a
    /// plan that doesn't know the other Applications could take what is theirs.
    pub async fn ready(&self) {
        self.ready
            .get_or_init(|| async {
                // An error means that the watch has ended, and with it the process.
                let _ = self.applications.wait_until_ready().await;
                let _ = self.namespaces.wait_until_ready().await;
                self.revisions.wait_until_ready().await;
                self.lattices.wait_until_ready().await;
                for app in self.applications.state() {
                    if app.annotations().get(CLASS) == self.class.as_ref() {
                        claim_released(&app, self);
                    }
                }
            })
            .await;
    }

    pub fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn claims(&self) -> MutexGuard<'_, ClaimTables> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is remembered of each Application between passes; all of it can be worked out again.
#[derive(Debug, Default)]
pub struct Memories(Mutex<BTreeMap<ApplicationKey, Arc<Mutex<Memory>>>>);

impl Memories {
    pub fn of(&self, application: &ApplicationKey) -> Arc<Mutex<Memory>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(application.clone()).or_default())
    }

    pub fn forget(&self, application: &ApplicationKey) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(application);
    }
}
