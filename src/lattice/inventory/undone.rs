//! What somebody else changes back: counted, and after three times in ten minutes left to them.
//!
//! ```text
//! our command done ──made()──▶ as made ──shown otherwise, nothing of ours under way──▶ undone: counted
//!                                 ▲                                                       │
//!                                 └──── our next command, or shown as made again ◀────────┘
//! ```
//!
//! Only what was made within the last ten minutes is watched. What is shown for a moment because a
//! message was late is shown as made again, and counts no longer.
use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
    num::NonZeroU64,
    sync::Arc,
    time::Duration,
};

use super::Fold;
use crate::{
    lattice::in_flight::bare,
    model::{Annotations, Command, Contended, HostId, Inventory, Link, Moment, Thing, WorkloadId},
};

/// So often, within the window, and it is contended.
const TIMES: usize = 3;
const WINDOW: Duration = Duration::from_mins(10);
/// What is contended is tried again once nobody has touched it for so long.
const QUIET: Duration = Duration::from_mins(10);
/// What is too old to count is dropped this often.
const SWEEP: Duration = Duration::from_secs(30);
/// More things than that aren't watched at a time.
const MOST: usize = 100_000;

/// How something is, or that it isn't there; equal for equal things only, as far as matters here.
type State = Option<NonZeroU64>;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Undoings {
    records: BTreeMap<Thing, Record>,
    /// Hosts on which something was made, or was under way, when they were looked at last: the same
    /// inventory once more may tell what the one before didn't.
    unsure: BTreeSet<HostId>,
    swept: Moment,
}

/// There is one of each thing that was made of late, so it is small.
#[derive(Debug)]
struct Record {
    made: State,
    made_at: Moment,
    shown: State,
    /// Of what was undone, which little is.
    dispute: Option<Box<Dispute>>,
}

#[derive(Debug, Default)]
struct Dispute {
    /// What is asked of it: what adds, for a removal may be half of a change.
    asked: Option<Command>,
    /// The last times that it was undone.
    undone: Vec<Moment>,
    until: Moment,
}

/// What a look at something has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    Contended(Contended),
    /// As it was made, after all.
    Uncontended,
}

impl Record {
    fn is_old(&self, now: Moment) -> bool {
        let is_over = |dispute: &Dispute| {
            dispute.undone.iter().all(|at| is_past(*at, now)) && dispute.until <= now
        };
        is_past(self.made_at, now) && self.dispute.as_deref().is_none_or(is_over)
    }
}

/// Whether something that was at `at` counts no more.
fn is_past(at: Moment, now: Moment) -> bool {
    now.since(at) >= WINDOW
}

impl Dispute {
    fn forget_old(&mut self, now: Moment) {
        self.undone.retain(|at| !is_past(*at, now));
    }

    /// Takes note that we have done `command` about it, perhaps a removal after a removal.
    fn made(&mut self, command: &Command, removed_twice: bool) {
        let (removes, asked) = (command.removes(), self.asked.as_ref());
        if !removes && asked.is_some_and(|asked| !asked.removes() && asked != command) {
            // Something else is wanted by now, which they may not mind.
            self.undone.clear();
        }
        if self.undone.is_empty() {
            self.asked = None;
        } else if !removes || removed_twice || asked.is_none() {
            self.asked = Some(command.clone());
        }
    }
}

impl Undoings {
    /// Takes note that `command` has done what it asked for.
    fn made(&mut self, command: &Command, now: Moment) {
        let (thing, made) = (command.thing(), state_after(command));
        if let Thing::Workload(host, _) = &thing
            && !self.unsure.contains(host)
        {
            self.unsure.insert(host.clone());
        }
        if !self.records.contains_key(&thing) && self.records.len() >= MOST {
            return;
        }
        let new = || Record { made, made_at: now, shown: made, dispute: None };
        let record = self.records.entry(thing).or_insert_with(new);
        if let Some(dispute) = &mut record.dispute {
            dispute.forget_old(now);
            dispute.made(command, command.removes() && record.made.is_none());
        }
        (record.made, record.made_at, record.shown) = (made, now, made);
    }

