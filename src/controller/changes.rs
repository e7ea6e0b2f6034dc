//! Tells each change of a lattice to the Applications that it touches, and to the `Lattice`.
use std::{collections::BTreeSet, sync::Arc};

use kube::runtime::reflector::ObjectRef;
use tokio::sync::mpsc;

use super::{context::Context, index::Index};
use crate::{
    api::Lattice,
    lattice::inventory::Change,
    model::{ApplicationKey, LatticeName, Observed, Owner, WorkloadId},
};

pub(super) async fn drive(
    ctx: Arc<Context>,
    mut changes: mpsc::Receiver<(LatticeName, Change)>,
    lattices: mpsc::Sender<ObjectRef<Lattice>>,
) {
    while let Some((lattice, change)) = changes.recv().await {
        let touched = touched(&ctx.index(), &lattice, &change);
        touched.applications.iter().for_each(|app| ctx.touched.tell(app, change.since));
        if !touched.strange.is_empty() {
            let installation = ctx.lattices.installation(&lattice);
            let (observed, _) = ctx.lattices.look(&lattice);
            let owners = touched.strange.iter().flat_map(|id| owners(&observed, id));
            let ours = owners.filter(|owner| owner.installation == installation);
            let there = |key: &ApplicationKey| {
                let object = ObjectRef::new(&key.name).within(&key.namespace);
                ctx.applications.get(&object).is_some()
            };
            let ours = ours.map(|owner| owner.application).filter(there);
            ours.for_each(|app| ctx.touched.tell(&app, change.since));
        }
        let graves = ctx.lattices.has_graves(&lattice);
        if (!touched.strange.is_empty()
            || graves
            || change.gate
            || change.health
            || !change.hosts.is_empty())
            && lattices.send(ObjectRef::new(lattice.as_str())).await.is_err()
        {
            return;
        }
    }
}

/// Whom a change is about.
#[derive(Debug, Default, PartialEq, Eq)]
struct Touched {
    applications: BTreeSet<ApplicationKey>,
    /// Ids that no Application is known to want or have wanted.
    strange: BTreeSet<WorkloadId>,
}

/// Costs what the change is about, and those that it touches.
fn touched(index: &Index, lattice: &LatticeName, change: &Change) -> Touched {
    let mut touched = Touched::default();
    let applications = &mut touched.applications;
    for id in change.workloads.iter().chain(&change.link_sources) {
        let mut apps = index.of_workload(lattice, id).peekable();
        if apps.peek().is_none() {
            touched.strange.insert(id.clone());
        }
        applications.extend(apps.cloned());
    }
    if change.gate || change.links {
        applications.extend(index.of_lattice(lattice).cloned());
        return touched;
    }
    for labels in &change.labels {
        applications.extend(index.of_host(lattice, labels).cloned());
    }
    for name in &change.configs {
        applications.extend(index.of_config(lattice, name).cloned());
    }
    touched
}

/// Whose name what runs under `id` carries.
fn owners(observed: &Observed, id: &WorkloadId) -> BTreeSet<Owner> {
    let inventories =
        observed.runs().hosts(id).filter_map(|host| observed.hosts.get(host)?.inventory.as_ref());
    inventories
        .flat_map(|inventory| inventory.annotations(id))
        .filter_map(|it| Owner::of(it))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        controller::index::Names,
        model::{Few, FewOf, Labels, Reach},
    };

    fn zone(name: &str) -> Labels {
        BTreeMap::from([("zone".to_owned(), name.to_owned())])
    }

    /// A thousand Applications with a component each; a few wait for a host of some zone.
    fn crowd(lattice: &LatticeName) -> Index {
        let mut index = Index::default();
        for number in 0..1000 {
            let app = ApplicationKey::new("default", &format!("app-{number:03}"));
            let id: WorkloadId = format!("web-{number}").parse().unwrap();
            let names = Names { workloads: FewOf::from([id]), configs: FewOf::default() };
            index.set(&app, Few::from_iter([(lattice.clone(), names)]));
            let like = match number {
                7 => BTreeSet::from([zone("mars")]),
                8 => BTreeSet::from([zone("mars"), zone("eu")]),
                _ => BTreeSet::new(),
            };
            index.set_reach(lattice, &app, &Reach { any: number == 9, like });
        }
        index
    }

    fn names(touched: &Touched) -> Vec<&str> {
        touched.applications.iter().map(|app| &*app.name).collect()
    }

    #[test]
    fn a_host_that_comes_or_goes_touches_those_that_it_matters_to() {
        let lattice: LatticeName = "edge".parse().unwrap();
        let index = crowd(&lattice);
        let mut joined = Change::default();
        joined.host(&"a".parse().unwrap(), &zone("mars"));
        assert_eq!(names(&touched(&index, &lattice, &joined)), ["app-007", "app-008", "app-009"]);

        let mut moved = Change::default();
        moved.host(&"a".parse().unwrap(), &zone("us"));
        moved.host(&"a".parse().unwrap(), &zone("eu"));
        moved.workloads.insert("web-5".parse().unwrap());
        moved.workloads.insert("stray".parse().unwrap());
        let moved = touched(&index, &lattice, &moved);
        assert_eq!(names(&moved), ["app-005", "app-008", "app-009"]);
        assert_eq!(moved.strange, BTreeSet::from(["stray".parse().unwrap()]));

        let gate = Change { gate: true, ..Change::default() };
        assert_eq!(touched(&index, &lattice, &gate).applications.len(), 1000);
    }
}
