//! Who has which id, config name and link on which lattice, over all Applications.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    model::{ApplicationKey, Desired, LatticeName},
    placement::{Claims, Created},
};

/// A table a lattice, shared with whoever plans.
#[derive(Debug, Default)]
pub struct ClaimTables {
    lattices: BTreeMap<LatticeName, Arc<Claims>>,
    /// What each Application claims where, so that it can be taken back.
    places: BTreeMap<ApplicationKey, BTreeMap<LatticeName, Arc<Desired>>>,
}

impl ClaimTables {
    #[must_use]
    pub fn of(&self, lattice: &LatticeName) -> Arc<Claims> {
        self.lattices.get(lattice).cloned().unwrap_or_default()
    }

    /// Replaces an Application's claims.
    ///
    /// # Returns
    ///
    /// The other Applications whose plans this may change: those that claim something that this one
    /// gave up or newly claims.
    pub fn set(
        &mut self,
        application: &ApplicationKey,
        created: &Created,
        desired: BTreeMap<LatticeName, Arc<Desired>>,
    ) -> BTreeSet<ApplicationKey> {
        let old = self.places.remove(application).unwrap_or_default();
        let mut touched = BTreeSet::new();
        for (lattice, gave_up) in &old {
            if !desired.contains_key(lattice) {
                let claims = self.table(lattice);
                touched.extend(claims.rivals(gave_up).cloned());
                claims.remove(application);
            }
        }
        for (lattice, wanted) in &desired {
            let before = old.get(lattice);
            if before.is_some_and(|old| Arc::ptr_eq(old, wanted) || old == wanted) {
                continue;
            }
            let claims = self.table(lattice);
            touched.extend(before.into_iter().flat_map(|old| claims.rivals(old)).cloned());
            touched.extend(claims.rivals(wanted).cloned());
            claims.set(application, created.clone(), Arc::clone(wanted));
        }
        if !desired.is_empty() {
            self.places.insert(application.clone(), desired);
        }
        touched.remove(application);
        touched
    }

    /// Takes back all of an Application's claims; see [`ClaimTables::set`].
    pub fn remove(&mut self, application: &ApplicationKey) -> BTreeSet<ApplicationKey> {
        let created = Created { at: 0, uid: "".into() };
        self.set(application, &created, BTreeMap::new())
    }

    fn table(&mut self, lattice: &LatticeName) -> &mut Claims {
        Arc::make_mut(self.lattices.entry(lattice.clone()).or_default())
    }
}
