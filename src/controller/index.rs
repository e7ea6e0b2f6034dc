//! Which Applications a change on a lattice touches.
use std::collections::{BTreeMap, BTreeSet};

use super::reached::Reached;
use crate::model::{
    ApplicationKey, ConfigName, Desired, Few, FewOf, Labels, LatticeName, Reach, WorkloadId,
};

/// From what a lattice can report to the Applications that want it or wanted it.
#[derive(Debug, Default)]
pub struct Index {
    workloads: BTreeMap<(LatticeName, WorkloadId), FewOf<ApplicationKey>>,
    configs: BTreeMap<(LatticeName, ConfigName), FewOf<ApplicationKey>>,
    lattices: BTreeMap<LatticeName, BTreeSet<ApplicationKey>>,
    hosts: Reached,
    /// What each Application put into the maps above, so that it can be taken out again.
    entries: BTreeMap<ApplicationKey, Few<LatticeName, Names>>,
}

/// What an Application may have on one lattice.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Names {
    pub workloads: FewOf<WorkloadId>,
    pub configs: FewOf<ConfigName>,
}

impl Names {
    /// Adds what `desired` names; links count by both ends, of which one may be shared.
    pub fn add(&mut self, desired: &Desired) {
        self.workloads.extend(desired.workloads.keys().cloned());
        let ends = desired.links.iter().flat_map(|(key, link)| [&key.source, &link.target]);
        self.workloads.extend(ends.cloned());
        self.configs.extend(desired.configs.keys().cloned());
    }
}

impl Index {
    /// Replaces what is known of one Application; costs nothing where nothing changed.
    pub fn set(&mut self, application: &ApplicationKey, names: Few<LatticeName, Names>) {
        if self.entries.get(application) == Some(&names) {
            return;
        }
        let reaches = names.keys().map(|lattice| {
            let known = self.hosts.get(lattice, application).cloned();
            (lattice.clone(), known.unwrap_or_else(Reach::any))
        });
        let reaches: Vec<_> = reaches.collect();
        self.remove(application);
        for (lattice, reach) in reaches {
            self.hosts.set(&lattice, application, &reach);
        }
        for (lattice, names) in &names {
            self.lattices.entry(lattice.clone()).or_default().insert(application.clone());
            for id in &names.workloads {
                let key = (lattice.clone(), id.clone());
                self.workloads.entry(key).or_default().insert(application.clone());
            }
            for name in &names.configs {
                let key = (lattice.clone(), name.clone());
                self.configs.entry(key).or_default().insert(application.clone());
            }
        }
        self.entries.insert(application.clone(), names);
    }

    pub fn remove(&mut self, application: &ApplicationKey) {
        for (lattice, names) in self.entries.remove(application).unwrap_or_default() {
            for id in names.workloads {
                take_few(&mut self.workloads, (lattice.clone(), id), application);
            }
            for name in names.configs {
                take_few(&mut self.configs, (lattice.clone(), name), application);
            }
            self.hosts.remove(&lattice, application);
            take(&mut self.lattices, lattice, application);
        }
    }

    /// Takes down which other hosts could change what was planned for an Application that has, or
    /// may have, something on a lattice. Until this is said, all could.
    pub fn set_reach(&mut self, lattice: &LatticeName, app: &ApplicationKey, reach: &Reach) {
        if self.lattices.get(lattice).is_some_and(|apps| apps.contains(app)) {
            self.hosts.set(lattice, app, reach);
        }
    }

    /// Whether these are the hosts that are known to matter to what was planned.
    pub fn has_reach(&self, lattice: &LatticeName, app: &ApplicationKey, reach: &Reach) -> bool {
        self.hosts.get(lattice, app) == Some(reach)
    }

