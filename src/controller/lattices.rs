//! The lattices that there are, each with the task that watches it.
use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};

use kube::{ResourceExt, runtime::reflector::ObjectRef};
use tokio::sync::{mpsc, watch};

use super::{
    context::Context,
    graves::{Grave, Graves},
    revisions::version,
};
use crate::{
    api::{Lattice, Tombstone},
    appfile::{Appfile, LatticeFacts, NamespaceFacts, TargetFacts, of_another_class},
    lattice::{
        access::Access,
        clock,
        fence::Fence,
        inventory::{Change, Predecessor},
        line::Lines,
        watch::{Handle, Settings, watch_over},
    },
    model::{
        ApplicationKey, Command, ConfigName, Desired, FewOf, Gate, LatticeName, LossPolicy, Moment,
        Observed, Owner, WorkloadId,
    },
};

#[derive(Debug)]
pub struct Lattices {
    known: RwLock<BTreeMap<LatticeName, Entry>>,
    /// The controller classes of those that are other installations'.
    left: RwLock<BTreeMap<LatticeName, Option<String>>>,
    changes: mpsc::Sender<(LatticeName, Change)>,
    lines: Arc<dyn Lines>,
    fence: Arc<Fence>,
    ready: watch::Sender<bool>,
    /// Held by whoever adds or takes away a tombstone, for each writes all of them.
    burying: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Entry {
    object: Arc<Lattice>,
    /// `None` while its settings are wrong.
    handle: Option<Handle>,
    /// Since when it has been disconnected or not been seen whole.
    unusable_since: Option<Moment>,
    settings: Option<Settings>,
    orphans: usize,
    graves: Graves,
    /// As it was written last, until the watch shows that or something newer.
    written: Option<Arc<Lattice>>,
}

impl Entry {
    fn newest(&self) -> &Arc<Lattice> {
        self.written.as_ref().unwrap_or(&self.object)
    }
}

impl Lattices {
    #[must_use]
    pub fn new(
        changes: mpsc::Sender<(LatticeName, Change)>,
        lines: Arc<dyn Lines>,
        fence: Arc<Fence>,
    ) -> Self {
        let (known, left) = (RwLock::default(), RwLock::default());
        let (ready, burying) = (watch::Sender::new(false), tokio::sync::Mutex::default());
        Self { known, left, changes, lines, fence, ready, burying }
    }

    /// What keeps commands back while another replica leads.
    #[must_use]
    pub fn fence(&self) -> &Arc<Fence> {
        &self.fence
    }

    /// Waits until all lattices that there were at the start have been taken up.
    pub async fn wait_until_ready(&self) {
        // The sender lives as long as `self`, so this can't fail.
        let _ = self.ready.subscribe().wait_for(|ready| *ready).await;
    }

    /// Says that all lattices that there were at the start have been taken up.
    pub fn all_taken_up(&self) {
        self.ready.send_replace(true);
    }

    /// Whether a lattice has been taken up.
    #[must_use]
    pub fn knows(&self, name: &LatticeName) -> bool {
        self.read().contains_key(name)
    }

