//! What Applications that went have left on a lattice: written down before they go, and removed as
//! soon as that can be done.
//!
//! ```text
//! cleanup ──bury()──▶ Lattice.status.tombstones ──graves──▶ nobody of that name: clear() ──▶ lift
//!                                                    └────▶ one that came back: its own passes, lift()
//! ```
use std::{collections::BTreeMap, sync::Arc, time::Duration};

use kube::{ResourceExt, runtime::reflector::ObjectRef};

use super::{
    Error, application,
    context::Context,
    decision::{Plans, Run, Sight, World, decide},
    graves::Grave,
    index::Names,
    lattice,
    release::key_of,
    report::now,
    tombstone,
};
use crate::{
    api::{Application, CLASS, Lattice, LatticeStatus, Tombstone},
    model::{ApplicationKey, Desired, LatticeName, Owner},
};

/// Whether what is left is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Burial {
    Done {
        /// It wasn't before.
        new: bool,
    },
    /// There is no such lattice of ours.
    NoLattice,
    NoRoom,
}

/// Writes down what `app` may have left on a lattice.
pub(super) async fn bury(
    app: &Application,
    ctx: &Context,
    name: &LatticeName,
    former: &[Arc<Desired>],
) -> Result<Burial, Error> {
    let _alone = ctx.lattices.bury().await;
    let Some(object) = ctx.lattices.object(name) else { return Ok(Burial::NoLattice) };
    let installation = ctx.lattices.installation(name);
    let owner = Owner { installation, application: key_of(app) };
    let (uid, at) = (app.uid().unwrap_or_default(), now());
    let gone = tombstone::Gone { owner: &owner, uid: &uid, at: &at };
    match tombstone::with(tombstones(&object), gone, former) {
        None => Ok(Burial::NoRoom),
        Some(after) => {
            let new = tombstones(&object) != after;
            put(ctx, &object, after).await?;
            Ok(Burial::Done { new })
        }
    }
}

/// Takes away the tombstones of this name on all lattices but these: nothing is left there, or it is
/// to stay.
pub(super) async fn lift(
    ctx: &Context,
    key: &ApplicationKey,
    but: &[LatticeName],
) -> Result<(), Error> {
    for (name, _) in ctx.lattices.left_by(key) {
        if but.contains(&name) {
            continue;
        }
        let _alone = ctx.lattices.bury().await;
        let Some(object) = ctx.lattices.object(&name) else { continue };
        let application = key.to_string();
        let mut after = tombstones(&object).to_vec();
        after.retain(|tombstone| tombstone.application != application);
        put(ctx, &object, after).await?;
    }
    Ok(())
}

fn tombstones(object: &Lattice) -> &[Tombstone] {
    object.status.as_ref().map_or(&[], |status| &status.tombstones)
}

async fn put(ctx: &Context, object: &Lattice, after: Vec<Tombstone>) -> Result<(), Error> {
    let status = object.status.clone().unwrap_or_default();
    lattice::put_status(object, ctx, LatticeStatus { tombstones: after, ..status }).await
}

/// What came of a look at what is left on a lattice.
#[derive(Debug, Default)]
pub(super) struct Cleared {
    /// Of whom nothing is left.
    pub all_of: Vec<ApplicationKey>,
    /// When to look again, whatever the lattice shows.
    pub wake_at: Option<Duration>,
}

/// Removes what Applications that went have left on a lattice, as far as that can be done now. What
/// one that came back wants of it is that one's business.
pub(super) fn clear(ctx: &Context, name: &LatticeName) -> Cleared {
    let mut cleared = Cleared::default();
    if !ctx.ready.initialized() {
        // Nor is it known who else wants the same.
        return cleared;
    }
    for grave in ctx.lattices.graves(name) {
        let key = &grave.owner.application;
        if !ctx.scope.has(&key.namespace) || ctx.unseen.has(&key.namespace) {
            continue;
        }
        if is_there(ctx, key) {
            ctx.touched.add(key);
            continue;
        }
        let world = look(ctx, name, &grave);
        let decision = decide(&world, &mut Plans::default());
        application::act(ctx, key, &decision);
        if decision.settled {
            cleared.all_of.push(key.clone());
        }
        cleared.wake_at = cleared.wake_at.into_iter().chain(decision.wake_at).min();
    }
    cleared
}

/// Whether there is an Application of this name that is ours, be it one that is being deleted.
fn is_there(ctx: &Context, key: &ApplicationKey) -> bool {
    let object = ctx.applications.get(&ObjectRef::new(&key.name).within(&key.namespace));
    object.is_some_and(|app| app.annotations().get(CLASS) == ctx.class.as_ref())
}

/// Of whom nothing is wanted any more.
fn look(ctx: &Context, name: &LatticeName, grave: &Grave) -> World {
    let key = &grave.owner.application;
    let mut names = Names::default();
    grave.former.iter().for_each(|former| names.add(former));
    ctx.lattices.want_configs(name, key, &names.configs);
    let policies = application::on_host_loss(grave.former.iter().rev());
    ctx.lattices.want_on_host_loss(name, key, policies);
    let (observed, time) = ctx.lattices.look(name);
    let sight = Sight {
        desired: Arc::new(Desired::nothing(grave.owner.clone())),
        former: grave.former.clone(),
        observed,
        claims: ctx.claims().of(name),
        time,
    };
    let sights = BTreeMap::from([(name.clone(), sight)]);
    World { steps: Vec::new(), run: Run::Finished, sights }
}
