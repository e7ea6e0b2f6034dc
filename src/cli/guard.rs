//! `trellis guard`: says no to an uninstallation that would leave objects which nobody could delete.
//!
//! Applications and Lattices carry finalizers that only a running operator takes off.
use std::{collections::BTreeMap, fmt::Write, time::Duration};

use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, ListParams, PartialObjectMeta},
    runtime::wait::{await_condition, conditions},
};

use super::{Failure, cluster, scope::ScopeArgs};
use crate::{
    api::{Application, CLASS, Lattice},
    controller::{APPLICATION_FINALIZER, LATTICE_FINALIZER, Scope, chain},
};

/// So many objects are named.
const NAMED: usize = 20;
/// An operator that runs lets go of a Lattice that nobody uses within a moment.
const LONGEST: Duration = Duration::from_secs(30);
/// An API server that doesn't answer for longer will not.
const CALL: Duration = Duration::from_secs(15);

#[derive(Debug, clap::Args)]
pub struct GuardArgs {
    #[command(flatten)]
    scope: ScopeArgs,

    /// The Lattice that was installed along with the operator, and is deleted with it
    #[arg(long, env = "TRELLIS_OWN_LATTICE", value_name = "NAME")]
    own_lattice: Option<String>,
}

/// What would be left, by name.
#[derive(Debug, Default, PartialEq, Eq)]
struct Left {
    /// By namespace.
    applications: BTreeMap<String, Vec<String>>,
    lattices: Vec<String>,
}

/// Refuses while something is left that needs the operator.
///
/// # Errors
///
/// What is left and how to delete it, or what keeps that from being known.
pub fn guard(args: &GuardArgs) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::because("could not start", error))?;
    runtime.block_on(async {
        let kube = cluster::client().await.map_err(|error| Failure::Failed(chain(&error)))?;
        let left = find(&kube, args).await?;
        if let Some(refusal) = refusal(&left) {
            return Err(Failure::Failed(refusal));
        }
        match &args.own_lattice {
            Some(name) => delete(&Api::all(kube), name).await,
            None => Ok(()),
        }
    })
}

async fn find(kube: &Client, args: &GuardArgs) -> Result<Left, Failure> {
    let class = args.scope.controller_class.as_deref();
    let mut left = Left::default();
    let places: Vec<Api<PartialObjectMeta<Application>>> = match args.scope.namespaces() {
        Scope::All => vec![Api::all(kube.clone())],
        Scope::Only(names) => {
            names.iter().map(|name| Api::namespaced(kube.clone(), name)).collect()
        }
    };
    for api in places {
        for app in held(&api, class, APPLICATION_FINALIZER).await? {
            let names = left.applications.entry(app.namespace().unwrap_or_default());
            names.or_default().push(app.name_any());
        }
    }
    let api = Api::<PartialObjectMeta<Lattice>>::all(kube.clone());
    let lattices = held(&api, class, LATTICE_FINALIZER).await?;
    let others = lattices.iter().map(ResourceExt::name_any);
    left.lattices = others.filter(|name| args.own_lattice.as_ref() != Some(name)).collect();
    Ok(left)
}

/// The objects of this installation that carry `finalizer`.
async fn held<K>(
    api: &Api<PartialObjectMeta<K>>,
    class: Option<&str>,
    finalizer: &str,
) -> Result<Vec<PartialObjectMeta<K>>, Failure>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug,
{
    let listed = within(api.list(&ListParams::default())).await;
    let all = match listed {
        Ok(all) => all.items,
        // Without its definition there is none of the kind.
        Err(kube::Error::Api(status)) if status.is_not_found() => Vec::new(),
        Err(error) => {
            let what = format!("could not list {}", K::plural(&()));
            return Err(Failure::because(what, chain(&error)));
        }
    };
    let ours = |object: &PartialObjectMeta<K>| {
        object.annotations().get(CLASS).map(String::as_str) == class
            && object.finalizers().iter().any(|held| held == finalizer)
    };
    Ok(all.into_iter().filter(ours).collect())
}

async fn within<T>(call: impl Future<Output = kube::Result<T>>) -> kube::Result<T> {
    let late = |_| kube::Error::Service("the API server did not answer in time".into());
    tokio::time::timeout(CALL, call).await.map_err(late)?
}

/// Why the operator has to stay, and what to do about it.
fn refusal(left: &Left) -> Option<String> {
    let applications =
        left.applications.iter().flat_map(|(at, names)| names.iter().map(move |n| (at, n)));
    let applications = applications.map(|(at, name)| format!("Application {at}/{name}"));
    let lattices = left.lattices.iter().map(|name| format!("Lattice {name}"));
    let all: Vec<_> = applications.chain(lattices).collect();
    if all.is_empty() {
        return None;
    }
    let mut text = "without the operator nobody could delete these:\n".to_owned();
    for object in all.iter().take(NAMED) {
        let _ = writeln!(text, "  {object}");
    }
    if let Some(more) = all.len().checked_sub(NAMED).filter(|more| *more > 0) {
        let _ = writeln!(text, "  and {more} more");
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

/// Deletes the Lattice and waits until the operator has let go of it.
async fn delete(api: &Api<Lattice>, name: &str) -> Result<(), Failure> {
    let what = || format!("could not delete Lattice {name}");
    let deleted = within(api.delete(name, &DeleteParams::default())).await;
    let uid = match deleted {
        Ok(deleted) => deleted.left().and_then(|lattice| lattice.uid()),
        Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(()),
        Err(error) => return Err(Failure::because(what(), chain(&error))),
    };
    let Some(uid) = uid else { return Ok(()) };
    let gone = await_condition(api.clone(), name, conditions::is_deleted(&uid));
    match tokio::time::timeout(LONGEST, gone).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(Failure::because(what(), chain(&error))),
        Err(_) => Err(Failure::Failed(format!(
            "{}: the operator has not let go of it within {} s; its logs and \
             `kubectl describe lattice {name}` say why",
            what(),
            LONGEST.as_secs()
        ))),
    }
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
        assert_eq!(refusal(&left(&[], &[])), None);
        let text = refusal(&left(&[("shop", &["web", "api"]), ("till", &["pay"])], &["edge"]));
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
        let text = refusal(&left(&[("shop", &names)], &[])).unwrap();
        assert!(text.contains("app-19\n  and 10 more\n"), "{text}");
    }
}
