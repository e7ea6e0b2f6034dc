//! What stays with hosts that are lost ↔ the status of their `Lattice`, where the next process
//! finds it. Pure.
//!
//! Kept is what a plan needs of it: whose it is, and what it was asked with. Of things that aren't
//! ours nothing is kept.
use std::sync::Arc;

use crate::{
    api::{HeldWorkload, HostSummary},
    lattice::inventory::KnownHost,
    model::{
        APPLICATION, Annotations, HASH, INSTALLATION, Inventory, Owner, RunningComponent,
        RunningProvider, WorkloadId,
    },
};

/// Of what is `held`, all that is ours.
#[must_use]
pub(super) fn to_status(held: &Inventory, installation: &str) -> Vec<HeldWorkload> {
    let component = |(id, running): (&WorkloadId, &RunningComponent)| {
        let instances = Some(i64::from(running.instances));
        summary(id, &running.image, &running.annotations, instances, installation)
    };
    let provider = |(id, running): (&WorkloadId, &RunningProvider)| {
        summary(id, &running.image, &running.annotations, None, installation)
    };
    let components = held.components.iter().filter_map(component);
    components.chain(held.providers.iter().filter_map(provider)).collect()
}

fn summary(
    id: &WorkloadId,
    image: &str,
    annotations: &Annotations,
    instances: Option<i64>,
    installation: &str,
) -> Option<HeldWorkload> {
    let owner = Owner::of(annotations).filter(|owner| *owner.installation == *installation)?;
    Some(HeldWorkload {
        id: id.to_string(),
        application: owner.application.to_string(),
        image: image.to_owned(),
        instances,
        hash: annotations.get(HASH).map(str::to_owned),
    })
}

/// A host as its `Lattice` remembers it; `None` if its id can't be one.
#[must_use]
pub(super) fn from_status(host: &HostSummary, installation: &str) -> Option<KnownHost> {
    let mut held = Inventory::default();
    for thing in &host.held {
        let Ok(id) = thing.id.parse::<WorkloadId>() else { continue };
        let image: Arc<str> = thing.image.as_str().into();
        let annotations = annotations(thing, installation).into();
        match thing.instances.map(u32::try_from) {
            None => {
                held.providers.insert(id, RunningProvider { image, annotations });
            }
            Some(Ok(instances)) => {
                // What its memory was limited to stands in the hash.
                let running = RunningComponent { image, annotations, instances, max_memory: None };
                held.components.insert(id, running);
            }
            Some(Err(_)) => {}
        }
    }
    Some(KnownHost {
        id: host.id.parse().ok()?,
        friendly_name: host.name.as_str().into(),
        version: host.version.as_str().into(),
        labels: host.labels.clone(),
        held,
    })
}

fn annotations(thing: &HeldWorkload, installation: &str) -> Annotations {
    let hash = thing.hash.as_deref().map(|hash| (HASH, hash));
    let owner = [(INSTALLATION, installation), (APPLICATION, &thing.application)];
    owner.into_iter().chain(hash).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_is_held_comes_back_from_the_status_as_far_as_it_is_ours() {
        let of = |application: &str, installation: &str| -> Arc<Annotations> {
            let pairs = [(INSTALLATION, installation), (APPLICATION, application), (HASH, "1.a.b")];
            Arc::new(pairs.into())
        };
        let (ours, theirs) = (of("n/a", "trellis"), of("n/a", "other"));
        let component = |annotations: &Arc<Annotations>| RunningComponent {
            max_memory: None,
            image: "r/a:1".into(),
            annotations: Arc::clone(annotations),
            instances: 3,
        };
        let provider = RunningProvider { image: "r/p:1".into(), annotations: Arc::clone(&ours) };
        let id = |id: &str| id.parse::<WorkloadId>().unwrap();
        let mut held = Inventory {
            components: BTreeMap::from([
                (id("web"), component(&ours)),
                (id("foreign"), component(&theirs)),
            ]),
            providers: BTreeMap::from([(id("http"), provider)]),
        };
        let summary = HostSummary {
            id: "NHOST".into(),
            name: "edge".into(),
            version: "1.9.2".into(),
            labels: BTreeMap::from([("site".into(), "north".into())]),
            held: to_status(&held, "trellis"),
        };
        let json = serde_json::to_value(&summary).unwrap();
        let known = from_status(&serde_json::from_value(json).unwrap(), "trellis").unwrap();
        held.components.remove("foreign");
        assert_eq!((known.held, known.labels), (held, summary.labels));
    }
}
