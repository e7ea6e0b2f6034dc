//! Facts → status. Pure: the time is an argument, and equal facts give an equal status.
use std::collections::BTreeMap;

use crate::{
    api::{
        ApplicationStatus, Condition, ConditionStatus, Instances, Phase, RevisionName, Service,
        Summary, WorkflowStatus,
    },
    appfile::Problem,
    model::{Blocked, Command, Gate, Lane, LatticeName, Observed, Plan, Progress, WorkloadId},
};

use super::{
    applied,
    cleanup::FORCE_DELETE,
    conditions::{Verdict, set},
    decision::{Decision, StepProgress, World},
    refusal::{Refusal, Stage},
    workflow_status,
};

/// The reason of conditions of what isn't as wanted yet, only because that takes its time.
pub(super) const PROGRESSING: &str = "Progressing";

/// What is said of what somebody else started and runs as it is wanted, as far as it shows.
const ADOPTED: &str =
    "adopted as it runs; its list of config can't be read back and is taken for equal";
const PAUSED: &str = "nothing is changed until the annotation lattice.oam.dev/paused is removed";

/// A status lists no more hosts a service than this.
const MAX_HOSTS: usize = 20;

/// What one pass found out about an Application.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    pub generation: Option<i64>,
    /// What the object says now.
    pub before: &'a ApplicationStatus,
    /// Why the spec, as it is now, was not released.
    pub refusal: Option<&'a Refusal>,
    /// The revision in force; `None` if nothing was ever released.
    pub revision: Option<&'a RevisionName>,
    pub world: &'a World,
    pub decision: &'a Decision,
    /// What is likely to be a mistake, or deprecated, in what was released.
    pub warnings: &'a [Problem],
    /// Types of the components, by name.
    pub types: &'a BTreeMap<String, String>,
    /// The value of `lattice.oam.dev/reconcile`.
    pub token: Option<&'a str>,
    /// Whether nothing is changed, by the annotation `lattice.oam.dev/paused`.
    pub paused: bool,
    /// RFC 3339; stands only where something changed.
    pub now: &'a str,
}

/// The status that `facts` call for.
#[must_use]
pub(super) fn compute(facts: &Facts) -> ApplicationStatus {
    let services = services(facts);
    let phase = phase(facts, &services);
    let verdicts = verdicts(facts, phase, &services);
    let mut conditions = facts.before.conditions.clone();
    for verdict in &verdicts {
        set(&mut conditions, verdict, facts.generation, facts.now);
    }
    ApplicationStatus {
        status: Some(phase),
        observed_generation: facts.generation,
        summary: Some(summary(facts, &services, &verdicts)),
        workflow: workflow(facts),
        latest_revision: facts.revision.cloned(),
        released: applied::released(facts),
        applied_resources: applied::resources(facts.world),
        reconciled: facts.token.map(Into::into).or_else(|| facts.before.reconciled.clone()),
        conditions,
        services,
    }
}

/// What a deletion that has to wait looks like, and why.
#[must_use]
pub(super) fn held(facts: &Facts, reason: &'static str, message: &str) -> ApplicationStatus {
    let mut conditions = facts.before.conditions.clone();
    for verdict in [
        Verdict::no("Ready", reason, message),
        Verdict::no("Reconciling", reason, message),
        Verdict::yes("Stalled", reason, message),
    ] {
        set(&mut conditions, &verdict, facts.generation, facts.now);
    }
    let summary = facts.before.summary.clone().unwrap_or_default();
    ApplicationStatus {
        status: Some(Phase::Deleting),
        observed_generation: facts.generation,
        conditions,
        summary: Some(Summary { message: message.into(), ..summary }),
        ..facts.before.clone()
    }
}

