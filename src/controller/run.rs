//! Wires watches, tasks and passes together, and ends them in order.
use std::{
    sync::{Arc, Mutex, RwLock, atomic::AtomicU64},
    time::Duration,
};

use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Client, ResourceExt,
    runtime::{
        Controller, WatchStreamExt,
        controller::{Config, Error as Outcome},
        events::Reporter,
        reflector::{self, ObjectRef},
        watcher,
    },
};
use tokio::sync::{Notify, OnceCell, mpsc};
use tokio_util::sync::CancellationToken;

use super::{
    announce::Announcements,
    changes,
    claims::ClaimTables,
    context::{Context, Memories},
    fenced::fenced,
    index::Index,
    lattice,
    lattices::Lattices,
    lease::{Campaign, Election},
    metrics::Metrics,
    namespaces, passes,
    retries::Retries,
    secrets,
    sweep::Sweeps,
    touched::Touched,
    unseen::Unseen,
    watches::{self, Scope},
};
use crate::{
    api::{Application, CLASS, Lattice},
    lattice::{aside::aside, fence::Fence, inventory::Change, line::Lines},
    model::LatticeName,
};

/// Passes that run at a time; each is short, but for its calls to the API server.
const CONCURRENCY: u16 = 32;
/// Taking up a lattice costs a Secret to read at most; nobody waits for its connection.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Lattices' changes that wait for the index; their tasks merge what doesn't fit.
const CHANGES: usize = 1024;

/// How long the outcome of what was sent is waited for before the Lease goes to another replica.
/// A Pod has 30 s to end.
const DRAIN: Duration = Duration::from_secs(10);
/// What is kept for objects that have gone is dropped at most this often.
const FORGET: Duration = Duration::from_secs(1);

/// What a controller needs to run.
pub struct Options {
    pub kube: Client,
    pub metrics: Metrics,
    /// The operator's own namespace, where the Secrets of lattices are.
    pub namespace: String,
    /// Whose Applications are ours.
    pub scope: Scope,
    /// Which installation's objects are ours; `None`: those that name none.
    pub class: Option<String>,
    /// Made by [`lattices`].
    pub lattices: Arc<Lattices>,
    pub changes: mpsc::Receiver<(LatticeName, Change)>,
    /// How long a start may take, the pull of its image included.
    pub start_deadline: Duration,
    /// This process's name in events.
    pub instance: Option<String>,
    /// `None`: this is the only replica.
    pub election: Option<Election>,
    /// Set once everything has been listed and every lattice's task runs.
    pub ready: tokio::sync::watch::Sender<bool>,
    pub stop: CancellationToken,
}

/// Why the controller ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("{what} ended unexpectedly")]
    Ended { what: &'static str },
}

/// No lattice yet, and where their changes will come from. Nothing is sent to any before this
/// process is elected, unless it is `alone`.
#[must_use]
pub fn lattices(
    alone: bool,
    lines: Arc<dyn Lines>,
) -> (Arc<Lattices>, mpsc::Receiver<(LatticeName, Change)>) {
    let (sender, changes) = mpsc::channel(CHANGES);
    let fence = Arc::new(if alone { Fence::open() } else { Fence::closed() });
    (Arc::new(Lattices::new(sender, lines, fence)), changes)
}