    /// Takes up a lattice, or what is new about it. Without settings it is known and can't be used.
    ///
    /// # Returns
    ///
    /// Whether Applications may now go to other lattices than before.
    pub async fn put(
        &self,
        name: &LatticeName,
        object: Arc<Lattice>,
        settings: Option<Settings>,
    ) -> bool {
        let (handle, changed) = {
            let known = self.read();
            let old = known.get(name);
            let same = old.is_some_and(|old| old.settings == settings);
            (old.and_then(|old| old.handle.clone()).filter(|_| settings.is_some()), !same)
        };
        if let (Some(handle), Some(settings), true) = (&handle, &settings, changed) {
            handle.update(settings.clone()).await;
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        // Begun under the lock, so that whoever takes over finds it or it begins after that.
        let begin = |settings: &Settings| {
            let (lines, fence) = (Arc::clone(&self.lines), Arc::clone(&self.fence));
            watch_over(lines, settings.clone(), fence, self.changes.clone())
        };
        let handle = handle.or_else(|| settings.as_ref().map(begin));
        let old = known.remove(name);
        let selects = old.as_ref().is_none_or(|old| selects_differently(&old.object, &object));
        let unusable_since = old.as_ref().and_then(|old| old.unusable_since);
        let orphans = old.as_ref().map_or(0, |old| old.orphans);
        let written = old.as_ref().and_then(|old| old.written.clone());
        let written = written.filter(|written| is_newer(written, &object));
        let mut graves = old.map(|old| old.graves).unwrap_or_default();
        graves.read(tombstones(written.as_ref().unwrap_or(&object)));
        let entry = Entry { object, handle, unusable_since, settings, orphans, graves, written };
        known.insert(name.clone(), entry);
        drop(known);
        self.left_mut().remove(name);
        selects
    }

    /// Takes note of what was written of a lattice.
    pub(super) fn learn(&self, name: &LatticeName, written: Lattice) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = known.get_mut(name)
            && is_newer(&written, entry.newest())
        {
            entry.graves.read(tombstones(&written));
            entry.written = Some(Arc::new(written));
        }
    }

    /// Only what the watch shows counts from now on, be it older than what was written.
    pub(super) fn forget_written(&self) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        for entry in known.values_mut() {
            entry.written = None;
            entry.graves.read(tombstones(&entry.object));
        }
    }

    /// The newest that is known of a lattice; what the watch shows may be older than what was written
    /// last.
    #[must_use]
    pub(super) fn newest(&self, object: Arc<Lattice>) -> Arc<Lattice> {
        let known = self.read();
        let known = known.get(object.name_any().as_str()).and_then(|entry| entry.written.as_ref());
        known.filter(|known| is_newer(known, &object)).cloned().unwrap_or(object)
    }

    /// The object of a lattice that is ours.
    #[must_use]
    pub(super) fn object(&self, name: &LatticeName) -> Option<Arc<Lattice>> {
        self.read().get(name).map(|entry| Arc::clone(entry.newest()))
    }

    /// Keeps everybody else from adding or taking away a tombstone meanwhile.
    pub(super) async fn bury(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.burying.lock().await
    }

    /// Whether Applications that went may have left something on a lattice.
    #[must_use]
    pub(super) fn has_graves(&self, name: &LatticeName) -> bool {
        self.read().get(name).is_some_and(|entry| !entry.graves.is_empty())
    }

    /// What Applications that went have left on a lattice.
    #[must_use]
    pub(super) fn graves(&self, name: &LatticeName) -> Vec<Grave> {
        let known = self.read();
        known.get(name).into_iter().flat_map(|entry| entry.graves.all()).cloned().collect()
    }

    /// What an Application of this name left when it went, by lattice.
    #[must_use]
    pub(super) fn left_by(
        &self,
        application: &ApplicationKey,
    ) -> Vec<(LatticeName, Vec<Arc<Desired>>)> {
        let known = self.read();
        let left = |(name, entry): (&LatticeName, &Entry)| {
            let grave = entry.graves.of(application)?;
            Some((name.clone(), grave.former.clone()))
        };
        known.iter().filter_map(left).collect()
    }

    /// Ends the task of a lattice that is gone.
    pub async fn remove(&self, name: &LatticeName) {
        let entry = self.known.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        if let Some(handle) = entry.and_then(|entry| entry.handle) {
            handle.stop().await;
        }
    }

    /// Leaves a lattice to the installation of a class that isn't ours: two that command one would
    /// fight.
    ///
    /// # Returns
    ///
    /// Whether that is new.
    pub async fn leave(&self, name: &LatticeName, class: Option<&String>) -> bool {
        if self.knows(name) {
            tracing::info!("left to another controller class");
            self.remove(name).await;
        }
        self.left_mut().insert(name.clone(), class.cloned()).as_ref() != Some(&class.cloned())
    }