/// What a deletion under way looks like, which waits until `end` at most.
#[must_use]
pub(super) fn deleting(facts: &Facts, end: Option<&str>) -> ApplicationStatus {
    let left = facts.world.sights.iter().find_map(|(name, sight)| {
        let plan = facts.decision.plans.get(name)?;
        let left = !plan.is_settled() || !sight.is_certain();
        left.then(|| leftover(name, &sight.observed, plan, end))
    });
    let (reason, message) = left.unwrap_or_else(|| ("Deleting", "removing what is left".into()));
    let mut conditions = facts.before.conditions.clone();
    let summary = facts.before.summary.clone().unwrap_or_default();
    for verdict in [
        Verdict::no("Ready", reason, &message),
        Verdict::yes("Reconciling", reason, &message),
        Verdict::no("Stalled", "Deleting", ""),
    ] {
        set(&mut conditions, &verdict, facts.generation, facts.now);
    }
    ApplicationStatus {
        status: Some(Phase::Deleting),
        observed_generation: facts.generation,
        conditions,
        services: Vec::new(),
        applied_resources: Vec::new(),
        // What still runs is wanted no more, so nothing of it counts as ready.
        summary: Some(Summary { ready: ready(&[]), message, ..summary }),
        ..facts.before.clone()
    }
}

/// What keeps a deletion from its end, and the way out where nobody knows how long that takes.
fn leftover(
    lattice: &LatticeName,
    observed: &Observed,
    plan: &Plan,
    end: Option<&str>,
) -> (&'static str, String) {
    let lost = |command: &Command| match command.lane() {
        Lane::Workload(host, _) => observed.hosts.get(&host).is_some_and(|it| it.state.is_lost()),
        Lane::Links(_) | Lane::Config(_) => false,
    };
    let blocked = || plan.blocked.first().map(|blocked| blocked.message.clone());
    let (reason, what) = if !observed.gate.may_remove() {
        let reason = match observed.gate {
            Gate::Disconnected { .. } => "LatticeUnavailable",
            Gate::Syncing { .. } | Gate::Settling | Gate::MassLoss { .. } | Gate::Open => {
                "Deleting"
            }
        };
        (reason, observed.gate.to_string())
    } else if let Some(waits) = plan.later.iter().find(|later| lost(&later.command)) {
        ("HostUnreachable", waits.to_string())
    } else if observed.hosts.is_empty() {
        let what = blocked().unwrap_or_else(|| "something is left".into());
        ("Deleting", format!("{what}; it has no host to remove it: start one"))
    } else {
        let next = plan.now.first().map(|planned| planned.command.to_string());
        let later = plan.later.first().map(ToString::to_string);
        let what = blocked().or(next).or(later);
        let what = what.unwrap_or_else(|| "what is there is being read".into());
        return ("Deleting", format!("lattice {lattice}: {what}"));
    };
    let end = end.map_or_else(String::new, |end| format!("after {end}, or "));
    let message = format!(
        "lattice {lattice}: {what}; {end}with the annotation {FORCE_DELETE}: \"true\", the Application \
         goes at once, and what it leaves is removed when that can be done"
    );
    (reason, message)
}

fn phase(facts: &Facts, services: &[Service]) -> Phase {
    match facts.refusal.map(|r| r.stage) {
        Some(Stage::Parse | Stage::Revision) => return Phase::Starting,
        Some(Stage::Policy) => return Phase::GeneratingPolicy,
        None => {}
    }
    if !facts.decision.finished {
        Phase::RunningWorkflow
    } else if services.iter().all(|s| s.healthy) && blocked(facts).next().is_none() {
        Phase::Running
    } else {
        Phase::Unhealthy
    }
}

fn blocked<'a>(facts: &'a Facts) -> impl Iterator<Item = (&'a LatticeName, &'a Blocked)> {
    facts
        .decision
        .plans
        .iter()
        .flat_map(|(name, plan)| plan.blocked.iter().map(move |blocked| (name, blocked)))
}

