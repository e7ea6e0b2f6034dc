//! The Lattice that came with the release, and goes with it.
use kube::{Api, ResourceExt, api::PartialObjectMeta};

use super::{
    Failure, Guard, GuardArgs,
    removal::{self, Removal},
    served::is_defined,
    within,
};
use crate::{
    api::{CLASS, Lattice},
    controller::chain,
};

/// As it was looked at.
pub(super) type First = PartialObjectMeta<Lattice>;

fn api(guard: &Guard<'_>) -> Api<First> {
    Api::all(guard.cluster.client.clone())
}

/// The first Lattice, if it is there, of our class and of the release. One that was handed to another
/// is that one's.
pub(super) async fn ours(guard: &Guard<'_>) -> Result<Option<First>, Failure> {
    let Some(name) = &guard.args.own_lattice else { return Ok(None) };
    let what = || format!("could not look at Lattice {name}");
    guard.does(format!("it was looking at Lattice {name}"));
    if !is_defined::<Lattice>(&guard.cluster.client).await? {
        return Ok(None);
    }
    let found = within(api(guard).get_opt(name)).await;
    let found = found.map_err(|error| Failure::because(what(), chain(&error)))?;
    let GuardArgs { scope, release, .. } = guard.args;
    let class = scope.controller_class.as_ref();
    Ok(found.filter(|lattice| {
        lattice.annotations().get(CLASS) == class
            && release.as_ref().is_none_or(|release| release.has(lattice))
    }))
}

/// Deletes it, unless it is handed to another meanwhile.
pub(super) async fn delete(guard: &Guard<'_>, first: First) -> Result<(), Failure> {
    let mut seen = Some(first);
    while let Some(first) = seen {
        match removal::delete(guard, &api(guard), &first).await? {
            Removal::Gone => break,
            Removal::Changed => seen = guard.in_cluster(ours(guard).await)?,
        }
    }
    Ok(())
}
