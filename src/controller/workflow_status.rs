//! The workflow's part of a status. Pure.
use crate::{
    api::{StepStatus, WorkflowStatus},
    workflow,
};

use super::decision::{Decision, StepProgress};

/// The status of the run that releases `revision`, continued from `before`.
#[must_use]
pub(super) fn compute(
    before: Option<&WorkflowStatus>,
    revision: &str,
    decision: &Decision,
    now: &str,
) -> WorkflowStatus {
    let before = before.filter(|before| before.app_revision == revision);
    let steps: Vec<_> =
        decision.steps.iter().map(|progress| step(before, progress, decision, now)).collect();
    let waiting = decision.steps.iter().find(|step| !step.succeeded && !decision.finished);
    WorkflowStatus {
        app_revision: revision.into(),
        mode: workflow::MODE.into(),
        status: Some(if decision.finished { "succeeded" } else { "executing" }.into()),
        message: waiting.map(|step| format!("{}: {}", step.name, step.message)),
        suspend: false,
        terminated: false,
        finished: decision.finished,
        steps,
        start_time: before.and_then(|b| b.start_time.clone()).or_else(|| Some(now.into())),
        end_time: decision
            .finished
            .then(|| before.and_then(|b| b.end_time.clone()).unwrap_or_else(|| now.into())),
        ..WorkflowStatus::default()
    }
}

/// A step that has succeeded stays so: what happens to its components later is their health.
fn step(
    before: Option<&WorkflowStatus>,
    progress: &StepProgress,
    decision: &Decision,
    now: &str,
) -> StepStatus {
    let old = before.and_then(|b| b.steps.iter().find(|old| old.name == progress.name));
    let succeeded =
        progress.succeeded || decision.finished || old.is_some_and(|old| old.phase == "succeeded");
    let phase = if succeeded { "succeeded" } else { "running" };
    let first = old.and_then(|old| old.first_execute_time.clone());
    let last = old
        .filter(|old| old.phase == phase)
        .and_then(|old| old.last_execute_time.clone())
        .unwrap_or_else(|| now.into());
    StepStatus {
        id: progress.name.clone(),
        name: progress.name.clone(),
        type_: progress.kind.to_string(),
        phase: phase.into(),
        reason: (!succeeded).then(|| "Wait".into()),
        message: Some(progress.message.clone()).filter(|m| !succeeded && !m.is_empty()),
        first_execute_time: Some(first.unwrap_or_else(|| now.into())),
        last_execute_time: Some(last),
        sub_steps: Vec::new(),
    }
}
