//! Replicas that are paused, killed, cut off and ended at any moment, in virtual time: no two of them
//! ever act at once.
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;

use super::decision::{BadTerms, Candidate, LONGEST, Record, Step, Terms};
use crate::model::Moment;

const LEASE: Duration = Duration::from_secs(6);
/// How long what was sent may take to arrive.
const MARGIN: Duration = Duration::from_secs(2);
const TICK: u64 = 50;
/// How much clocks that go wrong by a hundredth can differ within a lease, in milliseconds.
const DRIFT: u64 = 150;
const REPLICAS: usize = 3;
/// When things happen, and how long peace lasts after that, in milliseconds.
const UNREST: u64 = 60_000;
const PEACE: u64 = 30_000;
/// The longest that a Lease can be made to last by hand.
const EDITED: u64 = 300_000;

#[derive(Debug, Clone)]
struct Incident {
    at: u64,
    replica: usize,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    /// Nothing runs there, and then it goes on as if nothing had been.
    Pause(u64),
    /// Its calls fail, and those under way are carried out or not.
    CutOff(u64),
    /// It dies, and another process takes its place.
    Kill(u64),
    /// It drains, releases the Lease and ends, and another process takes its place.
    Term(u64),
    /// Somebody deletes the Lease.
    Delete,
    /// Somebody has it say another duration, in seconds.
    Edit(u64),
    /// Somebody has it say that it is nobody's.
    Clear,
}

fn incidents() -> impl Strategy<Value = Vec<Incident>> {
    let what = prop_oneof![
        4 => (100..20_000u64).prop_map(What::Pause),
        3 => (100..20_000u64).prop_map(What::CutOff),
        2 => (100..5_000u64).prop_map(What::Kill),
        2 => (100..5_000u64).prop_map(What::Term),
        1 => Just(What::Delete),
        2 => prop_oneof![0..20u64, Just(1_000_000_000)].prop_map(What::Edit),
        1 => Just(What::Clear),
    ];
    let incident = (0..UNREST, 0..REPLICAS, what).prop_map(|(at, replica, what)| Incident {
        at,
        replica,
        what,
    });
    prop::collection::vec(incident, 0..25)
}

/// The Lease at the API server, and what is on its way there.
#[derive(Default)]
struct Server {
    lease: Option<(Record, u64)>,
    version: u64,
}

impl Server {
    /// Carries out a write that was decided on version `seen`; what the Lease is then.
    fn put(&mut self, record: &Record, seen: Option<u64>) -> Option<(Record, u64)> {
        if self.lease.as_ref().map(|(_, version)| *version) != seen {
            return None;
        }
        self.version += 1;
        self.lease = Some((record.clone(), self.version));
        self.lease.clone()
    }
}

impl Server {
    fn edit(&mut self, edit: impl FnOnce(&mut Record)) {
        if let Some((record, version)) = &mut self.lease {
            self.version += 1;
            *version = self.version;
            edit(record);
        }
    }
}

/// What a call brought; nothing if a write was refused, or there is no Lease.
struct Found(Option<(Record, u64)>);

/// A call, from when it is sent to when it is answered.
struct Call {
    /// The record to write, and the version that it replaces; `None`: a read.
    write: Option<(Record, Option<u64>)>,
    sent: Moment,
    carried_out: u64,
    answered: u64,
    /// What came of it, once it was carried out.
    outcome: Option<Found>,
    fails: bool,
}

struct Replica {
    candidate: Candidate,
    version: Option<u64>,
    calls: Vec<Call>,
    /// Its clock: what it shows at the beginning, and how fast it goes in thousandths.
    clock: (u64, u64),
    /// What it may do on its own.
    acts: (Moment, Moment),
    paused_until: u64,
    cut_off_until: u64,
    /// It ends, and has acted no more since then.
    ending: Option<(u64, u64)>,
    begins: u64,
    last_act: Option<u64>,
}

struct World {
    now: u64,
    server: Server,
    replicas: Vec<Replica>,
    processes: usize,
    lots: u64,
    acts: usize,
    /// When the Lease was deleted last.
    deleted: u64,
}

impl World {
    fn new(lots: u64) -> Self {
        let mut world = Self {
            now: 0,
            server: Server::default(),
            replicas: Vec::new(),
            processes: 0,
            lots,
            acts: 0,
            deleted: 0,
        };
        for _ in 0..REPLICAS {
            let replica = world.process(0);
            world.replicas.push(replica);
        }
        world
    }

