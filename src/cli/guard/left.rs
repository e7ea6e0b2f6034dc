//! What an uninstallation would leave, or take from others.
use std::{collections::BTreeMap, fmt::Debug};

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, CustomResourceExt, Resource, ResourceExt,
    api::{ListParams, PartialObjectMeta},
};

use super::{
    Failure, GuardArgs,
    first::First,
    served::{is_defined, unserved},
    within,
};
use crate::{
    api::{Application, CLASS, Lattice},
    controller::{APPLICATION_FINALIZER, LATTICE_FINALIZER, Scope, chain},
};

/// Objects that stand in the way, by name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Left {
    /// By namespace.
    pub(super) applications: BTreeMap<String, InNamespace>,
    pub(super) lattices: Vec<String>,
}

/// Applications of one namespace.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct InNamespace {
    pub(super) names: Vec<String>,
    /// There are others that don't stand in the way.
    pub(super) beside_others: bool,
}

/// Which objects stand in the way.
struct Filter<'a> {
    class: Option<&'a str>,
    /// With the definitions goes everything, whoever acts on it.
    all: bool,
}

impl Filter<'_> {
    fn takes(&self, object: &impl ResourceExt, finalizer: &str) -> bool {
        let is_ours = || object.annotations().get(CLASS).map(String::as_str) == self.class;
        let is_held = || object.finalizers().iter().any(|held| held == finalizer);
        self.all || is_ours() && is_held()
    }
}

/// Everything that stands in the way, but for one Lattice.
pub(super) async fn find(
    kube: &Client,
    args: &GuardArgs,
    but: Option<&First>,
) -> Result<Left, Failure> {
    let filter = Filter { class: args.scope.controller_class.as_deref(), all: args.delete_crds };
    let mut left = Left::default();
    for app in applications(kube, args).await? {
        let of = left.applications.entry(app.namespace().unwrap_or_default()).or_default();
        if filter.takes(&app, APPLICATION_FINALIZER) {
            of.names.push(app.name_any());
        } else {
            of.beside_others = true;
        }
    }
    left.applications.retain(|_, of| !of.names.is_empty());
    if is_defined::<Lattice>(kube).await? {
        let listed = list::<Lattice>(&Api::all(kube.clone())).await;
        let lattices = listed.map_err(|error| unlisted::<Lattice>("lattices", &error))?;
        let stays = lattices.iter().filter(|lattice| filter.takes(*lattice, LATTICE_FINALIZER));
        let others = stays.filter(|lattice| but.and_then(ResourceExt::uid) != lattice.uid());
        left.lattices = others.map(ResourceExt::name_any).collect();
    }
    Ok(left)
}

async fn applications(
    kube: &Client,
    args: &GuardArgs,
) -> Result<Vec<PartialObjectMeta<Application>>, Failure> {
    if !is_defined::<Application>(kube).await? {
        return Ok(Vec::new());
    }
    match args.scope.namespaces() {
        Scope::Only(names) if !args.delete_crds => {
            let mut all = Vec::new();
            for name in &names {
                all.extend(applications_of(kube, name).await?);
            }
            Ok(all)
        }
        Scope::All | Scope::Only(_) => {
            let listed = list(&Api::all(kube.clone())).await;
            listed.map_err(|error| unlisted::<Application>("applications", &error))
        }
    }
}

/// The Applications of one namespace; none where it is gone.
async fn applications_of(
    kube: &Client,
    name: &str,
) -> Result<Vec<PartialObjectMeta<Application>>, Failure> {
    let is_ending = match within(Api::<Namespace>::all(kube.clone()).get_opt(name)).await {
        Ok(None) => return Ok(Vec::new()),
        Ok(Some(namespace)) => namespace.metadata.deletion_timestamp.is_some(),
        // The listing tells what is there.
        Err(kube::Error::Api(status)) if status.is_forbidden() => false,
        Err(error) => {
            return Err(Failure::because(
                format!("could not look at namespace {name}"),
                chain(&error),
            ));
        }
    };
    let listed = list(&Api::namespaced(kube.clone(), name)).await;
    listed.map_err(|error| {
        let failure = unlisted::<Application>(&format!("applications in namespace {name}"), &error);
        let is_forbidden = matches!(&error, kube::Error::Api(status) if status.is_forbidden());
        let Failure::Failed(text) = failure else { return failure };
        Failure::Failed(match (is_forbidden, is_ending) {
            (false, _) => text,
            (true, true) => format!(
                "{text}; the namespace is being deleted, and its Roles already are; let go of what \
                 holds it up with: kubectl patch application NAME --namespace {name} --type=merge \
                 --patch '{{\"metadata\":{{\"finalizers\":null}}}}', which leaves running what runs; \
                 once it is gone, uninstall again"
            ),
            (true, false) => format!(
                "{text}; give the Role back with helm rollback, or drop {name} from watchNamespaces, \
                 then uninstall again"
            ),
        })
    })
}

async fn list<K>(api: &Api<PartialObjectMeta<K>>) -> kube::Result<Vec<PartialObjectMeta<K>>>
where
    K: Resource<DynamicType = ()> + Clone + Debug,
{
    Ok(within(api.list(&ListParams::default())).await?.items)
}

/// Why a kind that is defined could not be listed.
fn unlisted<K: CustomResourceExt>(what: &str, error: &kube::Error) -> Failure {
    match error {
        // Not each such answer is a Status of the API server's, with a reason.
        kube::Error::Api(status) if status.code == 404 => unserved::<K>(),
        error => Failure::because(format!("could not list {what}"), chain(error)),
    }
}
