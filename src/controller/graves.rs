//! The tombstones of a lattice, as they are read.
use std::{collections::BTreeMap, sync::Arc};

use super::tombstone;
use crate::{
    api::Tombstone,
    model::{ApplicationKey, Desired, Owner},
};

/// What an Application that went has left.
#[derive(Debug, Clone)]
pub(super) struct Grave {
    pub owner: Owner,
    /// Newest first.
    pub former: Vec<Arc<Desired>>,
}

/// See the module. What a tombstone means is worked out once: whoever plans compares addresses.
#[derive(Debug, Default)]
pub(super) struct Graves {
    read_from: Vec<Tombstone>,
    of: BTreeMap<ApplicationKey, Grave>,
}

impl Graves {
    /// Follows what the status says by now.
    pub(super) fn read(&mut self, tombstones: &[Tombstone]) {
        if self.read_from == tombstones {
            return;
        }
        let mut before = std::mem::take(&mut self.of);
        for tombstone in tombstones {
            let Some(owner) = tombstone::owner(tombstone) else { continue };
            let key = owner.application.clone();
            let same = self.read_from.contains(tombstone).then(|| before.remove(&key)).flatten();
            let read = || {
                let former = tombstone::former(tombstone, &owner);
                Grave { owner, former }
            };
            self.of.insert(key, same.unwrap_or_else(read));
        }
        self.read_from = tombstones.to_vec();
    }

    #[must_use]
    pub(super) fn of(&self, application: &ApplicationKey) -> Option<&Grave> {
        self.of.get(application)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Grave> {
        self.of.values()
    }

    #[must_use]
    pub(super) fn is_empty(&self) -> bool {
        self.of.is_empty()
    }
}
