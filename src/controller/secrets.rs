//! The Secrets that Lattices name, each watched by its name: who may read some Secrets of a namespace
//! need not be able to list all of them.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::{
    FutureExt, StreamExt,
    future::{pending, select_all},
    stream::BoxStream,
};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, ResourceExt,
    runtime::{reflector::ObjectRef, watcher::Event},
};
use tokio::sync::mpsc;

use super::{context::Context, watches};
use crate::api::{CLASS, Lattice};

type Watches = BTreeMap<String, BoxStream<'static, Event<Secret>>>;

/// Has a `Lattice` looked at again when the Secret that it names has changed.
pub(super) async fn drive(ctx: &Context, lattices: mpsc::Sender<ObjectRef<Lattice>>) {
    let api = Api::<Secret>::namespaced(ctx.kube.clone(), &ctx.namespace);
    let mut watches = Watches::new();
    loop {
        let named: BTreeSet<_> = ours(ctx).filter_map(|l| secret(&l).map(str::to_owned)).collect();
        watches.retain(|name, _| named.contains(name));
        for name in named {
            let watch = || watches::one(api.clone(), &name).boxed();
            watches.entry(name.clone()).or_insert_with(watch);
        }
        tokio::select! {
            () = ctx.lattices_changed.notified() => {}
            name = changed(&mut watches) => {
                for lattice in ours(ctx).filter(|lattice| secret(lattice) == Some(&name)) {
                    if lattices.send(ObjectRef::from_obj(&*lattice)).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

fn ours(ctx: &Context) -> impl Iterator<Item = Arc<Lattice>> {
    let all = ctx.lattice_objects.state().into_iter();
    all.filter(|lattice| lattice.annotations().get(CLASS) == ctx.class.as_ref())
}

fn secret(lattice: &Lattice) -> Option<&str> {
    lattice.spec.nats.credentials_secret.as_ref().map(|secret| secret.name.as_str())
}

/// The next Secret that has come, changed or gone, or may have while nobody looked.
async fn changed(watches: &mut Watches) -> String {
    if watches.is_empty() {
        return pending().await;
    }
    loop {
        let heard =
            watches.iter_mut().map(|(name, watch)| watch.next().map(move |event| (name, event)));
        match select_all(heard).await.0 {
            (name, Some(Event::InitDone | Event::Apply(_) | Event::Delete(_))) => {
                return name.clone();
            }
            (_, Some(Event::Init | Event::InitApply(_))) => {}
            // A watch has no end.
            (_, None) => return pending().await,
        }
    }
}