    /// Takes note of how something is, while nothing of ours is under way about it.
    fn look(&mut self, thing: &Thing, shown: State, now: Moment) -> Option<Verdict> {
        let record = self.records.get_mut(thing)?;
        if record.shown == shown {
            return None;
        }
        let was_as_made = record.shown == record.made;
        record.shown = shown;
        let dispute = record.dispute.get_or_insert_default();
        if shown == record.made {
            dispute.undone.pop();
            let over = dispute.until > now && dispute.undone.len() < TIMES;
            dispute.until = if over { now } else { dispute.until };
            return over.then_some(Verdict::Uncontended);
        }
        if was_as_made {
            dispute.forget_old(now);
            dispute.undone.push(now);
        }
        let times = dispute.undone.len();
        let made = dispute.asked.clone().filter(|_| times >= TIMES || dispute.until > now)?;
        dispute.until = now + QUIET;
        Some(Verdict::Contended(Contended { made, times, until: dispute.until }))
    }

    /// The things on `host` that are watched.
    fn on(&self, host: &HostId) -> Vec<WorkloadId> {
        let first = Thing::Workload(host.clone(), WorkloadId::first());
        let things = self.records.range(first..).map(|(thing, _)| thing);
        let of_host = things.map_while(|thing| match thing {
            Thing::Workload(of, id) if of == host => Some(id.clone()),
            Thing::Workload(..) | Thing::Link(_) | Thing::Config(_) => None,
        });
        of_host.collect()
    }

    fn sweep(&mut self, now: Moment) -> bool {
        let due = now.since(self.swept) >= SWEEP;
        if due {
            self.swept = now;
            self.records.retain(|_, record| !record.is_old(now));
        }
        due
    }
}

impl Fold {
    /// Takes note that a command of ours has done what it asked for.
    pub(super) fn made(&mut self, command: &Command, now: Moment) {
        self.undoings.made(command, now);
    }

    /// Takes note of how a link is now.
    pub(super) fn look_at_link(&mut self, thing: &Thing, link: Option<&Link>, now: Moment) {
        self.look(thing, link.map(state_of_link), now);
    }

    /// Takes note of how a config is now.
    pub(super) fn look_at_config(
        &mut self,
        thing: &Thing,
        values: Option<&Arc<BTreeMap<String, String>>>,
        now: Moment,
    ) {
        self.look(thing, values.map(|values| hashed(&**values)), now);
    }

    /// Takes note that a host runs what it ran.
    pub(super) fn look_again_at_host(&mut self, host: &HostId, now: Moment) {
        if self.undoings.unsure.contains(host) {
            self.look_at_host(host, now);
        }
    }

    /// Takes note of what a host runs now.
    pub(super) fn look_at_host(&mut self, host: &HostId, now: Moment) {
        self.undoings.unsure.remove(host);
        if self.undoings.records.is_empty() {
            return;
        }
        for id in self.undoings.on(host) {
            let shown = self.observed.hosts.get(host).and_then(|host| host.inventory.as_ref());
            let Some(shown) = shown.map(|inventory| state_of_workload(inventory, &id)) else {
                return;
            };
            self.look(&Thing::Workload(host.clone(), id), shown, now);
        }
    }

    fn look(&mut self, thing: &Thing, shown: State, now: Moment) {
        let lane = match thing {
            Thing::Workload(host, id) => crate::model::Lane::Workload(host.clone(), id.clone()),
            Thing::Link(key) => crate::model::Lane::Links(key.source.clone()),
            Thing::Config(name) => crate::model::Lane::Config(name.clone()),
        };
        if self.observed.in_flight.pending.contains_key(&lane) {
            if let Thing::Workload(host, _) = thing {
                self.undoings.unsure.insert(host.clone());
            }
            return;
        }
        let Some(verdict) = self.undoings.look(thing, shown, now) else { return };
        let contended = &mut Arc::make_mut(&mut self.observed).contended;
        match verdict {
            Verdict::Contended(how) => contended.insert(thing.clone(), how),
            Verdict::Uncontended => contended.remove(thing),
        };
        self.outcome.change.lane(lane);
    }