fn services(facts: &Facts) -> Vec<Service> {
    let mut services = Vec::new();
    for (lattice, plan) in &facts.decision.plans {
        let Some(sight) = facts.world.sights.get(lattice) else { continue };
        for (id, progress) in &plan.progress {
            services.push(service(facts, lattice, &sight.observed, plan, (id, progress)));
        }
    }
    services.sort_by(|a, b| {
        (&a.cluster, &a.namespace, &a.name).cmp(&(&b.cluster, &b.namespace, &b.name))
    });
    services
}

fn service(
    facts: &Facts,
    lattice: &LatticeName,
    observed: &Observed,
    plan: &Plan,
    (id, progress): (&WorkloadId, &Progress),
) -> Service {
    let blocked = plan.blocked.iter().any(|blocked| blocked.subject.concerns(id));
    let complete = progress.is_complete();
    let out_of_sight = matches!(observed.gate, Gate::Disconnected { .. });
    let message = match plan.obstacle(id) {
        Some(obstacle) if blocked => obstacle,
        _ if out_of_sight => format!("{progress} when last seen: {}", observed.gate),
        _ if complete && progress.adopted => ADOPTED.into(),
        _ if complete => String::new(),
        Some(obstacle) => format!("{progress}: {obstacle}"),
        None => progress.to_string(),
    };
    let running = progress.hosts.iter().filter(|(_, host)| host.running > 0);
    let mut hosts: Vec<_> = running
        .map(|(id, _)| {
            let host = observed.hosts.get(id);
            host.map_or_else(|| id.to_string(), |host| host.friendly_name.to_string())
        })
        .collect();
    hosts.sort();
    hosts.truncate(MAX_HOSTS);
    Service {
        name: progress.component.to_string(),
        namespace: progress.namespace.to_string(),
        cluster: lattice.to_string(),
        type_: facts.types.get(&*progress.component).cloned().unwrap_or_default(),
        healthy: complete && !blocked && !out_of_sight,
        message,
        instances: Instances { desired: progress.wanted.into(), ready: progress.ready.into() },
        hosts,
        traits: Vec::new(),
    }
}

/// One verdict a condition, in the order in which they are reached.
fn verdicts(facts: &Facts, phase: Phase, services: &[Service]) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for (stage, condition) in
        [(Stage::Parse, "Parsed"), (Stage::Revision, "Revision"), (Stage::Policy, "Policy")]
    {
        match facts.refusal {
            Some(refusal) if refusal.stage == stage => {
                verdicts.push(Verdict::no(condition, refusal.reason(), &refusal.message()));
            }
            Some(refusal) if refusal.stage < stage => {}
            Some(_) | None if stage == Stage::Parse => {
                let warnings: Vec<_> = facts.warnings.iter().map(ToString::to_string).collect();
                verdicts.push(Verdict::yes(condition, "Available", &warnings.join("\n")));
            }
            Some(_) | None => verdicts.push(Verdict::yes(condition, "Available", "")),
        }
    }
    if facts.revision.is_some() && facts.refusal.is_none() {
        verdicts.push(if facts.decision.finished {
            Verdict::yes("Workflow", "Succeeded", "")
        } else {
            Verdict::no("Workflow", "Executing", &waiting(facts))
        });
    }
    verdicts.extend(readiness(facts, phase, services));
    if facts.paused {
        verdicts.retain(|verdict| verdict.condition != "Reconciling");
        verdicts.push(Verdict::no("Reconciling", "Paused", PAUSED));
    }
    verdicts
}

/// What is wrong, and what becomes of what runs: who has changed nothing, because it was the lattices
/// that changed, would think that it goes.
fn stalled(facts: &Facts, refusal: &Refusal) -> String {
    let message = refusal.message();
    match facts.revision {
        Some(RevisionName { name, .. }) => {
            format!("{message}\nrevision {name} stays in force, and is repaired where it runs")
        }
        None => message,
    }
}

