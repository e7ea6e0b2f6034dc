//! Decides what one Application needs now, on all of its lattices. Pure.
//!
//! ```text
//! World { release, sights } ──▶ decide() ──▶ Decision { a Plan a lattice, steps, finished }
//! ```
//!
//! What is no longer wanted goes only after what is newly wanted is in place, so a pass plans first
//! with removals held, and once more without if that showed the release to be whole.
use std::{collections::BTreeMap, sync::Arc};

use crate::{
    appfile::Target,
    model::{
        Blocked, Command, Desired, Few, LatticeName, LinkKey, Links, Moment, Observed, Plan,
        Subject, WaitsFor, WorkloadId,
    },
    placement::{self, Claims, Inputs, Removal, Stamp, Versions},
    workflow::{Step, StepKind},
};

/// Everything that was read before deciding.
#[derive(Debug)]
pub(super) struct World {
    pub steps: Vec<Step>,
    pub run: Run,
    pub sights: BTreeMap<LatticeName, Sight>,
}

/// How far the release of what is wanted is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Run {
    /// What is wanted isn't known, so that nothing may go for not being wanted.
    Unknown,
    Underway,
    /// An earlier pass saw it whole, or nothing is wanted any more.
    Finished,
}

/// One lattice, as far as this Application is concerned.
#[derive(Debug)]
pub(super) struct Sight {
    pub desired: Arc<Desired>,
    /// What earlier releases wanted here, newest first, and may still be there.
    pub former: Vec<Arc<Desired>>,
    pub observed: Arc<Observed>,
    pub claims: Arc<Claims>,
    pub time: Moment,
}

impl Sight {
    /// Whether everything that a plan depends on has been read, so that an empty plan means that
    /// nothing is left to do, and not that nothing is known.
    pub(super) fn is_certain(&self) -> bool {
        let read = matches!(self.observed.links, Links::Read(_));
        let mut configs = self
            .former
            .iter()
            .chain(std::iter::once(&self.desired))
            .flat_map(|desired| desired.configs.keys());
        self.observed.gate.may_remove()
            && read
            && configs.all(|name| self.observed.configs.contains_key(name))
    }
}

/// The plans of the pass before, so that a pass that changes nothing plans nothing.
#[derive(Debug, Default)]
pub(super) struct Plans(Few<LatticeName, Box<Planned>>);

#[derive(Debug)]
struct Planned {
    stamp: Stamp,
    desired: Arc<Desired>,
    former: Vec<Arc<Desired>>,
    /// Counts the changes of the two above.
    version: u64,
    plan: Arc<Plan>,
}

