//! Applications to look at again: a set, so that it can't outgrow their number and a storm of
//! changes on one costs one pass.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use futures::Stream;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::Notify;

use crate::{
    api::Application,
    model::{ApplicationKey, Moment},
};

#[derive(Debug, Default)]
pub struct Touched {
    waiting: Mutex<BTreeSet<ApplicationKey>>,
    /// When what they are to be looked at for was known, until the pass over them begins.
    since: Mutex<BTreeMap<ApplicationKey, Moment>>,
    some: Notify,
}

impl Touched {
    /// Has an Application looked at again.
    pub fn add(&self, application: &ApplicationKey) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.insert(application.clone()) {
            self.some.notify_one();
        }
    }

    /// Has an Application looked at for a change of a lattice that was known at `since`.
    pub fn tell(&self, application: &ApplicationKey, since: Option<Moment>) {
        if let Some(since) = since {
            let mut known = self.since.lock().unwrap_or_else(PoisonError::into_inner);
            known.entry(application.clone()).or_insert(since);
        }
        self.add(application);
    }

    /// A pass over an Application begins: when what it looks at first was known.
    pub fn begun(&self, application: &ApplicationKey) -> Option<Moment> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner).remove(application)
    }

    fn take(&self) -> Option<ApplicationKey> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_first()
    }

    /// What was added, each once, as long as somebody asks.
    pub fn stream(self: Arc<Self>) -> impl Stream<Item = ObjectRef<Application>> + Send {
        futures::stream::unfold(self, |touched| async move {
            loop {
                if let Some(key) = touched.take() {
                    let app = ObjectRef::new(&key.name).within(&key.namespace);
                    return Some((app, touched));
                }
                touched.some.notified().await;
            }
        })
    }
}
