//! What is watched, with no more rights than that takes.
use std::{collections::BTreeSet, fmt::Debug, sync::Arc};

use futures::{FutureExt, Stream, StreamExt};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, Resource,
    core::{ClusterResourceScope, NamespaceResourceScope},
    runtime::{
        WatchStreamExt,
        reflector::{ObjectRef, Store},
        watcher::{Config, Event, watcher},
    },
};
use serde::de::DeserializeOwned;

use super::{
    merged::{Lasting, Open, Places, Sight, merged},
    trim::trim,
    unseen::Unseen,
};

/// The namespaces whose Applications are ours.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Scope {
    #[default]
    All,
    Only(BTreeSet<String>),
}

impl Scope {
    #[must_use]
    pub fn has(&self, namespace: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(namespaces) => namespaces.contains(namespace),
        }
    }
}

impl FromIterator<String> for Scope {
    /// No name means all namespaces.
    fn from_iter<I: IntoIterator<Item = String>>(names: I) -> Self {
        let names: BTreeSet<_> = names.into_iter().collect();
        if names.is_empty() { Self::All } else { Self::Only(names) }
    }
}

/// Namespaces that are named, each of which is a place.
struct Named {
    names: Vec<String>,
    /// Those of them that exist.
    namespaces: Store<Namespace>,
    unseen: Arc<Unseen>,
    kind: String,
}

impl Places for Named {
    /// Who may not watch in a namespace may watch whether it exists.
    fn is_gone(&self, at: usize) -> bool {
        let is_listed =
            || matches!(self.namespaces.wait_until_ready().now_or_never(), Some(Ok(())));
        self.names
            .get(at)
            .is_some_and(|name| is_listed() && self.namespaces.get(&ObjectRef::new(name)).is_none())
    }

    fn told(&self, at: usize, sight: Sight) {
        if let Some(namespace) = self.names.get(at) {
            self.unseen.told(&self.kind, namespace, sight);
        }
    }
}

/// The objects of a namespaced kind that are in `scope`. Namespaces that it names and that may not be
/// watched are told to `unseen`, and hold up no other; those that aren't among `namespaces` either are
/// empty.
pub(super) fn in_scope<K>(
    kube: &Client,
    scope: &Scope,
    namespaces: &Store<Namespace>,
    unseen: &Arc<Unseen>,
) -> impl Stream<Item = Event<K>> + Send + 'static + use<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    K: Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let names: Vec<_> = match scope {
        Scope::All => Vec::new(),
        Scope::Only(names) => names.iter().cloned().collect(),
    };
    let places = match scope {
        Scope::All => vec![listed(Api::<K>::all(kube.clone()))],
        Scope::Only(_) => {
            names.iter().map(|name| listed(Api::<K>::namespaced(kube.clone(), name))).collect()
        }
    };
    let (namespaces, unseen) = (namespaces.clone(), Arc::clone(unseen));
    merged(places, Named { names, namespaces, unseen, kind: K::plural(&()).into_owned() })
}

/// The namespaces of `scope`. Where it names them there is no right to list all.
pub(super) fn namespaces(
    kube: &Client,
    scope: &Scope,
) -> impl Stream<Item = Event<Namespace>> + Send + 'static + use<> {
    let api = Api::<Namespace>::all(kube.clone());
    all_of(match scope {
        Scope::All => vec![listed(api)],
        Scope::Only(names) => names.iter().map(|name| named(api.clone(), name)).collect(),
    })
}

/// All objects of a kind that is in no namespace.
pub(super) fn everywhere<K>(kube: &Client) -> impl Stream<Item = Event<K>> + Send + 'static + use<K>
where
    K: Resource<Scope = ClusterResourceScope, DynamicType = ()>,
    K: Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    all_of(vec![listed(Api::<K>::all(kube.clone()))])
}

/// One object, whether it exists or not.
pub(super) fn one<K>(
    api: Api<K>,
    name: &str,
) -> impl Stream<Item = Event<K>> + Send + 'static + use<K>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    all_of(vec![named(api, name)])
}

/// Whether one of them may be watched is in the log alone.
fn all_of<K: Send + 'static>(
    places: Vec<Open<K>>,
) -> impl Stream<Item = Event<K>> + Send + 'static + use<K> {
    merged(places, Lasting)
}

fn listed<K>(api: Api<K>) -> Open<K>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    open(api, Config::default().page_size(500))
}

/// A selector by name is what lets a right on that name alone suffice, and a streamed listing is
/// part of the watch: the right to list isn't needed.
fn named<K>(api: Api<K>, name: &str) -> Open<K>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    open(api, Config::default().fields(&format!("metadata.name={name}")).streaming_lists())
}

fn open<K>(api: Api<K>, config: Config) -> Open<K>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    Box::new(move || watcher(api.clone(), config.clone()).default_backoff().modify(trim).boxed())
}
