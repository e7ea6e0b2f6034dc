//! Runs passes over Applications: one at a time over each, a few at once, and again when they ask for it.
//!
//! ```text
//! watch, lattices ──▶ touched ──▶ under way ──▶ later ─┐
//!                        ▲                             │ when its time has come
//!                        └─────────────────────────────┘
//! ```
//!
//! kube's own runner lets a timer go by before each pass, runs all of them in one task and knows no
//! order among them: what a lattice told was answered milliseconds later, or after ten thousand others.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures::{Stream, StreamExt};
use kube::runtime::{
    reflector::ObjectRef,
    watcher::{self, Event},
};
use tokio::{
    task::{JoinError, JoinSet},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{application, chain, context::Context, release::key_of};
use crate::{api::Application, lattice::aside::came, model::ApplicationKey};

/// Passes that run at a time; each is short, but for its calls to the API server.
const AT_ONCE: usize = 32;

/// Runs passes until `stop` is cancelled, and then those that are under way to their end. `objects`
/// keeps the store of Applications up to date as it is read.
pub(super) async fn drive(
    ctx: Arc<Context>,
    objects: impl Stream<Item = watcher::Result<Event<Application>>>,
    stop: CancellationToken,
) {
    let applications = ctx.applications.clone();
    let (mut objects, mut listed) =
        (std::pin::pin!(objects), std::pin::pin!(applications.wait_until_ready()));
    let mut is_listed = false;
    let mut passes = Passes::new(&ctx);
    loop {
        if is_listed {
            passes.begin();
        }
        let next = passes.later.first();
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(ended) = passes.tasks.join_next() => passes.end(ended),
            object = objects.next() => match object {
                Some(object) => take_note(&ctx, object),
                None => break,
            },
            _ = &mut listed, if !is_listed => is_listed = true,
            () = ctx.touched.some() => {}
            () = ctx.everything.notified() => {
                ctx.applications.state().iter().for_each(|app| ctx.touched.add_last(&key_of(app)));
            }
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => passes.wake(),
        }
    }
    while let Some(ended) = passes.tasks.join_next().await {
        passes.end(ended);
    }
}

fn take_note(ctx: &Context, object: watcher::Result<Event<Application>>) {
    match object {
        Ok(Event::Apply(app)) => ctx.touched.add(&key_of(&app)),
        Ok(Event::InitApply(app)) => ctx.touched.add_last(&key_of(&app)),
        Ok(Event::Init | Event::InitDone | Event::Delete(_)) => {}
        Err(error) => tracing::warn!(kind = "application", error = chain(&error), "watch"),
    }
}

struct Passes {
    ctx: Arc<Context>,
    /// Each ends with the time to wait until the next pass, if it asks for one.
    tasks: JoinSet<(ApplicationKey, Option<Duration>)>,
    under_way: BTreeSet<ApplicationKey>,
    /// Touched while a pass over them was under way.
    again: BTreeSet<ApplicationKey>,
    later: Later,
}

impl Passes {
    fn new(ctx: &Arc<Context>) -> Self {
        Self {
            ctx: Arc::clone(ctx),
            tasks: JoinSet::new(),
            under_way: BTreeSet::new(),
            again: BTreeSet::new(),
            later: Later::default(),
        }
    }

    /// Begins as many passes as may run.
    fn begin(&mut self) {
        while self.tasks.len() < AT_ONCE
            && let Some(key) = self.ctx.touched.take()
        {
            if self.under_way.contains(&key) {
                self.again.insert(key);
                continue;
            }
            self.later.remove(&key);
            let object = ObjectRef::new(&key.name).within(&key.namespace);
            let Some(app) = self.ctx.applications.get(&object) else {
                tracing::debug!(app = %key, "gone");
                continue;
            };
            self.under_way.insert(key.clone());
            let ctx = Arc::clone(&self.ctx);
            self.tasks.spawn(async move {
                let passed = application::reconcile(Arc::clone(&app), Arc::clone(&ctx)).await;
                let after = passed
                    .unwrap_or_else(|error| Some(application::retry_after(&app, &error, &ctx)));
                (key, after)
            });
        }
    }

    fn end(&mut self, ended: Result<(ApplicationKey, Option<Duration>), JoinError>) {
        let Some((key, after)) = came(ended) else { return };
        self.under_way.remove(&key);
        if self.again.remove(&key) {
            self.ctx.touched.add(&key);
        } else if let Some(after) = after {
            self.later.add(key, Instant::now() + after);
        }
    }

    fn wake(&mut self) {
        while let Some(key) = self.later.take(Instant::now()) {
            self.ctx.touched.add(&key);
        }
    }
}

/// Who asked to be looked at again, and when.
#[derive(Debug, Default)]
struct Later {
    times: BTreeSet<(Instant, ApplicationKey)>,
    keys: BTreeMap<ApplicationKey, Instant>,
}

impl Later {
    /// Instead of what it asked for before.
    fn add(&mut self, application: ApplicationKey, at: Instant) {
        self.remove(&application);
        self.times.insert((at, application.clone()));
        self.keys.insert(application, at);
    }

    fn remove(&mut self, application: &ApplicationKey) {
        if let Some(at) = self.keys.remove(application) {
            self.times.remove(&(at, application.clone()));
        }
    }

    fn first(&self) -> Option<Instant> {
        self.times.first().map(|(at, _)| *at)
    }

    /// One whose time has come.
    fn take(&mut self, now: Instant) -> Option<ApplicationKey> {
        self.first().filter(|at| *at <= now)?;
        let (_, application) = self.times.pop_first()?;
        self.keys.remove(&application);
        Some(application)
    }
}