    /// Drops those of other installations that aren't there any more.
    ///
    /// # Returns
    ///
    /// Their names.
    pub fn forget_left(&self, is_there: impl Fn(&LatticeName) -> bool) -> Vec<LatticeName> {
        let mut left = self.left_mut();
        let gone: Vec<_> = left.keys().filter(|name| !is_there(name)).cloned().collect();
        left.retain(|name, _| !gone.contains(name));
        gone
    }

    /// Begins anew everywhere: another replica has sent commands until now.
    pub fn take_over(&self, from: Predecessor) {
        for entry in self.read().values() {
            if let Some(handle) = &entry.handle {
                handle.take_over(from);
            }
        }
    }

    /// Takes nothing more, and waits until all that was sent has its outcome, up to `longest`.
    ///
    /// # Returns
    ///
    /// Whether nothing is under way anywhere then.
    pub async fn drain(&self, longest: Duration) -> bool {
        let handles = self.handles();
        let all = futures::future::join_all(handles.iter().map(Handle::drain));
        tokio::time::timeout(longest, all).await.is_ok_and(|clean| clean.into_iter().all(|it| it))
    }

    /// Ends all tasks, after what is in flight has its outcome or a bound has passed.
    pub async fn stop(&self) {
        let all = std::mem::take(&mut *self.known.write().unwrap_or_else(PoisonError::into_inner));
        let handles = all.into_values().filter_map(|entry| entry.handle);
        futures::future::join_all(handles.map(|handle| async move { handle.stop().await })).await;
    }

    /// What the lattice shows, and its task's present time.
    #[must_use]
    pub fn look(&self, name: &LatticeName) -> (Arc<Observed>, Moment) {
        match self.handle(name) {
            Some(handle) => (handle.observed(), handle.now()),
            None => (Arc::new(self.unusable(name)), clock::now()),
        }
    }

    fn unusable(&self, name: &LatticeName) -> Observed {
        let why = if self.read().contains_key(name) {
            format!("Lattice {name} can't be used; `kubectl describe lattice {name}` says why")
        } else {
            match self.left().get(name) {
                Some(class) => of_another_class(name.as_str(), class.as_deref()).join("; "),
                None => format!("there is no Lattice {name}; create it"),
            }
        };
        let mut observed = Observed::unknown(name.clone());
        observed.gate = Gate::Disconnected { why: why.into() };
        observed
    }

    #[must_use]
    pub fn handle(&self, name: &LatticeName) -> Option<Handle> {
        self.read().get(name).and_then(|entry| entry.handle.clone())
    }

    /// How long it has been disconnected or not been seen whole; `None` while it can be used.
    pub fn unusable_for(&self, name: &LatticeName, gate: &Gate) -> Option<Duration> {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let entry = known.get_mut(name)?;
        entry.unusable_since =
            (!gate.may_add()).then(|| entry.unusable_since.unwrap_or_else(clock::now));
        entry.unusable_since.map(|since| clock::now().since(since))
    }

    /// How it is reached, if its credentials are of this Secret.
    #[must_use]
    pub(super) fn access(&self, name: &LatticeName, secret: &str) -> Option<Access> {
        let known = self.read();
        let entry = known.get(name)?;
        let named = entry.object.spec.nats.credentials_secret.as_ref()?;
        let settings = entry.settings.as_ref().filter(|_| named.name == secret)?;
        Some(settings.access.clone())
    }