/// `Ready`, `Reconciling` and `Stalled`, as kstatus reads them.
fn readiness(facts: &Facts, phase: Phase, services: &[Service]) -> [Verdict; 3] {
    if let Some(refusal) = facts.refusal {
        let (reason, message) = (refusal.reason(), stalled(facts, refusal));
        return [
            Verdict::no("Ready", reason, &message),
            Verdict::no("Reconciling", reason, ""),
            Verdict::yes("Stalled", reason, &message),
        ];
    }
    if phase == Phase::Running {
        let reconciling = if facts.decision.settled || still_settled(facts) {
            Verdict::no("Reconciling", "Settled", "")
        } else {
            Verdict::yes("Reconciling", "Removing", &waiting(facts))
        };
        let ready = Verdict::yes("Ready", "Running", "");
        return [ready, reconciling, Verdict::no("Stalled", "Running", "")];
    }
    let stalled = blocked(facts).find(|(_, blocked)| blocked.reason.is_stalled());
    let first = stalled.or_else(|| blocked(facts).next());
    let (reason, message) = match first {
        Some((lattice, b)) => (b.reason.as_str(), format!("lattice {lattice}: {}", b.message)),
        None => unready(facts, services),
    };
    let ready = Verdict::no("Ready", reason, &message);
    if stalled.is_some() {
        let reconciling = Verdict::no("Reconciling", reason, "");
        return [ready, reconciling, Verdict::yes("Stalled", reason, &message)];
    }
    let reconciling = Verdict::yes("Reconciling", reason, &message);
    [ready, reconciling, Verdict::no("Stalled", PROGRESSING, "")]
}

/// Whether this spec had settled, and there is nothing to say that it no longer is: a lattice that
/// was reconnected to has to settle again, which is no news about what runs there.
fn still_settled(facts: &Facts) -> bool {
    let had = condition(facts.before, "Reconciling").is_some_and(|reconciling| {
        reconciling.status == ConditionStatus::False
            && reconciling.observed_generation == facts.generation
    });
    had && is_true(facts.before, "Ready") && facts.decision.idle
}

/// Whether nothing is the matter but that something is being put right.
#[must_use]
pub(super) fn only_repairs(status: &ApplicationStatus) -> bool {
    status.status == Some(Phase::Unhealthy) && reason_of_ready(status) == Some(PROGRESSING)
}

/// Whether it isn't as wanted yet, only because that takes its time.
#[must_use]
pub(super) fn only_progresses(status: &ApplicationStatus) -> bool {
    status.status == Some(Phase::RunningWorkflow) && reason_of_ready(status) == Some(PROGRESSING)
}

fn reason_of_ready(status: &ApplicationStatus) -> Option<&str> {
    condition(status, "Ready").and_then(|it| it.reason.as_deref())
}

fn unready(facts: &Facts, services: &[Service]) -> (&'static str, String) {
    let shut = facts.world.sights.iter().find(|(_, sight)| !sight.observed.gate.may_add());
    if let Some((lattice, sight)) = shut {
        let message = format!("lattice {lattice}: {}", sight.observed.gate);
        return match sight.observed.gate {
            Gate::Disconnected { .. } => ("LatticeUnavailable", message),
            Gate::Syncing { .. } | Gate::Settling | Gate::MassLoss { .. } | Gate::Open => {
                (PROGRESSING, message)
            }
        };
    }
    let service = services.iter().find(|service| !service.healthy);
    let message = service.map_or_else(|| waiting(facts), |s| format!("{}: {}", s.name, s.message));
    (PROGRESSING, message)
}

/// What is being waited for, in one line.
fn waiting(facts: &Facts) -> String {
    let step = facts.decision.steps.iter().find(|step| !step.succeeded);
    step.map_or_else(
        || {
            let plans = || facts.decision.plans.values();
            let now = plans().flat_map(|plan| &plan.now).next();
            let later = || plans().flat_map(|plan| &plan.later).next();
            now.map(|planned| planned.command.to_string())
                .or_else(|| later().map(ToString::to_string))
                .unwrap_or_default()
        },
        |step: &StepProgress| format!("step {}: {}", step.name, step.message),
    )
}