    /// The Applications whose plan a host with these labels could change although nothing of theirs
    /// runs there; one can be named several times.
    pub fn of_host<'a>(
        &'a self,
        lattice: &'a LatticeName,
        labels: &'a Labels,
    ) -> impl Iterator<Item = &'a ApplicationKey> {
        self.hosts.by(lattice, labels)
    }

    pub fn of_workload(
        &self,
        lattice: &LatticeName,
        id: &WorkloadId,
    ) -> impl Iterator<Item = &ApplicationKey> {
        self.workloads.get(&(lattice.clone(), id.clone())).into_iter().flatten()
    }

    pub fn of_config(
        &self,
        lattice: &LatticeName,
        name: &ConfigName,
    ) -> impl Iterator<Item = &ApplicationKey> {
        self.configs.get(&(lattice.clone(), name.clone())).into_iter().flatten()
    }

    /// All Applications that have, or may have, something on a lattice.
    pub fn of_lattice(&self, lattice: &LatticeName) -> impl Iterator<Item = &ApplicationKey> {
        self.lattices.get(lattice).into_iter().flatten()
    }
}

pub(super) fn take<K: Ord>(
    map: &mut BTreeMap<K, BTreeSet<ApplicationKey>>,
    key: K,
    app: &ApplicationKey,
) {
    if let std::collections::btree_map::Entry::Occupied(mut entry) = map.entry(key) {
        entry.get_mut().remove(app);
        if entry.get().is_empty() {
            entry.remove();
        }
    }
}

/// As [`take`], where there are but a few.
fn take_few<K: Ord>(map: &mut BTreeMap<K, FewOf<ApplicationKey>>, key: K, app: &ApplicationKey) {
    if let std::collections::btree_map::Entry::Occupied(mut entry) = map.entry(key) {
        entry.get_mut().remove(app);
        if entry.get().is_empty() {
            entry.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(workloads: &[&str], configs: &[&str]) -> Names {
        Names {
            workloads: workloads.iter().map(|w| w.parse().unwrap()).collect(),
            configs: configs.iter().map(|c| c.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn an_application_is_found_by_what_it_has_now_and_no_longer_by_what_it_had() {
        let lattice: LatticeName = "edge".parse().unwrap();
        let app = ApplicationKey::new("default", "shop");
        let mut index = Index::default();
        index.set(&app, Few::from_iter([(lattice.clone(), names(&["web"], &["c"]))]));
        index.set(&app, Few::from_iter([(lattice.clone(), names(&["api"], &[]))]));

        let found = |id: &str| index.of_workload(&lattice, &id.parse().unwrap()).count();
        assert_eq!((found("web"), found("api")), (0, 1));
        assert_eq!(index.of_config(&lattice, &"c".parse().unwrap()).count(), 0);
        assert_eq!(index.of_lattice(&lattice).collect::<Vec<_>>(), [&app]);

        index.remove(&app);
        assert_eq!(index.of_lattice(&lattice).count(), 0);
        assert!(
            index.workloads.is_empty() && index.configs.is_empty() && index.lattices.is_empty()
        );
        assert!(index.hosts.is_empty());
    }

    #[test]
    fn every_host_matters_to_what_nobody_has_planned_yet() {
        let (edge, cloud): (LatticeName, LatticeName) =
            ("edge".parse().unwrap(), "cloud".parse().unwrap());
        let app = ApplicationKey::new("default", "shop");
        let mut index = Index::default();
        let found = |index: &Index, lattice| index.of_host(lattice, &Labels::new()).count();

        index.set(&app, Few::from_iter([(edge.clone(), names(&["web"], &[]))]));
        assert_eq!(found(&index, &edge), 1);
        index.set_reach(&edge, &app, &Reach::default());
        assert_eq!(found(&index, &edge), 0);

        // Another lattice is new to it, and what is known of the first stays.
        let both = [&edge, &cloud].map(|it| (it.clone(), names(&["web", "api"], &[])));
        index.set(&app, both.into_iter().collect());
        assert_eq!((found(&index, &edge), found(&index, &cloud)), (0, 1));

        // What it has nothing on any more is nothing to it, whatever a late plan says.
        index.set(&app, Few::from_iter([(edge.clone(), names(&["web"], &[]))]));
        index.set_reach(&cloud, &app, &Reach::any());
        assert_eq!((found(&index, &edge), found(&index, &cloud)), (0, 0));
    }
}