    /// Takes note of how many things on a lattice have lost their Application.
    pub fn count_orphans(&self, name: &LatticeName, orphans: usize) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = known.get_mut(name) {
            entry.orphans = orphans;
        }
    }

    /// How many things have lost their Application, by lattice.
    #[must_use]
    pub fn orphans(&self) -> Vec<(LatticeName, usize)> {
        self.read().iter().map(|(name, entry)| (name.clone(), entry.orphans)).collect()
    }

    /// Those that have been taken up.
    #[must_use]
    pub fn names(&self) -> Vec<LatticeName> {
        self.read().keys().cloned().collect()
    }

    /// The counters of every lattice's task.
    #[must_use]
    pub fn handles(&self) -> Vec<Handle> {
        self.read().values().filter_map(|entry| entry.handle.clone()).collect()
    }

    /// Under which name what we start there is owned.
    #[must_use]
    pub fn installation(&self, name: &LatticeName) -> Arc<str> {
        let known = self.read();
        known
            .get(name)
            .map_or_else(|| "trellis".into(), |e| e.object.spec.installation.as_str().into())
    }

    /// The lattices that show something of this Application.
    #[must_use]
    pub fn with_things_of(&self, application: &ApplicationKey) -> Vec<LatticeName> {
        let shows = |entry: &Entry| {
            let installation = entry.object.spec.installation.as_str().into();
            let owner = Owner { installation, application: application.clone() };
            let observed = entry.handle.as_ref().map(Handle::observed);
            observed.is_some_and(|observed| observed.runs().owned(&owner).next().is_some())
        };
        let known = self.read();
        known.iter().filter(|(_, entry)| shows(entry)).map(|(name, _)| name.clone()).collect()
    }

    pub fn submit(&self, name: &LatticeName, application: &ApplicationKey, commands: Vec<Command>) {
        if let Some(handle) = self.handle(name) {
            handle.submit(application, commands);
        }
    }

    pub fn want_configs(
        &self,
        name: &LatticeName,
        application: &ApplicationKey,
        configs: &FewOf<ConfigName>,
    ) {
        if let Some(handle) = self.handle(name) {
            handle.want_configs(application, configs.clone());
        }
    }

    pub fn want_on_host_loss(
        &self,
        name: &LatticeName,
        application: &ApplicationKey,
        policies: BTreeMap<WorkloadId, LossPolicy>,
    ) {
        if let Some(handle) = self.handle(name) {
            handle.want_on_host_loss(application, policies);
        }
    }

    /// Drops what is kept for an Application, but for where it left something that is still to go.
    pub fn forget(&self, application: &ApplicationKey) {
        for entry in self.read().values() {
            if entry.graves.of(application).is_some() {
                continue;
            }
            if let Some(handle) = &entry.handle {
                handle.forget(application);
            }
        }
    }

    /// What an Application's topologies are resolved with.
    #[must_use]
    pub fn facts(&self, ctx: &Context, appfile: &Appfile) -> TargetFacts {
        let facts = |name: &Arc<str>| {
            let namespace = ctx.namespaces.get(&ObjectRef::new(name))?;
            let (labels, annotations) = (namespace.labels(), namespace.annotations());
            let facts = NamespaceFacts { labels: labels.clone(), annotations: annotations.clone() };
            Some((Arc::clone(name), facts))
        };
        let known = self.read();
        let lattices =
            known.iter().map(|(name, entry)| (name.clone(), LatticeFacts::from(&*entry.object)));
        TargetFacts {
            lattices: lattices.collect(),
            left: self.left().clone(),
            namespaces: appfile.namespaces().filter_map(facts).collect(),
        }
    }

    fn left(&self) -> RwLockReadGuard<'_, BTreeMap<LatticeName, Option<String>>> {
        self.left.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn left_mut(&self) -> RwLockWriteGuard<'_, BTreeMap<LatticeName, Option<String>>> {
        self.left.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<LatticeName, Entry>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tombstones(object: &Lattice) -> &[Tombstone] {
    object.status.as_ref().map_or(&[], |status| &status.tombstones)
}

/// Whether `one` is a later version than `other` of the same object.
fn is_newer(one: &Lattice, other: &Lattice) -> bool {
    one.uid() == other.uid() && version(&one.metadata) > version(&other.metadata)
}

/// Whether a topology, or the choice of a default, could come out otherwise.
fn selects_differently(old: &Lattice, new: &Lattice) -> bool {
    old.labels() != new.labels()
        || old.spec.default != new.spec.default
        || old.spec.allowed_namespaces != new.spec.allowed_namespaces
        || old.spec.installation != new.spec.installation
}
