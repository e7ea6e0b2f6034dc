use std::sync::Arc;

use imbl::{OrdMap, ordmap::Entry};

use super::{Annotations, FewOf, HostId, Inventory, Owner, WorkloadId};

/// Who runs what, kept beside the hosts so that a plan needn't look at those that don't matter.
///
/// It follows [`super::Observed::hosts`] inventory by inventory; unreachable hosts stay in it,
/// because what they run still counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Runs {
    hosts: OrdMap<WorkloadId, Runners>,
    owned: OrdMap<Owner, FewOf<(WorkloadId, HostId)>>,
}

/// The hosts that show one id.
#[derive(Debug, Clone, Default)]
struct Runners {
    hosts: FewOf<HostId>,
    /// What the one that was seen last shows; mostly they all show the same.
    last: Option<(Arc<str>, Arc<Annotations>)>,
}

impl PartialEq for Runners {
    /// What was seen last depends on the order of events, and decides nothing.
    fn eq(&self, other: &Self) -> bool {
        self.hosts == other.hosts
    }
}

impl Eq for Runners {}

impl Runs {
    /// The hosts that show `id`, whoever owns it there and whatever its kind.
    pub fn hosts(&self, id: &WorkloadId) -> impl Iterator<Item = &HostId> {
        self.hosts.get(id).into_iter().flat_map(|runners| &runners.hosts)
    }

    /// Lets `inventory` share the texts of others that show the same ids: they are kept once, and a
    /// plan that has looked at them knows them again.
    pub(super) fn share(&self, inventory: &mut Inventory) {
        for (id, image, annotations) in inventory.texts_mut() {
            let Some(last) = self.hosts.get(id).and_then(|runners| runners.last.as_ref()) else {
                continue;
            };
            if last.0 == *image {
                image.clone_from(&last.0);
            }
            if last.1 == *annotations {
                annotations.clone_from(&last.1);
            }
        }
    }

    /// Everything that carries the annotations of `owner`, and where.
    pub fn owned(&self, owner: &Owner) -> impl Iterator<Item = &(WorkloadId, HostId)> {
        self.owned.get(owner).into_iter().flatten()
    }

    /// Everything that names an owner, by owner.
    pub fn owners(&self) -> impl Iterator<Item = (&Owner, &FewOf<(WorkloadId, HostId)>)> {
        self.owned.iter()
    }

    /// Takes note that `host` shows `new` where it showed `old`; costs what differs, and a
    /// comparison of the rest.
    pub(super) fn replace(
        &mut self,
        host: &HostId,
        old: Option<&Inventory>,
        new: Option<&Inventory>,
    ) {
        for (id, _, before) in old.into_iter().flat_map(Inventory::entries) {
            let same = new.is_some_and(|new| new.annotations(id).any(|after| after == before));
            if !same {
                self.forget(host, id, before, new);
            }
        }
        for (id, image, after) in new.into_iter().flat_map(Inventory::entries) {
            let same = old.is_some_and(|old| old.annotations(id).any(|before| before == after));
            if !same {
                self.learn(host, id, image, after);
            }
        }
    }

    fn learn(
        &mut self,
        host: &HostId,
        id: &WorkloadId,
        image: &Arc<str>,
        annotations: &Arc<Annotations>,
    ) {
        let runners = self.hosts.entry(id.clone()).or_default();
        runners.hosts.insert(host.clone());
        runners.last = Some((image.clone(), annotations.clone()));
        if let Some(owner) = Owner::of(annotations) {
            self.owned.entry(owner).or_default().insert((id.clone(), host.clone()));
        }
    }

    fn forget(
        &mut self,
        host: &HostId,
        id: &WorkloadId,
        annotations: &Annotations,
        left: Option<&Inventory>,
    ) {
        let mut left = left.into_iter().flat_map(|left| left.annotations(id)).peekable();
        if left.peek().is_none()
            && let Entry::Occupied(mut runners) = self.hosts.entry(id.clone())
        {
            runners.get_mut().hosts.remove(host);
            if runners.get().hosts.is_empty() {
                runners.remove();
            }
        }
        if let Some(owner) = Owner::of(annotations)
            && !left.any(|left| owner.owns(left))
        {
            let Entry::Occupied(mut owned) = self.owned.entry(owner) else { return };
            owned.get_mut().remove(&(id.clone(), host.clone()));
            if owned.get().is_empty() {
                owned.remove();
            }
        }
    }
}
