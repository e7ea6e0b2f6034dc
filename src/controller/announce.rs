//! Publishes events.
use std::time::Duration;

use kube::{
    Resource,
    runtime::events::{Event, EventType, Recorder},
};

use super::{chain, context::Context, events::Transition};

/// An event isn't worth a longer wait.
const LONGEST: Duration = Duration::from_secs(5);

/// An event that can't be published is worth a line in the log, not the pass.
pub(super) async fn announce<K>(object: &K, ctx: &Context, transition: &Transition)
where
    K: Resource<DynamicType = ()>,
{
    tracing::info!(reason = transition.reason, note = transition.note, "event");
    let event = Event {
        type_: if transition.warning { EventType::Warning } else { EventType::Normal },
        reason: transition.reason.clone(),
        note: Some(transition.note.clone()),
        action: transition.reason.clone(),
        secondary: None,
    };
    let reference = object.object_ref(&());
    // A recorder keeps all events for minutes, and takes those that are equal but for their note for
    // repetitions of the first. Each of ours is one of its own, so each has a recorder.
    let recorder = Recorder::new(ctx.kube.clone(), ctx.reporter.clone());
    match tokio::time::timeout(LONGEST, recorder.publish(&event, &reference)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(error = chain(&error), "could not publish an event"),
        Err(_) => tracing::warn!("could not publish an event in time"),
    }
}