    /// What ran on a host is no more, whoever ended it.
    pub(super) fn forget_made_on(&mut self, host: &HostId) {
        self.undoings.unsure.remove(host);
        for id in self.undoings.on(host) {
            let thing = Thing::Workload(host.clone(), id);
            self.undoings.records.remove(&thing);
            if self.observed.contended.contains_key(&thing) {
                Arc::make_mut(&mut self.observed).contended.remove(&thing);
            }
        }
    }

    /// Somebody else has commanded the lattice until now, and may have wanted what was undone.
    pub(super) fn forget_all_made(&mut self) {
        self.undoings = Undoings::default();
        Arc::make_mut(&mut self.observed).contended.clear();
    }

    pub(super) fn tick_undoings(&mut self, now: Moment) {
        if self.undoings.sweep(now) && self.observed.contended.values().any(|it| it.until <= now) {
            // Whoever plans has looked at the time itself.
            Arc::make_mut(&mut self.observed).contended.retain(|_, it| it.until > now);
        }
    }
}

fn state_after(command: &Command) -> State {
    match command {
        Command::DeleteConfig { .. }
        | Command::DeleteLink { .. }
        | Command::StopProvider { .. }
        | Command::ScaleComponent { count: 0, .. } => None,
        Command::PutConfig { values, .. } => Some(hashed(values)),
        Command::PutLink { link, .. } => Some(state_of_link(link)),
        Command::StartProvider { image, annotations, .. } => {
            Some(running(image, None, annotations))
        }
        Command::ScaleComponent { image, count, annotations, .. } => {
            Some(running(image, Some(*count), annotations))
        }
    }
}

fn state_of_workload(inventory: &Inventory, id: &WorkloadId) -> State {
    let component = inventory.components.get(id);
    let component = component.map(|it| running(&it.image, Some(it.instances), &it.annotations));
    let provider = inventory.providers.get(id);
    component.or_else(|| provider.map(|it| running(&it.image, None, &it.annotations)))
}

fn state_of_link(link: &Link) -> NonZeroU64 {
    hashed(&(&link.target, &link.interfaces, &link.source_config, &link.target_config))
}

fn running(image: &str, instances: Option<u32>, annotations: &Annotations) -> NonZeroU64 {
    hashed(&(bare(image).to_ascii_lowercase(), instances, annotations))
}

