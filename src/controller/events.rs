//! What is worth an event: transitions, and nothing else.
use std::collections::BTreeSet;

use crate::api::{ApplicationStatus, Phase};

use super::{
    conditions::shorten,
    status::{PROGRESSING, condition, is_true},
};

/// The API server refuses a note over 1,024 characters.
pub(super) const MAX_NOTE: usize = 1000;

/// An event to publish on an Application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Transition {
    pub warning: bool,
    pub reason: String,
    pub note: String,
}

/// The events that the step from one status to the next calls for.
#[must_use]
pub(super) fn transitions(
    before: &ApplicationStatus,
    after: &ApplicationStatus,
) -> Vec<Transition> {
    let mut events = Vec::new();
    events.extend(refused(before, after));
    let revision = after.latest_revision.as_ref();
    let made = revision.filter(|_| before.latest_revision != after.latest_revision);
    events.extend(pulled_away(before, after));
    let was_ready = is_true(before, "Ready");
    let is_ready = is_true(after, "Ready");
    if is_ready && !was_ready {
        let recovered = before.status == Some(Phase::Unhealthy);
        let ready = after.summary.as_ref().map(|s| s.ready.as_str()).unwrap_or_default();
        let of = revision.map(|revision| format!(" by {}", revision.name)).unwrap_or_default();
        let reason = if recovered { "Recovered" } else { "Running" };
        events.push(normal(reason, &format!("{ready} components run as asked{of}")));
    } else if let Some(made) = made {
        events.push(normal("Revisioned", &format!("made revision {}", made.name)));
    }
    let refused = after.conditions.iter().any(|c| is_refusal(c.reason.as_deref()));
    if !is_ready && !refused && after.status != Some(Phase::Deleting) {
        events.extend(degraded(before, after, was_ready));
    }
    events
}

/// The same revision goes to other lattices: nobody has changed the Application.
fn pulled_away(before: &ApplicationStatus, after: &ApplicationStatus) -> Option<Transition> {
    let (old, new) = (lattices(before), lattices(after));
    if before.latest_revision != after.latest_revision || old.is_empty() || old == new {
        return None;
    }
    let list = |lattices: &[&str]| match lattices {
        [] => "none".to_owned(),
        some => some.join(", "),
    };
    let left: Vec<_> = old.iter().filter(|name| !new.contains(name)).copied().collect();
    let leaves = match left.as_slice() {
        [] => String::new(),
        left => format!(", and leaves {} once it runs there", left.join(", ")),
    };
    Some(normal(
        "LatticeChanged",
        &format!(
            "goes to lattice {} instead of {}{leaves}: the labels, default or allowedNamespaces of \
             a Lattice or the annotations of the namespace have changed; a topology policy that \
             names lattices keeps it where it is",
            list(&new),
            list(&old)
        ),
    ))
}

/// Where what is in force is to run, in order.
fn lattices(status: &ApplicationStatus) -> Vec<&str> {
    let names: BTreeSet<_> = status.released.iter().map(|it| it.lattice.as_str()).collect();
    names.into_iter().collect()
}

fn is_refusal(reason: Option<&str>) -> bool {
    reason.is_some_and(|reason| reason.starts_with("Failed"))
}

fn refused(before: &ApplicationStatus, after: &ApplicationStatus) -> Option<Transition> {
    let now = condition(after, "Stalled").filter(|c| is_refusal(c.reason.as_deref()))?;
    let old = condition(before, "Stalled");
    let same = old.is_some_and(|old| old.reason == now.reason && old.message == now.message);
    (!same).then(|| Transition {
        warning: true,
        reason: now.reason.clone().unwrap_or_default(),
        note: shorten(now.message.as_deref().unwrap_or_default(), MAX_NOTE),
    })
}

/// Reasons that only say that work is going on; leaving `Ready` for them is an edit, no fault.
fn is_progress(reason: Option<&str>) -> bool {
    matches!(reason, None | Some(PROGRESSING))
}

fn degraded(
    before: &ApplicationStatus,
    after: &ApplicationStatus,
    was_ready: bool,
) -> Option<Transition> {
    let now = condition(after, "Ready")?;
    let note = shorten(now.message.as_deref().unwrap_or_default(), MAX_NOTE);
    if after.status == Some(Phase::Unhealthy) && was_ready {
        return Some(Transition { warning: true, reason: "Degraded".into(), note });
    }
    let old = condition(before, "Ready").and_then(|old| old.reason.as_deref());
    let reason = now.reason.as_deref();
    (!is_progress(reason) && old != reason).then(|| Transition {
        warning: true,
        reason: reason.unwrap_or_default().into(),
        note,
    })
}

fn normal(reason: &str, note: &str) -> Transition {
    Transition { warning: false, reason: reason.into(), note: shorten(note, MAX_NOTE) }
}
