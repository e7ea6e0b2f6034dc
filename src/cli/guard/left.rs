//! What an uninstallation would leave, or take from others.
use std::{collections::BTreeMap, fmt::Debug, fmt::Write};

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ListParams, PartialObjectMeta},
};

use super::{Failure, GuardArgs, within};
use crate::{
    api::{Application, CLASS, Lattice},
    controller::{APPLICATION_FINALIZER, LATTICE_FINALIZER, Scope, chain},
};

/// So many objects are named.
const NAMED: usize = 20;

/// Objects that stand in the way, by name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Left {
    /// By namespace.
    applications: BTreeMap<String, Vec<String>>,
    lattices: Vec<String>,
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

pub(super) async fn find(kube: &Client, args: &GuardArgs) -> Result<Left, Failure> {
    let filter = Filter { class: args.scope.controller_class.as_deref(), all: args.delete_crds };
    let mut left = Left::default();
    let applications = match args.scope.namespaces() {
        Scope::Only(names) if !filter.all => {
            let mut all = Vec::new();
            for name in &names {
                all.extend(applications_of(kube, name).await?);
            }
            all
        }
        Scope::All | Scope::Only(_) => {
            let listed = list::<Application>(&Api::all(kube.clone())).await;
            listed.map_err(|error| unlisted("applications", &error))?
        }
    };
    for app in applications.iter().filter(|app| filter.takes(*app, APPLICATION_FINALIZER)) {
        let names = left.applications.entry(app.namespace().unwrap_or_default());
        names.or_default().push(app.name_any());
    }
    let lattices = list::<Lattice>(&Api::all(kube.clone())).await;
    let lattices = lattices.map_err(|error| unlisted("lattices", &error))?;
    let stays = lattices.iter().filter(|lattice| filter.takes(*lattice, LATTICE_FINALIZER));
    let others = stays.map(ResourceExt::name_any);
    left.lattices = others.filter(|name| args.own_lattice.as_ref() != Some(name)).collect();
    Ok(left)
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
    let listed = list::<Application>(&Api::namespaced(kube.clone(), name)).await;
    listed.map_err(|error| {
        let failure = format!("could not list applications in namespace {name}: {}", chain(&error));
        let is_forbidden = matches!(&error, kube::Error::Api(status) if status.is_forbidden());
        Failure::Failed(match (is_forbidden, is_ending) {
            (false, _) => failure,
            (true, true) => format!(
                "{failure}; the namespace is being deleted, and its Roles already are; let go of what \
                 holds it up with: kubectl patch application NAME --namespace {name} --type=merge \
                 --patch '{{\"metadata\":{{\"finalizers\":null}}}}', which leaves running what runs; \
                 once it is gone, uninstall again"
            ),
            (true, false) => format!(
                "{failure}; give the Role back with helm upgrade, or drop {name} from watchNamespaces, \
                 then uninstall again"
            ),
        })
    })
}

fn unlisted(what: &str, error: &kube::Error) -> Failure {
    Failure::because(format!("could not list {what}"), chain(error))
}

async fn list<K>(api: &Api<PartialObjectMeta<K>>) -> kube::Result<Vec<PartialObjectMeta<K>>>
where
    K: Resource<DynamicType = ()> + Clone + Debug,
{
    match within(api.list(&ListParams::default())).await {
        Ok(all) => Ok(all.items),
        // Without its definition there is none of the kind.
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Why the operator, or with it the definitions, have to stay, and what to do about it.
pub(super) fn refusal(left: &Left, with_definitions: bool) -> Option<String> {
    let applications =
        left.applications.iter().flat_map(|(at, names)| names.iter().map(move |n| (at, n)));
    let applications = applications.map(|(at, name)| format!("Application {at}/{name}"));
    let lattices = left.lattices.iter().map(|name| format!("Lattice {name}"));
    let all: Vec<_> = applications.chain(lattices).collect();
    if all.is_empty() {
        return None;
    }
    let mut text = if with_definitions {
        "deleting the definitions would delete these, whichever installation acts on them:\n"
    } else {
        "without the operator nobody could delete these:\n"
    }
    .to_owned();
    for object in all.iter().take(NAMED) {
        let _ = writeln!(text, "  {object}");
    }
    if let Some(more) = all.len().checked_sub(NAMED).filter(|more| *more > 0) {
        let _ = writeln!(text, "  and {more} more");
    }
    if with_definitions {
        text.push_str("keep the definitions with: helm upgrade --set crds.keep=true\nor ");
    }
    text.push_str("delete them first:\n");
    for namespace in left.applications.keys() {
        let _ = writeln!(text, "  kubectl delete applications --all --namespace {namespace}");
    }
    if !left.lattices.is_empty() {
        let _ = writeln!(text, "  kubectl delete lattices {}", left.lattices.join(" "));
    }
    text.push_str(
        "that takes down what they run, unless the Application has the annotation \
         lattice.oam.dev/deletion-policy: Orphan",
    );
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(applications: &[(&str, &[&str])], lattices: &[&str]) -> Left {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let by = applications.iter().map(|(at, names)| ((*at).to_owned(), owned(names)));
        Left { applications: by.collect(), lattices: owned(lattices) }
    }

    #[test]
    fn what_is_left_is_named_with_how_to_delete_it() {
        assert_eq!(refusal(&left(&[], &[]), false), None);
        let text =
            refusal(&left(&[("shop", &["web", "api"]), ("till", &["pay"])], &["edge"]), false);
        insta::assert_snapshot!(text.unwrap(), @r"
        without the operator nobody could delete these:
          Application shop/web
          Application shop/api
          Application till/pay
          Lattice edge
        delete them first:
          kubectl delete applications --all --namespace shop
          kubectl delete applications --all --namespace till
          kubectl delete lattices edge
        that takes down what they run, unless the Application has the annotation lattice.oam.dev/deletion-policy: Orphan
        ");
    }

    #[test]
    fn of_many_a_few_are_named() {
        let names: Vec<_> = (0..30).map(|number| format!("app-{number}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let text = refusal(&left(&[("shop", &names)], &[]), false).unwrap();
        assert!(text.contains("app-19\n  and 10 more\n"), "{text}");
    }
}