    /// A SplitMix64 generator.
    fn lot(&mut self, below: u64) -> u64 {
        self.lots = self.lots.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.lots ^ (self.lots >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }

    fn process(&mut self, begins: u64) -> Replica {
        self.processes += 1;
        let terms = Terms::new(LEASE, MARGIN).unwrap();
        Replica {
            candidate: Candidate::new(format!("replica-{}", self.processes), terms),
            version: None,
            calls: Vec::new(),
            clock: (self.lot(1_000_000), 990 + self.lot(21)),
            acts: (Moment::default(), Moment::default()),
            paused_until: 0,
            cut_off_until: 0,
            ending: None,
            begins,
            last_act: None,
        }
    }

    fn happens(&mut self, incident: &Incident) {
        let now = self.now;
        let replica = &mut self.replicas[incident.replica];
        match incident.what {
            What::Pause(time) => replica.paused_until = now + time,
            What::CutOff(time) => replica.cut_off_until = now + time,
            What::Kill(time) => self.replace(incident.replica, time),
            What::Term(time) => {
                replica.acts.1 = Moment::default();
                replica.ending = Some((now, time));
            }
            What::Delete => {
                self.server.lease = None;
                self.deleted = now;
            }
            What::Edit(seconds) => {
                self.server.edit(|record| record.duration = Duration::from_secs(seconds));
            }
            What::Clear => self.server.edit(|record| record.holder = None),
        }
    }

    /// What its process has sent may still be carried out.
    fn replace(&mut self, index: usize, time: u64) {
        let mut next = self.process(self.now + time);
        let old = &mut self.replicas[index];
        next.last_act = old.last_act;
        next.calls = std::mem::take(&mut old.calls);
        for call in &mut next.calls {
            call.answered = u64::MAX;
        }
        self.replicas[index] = next;
    }

    fn tick(&mut self) {
        self.carry_out();
        for index in 0..self.replicas.len() {
            let replica = &self.replicas[index];
            // Who begins just when somebody has deleted the Lease can't know that there was one.
            let blind = replica.version.is_none() && self.server.lease.is_none();
            let just_deleted = self.now < self.deleted + u64::try_from(LEASE.as_millis()).unwrap();
            let unborn = replica.begins > self.now || (blind && just_deleted);
            if !unborn && replica.paused_until <= self.now {
                self.run(index);
            }
        }
        self.now += TICK;
    }

    fn carry_out(&mut self) {
        for replica in &mut self.replicas {
            for call in &mut replica.calls {
                if call.outcome.is_none() && call.carried_out <= self.now {
                    call.outcome = Some(Found(match &call.write {
                        Some((record, seen)) => self.server.put(record, *seen),
                        None => self.server.lease.clone(),
                    }));
                }
            }
            replica.calls.retain(|call| call.outcome.is_none() || call.answered != u64::MAX);
        }
    }

    fn run(&mut self, index: usize) {
        self.act(index);
        let now = self.now;
        let local = self.local(index);
        self.answers(index, local);
        let replica = &mut self.replicas[index];
        // The watch.
        if replica.cut_off_until <= now
            && let Some((record, version)) = &self.server.lease
            && replica.version.is_none_or(|known| known < *version)
        {
            replica.version = Some(*version);
            replica.candidate.observe(Some(record.clone()), local);
        }
        if let Some((since, time)) = replica.ending {
            return self.end(index, since, time);
        }
        while replica.calls.iter().all(|call| call.answered == u64::MAX) {
            let write = match replica.candidate.next(local) {
                Step::Wait { .. } => return,
                Step::Resign(_) => {
                    replica.acts.1 = Moment::default();
                    replica.candidate.step_down();
                    continue;
                }
                Step::Look => None,
                Step::Take | Step::Renew => {
                    let time = Timestamp::from_millisecond(i64::try_from(now).unwrap()).unwrap();
                    Some((replica.candidate.claim(time), replica.version))
                }
            };
            return self.call(index, write);
        }
    }

    fn local(&self, index: usize) -> Moment {
        let (offset, rate) = self.replicas[index].clock;
        Moment(Duration::from_millis(offset) + Duration::from_micros(self.now * rate))
    }

    fn call(&mut self, index: usize, write: Option<(Record, Option<u64>)>) {
        let sent = self.local(index);
        let (there, back) = (self.lot(600), self.lot(600));
        let cut_off = self.replicas[index].cut_off_until > self.now;
        // Of calls that fail, some were carried out, and some of those much later.
        let late = if cut_off && self.lot(2) == 0 { self.lot(8000) } else { there };
        let carried_out = if cut_off && self.lot(2) == 0 { u64::MAX } else { self.now + late };
        let answered = self.now + there + back;
        let call = Call { write, sent, carried_out, answered, outcome: None, fails: cut_off };
        self.replicas[index].calls.push(call);
    }

    /// What has been answered, or has taken too long.
    fn answers(&mut self, index: usize, local: Moment) {
        let (now, replica) = (self.now, &mut self.replicas[index]);
        for mut call in std::mem::take(&mut replica.calls) {
            if call.answered == u64::MAX || (call.answered > now) {
                replica.calls.push(call);
                continue;
            }
            let (true, Some(Found(outcome))) = (!call.fails, call.outcome.take()) else {
                replica.candidate.failed(local);
                call.answered = u64::MAX;
                replica.calls.push(call);
                continue;
            };
            match (call.write, outcome) {
                (None, found) => {
                    replica.version = found.as_ref().map(|(_, version)| *version);
                    replica.candidate.observe(found.map(|(record, _)| record), local);
                }
                (Some(_), None) => replica.candidate.outdated(),
                (Some(_), Some((record, version))) => {
                    replica.version = Some(version);
                    let won = replica.candidate.accepted(record, call.sent);
                    replica.acts.1 = replica.candidate.acts_until().unwrap();
                    if let Some(won) = won.filter(|_| local < replica.acts.1) {
                        let wait = if won.clean { Duration::ZERO } else { MARGIN };
                        replica.acts.0 = local + wait;
                        return self.nothing_is_under_way(index, DRIFT);
                    }
                }
            }
        }
    }

    /// Once what it sent has arrived, it releases the Lease and is gone.
    fn end(&mut self, index: usize, since: u64, time: u64) {
        let replica = &mut self.replicas[index];
        replica.acts.1 = Moment::default();
        if self.now < since + u64::try_from(MARGIN.as_millis()).unwrap() {
            return;
        }
        let released = Timestamp::from_millisecond(i64::try_from(self.now).unwrap()).unwrap();
        let leads = replica.candidate.leads();
        if let Some(record) = replica.candidate.release(released, true).filter(|_| leads) {
            let seen = replica.version;
            self.call(index, Some((record, seen)));
        }
        self.replace(index, time);
    }

    /// Sends something, if its fence lets it: whatever else it should have known by now.
    fn act(&mut self, index: usize) {
        let local = self.local(index);
        let replica = &self.replicas[index];
        let (from, until) = replica.acts;
        if local < from || local >= until {
            return;
        }
        self.nothing_is_under_way(index, 0);
        self.acts += 1;
        self.replicas[index].last_act = Some(self.now);
    }

    /// All that others have sent has arrived, even before a new leader waits for that.
    fn nothing_is_under_way(&self, index: usize, drift: u64) {
        for (other, replica) in self.replicas.iter().enumerate().filter(|(o, _)| *o != index) {
            let arrived =
                replica.last_act.map(|at| at + u64::try_from(MARGIN.as_millis()).unwrap());
            assert!(
                arrived.is_none_or(|arrived| arrived <= self.now + drift),
                "{index} leads at {} ms while something of {other} is under way",
                self.now
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_two_replicas_ever_act_at_once_and_one_does_in_the_end(
        mut incidents in incidents(),
        lots: u64,
    ) {
        incidents.sort_by_key(|incident| incident.at);
        let edited = incidents.iter().any(|it| matches!(it.what, What::Edit(_)));
        // Here nobody hears of a deletion before it looks, and then waits once more.
        let peace = if edited { 2 * EDITED + PEACE } else { PEACE };
        let mut incidents = incidents.into_iter().peekable();
        let mut world = World::new(lots);
        while world.now < UNREST + peace {
            while let Some(incident) = incidents.next_if(|incident| incident.at <= world.now) {
                world.happens(&incident);
            }
            world.tick();
        }
        let before = world.acts;
        world.tick();
        prop_assert_eq!(world.acts, before + 1);
    }
}

#[test]
fn a_process_that_is_paused_while_it_leads_stops_by_its_own_clock() {
    let terms = Terms::new(LEASE, MARGIN).unwrap();
    let at = |millis| Moment(Duration::from_millis(millis));
    let mut leader = Candidate::new("a".into(), terms);
    assert_eq!(leader.next(at(0)), Step::Look);
    leader.observe(None, at(0));
    assert_eq!(leader.next(at(0)), Step::Take);
    let mine = leader.claim(Timestamp::UNIX_EPOCH);
    assert!(leader.accepted(mine.clone(), at(100)).is_some_and(|won| !won.clean));
    assert_eq!(leader.acts_until(), Some(at(4100)));
    assert_eq!(leader.next(at(300)), Step::Wait { until: at(2100) });
    assert_eq!(leader.next(at(2100)), Step::Renew);
    assert!(matches!(leader.next(at(9000)), Step::Resign(_)));

    let mut other = Candidate::new("b".into(), terms);
    other.observe(Some(mine.clone()), at(50_000));
    assert_eq!(other.next(at(50_000)), Step::Wait { until: at(56_000) });
    other.observe(Some(mine), at(55_000));
    assert_eq!(other.next(at(56_000)), Step::Take, "seeing the same again is no sign of life");
    assert_eq!(other.claim(Timestamp::UNIX_EPOCH).transitions, 1);
}

#[test]
fn a_released_lease_is_taken_at_once_and_tells_whether_anything_is_under_way() {
    let terms = Terms::new(LEASE, MARGIN).unwrap();
    let now = Moment(Duration::from_secs(1));
    for drained in [true, false] {
        let mut leader = Candidate::new("a".into(), terms);
        leader.observe(None, now);
        leader.accepted(leader.claim(Timestamp::UNIX_EPOCH), now);
        let released = leader.release(Timestamp::UNIX_EPOCH, drained).unwrap();
        let mut other = Candidate::new("b".into(), terms);
        other.observe(Some(released), now);
        assert_eq!(other.next(now), Step::Take);
        let claim = other.claim(Timestamp::UNIX_EPOCH);
        assert_eq!(claim.released, None);
        assert_eq!(other.accepted(claim, now).map(|won| won.clean), Some(drained));
    }
}

#[test]
fn a_lease_that_was_edited_is_waited_for_as_long_as_its_holder_may_reckon_with() {
    let terms = Terms::new(LEASE, MARGIN).unwrap();
    let at = |seconds| Moment(Duration::from_secs(seconds));
    let mut leader = Candidate::new("a".into(), terms);
    leader.observe(None, at(0));
    leader.accepted(leader.claim(Timestamp::UNIX_EPOCH), at(0));
    let mine = leader.claim(Timestamp::UNIX_EPOCH);
    let says = |seconds| Record { duration: Duration::from_secs(seconds), ..mine.clone() };
    let until = |seen: &[Record]| {
        let mut other = Candidate::new("b".into(), terms);
        for record in seen {
            other.observe(Some(record.clone()), at(100));
        }
        match other.next(at(100)) {
            Step::Wait { until } => until.since(at(100)),
            step => panic!("{step:?}"),
        }
    };
    assert_eq!(until(&[says(0)]), LEASE, "nobody reckons with less than is configured");
    assert_eq!(until(&[says(60)]), Duration::from_mins(1), "as before a rolling update");
    assert_eq!(until(&[says(60), says(1)]), Duration::from_mins(1), "its holder knows of no edit");
    assert_eq!(until(&[says(1_000_000_000)]), LONGEST);
    let renewed = Record { renewed: Timestamp::from_second(1).ok(), ..mine.clone() };
    assert_eq!(until(&[says(60), renewed]), LEASE, "its holder has put it right");
    let cleared = Record { holder: None, ..mine.clone() };
    assert_eq!(until(&[mine.clone(), cleared.clone()]), LEASE);
    assert_eq!(until(&[cleared]), LEASE);

    // Who holds it puts it right at once.
    leader.observe(Some(says(1_000_000_000)), at(1));
    assert_eq!(leader.next(at(1)), Step::Renew);
    leader.accepted(leader.claim(Timestamp::UNIX_EPOCH), at(1));
    assert!(matches!(leader.next(at(1)), Step::Wait { .. }));
}

#[test]
fn a_lease_is_said_in_whole_seconds_and_for_no_shorter_than_its_holder_reckons_with() {
    let terms = Terms::new(Duration::from_millis(6500), MARGIN).unwrap();
    let mut leader = Candidate::new("a".into(), terms);
    let now = Moment(Duration::from_secs(1));
    leader.observe(None, now);
    let claim = leader.claim(Timestamp::UNIX_EPOCH);
    assert_eq!(claim.duration, Duration::from_secs(7));
    leader.accepted(claim, now);
    assert!(matches!(leader.next(now), Step::Wait { .. }), "what was written isn't an edit");
}

#[test]
fn a_lease_that_could_hardly_be_renewed_or_taken_over_is_refused() {
    assert!(Terms::new(MARGIN * 3, MARGIN).is_ok());
    let refused = |duration| Terms::new(duration, MARGIN).unwrap_err().to_string();
    assert_eq!(refused(MARGIN), "a lease of 2 s is too short; give it at least 6 s");
    let long = LONGEST + Duration::from_secs(1);
    assert_eq!(refused(long), "a lease of 301 s is too long; give it at most 300 s");
    assert!(matches!(Terms::new(long, MARGIN), Err(BadTerms::TooLong { .. })));
}
