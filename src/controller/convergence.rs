//! How long an Application takes from what made work to where nothing is left to do, and what was
//! put right on the way. Pure; it is kept between passes, and only measured.
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use prometheus_client::encoding::EncodeLabelValue;

use super::decision::{Decision, Run, World};
use crate::model::{LatticeName, Thing};

/// What made work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(super) enum Cause {
    /// Something else is wanted.
    Release,
    /// What was as wanted is so no more.
    Drift,
    /// Nothing is wanted any more.
    Removal,
}

/// What was put right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelValue)]
pub(super) enum Repaired {
    Workload,
    Link,
    Config,
}

impl Cause {
    pub(super) const ALL: [Self; 3] = [Self::Release, Self::Drift, Self::Removal];
}

impl Repaired {
    pub(super) const ALL: [Self; 3] = [Self::Workload, Self::Link, Self::Config];
}

impl From<&Thing> for Repaired {
    fn from(thing: &Thing) -> Self {
        match thing {
            Thing::Workload(..) => Self::Workload,
            Thing::Link(_) => Self::Link,
            Thing::Config(_) => Self::Config,
        }
    }
}

/// Work that has come to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Converged {
    pub(super) cause: Cause,
    pub(super) took: Duration,
    /// Things that had drifted, each once.
    pub(super) repaired: BTreeMap<Repaired, u64>,
}

/// The work that an Application makes, if it makes any.
#[derive(Debug, Default)]
pub(super) struct Convergence(Option<Work>);

#[derive(Debug)]
struct Work {
    cause: Cause,
    since: Duration,
    sent: BTreeSet<(LatticeName, Thing)>,
}

impl Convergence {
    /// Takes note of a pass at `now`, in which `sent` says whether commands were let go.
    pub(super) fn pass(
        &mut self,
        world: &World,
        decision: &Decision,
        sent: bool,
        now: Duration,
    ) -> Option<Converged> {
        let cause = cause(world);
        // What is wanted otherwise begins anew; a release that was seen whole has its end still to come.
        let superseded =
            self.0.as_ref().is_some_and(|work| cause != work.cause && cause != Cause::Drift);
        if superseded {
            self.0 = None;
        }
        if has_work(world, decision) {
            self.0.get_or_insert(Work { cause, since: now, sent: BTreeSet::new() });
        }
        let work = self.0.as_mut()?;
        if sent && work.cause == Cause::Drift {
            work.sent.extend(things(decision));
        }
        if !decision.settled {
            return None;
        }
        let Work { cause, since, sent } = self.0.take()?;
        let mut repaired = BTreeMap::new();
        for (_, thing) in &sent {
            *repaired.entry(thing.into()).or_default() += 1;
        }
        Some(Converged { cause, took: now.saturating_sub(since), repaired })
    }
}

fn cause(world: &World) -> Cause {
    let nothing = |desired: &crate::model::Desired| {
        desired.workloads.is_empty() && desired.links.is_empty() && desired.configs.is_empty()
    };
    if world.sights.values().all(|sight| nothing(&sight.desired)) {
        return Cause::Removal;
    }
    match world.run {
        Run::Unknown | Run::Underway => Cause::Release,
        Run::Finished => Cause::Drift,
    }
}

/// Whether something is to be done where it is known what is there.
fn has_work(world: &World, decision: &Decision) -> bool {
    let open = |name: &LatticeName| {
        world.sights.get(name).is_some_and(|sight| sight.observed.gate.may_add())
    };
    decision.plans.iter().any(|(name, plan)| {
        open(name) && !(plan.now.is_empty() && plan.later.is_empty() && plan.blocked.is_empty())
    })
}

