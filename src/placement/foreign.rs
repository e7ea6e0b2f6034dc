//! What of links and configs is somebody else's, which they don't say themselves: they go with what
//! runs under the ids that they are for. A second cluster that has an Application of the same name,
//! and manifests that were made from what wadm runs, want the very same ones.

use std::collections::BTreeSet;

use super::{Inputs, removal};
use crate::model::{Annotations, ConfigName, Desired, Link, LinkKey, Owner, WorkloadId};

/// Whether this link of `desired` is another's, and so neither ours to change nor to remove: what
/// runs as its source is, or, where the source is shared with us, what runs as its target.
pub(super) fn has_link(inputs: &Inputs<'_>, desired: &Desired, key: &LinkKey, link: &Link) -> bool {
    let own =
        [&key.source, &link.target].into_iter().find(|id| desired.workloads.contains_key(*id));
    own.is_some_and(|id| runs(inputs, id))
}

/// The same of a config: anything of another's may read it.
pub(super) fn has_config(inputs: &Inputs<'_>, desired: &Desired, name: &ConfigName) -> bool {
    readers(desired, name).into_iter().any(|id| runs(inputs, id))
}

/// The workloads of `desired` that a config is for: all, where it doesn't say (see
/// `controller::tombstone`).
fn readers<'a>(desired: &'a Desired, name: &ConfigName) -> BTreeSet<&'a WorkloadId> {
    let own = desired.workloads.iter().filter(|(_, workload)| workload.config.contains(name));
    let linked = desired.links.iter().filter(|(_, link)| link.names(name));
    let ends = linked.flat_map(|(key, link)| [&key.source, &link.target]);
    let ends = ends.filter(|id| desired.workloads.contains_key(*id));
    let readers: BTreeSet<_> = own.map(|(id, _)| id).chain(ends).collect();
    if readers.is_empty() { desired.workloads.keys().collect() } else { readers }
}

/// Whether anything that runs as `id` is neither ours nor an Application's that the claims decide on.
fn runs(inputs: &Inputs<'_>, id: &WorkloadId) -> bool {
    let known = |shown: &Annotations| {
        inputs.desired.owns(shown)
            || removal::is_ours(inputs, id, shown)
            || Owner::of(shown).is_some_and(|owner| {
                owner.installation == inputs.desired.owner.installation
                    && inputs.claims.has(&owner.application, id)
            })
    };
    inputs.observed.runs().hosts(id).any(|host| {
        let inventory = inputs.observed.hosts.get(host).and_then(|host| host.inventory.as_ref());
        inventory.is_some_and(|shown| shown.annotations(id).any(|shown| !known(shown)))
    })
}
