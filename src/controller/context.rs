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
    runtime::{
        events::Reporter,
        reflector::{ObjectRef, Store},
    },
};
use tokio::sync::{Notify, OnceCell};

use super::{
    announce::Announcements, application::take_note, claims::ClaimTables, index::Index,
    lattices::Lattices, memory::Memory, metrics::Metrics, namespaces::Abroad, release::key_of,
    retries::Retries, revisions::Revisions, sweep::Sweeps, touched::Touched, unseen::Unseen,
    watches::Scope,
};
use crate::{
    api::{Application, CLASS, Lattice},
    lattice::{clock, inventory::Predecessor},
    model::{ApplicationKey, LatticeName},
};

pub struct Context {
    pub kube: Client,
    /// Who publishes events.
    pub reporter: Reporter,
    pub applications: Store<Application>,
    pub namespaces: Store<Namespace>,
    pub lattice_objects: Store<Lattice>,
    /// Whether other Secrets may be wanted than before.
    pub lattices_changed: Arc<Notify>,
    pub revisions: Arc<Revisions>,
    /// What becomes of them, to be written down.
    pub sweeps: Sweeps,
    /// Events to publish.
    pub announcements: Announcements,
    pub lattices: Arc<Lattices>,
    pub claims: Mutex<ClaimTables>,
    pub index: RwLock<Index>,
    pub abroad: Mutex<Abroad>,
    pub memories: Memories,
    /// Applications to look at again.
    pub touched: Arc<Touched>,
    /// Has all Applications looked at again.
    pub everything: Arc<Notify>,
    /// Has all Lattices looked at again.
    pub every_lattice: Arc<Notify>,
    /// Namespaces whose objects may not be known.
    pub unseen: Arc<Unseen>,
    /// Objects have gone.
    pub some_gone: Arc<Notify>,
    pub metrics: Metrics,
    /// How long a start may take, the pull of its image included.
    pub start_deadline: Duration,
    /// The operator's own, where Secrets are.
    pub namespace: String,
    /// Which installation's objects are ours; `None`: those that name none.
    pub class: Option<String>,
    /// Whose Applications are ours.
    pub scope: Scope,
    /// Counts the changes of lattices and namespaces that targets are resolved with.
    pub facts: AtomicU64,
    pub retries: Retries,
    pub ready: OnceCell<()>,
}

impl Context {
    pub fn facts_version(&self) -> u64 {
        self.facts.load(Relaxed)
    }

    /// Lattices have changed: every Application may have other targets.
    pub fn facts_changed(&self) {
        self.facts.fetch_add(1, Relaxed);
        self.everything.notify_one();
    }

    /// A Lattice of another installation came or went. Nobody has targets there; who was refused for
    /// it, or left something there, is told another reason.
    pub fn foreign_changed(&self, name: &LatticeName) {
        self.facts.fetch_add(1, Relaxed);
        self.memories.without_targets().iter().for_each(|app| self.touched.add(app));
        self.index().of_lattice(name).for_each(|app| self.touched.add(app));
    }

    /// A namespace has changed: those may have other targets who are there, or name it.
    pub fn namespace_changed(&self, name: &str) {
        self.facts.fetch_add(1, Relaxed);
        let there = self.applications.state_filter(|app| app.namespace().as_deref() == Some(name));
        for app in there {
            self.touched.add(&key_of(&app));
        }
        self.abroad().by(name).for_each(|app| self.touched.add(app));
    }

    /// Waits until everything has been listed once and is known of every Application what it is
    /// about: a plan that doesn't know the others could take what is theirs, and a `Lattice` that
    /// is being deleted could go while they use it.
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
                        take_note(&app, self);
                    }
                }
            })
            .await;
    }

    /// Whether this replica is the one that acts.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.lattices.fence().allows(clock::now())
    }

    /// This replica is the one that acts from now on.
    pub fn take_over(&self, from: Predecessor) {
        self.metrics.leader.set(1);
        self.lattices.take_over(from);
    }

    pub fn look_at_everything(&self) {
        self.everything.notify_one();
        self.every_lattice.notify_one();
    }

    /// Drops what is kept for an Application.
    pub fn forget(&self, application: &ApplicationKey) {
        for other in self.claims().remove(application) {
            self.touched.add(&other);
        }
        self.index_mut().remove(application);
        self.sweeps.remove(application);
        self.abroad().set(application, []);
        self.touched.begun(application);
        self.lattices.forget(application);
        self.memories.forget(application);
    }

    /// Drops what is kept for objects that have gone. Who acts sees them go; who stands by doesn't.
    pub async fn forget_gone(&self) {
        let is_gone = |key: &ApplicationKey| {
            if self.unseen.has(&key.namespace) {
                // Nothing shows it, be it there or not; only with its namespace it has gone for sure.
                return !self.is_namespace(&key.namespace);
            }
            let object = ObjectRef::new(&key.name).within(&key.namespace);
            self.applications.get(&object).is_none()
        };
        let gone: Vec<_> = self.memories.keys().into_iter().filter(is_gone).collect();
        for key in &gone {
            self.forget(key);
        }
        self.revisions.drop_lost(is_gone);
        // What they left has nobody any more.
        self.every_lattice.notify_one();
        let is_there =
            |name: &LatticeName| self.lattice_objects.get(&ObjectRef::new(name.as_str())).is_some();
        for name in self.lattices.forget_left(is_there) {
            self.foreign_changed(&name);
        }
        for name in self.lattices.names() {
            if !is_there(&name) {
                self.lattices.remove(&name).await;
                self.facts_changed();
            }
        }
    }

    /// The namespaces that exist and in which there may be Applications that aren't known.
    #[must_use]
    pub fn unseen_namespaces(&self) -> Vec<String> {
        self.unseen.namespaces().into_iter().filter(|name| self.is_namespace(name)).collect()
    }

    fn is_namespace(&self, name: &str) -> bool {
        self.namespaces.get(&ObjectRef::new(name)).is_some()
    }

    pub fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn abroad(&self) -> MutexGuard<'_, Abroad> {
        self.abroad.lock().unwrap_or_else(PoisonError::into_inner)
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

    pub fn keys(&self) -> Vec<ApplicationKey> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// Those that were last found to have no targets, for whatever reason.
    pub fn without_targets(&self) -> Vec<ApplicationKey> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = all.iter().filter(|(_, memory)| {
            memory.lock().unwrap_or_else(PoisonError::into_inner).is_without_targets()
        });
        refused.map(|(key, _)| key.clone()).collect()
    }

    /// Only what the watch shows counts from now on, be it older than what was written.
    pub fn forget_written(&self) {
        for memory in self.0.lock().unwrap_or_else(PoisonError::into_inner).values() {
            memory.lock().unwrap_or_else(PoisonError::into_inner).forget_written();
        }
    }

    pub fn forget(&self, application: &ApplicationKey) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(application);
    }
}