fn things(decision: &Decision) -> impl Iterator<Item = (LatticeName, Thing)> {
    decision.plans.iter().flat_map(|(name, plan)| {
        plan.now.iter().map(|planned| (name.clone(), planned.command.thing()))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        controller::decision::Sight,
        model::{Command, ConfigName, Desired, Gate, Observed, Owner, Plan, Planned},
        placement::Claims,
    };

    const HOLD: bool = false;
    const SEND: bool = true;

    fn world(run: Run, gate: Gate, wanted: bool) -> World {
        let application = crate::model::ApplicationKey::new("default", "shop");
        let mut desired = Desired::nothing(Owner { installation: "trellis".into(), application });
        if wanted {
            let managed = crate::model::ConfigWanted::Managed(BTreeMap::new());
            desired.configs.insert("a".parse().unwrap(), managed);
        }
        let mut observed = Observed::unknown("edge".parse().unwrap());
        observed.gate = gate;
        let sight = Sight {
            desired: Arc::new(desired),
            former: Vec::new(),
            observed: Arc::new(observed),
            claims: Arc::new(Claims::default()),
            time: crate::model::Moment::default(),
        };
        let lattice = "edge".parse().unwrap();
        World { steps: Vec::new(), run, sights: BTreeMap::from([(lattice, sight)]) }
    }

    /// A pass that puts these configs; none left is settled.
    fn decision(configs: &[&str]) -> Decision {
        let put = |name: &&str| {
            let name: ConfigName = name.parse().unwrap();
            let command = Command::PutConfig { name, values: BTreeMap::new() };
            Planned { namespace: "default".into(), command }
        };
        let plan = Plan { now: configs.iter().map(put).collect(), ..Plan::default() };
        let settled = plan.is_settled();
        Decision {
            plans: BTreeMap::from([("edge".parse().unwrap(), Arc::new(plan))]),
            steps: Vec::new(),
            finished: settled,
            idle: settled,
            settled,
            wake_at: None,
        }
    }

    /// What `passes` come to, each a second after the one before.
    fn after(passes: &[(Run, &[&str], bool)]) -> Vec<Converged> {
        let mut convergence = Convergence::default();
        let pass = |(second, (run, configs, sent)): (usize, &(Run, &[&str], bool))| {
            let now = Duration::from_secs(second as u64);
            convergence.pass(&world(*run, Gate::Open, true), &decision(configs), *sent, now)
        };
        passes.iter().enumerate().filter_map(pass).collect()
    }

    fn converged(cause: Cause, seconds: u64, configs: u64) -> Converged {
        let repaired = (configs > 0).then_some((Repaired::Config, configs));
        Converged {
            cause,
            took: Duration::from_secs(seconds),
            repaired: repaired.into_iter().collect(),
        }
    }

    #[test]
    fn work_is_timed_from_its_beginning_to_its_end_and_what_drifted_counts_once() {
        use Run::{Finished, Underway};
        let none: [Converged; 0] = [];
        assert_eq!(after(&[(Finished, &[], HOLD), (Finished, &[], HOLD)]), none);
        assert_eq!(after(&[(Finished, &["a"], SEND), (Finished, &["b"], SEND)]), none);
        assert_eq!(
            after(&[(Underway, &["a"], SEND), (Underway, &["b"], SEND), (Finished, &[], HOLD)]),
            [converged(Cause::Release, 2, 0)]
        );
        assert_eq!(
            after(&[
                (Finished, &[], HOLD),
                (Finished, &["a", "b"], SEND),
                (Finished, &["a"], SEND),
                (Finished, &[], HOLD),
                (Finished, &[], HOLD),
            ]),
            [converged(Cause::Drift, 2, 2)]
        );
        // What was only to be done, and was done by somebody else, is no repair.
        assert_eq!(
            after(&[(Finished, &["a"], HOLD), (Finished, &[], HOLD)]),
            [converged(Cause::Drift, 1, 0)]
        );
        // What is wanted otherwise meanwhile isn't put right any more, but brought about.
        assert_eq!(
            after(&[(Finished, &["a"], SEND), (Underway, &["b"], SEND), (Finished, &[], HOLD)]),
            [converged(Cause::Release, 1, 0)]
        );
    }

    #[test]
    fn what_nobody_can_see_is_no_work() {
        let mut convergence = Convergence::default();
        let mut pass = |gate: Gate, wanted: bool, configs: &[&str], seconds: u64| {
            let world = world(Run::Finished, gate, wanted);
            convergence.pass(&world, &decision(configs), SEND, Duration::from_secs(seconds))
        };
        let disconnected = || Gate::Disconnected { why: "no route".into() };
        assert_eq!(pass(disconnected(), true, &["a"], 0), None);
        assert_eq!(pass(Gate::Open, true, &[], 9), None, "it was as wanted all the time");
        assert_eq!(pass(Gate::Open, true, &["a"], 9), None);
        assert_eq!(pass(Gate::Open, false, &["a"], 10), None, "and now it goes");
        assert_eq!(pass(Gate::Open, false, &[], 12), Some(converged(Cause::Removal, 2, 0)));
    }
}
