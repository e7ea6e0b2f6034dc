//! Publishes events, one after the other, beside the passes that call for them: when thousands of
//! Applications start at once, what makes them run goes first.
use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Resource,
    runtime::events::{Event, EventType, Recorder},
};
use tokio::sync::Notify;

use super::{chain, context::Context, events::Transition};

/// An event isn't worth a longer wait.
const LONGEST: Duration = Duration::from_secs(5);
/// More don't wait: the log has them too.
const MOST: usize = 20_000;

/// Events that are to be published, in the order in which they were called for.
#[derive(Debug, Default)]
pub struct Announcements {
    waiting: Mutex<VecDeque<(ObjectReference, Transition)>>,
    some: Notify,
    none: Notify,
}

impl Announcements {
    fn waiting(&self) -> MutexGuard<'_, VecDeque<(ObjectReference, Transition)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes what is called for; it has no end.
    pub(super) async fn drive(&self, ctx: &Context) {
        loop {
            let next = self.waiting().front().cloned();
            if let Some((object, transition)) = next {
                ctx.touched.calm().await;
                publish(ctx, &object, &transition).await;
                self.waiting().pop_front();
            } else {
                self.none.notify_waiters();
                self.some.notified().await;
            }
        }
    }

    /// Waits until all are published, but not for ever.
    pub(super) async fn published(&self) {
        let none = self.none.notified();
        if !self.waiting().is_empty() {
            let _ = tokio::time::timeout(LONGEST, none).await;
        }
    }
}

/// An event that can't be published is worth a line in the log, not the pass.
pub(super) fn announce<K>(object: &K, ctx: &Context, transition: Transition)
where
    K: Resource<DynamicType = ()>,
{
    tracing::info!(reason = transition.reason, note = transition.note, "event");
    let announcements = &ctx.announcements;
    let mut waiting = announcements.waiting();
    if waiting.len() >= MOST {
        tracing::warn!("an event is not published: too many wait for the API server");
        return;
    }
    waiting.push_back((object.object_ref(&()), transition));
    announcements.some.notify_one();
}

async fn publish(ctx: &Context, object: &ObjectReference, transition: &Transition) {
    let event = Event {
        type_: if transition.warning { EventType::Warning } else { EventType::Normal },
        reason: transition.reason.clone(),
        note: Some(transition.note.clone()),
        action: transition.reason.clone(),
        secondary: None,
    };
    // A recorder keeps all events for minutes, and takes those that are equal but for their note for
    // repetitions of the first. Each of ours is one of its own, so each has a recorder.
    let recorder = Recorder::new(ctx.kube.clone(), ctx.reporter.clone());
    match tokio::time::timeout(LONGEST, recorder.publish(&event, object)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(error = chain(&error), "could not publish an event"),
        Err(_) => tracing::warn!("could not publish an event in time"),
    }
}