#[derive(Debug)]
pub(super) struct Decision {
    pub plans: BTreeMap<LatticeName, Arc<Plan>>,
    /// In the order of the steps.
    pub steps: Vec<StepProgress>,
    /// Whether this release has been seen whole at least once.
    pub finished: bool,
    /// Whether nothing is left to do, removals included, as far as can be seen.
    pub idle: bool,
    /// Whether that is certain, because all that there is can be seen.
    pub settled: bool,
    /// The earliest time at which deciding again could give something else.
    pub wake_at: Option<std::time::Duration>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StepProgress {
    pub name: String,
    pub kind: StepKind,
    pub succeeded: bool,
    /// What it waits for; empty once it succeeded.
    pub message: String,
}

/// Plans for every lattice in `world`, as far as `known` doesn't hold already.
pub(super) fn decide(world: &World, known: &mut Plans) -> Decision {
    let removal = match world.run {
        Run::Finished => Removal::Allowed,
        Run::Unknown | Run::Underway => Removal::Hold,
    };
    known.0.retain(|lattice, _| world.sights.contains_key(lattice));
    let first = plan_all(world, removal, known);
    let steps: Vec<_> = world.steps.iter().map(|step| progress(step, world, &first)).collect();
    let finished = match world.run {
        Run::Finished => true,
        Run::Underway => steps.iter().all(|step| step.succeeded),
        Run::Unknown => false,
    };
    let plans = if finished && removal == Removal::Hold {
        plan_all(world, Removal::Allowed, known)
    } else {
        first
    };
    let idle = finished && plans.values().all(|plan| plan.is_settled());
    let settled = idle && world.sights.values().all(Sight::is_certain);
    let wake_at = world
        .sights
        .iter()
        .filter_map(|(name, sight)| Some(plans.get(name)?.wake_at?.since(sight.time)))
        .min();
    Decision { plans, steps, finished, idle, settled, wake_at }
}

fn plan_all(
    world: &World,
    removal: Removal,
    known: &mut Plans,
) -> BTreeMap<LatticeName, Arc<Plan>> {
    let sights = world.sights.iter();
    sights.map(|(name, sight)| (name.clone(), plan(name, sight, removal, known))).collect()
}

fn plan(name: &LatticeName, sight: &Sight, removal: Removal, known: &mut Plans) -> Arc<Plan> {
    let old = known.0.get(name);
    let same = old.is_some_and(|old| {
        Arc::ptr_eq(&old.desired, &sight.desired)
            && old.former.len() == sight.former.len()
            && old.former.iter().zip(&sight.former).all(|(old, new)| Arc::ptr_eq(old, new))
    });
    let version = old.map_or(0, |old| old.version) + u64::from(!same);
    let versions = Versions {
        desired: version,
        observed: sight.observed.version,
        claims: sight.claims.version(),
        removal,
    };
    if let Some(old) = old
        && old.stamp.unchanged(&versions, sight.time)
    {
        return Arc::clone(&old.plan);
    }
    let plan = Arc::new(placement::plan(&Inputs {
        desired: &sight.desired,
        former: &sight.former,
        observed: &sight.observed,
        claims: &sight.claims,
        removal,
        time: sight.time,
    }));
    let planned = Planned {
        stamp: Stamp::new(versions, &plan),
        desired: Arc::clone(&sight.desired),
        former: sight.former.clone(),
        version,
        plan: Arc::clone(&plan),
    };
    known.0.insert(name.clone(), Box::new(planned));
    plan
}

fn progress(step: &Step, world: &World, plans: &BTreeMap<LatticeName, Arc<Plan>>) -> StepProgress {
    let unfinished = step.targets.iter().find_map(|target| {
        let plan = plans.get(&target.lattice)?;
        let desired = &world.sights.get(&target.lattice)?.desired;
        waits_for(&Scope { step, target, desired }, plan)
    });
    StepProgress {
        name: step.name.to_string(),
        kind: step.kind,
        succeeded: unfinished.is_none(),
        message: unfinished.unwrap_or_default(),
    }
}

/// What of a plan belongs to one step on one target.
struct Scope<'a> {
    step: &'a Step,
    target: &'a Target,
    desired: &'a Desired,
}

impl Scope<'_> {
    fn applies(&self, component: &str) -> bool {
        self.step.components.iter().any(|c| **c == *component)
    }

    fn covers(&self, namespace: &str, command: &Command) -> bool {
        namespace == &*self.target.namespace
            && match command {
                // Whose a config is can't be told from it, here and below.
                Command::PutConfig { .. } | Command::DeleteConfig { .. } => true,
                Command::PutLink { key, .. } | Command::DeleteLink { key } => self.links(key),
                Command::StartProvider { id, .. }
                | Command::StopProvider { id, .. }
                | Command::ScaleComponent { id, .. } => self.runs(id),
            }
    }

    fn suffers(&self, blocked: &Blocked) -> bool {
        *blocked.namespace == *self.target.namespace
            && match &blocked.subject {
                Subject::Config(_) => true,
                Subject::Link(key) => self.links(key),
                Subject::Workload(id) => self.runs(id),
            }
    }

    fn runs(&self, id: &WorkloadId) -> bool {
        self.desired.workloads.get(id).is_some_and(|w| self.applies(&w.component))
    }

    /// No step applies another Application's component, so each minds the links from it.
    fn links(&self, key: &LinkKey) -> bool {
        self.desired.shared.contains_key(&key.source) || self.runs(&key.source)
    }
}

/// The first thing in `plan` that the step still waits for.
fn waits_for(scope: &Scope, plan: &Plan) -> Option<String> {
    let namespace = &*scope.target.namespace;
    if let Some(blocked) = plan.blocked.iter().find(|blocked| scope.suffers(blocked)) {
        return Some(blocked.to_string());
    }
    if let Some(next) = plan.now.iter().find(|p| scope.covers(&p.namespace, &p.command)) {
        return Some(next.command.to_string());
    }
    // What goes only once all is in place isn't waited for, whatever else it waits for itself.
    let later = plan.later.iter().find(|l| {
        scope.covers(&l.namespace, &l.command)
            && !l.waits_for.is_empty()
            && !l.waits_for.contains(&WaitsFor::Rollout)
    });
    if let Some(later) = later {
        return Some(later.to_string());
    }
    plan.progress
        .values()
        .find(|p| *p.namespace == *namespace && scope.applies(&p.component) && !p.is_complete())
        .map(|p| format!("{}: {p}", p.component))
}
