//! Tells each change of a namespace to the Applications whose targets it could change.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    ResourceExt,
    runtime::{WatchStreamExt, reflector, watcher},
};

use super::{
    context::Context,
    index::take,
    watches::{self, Scope},
};
use crate::model::ApplicationKey;

pub(super) async fn drive(
    ctx: &Context,
    scope: &Scope,
    writer: reflector::store::Writer<Namespace>,
) {
    let events = watches::namespaces(&ctx.kube, scope).map(watcher::Result::Ok).reflect(writer);
    let mut events = std::pin::pin!(events);
    let mut seen = Seen::default();
    while let Some(Ok(event)) = events.next().await {
        if let watcher::Event::Delete(_) = &event {
            // What was there has gone with it.
            ctx.some_gone.notify_one();
        }
        seen.changes(event).iter().for_each(|name| ctx.namespace_changed(name));
    }
}

/// What targets are resolved with.
type Marks = (BTreeMap<String, String>, BTreeMap<String, String>);

/// What was seen of every namespace.
#[derive(Debug, Default)]
struct Seen {
    known: BTreeMap<String, Marks>,
    /// Those of a listing that hasn't come to its end.
    listed: BTreeMap<String, Marks>,
    whole: bool,
}

impl Seen {
    /// The namespaces that an event shows to be other than they were; none by the first listing,
    /// which every pass has waited for.
    fn changes(&mut self, event: watcher::Event<Namespace>) -> BTreeSet<String> {
        let shown = |namespace: Namespace| {
            let marks = (namespace.labels().clone(), namespace.annotations().clone());
            (namespace.name_any(), marks)
        };
        match event {
            watcher::Event::Init => self.listed.clear(),
            watcher::Event::InitApply(namespace) => self.listed.extend([shown(namespace)]),
            watcher::Event::InitDone => {
                let before = std::mem::replace(&mut self.known, std::mem::take(&mut self.listed));
                if std::mem::replace(&mut self.whole, true) {
                    let (old, new) = (before.iter(), self.known.iter());
                    let gone = old.filter(|(name, marks)| self.known.get(*name) != Some(*marks));
                    let come = new.filter(|(name, _)| !before.contains_key(*name));
                    return gone.chain(come).map(|(name, _)| name.clone()).collect();
                }
            }
            watcher::Event::Apply(namespace) => {
                let (name, marks) = shown(namespace);
                if self.known.get(&name) != Some(&marks) {
                    self.known.insert(name.clone(), marks);
                    return BTreeSet::from([name]);
                }
            }
            watcher::Event::Delete(namespace) => {
                let name = namespace.name_any();
                self.known.remove(&name);
                return BTreeSet::from([name]);
            }
        }
        BTreeSet::new()
    }
}

/// The Applications that name another namespace than their own, by that namespace.
#[derive(Debug, Default)]
pub struct Abroad {
    by: BTreeMap<Arc<str>, BTreeSet<ApplicationKey>>,
    of: BTreeMap<ApplicationKey, BTreeSet<Arc<str>>>,
}

impl Abroad {
    /// Replaces what is known of one Application.
    pub(super) fn set(&mut self, app: &ApplicationKey, named: impl IntoIterator<Item = Arc<str>>) {
        for namespace in self.of.remove(app).unwrap_or_default() {
            take(&mut self.by, namespace, app);
        }
        let named: BTreeSet<_> = named.into_iter().filter(|name| *name != app.namespace).collect();
        for namespace in &named {
            self.by.entry(Arc::clone(namespace)).or_default().insert(app.clone());
        }
        if !named.is_empty() {
            self.of.insert(app.clone(), named);
        }
    }

    pub(super) fn by(&self, namespace: &str) -> impl Iterator<Item = &ApplicationKey> {
        self.by.get(namespace).into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use watcher::Event;

    use super::*;

    fn namespace(name: &str, team: &str) -> Namespace {
        let mut namespace = Namespace::default();
        namespace.metadata.name = Some(name.to_owned());
        namespace.labels_mut().insert("team".to_owned(), team.to_owned());
        namespace
    }

    #[test]
    fn a_namespace_has_changed_when_its_marks_have() {
        let mut seen = Seen::default();
        let mut tell = |event| Vec::from_iter(seen.changes(event)).join(" ");
        tell(Event::Init);
        tell(Event::InitApply(namespace("here", "a")));
        tell(Event::InitApply(namespace("there", "a")));
        assert_eq!(tell(Event::InitDone), "", "nothing was known that could have been worked with");
        assert_eq!(tell(Event::Apply(namespace("here", "a"))), "");
        assert_eq!(tell(Event::Apply(namespace("here", "b"))), "here");
        assert_eq!(tell(Event::Apply(namespace("new", "a"))), "new");
        assert_eq!(tell(Event::Delete(namespace("new", "a"))), "new");

        tell(Event::Init);
        tell(Event::InitApply(namespace("here", "c")));
        tell(Event::InitApply(namespace("late", "a")));
        assert_eq!(tell(Event::InitDone), "here late there");
    }

    #[test]
    fn an_application_is_found_by_the_namespaces_that_it_names_now() {
        let app = ApplicationKey::new("home", "shop");
        let mut abroad = Abroad::default();
        abroad.set(&app, ["home".into(), "prod".into(), "test".into()]);
        abroad.set(&app, ["home".into(), "prod".into()]);
        let count = |abroad: &Abroad, name: &str| abroad.by(name).count();
        assert_eq!(["home", "prod", "test"].map(|name| count(&abroad, name)), [0, 1, 0]);
        abroad.set(&app, []);
        assert!(abroad.by.is_empty() && abroad.of.is_empty());
    }
}
