//! Components of other Applications that this one links to or from: which ids they have.
use std::{collections::BTreeMap, sync::Arc};

use super::{Appfile, Problems, Shared, Sharing, Target, problem::Findings, suggest::closest};
use crate::model::{ApplicationKey, LatticeName, WorkloadId, WorkloadKind};

/// What has to be known of an Application whose components another one refers to.
#[derive(Debug, Clone, Default)]
pub struct Sharer {
    pub sharing: Sharing,
    /// Whether it is being deleted.
    pub leaving: bool,
    /// What it has on the lattices.
    pub components: Vec<SharedComponent>,
}

/// A component of another Application, on one of its targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedComponent {
    pub lattice: LatticeName,
    /// The target's.
    pub namespace: Arc<str>,
    pub component: Arc<str>,
    pub kind: WorkloadKind,
    pub id: WorkloadId,
}

/// Which id a reference means for one target.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SharedId {
    /// The reference's name in the Application that refers.
    pub component: Arc<str>,
    pub lattice: LatticeName,
    /// The target's, of the Application that refers.
    pub namespace: Arc<str>,
    /// Whose it is.
    pub application: ApplicationKey,
    pub id: WorkloadId,
}

impl Appfile {
    /// The Applications that it refers to.
    pub fn sharers(&self) -> impl Iterator<Item = ApplicationKey> {
        self.shared.iter().map(|shared| self.sharer(shared))
    }

    fn sharer(&self, shared: &Shared) -> ApplicationKey {
        let namespace = shared.namespace.as_ref().unwrap_or(&self.key.namespace);
        ApplicationKey::new(namespace, &shared.application)
    }

    /// What it has on the lattices that others could refer to.
    #[must_use]
    pub fn offers(&self, targets: &[Target]) -> Vec<SharedComponent> {
        let on = |target: &Target| {
            let offer = |component: &super::Component| SharedComponent {
                lattice: target.lattice.clone(),
                namespace: Arc::clone(&target.namespace),
                component: Arc::clone(&component.name),
                kind: component.kind,
                id: self.id(component, &target.namespace),
            };
            self.components.iter().map(offer).collect::<Vec<_>>()
        };
        targets.iter().flat_map(on).collect()
    }

    /// The ids that its references mean on its targets, in order.
    ///
    /// # Errors
    ///
    /// Whom it refers to isn't there, doesn't share, doesn't admit this namespace, is being deleted,
    /// or has no such component on a lattice.
    pub fn shared_ids(
        &self,
        targets: &[Target],
        sharers: &BTreeMap<ApplicationKey, Sharer>,
    ) -> Result<Vec<SharedId>, Problems> {
        let findings = Findings::default();
        let mut ids = Vec::new();
        for shared in &self.shared {
            let application = self.sharer(shared);
            let Some(other) = self.admitted(shared, &application, sharers, &findings) else {
                continue;
            };
            for target in targets {
                if let Some(id) = found(shared, (&application, other), target, &findings) {
                    ids.push(SharedId {
                        component: Arc::clone(&shared.name),
                        lattice: target.lattice.clone(),
                        namespace: Arc::clone(&target.namespace),
                        application: application.clone(),
                        id,
                    });
                }
            }
        }
        ids.sort();
        findings.finish().map(|_| ids)
    }

    fn admitted<'s>(
        &self,
        shared: &Shared,
        application: &ApplicationKey,
        sharers: &'s BTreeMap<ApplicationKey, Sharer>,
        findings: &Findings,
    ) -> Option<&'s Sharer> {
        let path = format!("{}.application", shared.path);
        let own = &self.key.namespace;
        let (wrong, todo) = match sharers.get(application) {
            None => (
                format!("there is no Application {application}"),
                "apply it, or mend the reference; this goes on as soon as it is there".to_owned(),
            ),
            Some(other) if !other.sharing.shared => (
                format!("Application {application} doesn't share its components"),
                format!(
                    "annotate it: kubectl annotate application --namespace {} {} \
                     experimental.wasmcloud.dev/shared=true",
                    application.namespace, application.name
                ),
            ),
            Some(other) if !other.sharing.admits(&application.namespace, own) => (
                format!("Application {application} isn't shared with namespace {own}"),
                format!(
                    "add {own} to its annotation: kubectl annotate --overwrite application \
                     --namespace {} {} lattice.oam.dev/shared-with={own}",
                    application.namespace, application.name
                ),
            ),
            Some(other) if other.leaving => (
                format!("Application {application} is being deleted"),
                "refer to another, or apply it again once it is gone".to_owned(),
            ),
            Some(other) => return Some(other),
        };
        findings.problem_of("SharedComponent", &path, wrong, todo);
        None
    }
}

/// The id on the target's lattice; of several there, that in the target's namespace, or else in the
/// sharer's own.
fn found(
    shared: &Shared,
    (application, other): (&ApplicationKey, &Sharer),
    target: &Target,
    findings: &Findings,
) -> Option<WorkloadId> {
    let path = format!("{}.application.component", shared.path);
    let here = || other.components.iter().filter(|of| of.lattice == target.lattice);
    let named: Vec<_> = here().filter(|of| of.component == shared.component).collect();
    let within = |namespace: &Arc<str>| named.iter().find(|of| of.namespace == *namespace);
    let only = || if let [one] = &named[..] { Some(one) } else { None };
    let chosen = within(&target.namespace).or_else(|| within(&application.namespace)).or_else(only);
    let lattice = &target.lattice;
    let (wrong, todo) = match (chosen, &named[..]) {
        (Some(one), _) if one.kind == shared.kind => return Some(one.id.clone()),
        (Some(one), _) => (
            format!("{} of Application {application} is a {}", shared.component, one.kind),
            "mend the type of this component".to_owned(),
        ),
        (None, []) if here().next().is_none() => (
            format!("Application {application} has released nothing on Lattice {lattice}"),
            "choose targets on its lattices, or wait until it is there".to_owned(),
        ),
        (None, []) => (
            format!("Application {application} has no component {}", shared.component),
            match closest(&shared.component, here().map(|of| &*of.component)) {
                Some(known) => format!("did you mean {known}?"),
                None => "name one of its components".to_owned(),
            },
        ),
        (None, _) => (
            format!(
                "Application {application} has several {} on Lattice {lattice}, and none in \
                 namespace {}",
                shared.component, target.namespace
            ),
            "choose a target in the namespace of one of them".to_owned(),
        ),
    };
    findings.problem_of("SharedComponent", &path, wrong, todo);
    None
}