fn workflow(facts: &Facts) -> Option<WorkflowStatus> {
    let revision = facts.revision?;
    Some(workflow_status::compute(
        facts.before.workflow.as_ref(),
        &revision.name,
        facts.decision,
        facts.now,
    ))
}

fn summary(facts: &Facts, services: &[Service], verdicts: &[Verdict]) -> Summary {
    let lattices: Vec<_> = facts
        .world
        .sights
        .iter()
        .filter(|(_, sight)| !sight.desired.workloads.is_empty())
        .map(|(name, _)| name.to_string())
        .collect();
    let ready_message = verdicts
        .iter()
        .find(|verdict| verdict.condition == "Ready")
        .map(|verdict| verdict.message.clone())
        .unwrap_or_default();
    let message = if facts.paused && ready_message.is_empty() {
        format!("paused: {PAUSED}")
    } else {
        ready_message
    };
    Summary { ready: ready(services), lattices: lattices.join(","), message }
}

/// As the column READY shows it.
fn ready(services: &[Service]) -> String {
    let ready = services.iter().filter(|service| service.healthy).count();
    format!("{ready}/{}", services.len())
}

/// Whether a lattice's own trouble is all that keeps a status from being certain.
#[must_use]
pub(super) fn is_uncertain(world: &World) -> bool {
    world.sights.values().any(|sight| match sight.observed.gate {
        Gate::Disconnected { .. } | Gate::Syncing { .. } => true,
        Gate::Settling | Gate::MassLoss { .. } | Gate::Open => false,
    })
}

/// The condition of this type, if the status has it.
#[must_use]
pub(super) fn condition<'a>(status: &'a ApplicationStatus, type_: &str) -> Option<&'a Condition> {
    status.conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether the status has this condition, and it is true.
#[must_use]
pub(super) fn is_true(status: &ApplicationStatus, type_: &str) -> bool {
    condition(status, type_).is_some_and(|c| c.status == ConditionStatus::True)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_application_that_is_being_deleted_is_not_counted_as_ready() {
        let ran = Summary { ready: "2/2".into(), lattices: "edge".into(), message: String::new() };
        let before = ApplicationStatus { summary: Some(ran), ..ApplicationStatus::default() };
        let after = after(&before, (true, true), |facts| deleting(facts, None)).summary.unwrap();
        assert_eq!((after.ready.as_str(), after.lattices.as_str()), ("0/0", "edge"));
    }

    /// What `Reconciling` says after a pass that found nothing to do, but for sure or not.
    fn reconciling(before: &ApplicationStatus, idle: bool, settled: bool) -> ApplicationStatus {
        after(before, (idle, settled), compute)
    }

    fn after(
        before: &ApplicationStatus,
        (idle, settled): (bool, bool),
        tell: impl Fn(&Facts) -> ApplicationStatus,
    ) -> ApplicationStatus {
        let decision = Decision {
            plans: BTreeMap::new(),
            steps: Vec::new(),
            finished: true,
            idle,
            settled,
            wake_at: None,
        };
        let world = World {
            steps: Vec::new(),
            run: crate::controller::decision::Run::Finished,
            sights: BTreeMap::new(),
        };
        tell(&Facts {
            generation: Some(1),
            before,
            refusal: None,
            revision: None,
            world: &world,
            decision: &decision,
            warnings: &[],
            types: &BTreeMap::new(),
            token: None,
            paused: false,
            now: "1",
        })
    }

    #[test]
    fn a_lattice_that_settles_again_is_no_news_about_what_has_settled() {
        let new = ApplicationStatus::default();
        let unsure = reconciling(&new, true, false);
        assert!(is_true(&unsure, "Reconciling"), "what is new has to be seen for sure");
        let settled = reconciling(&unsure, true, true);
        assert!(!is_true(&settled, "Reconciling"));
        assert_eq!(reconciling(&settled, true, false), settled);
        assert!(is_true(&reconciling(&settled, false, false), "Reconciling"), "there is work");
    }
}
