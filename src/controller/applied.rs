//! What a status lists of what an Application put where; for readers, it decides nothing. Pure.
use crate::{
    api::{AppliedResource, Released},
    model::{ConfigWanted, Desired, LatticeName, WorkloadKind},
};

use super::{decision::World, status::Facts};

/// Each list ends here: whole lattices of links are for other tools.
const MAX: usize = 500;

/// Which revision released each component to each target. A spec that was refused released
/// nothing, so what stood there holds.
#[must_use]
pub(super) fn released(facts: &Facts) -> Vec<Released> {
    let Some(revision) = facts.revision.filter(|_| facts.refusal.is_none()) else {
        return facts.before.released.clone();
    };
    let each = facts.world.steps.iter().flat_map(|step| {
        let of = move |target: &crate::appfile::Target| {
            let target = target.clone();
            step.components.iter().map(move |component| Released {
                revision: revision.name.clone(),
                step: step.name.to_string(),
                lattice: target.lattice.to_string(),
                namespace: target.namespace.to_string(),
                component: component.to_string(),
                ..Released::default()
            })
        };
        step.targets.iter().flat_map(of)
    });
    each.take(MAX).collect()
}

/// What runs, links and configures because of an Application.
#[must_use]
pub(super) fn resources(world: &World) -> Vec<AppliedResource> {
    let all = world.sights.iter().flat_map(|(lattice, sight)| on(lattice, &sight.desired));
    all.take(MAX).collect()
}

fn on<'a>(
    lattice: &'a LatticeName,
    desired: &'a Desired,
) -> impl Iterator<Item = AppliedResource> + 'a {
    let resource = |kind: &str, name: String, namespace: String| AppliedResource {
        kind: kind.into(),
        name,
        namespace,
        cluster: lattice.to_string(),
        ..AppliedResource::default()
    };
    let own = || desired.owner.application.namespace.to_string();
    let workloads = desired.workloads.iter().map(move |(id, workload)| {
        let kind = match workload.kind {
            WorkloadKind::Component => "Component",
            WorkloadKind::Provider => "Provider",
        };
        resource(kind, id.to_string(), workload.namespace.to_string())
    });
    let links = desired
        .links
        .iter()
        .map(move |(key, link)| resource("Link", format!("{key}-> {}", link.target), own()));
    let configs = desired.configs.iter().filter_map(move |(name, wanted)| match wanted {
        ConfigWanted::Managed(_) => Some(resource("Config", name.to_string(), own())),
        ConfigWanted::Required => None,
    });
    workloads.chain(links).chain(configs)
}