/// Runs until `options.stop` is cancelled.
pub async fn run(options: Options) -> Result<(), RunError> {
    let (_idle, idle) = mpsc::channel(1);
    let mut options = options;
    let unfenced = hold_back(&mut options);
    let changes = std::mem::replace(&mut options.changes, idle);
    let stop = &options.stop;
    let some_gone = Arc::new(Notify::new());
    let unseen = Arc::<Unseen>::default();
    let (namespaces, namespace_writer) = reflector::store();
    let (heard, all_listed) = (Arc::clone(&some_gone), Arc::new(Notify::new()));
    let heard = (heard, Arc::clone(&all_listed));
    let (application_store, applications) =
        applications(&options, heard.clone(), &namespaces, &unseen);
    let (lattices, lattices_changed) = lattice_objects(&options, heard);
    let stores = (application_store, namespaces, lattices.store());
    let ctx = context(&options, stores, lattices_changed, (some_gone, unseen));
    let lattice_store = lattices.store();

    let namespaces = namespaces::drive(&ctx, &options.scope, namespace_writer);
    let revisions = drive_revisions(&ctx, &options.scope);
    let (changed_in, changed_lattices) = mpsc::channel(CHANGES);
    let secrets = secrets::drive(&ctx, changed_in.clone());
    // What a lattice tells goes through these two, so they wait for nothing else here.
    let changes = aside(changes::drive(Arc::clone(&ctx), changes, changed_in));
    let lattice_passes = drive_lattices(lattices, &ctx, changed_lattices, stop);
    let listed = drive_start(&ctx, &lattice_store, &options.ready);
    let passes = aside(passes::drive(Arc::clone(&ctx), applications, stop.clone()));
    let mut campaign = Campaign::begin(unfenced, &options, &ctx);
    let elected = campaign.is_some();
    let passes = async {
        tokio::join!(passes, lattice_passes);
        ctx.announcements.published().await;
        // Who is alone has nobody to leave a clean lattice to.
        elected && ctx.leads() && ctx.lattices.drain(DRAIN).await
    };

    let (ended, drained) = tokio::select! {
        () = namespaces => ("the watch on namespaces", false),
        () = revisions => ("the watch on revisions", false),
        () = secrets => ("the watch on Secrets", false),
        () = ctx.announcements.drive(&ctx) => ("publishing events", false),
        () = ctx.sweeps.drive(&ctx) => ("sweeping revisions", false),
        () = changes => ("the watch on lattices", false),
        () = drive_listings(&ctx, &all_listed) => ("listing", false),
        () = drive_forgetting(&ctx) => ("forgetting", false),
        () = drive_unseen(&ctx) => ("watching what can be seen", false),
        () = listed => ("the start", false),
        () = Campaign::ended(&mut campaign) => ("the election", false),
        drained = passes => ("the controller", drained),
    };
    if let Some(campaign) = campaign {
        campaign.release(drained).await;
    }
    ctx.lattices.stop().await;
    if stop.is_cancelled() { Ok(()) } else { Err(RunError::Ended { what: ended }) }
}

/// Where there are several replicas, whatever uses `options` from now on writes nothing before this
/// one is elected. Returns the client that writes nevertheless.
fn hold_back(options: &mut Options) -> Client {
    let unfenced = options.kube.clone();
    if options.election.is_some() {
        options.kube = fenced(unfenced.clone(), Arc::clone(options.lattices.fence()));
    } else {
        options.metrics.leader.set(1);
    }
    unfenced
}

