//! Components that other Applications share: what the references of one mean, and who refers to
//! what of one that is to go.
use std::{collections::BTreeSet, sync::Arc};

use kube::{ResourceExt, runtime::reflector::ObjectRef};

use super::{context::Context, release::key_of};
use crate::{
    api::{Application, ApplicationRevision, SharedReference},
    appfile::{Appfile, Problems, SharedComponent, SharedId, Sharer, Sharing, Target},
    model::{ApplicationKey, Desired, LatticeName},
};

/// What decides whether others may refer to an Application's components.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    pub sharing: Sharing,
    pub leaving: bool,
}

impl Offer {
    #[must_use]
    pub(super) fn of(app: &Application) -> Self {
        let leaving = app.metadata.deletion_timestamp.is_some();
        Self { sharing: Sharing::of(app.annotations()), leaving }
    }
}

/// The ids that the references of `appfile` mean, by what the Applications that they name have
/// released. Whoever is named has this one looked at again when that changes.
pub(super) fn resolve(
    ctx: &Context,
    appfile: &Appfile,
    targets: &[Target],
) -> Result<Vec<SharedId>, Problems> {
    let named: BTreeSet<_> = appfile.sharers().collect();
    ctx.claims().refer(&appfile.key, &named);
    let known = |key: ApplicationKey| {
        let app = ctx.applications.get(&ObjectRef::new(&key.name).within(&key.namespace))?;
        let Offer { sharing, leaving } = Offer::of(&app);
        let components = ctx.claims().places(&key).iter().flat_map(components).collect();
        Some((key, Sharer { sharing, leaving, components }))
    };
    appfile.shared_ids(targets, &named.into_iter().filter_map(known).collect())
}

fn components((lattice, desired): (&LatticeName, &Arc<Desired>)) -> Vec<SharedComponent> {
    let workloads = desired.workloads.iter();
    let components = workloads.map(|(id, workload)| SharedComponent {
        lattice: lattice.clone(),
        namespace: Arc::clone(&workload.namespace),
        component: Arc::clone(&workload.component),
        kind: workload.kind,
        id: id.clone(),
    });
    components.collect()
}

/// As a revision writes them down.
#[must_use]
pub(super) fn record(ids: &[SharedId]) -> Vec<SharedReference> {
    let reference = |of: &SharedId| SharedReference {
        component: of.component.to_string(),
        lattice: of.lattice.to_string(),
        namespace: of.namespace.to_string(),
        application: of.application.to_string(),
        id: of.id.to_string(),
    };
    ids.iter().map(reference).collect()
}

/// Those that a revision wrote down for one lattice.
#[must_use]
pub(super) fn recorded(revision: &ApplicationRevision, lattice: &LatticeName) -> Vec<SharedId> {
    let read = |of: &SharedReference| {
        Some(SharedId {
            component: of.component.as_str().into(),
            lattice: lattice.clone(),
            namespace: of.namespace.as_str().into(),
            application: ApplicationKey::parse(&of.application)?,
            id: of.id.parse().ok()?,
        })
    };
    let here = revision.spec.shared.iter().filter(|of| of.lattice == lattice.as_str());
    here.filter_map(read).collect()
}

/// The Applications that link to or from components of this one, and that aren't going themselves.
#[must_use]
pub(super) fn referrers(app: &Application, ctx: &Context) -> Vec<String> {
    let stays = |key: &ApplicationKey| {
        let object = ctx.applications.get(&ObjectRef::new(&key.name).within(&key.namespace));
        object.is_some_and(|app| app.metadata.deletion_timestamp.is_none())
    };
    let all = ctx.claims().referrers(&key_of(app));
    all.iter().filter(|key| stays(key)).map(ToString::to_string).collect()
}
