//! Who has which id, config name and link on which lattice, over all Applications.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::sharing::Offer;
use crate::{
    model::{ApplicationKey, Desired, Few, LatticeName},
    placement::{Claims, Created},
};

/// A table a lattice, shared with whoever plans.
#[derive(Debug, Default)]
pub struct ClaimTables {
    lattices: BTreeMap<LatticeName, Arc<Claims>>,
    /// What each Application claims where, so that it can be taken back.
    places: BTreeMap<ApplicationKey, Few<LatticeName, Arc<Desired>>>,
    /// Who refers to components of an Application, whether it is there or not.
    named: BTreeMap<ApplicationKey, BTreeSet<ApplicationKey>>,
    offers: BTreeMap<ApplicationKey, Offer>,
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
        desired: Few<LatticeName, Arc<Desired>>,
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
        let after: BTreeSet<_> = sharers(&desired).collect();
        let before: BTreeSet<_> = sharers(&old).collect();
        touched.extend(before.symmetric_difference(&after).map(|sharer| (*sharer).clone()));
        if old != desired {
            touched.extend(self.named.get(application).into_iter().flatten().cloned());
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
        self.refer(application, &BTreeSet::new());
        self.offers.remove(application);
        let mut touched = self.set(application, &created, Few::new());
        touched.extend(self.named.get(application).into_iter().flatten().cloned());
        touched
    }

    /// What an Application wants where.
    #[must_use]
    pub fn places(&self, application: &ApplicationKey) -> Few<LatticeName, Arc<Desired>> {
        self.places.get(application).cloned().unwrap_or_default()
    }

    /// Takes note of the Applications whose components `application` refers to.
    pub fn refer(&mut self, application: &ApplicationKey, to: &BTreeSet<ApplicationKey>) {
        self.named.retain(|sharer, by| {
            if !to.contains(sharer) {
                by.remove(application);
            }
            !by.is_empty()
        });
        for sharer in to {
            self.named.entry(sharer.clone()).or_default().insert(application.clone());
        }
    }

    /// Takes note of who may refer to an Application's components.
    ///
    /// # Returns
    ///
    /// The Applications that do, if that is new.
    pub fn offer(
        &mut self,
        application: &ApplicationKey,
        offer: Offer,
    ) -> BTreeSet<ApplicationKey> {
        if self.offers.get(application) == Some(&offer) {
            return BTreeSet::new();
        }
        self.offers.insert(application.clone(), offer);
        self.named.get(application).cloned().unwrap_or_default()
    }

    /// The Applications that want links to or from components of this one.
    #[must_use]
    pub fn referrers(&self, application: &ApplicationKey) -> Vec<ApplicationKey> {
        let refers = |places: &Few<_, _>| sharers(places).any(|sharer| sharer == application);
        let others = self.places.iter().filter(|(other, _)| *other != application);
        others.filter(|(_, places)| refers(places)).map(|(other, _)| other.clone()).collect()
    }

    fn table(&mut self, lattice: &LatticeName) -> &mut Claims {
        Arc::make_mut(self.lattices.entry(lattice.clone()).or_default())
    }
}

/// The Applications whose components these links lead to or from.
fn sharers(places: &Few<LatticeName, Arc<Desired>>) -> impl Iterator<Item = &ApplicationKey> {
    places.values().flat_map(|desired| desired.shared.values())
}
