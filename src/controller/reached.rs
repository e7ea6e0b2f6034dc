//! Which Applications' plans a host could change on which nothing of theirs runs.
use std::collections::{BTreeMap, BTreeSet};

use super::index::take;
use crate::model::{ApplicationKey, Labels, LatticeName, Reach, has_all};

/// By lattice, from the labels that a plan minds to the Applications whose plan it is.
#[derive(Debug, Default)]
pub(super) struct Reached {
    /// Who minds every host.
    any: BTreeMap<LatticeName, BTreeSet<ApplicationKey>>,
    /// Under one of the labels, so that a host leads only to those of which it has that one; what
    /// minds no label in particular is under none.
    like: BTreeMap<(LatticeName, Option<Label>), BTreeMap<Labels, BTreeSet<ApplicationKey>>>,
    entries: BTreeMap<(LatticeName, ApplicationKey), Reach>,
}

type Label = (String, String);

impl Reached {
    /// Replaces what is known of one Application's plan; costs nothing where nothing changed.
    pub(super) fn set(&mut self, lattice: &LatticeName, app: &ApplicationKey, reach: &Reach) {
        if self.get(lattice, app) == Some(reach) {
            return;
        }
        self.remove(lattice, app);
        if reach.any {
            self.any.entry(lattice.clone()).or_default().insert(app.clone());
        }
        for labels in &reach.like {
            let group = self.like.entry((lattice.clone(), first(labels))).or_default();
            group.entry(labels.clone()).or_default().insert(app.clone());
        }
        self.entries.insert((lattice.clone(), app.clone()), reach.clone());
    }

    pub(super) fn get(&self, lattice: &LatticeName, app: &ApplicationKey) -> Option<&Reach> {
        self.entries.get(&(lattice.clone(), app.clone()))
    }

    pub(super) fn remove(&mut self, lattice: &LatticeName, app: &ApplicationKey) {
        let Some(reach) = self.entries.remove(&(lattice.clone(), app.clone())) else { return };
        if reach.any {
            take(&mut self.any, lattice.clone(), app);
        }
        for labels in reach.like {
            let key = (lattice.clone(), first(&labels));
            if let Some(group) = self.like.get_mut(&key) {
                take(group, labels, app);
                if group.is_empty() {
                    self.like.remove(&key);
                }
            }
        }
    }

    /// Those that mind a host with these labels; one can be named several times.
    pub(super) fn by<'a>(
        &'a self,
        lattice: &'a LatticeName,
        labels: &'a Labels,
    ) -> impl Iterator<Item = &'a ApplicationKey> {
        let label = |(label, value): (&String, &String)| Some((label.clone(), value.clone()));
        let keys = std::iter::once(None).chain(labels.iter().map(label));
        let groups = keys.filter_map(|key| self.like.get(&(lattice.clone(), key))).flatten();
        let like = groups.filter(|(wanted, _)| has_all(labels, wanted)).flat_map(|(_, apps)| apps);
        self.any.get(lattice).into_iter().flatten().chain(like)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.any.is_empty() && self.like.is_empty() && self.entries.is_empty()
    }
}

fn first(labels: &Labels) -> Option<Label> {
    // Hosts have their built-in labels in common, and so lead to everybody who names one.
    let own = labels.iter().find(|(label, _)| !label.starts_with("hostcore."));
    let (label, value) = own.or_else(|| labels.first_key_value())?;
    Some((label.clone(), value.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(all: &[(&str, &str)]) -> Labels {
        all.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_host_leads_to_those_whose_labels_it_has_all_of() {
        let (lattice, other): (LatticeName, LatticeName) =
            ("edge".parse().unwrap(), "cloud".parse().unwrap());
        let mut reached = Reached::default();
        let mut set = |name: &str, any: bool, like: &[&[(&str, &str)]]| {
            let like = like.iter().map(|all| labels(all)).collect();
            let app = ApplicationKey::new("default", name);
            reached.set(&lattice, &app, &Reach { any, like });
        };
        set("every", true, &[]);
        set("none", false, &[]);
        set("all", false, &[&[]]);
        set("eu", false, &[&[("zone", "eu")]]);
        set("either", false, &[&[("zone", "eu")], &[("zone", "us")]]);
        set("both", false, &[&[("zone", "eu"), ("disk", "ssd")]]);
        set("moved", false, &[&[("zone", "eu")]]);
        set("moved", false, &[&[("zone", "us")]]);

        let by = |lattice: &LatticeName, host: &[(&str, &str)]| {
            let host = labels(host);
            let found: BTreeSet<_> = reached.by(lattice, &host).map(|app| &*app.name).collect();
            found.into_iter().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(by(&lattice, &[]), "all every");
        assert_eq!(by(&lattice, &[("zone", "eu"), ("disk", "hdd")]), "all either eu every");
        assert_eq!(by(&lattice, &[("zone", "eu"), ("disk", "ssd")]), "all both either eu every");
        assert_eq!(by(&lattice, &[("zone", "us")]), "all either every moved");
        assert_eq!(by(&other, &[("zone", "us")]), "");

        for name in ["every", "none", "all", "eu", "either", "both", "moved"] {
            reached.remove(&lattice, &ApplicationKey::new("default", name));
        }
        assert!(reached.is_empty(), "{reached:?}");
    }
}
