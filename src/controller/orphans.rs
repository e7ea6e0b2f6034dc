//! What runs under our installation's name for an Application that isn't there: reported, and never
//! touched, for whoever lost the Application may bring it back. What a tombstone names is no orphan:
//! it goes.
use std::collections::BTreeSet;

use kube::runtime::reflector::ObjectRef;

use super::{context::Context, watches::Scope};
use crate::{
    api::Orphan,
    model::{ApplicationKey, LatticeName, Observed},
};

/// The orphans of a lattice; `None` while nobody can say.
pub(super) fn find(
    ctx: &Context,
    lattice: &LatticeName,
    observed: &Observed,
) -> Option<Vec<Orphan>> {
    if !ctx.ready.initialized() || !observed.gate.may_remove() {
        return None;
    }
    let installation = ctx.lattices.installation(lattice);
    let graves = ctx.lattices.graves(lattice);
    let is_there = |key: &ApplicationKey| {
        let object = ObjectRef::new(&key.name).within(&key.namespace);
        let is_buried = || graves.iter().any(|grave| grave.owner.application == *key);
        ctx.applications.get(&object).is_some() || is_buried()
    };
    let found = of(observed, &installation, &ctx.scope, is_there);
    ctx.lattices.count_orphans(lattice, found.len());
    Some(found)
}

/// In order. Applications outside of `scope` aren't known, so nothing is said of theirs.
fn of(
    observed: &Observed,
    installation: &str,
    scope: &Scope,
    is_there: impl Fn(&ApplicationKey) -> bool,
) -> Vec<Orphan> {
    let mut found = BTreeSet::new();
    for (owner, things) in observed.runs().owners() {
        let application = &owner.application;
        if *owner.installation == *installation
            && scope.has(&application.namespace)
            && !is_there(application)
        {
            found.extend(things.iter().map(|(id, host)| Orphan {
                id: id.to_string(),
                host: host.to_string(),
                application: application.to_string(),
            }));
        }
    }
    found.into_iter().collect()
}