/// Compared with others of this process only.
fn hashed(value: &impl Hash) -> NonZeroU64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    NonZeroU64::new(hasher.finish()).unwrap_or(NonZeroU64::MIN)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::LinkKey;

    fn at(seconds: u64) -> Moment {
        Moment(Duration::from_secs(seconds))
    }

    fn key() -> LinkKey {
        let (name, namespace, package) = ("default".into(), "wasi".into(), "http".into());
        LinkKey { source: "a".parse().unwrap(), name, namespace, package }
    }

    fn put(target: &str) -> Command {
        let link = Link {
            target: target.parse().unwrap(),
            interfaces: crate::model::FewOf::default(),
            source_config: Vec::new(),
            target_config: Vec::new(),
        };
        Command::PutLink { key: key(), link }
    }

    /// `ours` done, and what others make of it a second later, at each of these times.
    fn fought(undoings: &mut Undoings, ours: &[Command], theirs: State, at: &[u64]) -> Vec<bool> {
        let thing = Thing::Link(Box::new(key()));
        let fight = |second: &u64| {
            for command in ours {
                undoings.made(command, self::at(*second));
            }
            let verdict = undoings.look(&thing, theirs, self::at(second + 1));
            matches!(verdict, Some(Verdict::Contended(_)))
        };
        at.iter().map(fight).collect()
    }

    #[test]
    fn what_is_undone_three_times_in_ten_minutes_is_contended() {
        let theirs = state_after(&put("theirs"));
        let change = || [Command::DeleteLink { key: key() }, put("ours")];
        for (name, ours, at, expected) in [
            ("three times", &[put("ours")][..], &[0, 10, 20][..], &[false, false, true][..]),
            ("a change in two steps", &change(), &[0, 10, 20], &[false, false, true]),
            ("over a long time", &[put("ours")], &[0, 300, 700], &[false, false, false]),
            ("and once more", &[put("ours")], &[0, 300, 700, 800], &[false, false, false, true]),
        ] {
            let seen = fought(&mut Undoings::default(), ours, theirs, at);
            assert_eq!(seen, expected, "{name}");
        }
        let removal = [Command::DeleteLink { key: key() }];
        let seen = fought(&mut Undoings::default(), &removal, theirs, &[0, 10, 20]);
        assert_eq!(seen, [false, false, true], "what comes back again and again");
    }

    #[test]
    fn who_wants_something_else_begins_anew() {
        let (mut undoings, theirs) = (Undoings::default(), state_after(&put("theirs")));
        assert_eq!(fought(&mut undoings, &[put("ours")], theirs, &[0, 10]), [false, false]);
        assert_eq!(fought(&mut undoings, &[put("other")], theirs, &[20, 30]), [false, false]);
        assert_eq!(fought(&mut undoings, &[put("other")], theirs, &[40]), [true]);
    }

    #[test]
    fn a_late_message_undoes_nothing() {
        let (mut undoings, thing) = (Undoings::default(), Thing::Link(Box::new(key())));
        let theirs = state_after(&put("theirs"));
        for second in 0..10 {
            undoings.made(&put("ours"), at(second));
            assert_eq!(undoings.look(&thing, None, at(second)), None);
            let back = undoings.look(&thing, state_after(&put("ours")), at(second));
            assert_eq!(back, None);
        }
        assert_eq!(fought(&mut undoings, &[put("ours")], theirs, &[20, 30]), [false, false]);
    }

    #[test]
    fn it_stays_contended_as_long_as_they_touch_it_and_ends_if_they_give_in() {
        let (mut undoings, thing) = (Undoings::default(), Thing::Link(Box::new(key())));
        let theirs = state_after(&put("theirs"));
        fought(&mut undoings, &[put("ours")], theirs, &[0, 10, 20]);
        let until = |verdict: Option<Verdict>| match verdict {
            Some(Verdict::Contended(how)) => Some((how.times, how.until)),
            Some(Verdict::Uncontended) | None => None,
        };
        assert_eq!(until(undoings.look(&thing, None, at(300))), Some((3, at(900))));
        assert_eq!(undoings.look(&thing, None, at(400)), None, "nobody has touched it");
        let given_in = undoings.look(&thing, state_after(&put("ours")), at(500));
        assert_eq!(given_in, Some(Verdict::Uncontended));
        undoings.sweep(at(5000));
        assert!(undoings.records.is_empty());
    }

    proptest! {
        /// Each step: how long after the one before, and whether we or somebody else write.
        #[test]
        fn nothing_is_contended_before_it_was_undone_three_times_in_ten_minutes(
            steps in prop::collection::vec((0..400u64, any::<bool>()), 1..60)
        ) {
            let (mut undoings, thing) = (Undoings::default(), Thing::Link(Box::new(key())));
            let (mut now, mut ours, mut undone) = (0, false, Vec::<u64>::new());
            for (after, us) in steps {
                now += after;
                if us {
                    undoings.made(&put("ours"), at(now));
                    ours = true;
                    continue;
                }
                let verdict = undoings.look(&thing, state_after(&put("theirs")), at(now));
                if std::mem::take(&mut ours) {
                    undone.push(now);
                    let counts = undone.iter().filter(|at| now - **at < 600).count();
                    let contended = matches!(verdict, Some(Verdict::Contended(_)));
                    // Longer where it was contended before and is written again too soon.
                    prop_assert!(contended || counts < 3, "{undone:?}");
                    prop_assert!(!contended || counts >= 3 || undone.len() > 3, "{undone:?}");
                } else {
                    prop_assert_eq!(verdict, None);
                }
            }
        }
    }
}
