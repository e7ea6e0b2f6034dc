//! What is ours and wanted no more: components first, then providers, links, and config last.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    Inputs,
    cell::Running,
    links,
    order::{Draft, Effect},
    survey::Survey,
    workload,
};
use crate::model::{Adopt, Annotations, Desired, HostId, Lane, WaitsFor, WorkloadId, WorkloadKind};

/// Stops what carries our annotations and that nobody of ours wants.
pub(super) fn workloads(draft: &mut Draft<'_>) {
    let inputs = draft.inputs;
    let owner = &inputs.desired.owner;
    let mut unwanted: BTreeSet<(&WorkloadId, &HostId)> = inputs
        .observed
        .runs()
        .owned(owner)
        .map(|(id, host)| (id, host))
        .filter(|&(id, _)| !inputs.desired.workloads.contains_key(id))
        .collect();
    for id in adopting(inputs).flat_map(|former| former.workloads.keys()) {
        if !inputs.desired.workloads.contains_key(id) {
            unwanted.extend(inputs.observed.runs().hosts(id).map(|host| (id, host)));
        }
    }
    let components: BTreeSet<&WorkloadId> = unwanted
        .iter()
        .filter(|(id, host)| {
            runs(inputs, id, host).iter().any(|runs| runs.kind == WorkloadKind::Component)
        })
        .map(|(id, _)| *id)
        .collect();
    for (id, host) in unwanted {
        for running in runs(inputs, id, host) {
            let mut waits = Vec::new();
            if !inputs.may_remove() {
                waits.push(WaitsFor::Rollout);
            }
            if running.kind == WorkloadKind::Provider {
                waits.extend(components.iter().filter_map(|id| links::ours_running(inputs, id)));
            }
            let command = workload::stop(id, host, &running);
            draft.offer(namespace(inputs, id), command, Effect::Takes, waits);
        }
    }
}

/// What of ours `host` shows under `id`.
fn runs<'a>(inputs: &Inputs<'a>, id: &WorkloadId, host: &HostId) -> Vec<Running<'a>> {
    let inventory = inputs.observed.hosts.get(host).and_then(|host| host.inventory.as_ref());
    let mut runs: Vec<Running<'a>> =
        inventory.into_iter().flat_map(|inventory| Running::all(inventory, id)).collect();
    runs.retain(|running| is_ours(inputs, id, running.annotations));
    runs
}

/// Whether what runs under `id` with these annotations is this Application's: by what they say, or
/// because an earlier revision took it up and nobody else wants the id.
pub(super) fn is_ours(inputs: &Inputs<'_>, id: &WorkloadId, annotations: &Annotations) -> bool {
    let owner = &inputs.desired.owner;
    let took = |former: &Arc<Desired>| {
        former.workloads.contains_key(id) && former.adopt.takes(&owner.application, annotations)
    };
    owner.owns(annotations)
        || (adopting(inputs).any(took)
            && inputs
                .claims
                .holder(id, inputs.observed)
                .is_none_or(|holder| *holder == owner.application))
}

/// The earlier revisions that took something up.
fn adopting<'a>(inputs: &Inputs<'a>) -> impl Iterator<Item = &'a Arc<Desired>> + use<'a> {
    inputs.former.iter().filter(|former| former.adopt != Adopt::Nothing)
}

/// Offers again what is unresolved about anything of ours, wanted or not.
pub(super) fn loose_ends(draft: &mut Draft<'_>, survey: &Survey<'_>) {
    let inputs = draft.inputs;
    let in_flight = &inputs.observed.in_flight;
    if in_flight.pending.is_empty() {
        return;
    }
    let of_all =
        || [inputs.desired].into_iter().chain(inputs.former.iter().map(|former| &**former));
    let mut ids: BTreeSet<&WorkloadId> = of_all().flat_map(|all| all.workloads.keys()).collect();
    ids.extend(of_all().flat_map(|all| all.links.keys()).map(|key| &key.source));
    ids.extend(inputs.observed.runs().owned(&inputs.desired.owner).map(|(id, _)| id));
    for id in ids {
        let holder = inputs.claims.holder(id, inputs.observed);
        let barred = survey.placed.get(id).is_some_and(|placed| placed.barred.is_some());
        if barred || holder.is_some_and(|holder| *holder != inputs.desired.owner.application) {
            continue;
        }
        for (lane, pending) in in_flight.pending_of(id) {
            draft.offer_pending(namespace(inputs, id), lane, pending);
        }
    }
    for name in of_all().flat_map(|all| all.configs.keys()) {
        let lane = Lane::Config(name.clone());
        if let Some(pending) = in_flight.pending.get(&lane) {
            draft.offer_pending(&inputs.desired.owner.application.namespace, &lane, pending);
        }
    }
}

/// Whether what an earlier process asked for, and nobody wants any more, may still show up.
pub(super) fn may_show_up(inputs: &Inputs<'_>) -> bool {
    let unwanted = |id: &WorkloadId| !inputs.desired.workloads.contains_key(id);
    inputs.former.iter().any(|former| former.workloads.keys().any(unwanted)) && inputs.is_unseen()
}

/// The target's namespace that an id is, or was last, for.
fn namespace<'a>(inputs: &Inputs<'a>, id: &WorkloadId) -> &'a Arc<str> {
    let former = || inputs.former.iter().find_map(|former| former.workloads.get(id));
    let workload = inputs.desired.workloads.get(id).or_else(former);
    workload.map_or(&inputs.desired.owner.application.namespace, |workload| &workload.namespace)
}