/// Says so once everything has been listed and every lattice's task runs; it has no end.
async fn drive_start(
    ctx: &Context,
    lattices: &reflector::Store<Lattice>,
    ready: &tokio::sync::watch::Sender<bool>,
) {
    if lattices.wait_until_ready().await.is_ok() {
        while !all_taken_up(ctx, lattices) {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        ctx.lattices.all_taken_up();
        ctx.ready().await;
        ready.send_replace(true);
        tracing::info!("ready");
    }
    std::future::pending::<()>().await;
}

/// Whether every lattice that is ours has its task, or its fault in its status. One that goes before
/// that isn't waited for.
fn all_taken_up(ctx: &Context, lattices: &reflector::Store<Lattice>) -> bool {
    let of_others = |l: &Lattice| l.annotations().get(CLASS) != ctx.class.as_ref();
    let taken_up = |l: &Lattice| l.name_any().parse().is_ok_and(|name| ctx.lattices.knows(&name));
    lattices.state().iter().all(|lattice| of_others(lattice) || taken_up(lattice))
}

fn applications(
    options: &Options,
    (gone, listed): (Arc<Notify>, Arc<Notify>),
    namespaces: &reflector::Store<Namespace>,
    unseen: &Arc<Unseen>,
) -> (
    reflector::Store<Application>,
    impl Stream<Item = watcher::Result<watcher::Event<Application>>> + use<>,
) {
    let (store, writer) = reflector::store();
    let events = watches::in_scope(&options.kube, &options.scope, namespaces, unseen);
    let events = events.map(Ok).reflect(writer);
    let events = events.inspect(move |event| {
        tell_if_gone(event, &gone);
        tell_if_listed(event, &listed);
    });
    (store, events)
}

/// After an object has gone from the store, or several may have.
fn tell_if_gone<K>(event: &watcher::Result<watcher::Event<K>>, gone: &Notify) {
    if let Ok(watcher::Event::Delete(_) | watcher::Event::InitDone) = event {
        gone.notify_one();
    }
}

fn tell_if_listed<K>(event: &watcher::Result<watcher::Event<K>>, listed: &Notify) {
    if let Ok(watcher::Event::InitDone) = event {
        listed.notify_one();
    }
}

/// Their controller, and what is notified once a change of one can be read.
fn lattice_objects(
    options: &Options,
    (gone, listed): (Arc<Notify>, Arc<Notify>),
) -> (Controller<Lattice>, Arc<Notify>) {
    let (store, writer) = reflector::store();
    let changed = Arc::new(Notify::new());
    let notified = Arc::clone(&changed);
    let events = watches::everywhere(&options.kube).map(Ok).reflect(writer);
    let events = events.inspect(move |event| {
        notified.notify_one();
        tell_if_gone(event, &gone);
        tell_if_listed(event, &listed);
    });
    (Controller::for_stream(events.applied_objects(), store), changed)
}

type Stores =
    (reflector::Store<Application>, reflector::Store<Namespace>, reflector::Store<Lattice>);

fn context(
    options: &Options,
    (applications, namespaces, lattice_objects): Stores,
    lattices_changed: Arc<Notify>,
    (some_gone, unseen): (Arc<Notify>, Arc<Unseen>),
) -> Arc<Context> {
    let reporter = Reporter { controller: "trellis".into(), instance: options.instance.clone() };
    Arc::new(Context {
        reporter,
        kube: options.kube.clone(),
        applications,
        namespaces,
        lattice_objects,
        lattices_changed,
        revisions: Arc::default(),
        sweeps: Sweeps::default(),
        announcements: Announcements::default(),
        lattices: Arc::clone(&options.lattices),
        claims: Mutex::new(ClaimTables::default()),
        index: RwLock::new(Index::default()),
        abroad: Mutex::default(),
        memories: Memories::default(),
        touched: Arc::new(Touched::default()),
        everything: Arc::new(Notify::new()),
        every_lattice: Arc::new(Notify::new()),
        some_gone,
        unseen,
        metrics: options.metrics.clone(),
        start_deadline: options.start_deadline,
        namespace: options.namespace.clone(),
        class: options.class.clone(),
        scope: options.scope.clone(),
        facts: AtomicU64::new(0),
        retries: Retries::default(),
        ready: OnceCell::new(),
    })
}

async fn drive_revisions(ctx: &Context, scope: &Scope) {
    let mut events =
        std::pin::pin!(watches::in_scope(&ctx.kube, scope, &ctx.namespaces, &ctx.unseen));
    while let Some(event) = events.next().await {
        ctx.revisions.watched(event);
    }
}

/// What depends on namespaces that can't be seen is looked at again when these are others.
async fn drive_unseen(ctx: &Context) {
    loop {
        ctx.unseen.changed().await;
        let unseen = i64::try_from(ctx.unseen.namespaces().len()).unwrap_or(i64::MAX);
        ctx.metrics.unseen_namespaces.set(unseen);
        ctx.some_gone.notify_one();
        ctx.look_at_everything();
    }
}

/// What was written before Applications, or Lattices, were listed may never have been: etcd can have been restored
/// from a backup. Where the listing was only early, who decides on it is refused and comes again.
async fn drive_listings(ctx: &Context, listed: &Notify) {
    loop {
        listed.notified().await;
        ctx.memories.forget_written();
        ctx.lattices.forget_written();
        ctx.look_at_everything();
    }
}

async fn drive_forgetting(ctx: &Context) {
    loop {
        ctx.some_gone.notified().await;
        ctx.forget_gone().await;
        tokio::time::sleep(FORGET).await;
    }
}

async fn drive_lattices(
    controller: Controller<Lattice>,
    ctx: &Arc<Context>,
    changed: mpsc::Receiver<ObjectRef<Lattice>>,
    stop: &CancellationToken,
) {
    let stopped = stop.clone().cancelled_owned();
    let all = each(Arc::clone(&ctx.every_lattice));
    controller
        .with_config(Config::default().concurrency(CONCURRENCY))
        .reconcile_on(received(changed))
        .reconcile_all_on(all)
        .graceful_shutdown_on(stopped)
        .run(lattice::reconcile, lattice::error_policy, Arc::clone(ctx))
        .for_each(|outcome| async move { log("lattice", outcome) })
        .await;
}

fn each(notify: Arc<Notify>) -> impl Stream<Item = ()> + Send {
    futures::stream::unfold(notify, |notify| async move {
        notify.notified().await;
        Some(((), notify))
    })
}

fn received<T: Send + 'static>(receiver: mpsc::Receiver<T>) -> impl Stream<Item = T> + Send {
    futures::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|item| (item, receiver))
    })
}

/// Passes that fail have been logged by their error policy; what is left is kube's own.
fn log<K, E: std::error::Error + 'static, Q: std::error::Error + 'static>(
    kind: &str,
    outcome: Result<(ObjectRef<K>, kube::runtime::controller::Action), Outcome<E, Q>>,
) where
    K: kube::runtime::reflector::Lookup,
    K::DynamicType: std::fmt::Debug,
{
    match outcome {
        Ok(_) | Err(Outcome::ReconcilerFailed(..)) => {}
        Err(Outcome::ObjectNotFound(_)) => tracing::debug!(kind, "gone"),
        Err(Outcome::QueueError(error)) => {
            tracing::warn!(kind, error = super::chain(&error), "watch");
        }
        Err(error) => tracing::error!(kind, error = error.to_string(), "controller"),
    }
}
