//! Replicas that are configured differently, and are paused, killed, cut off and ended at any moment,
//! while somebody edits and deletes the Lease, in virtual time: no two of them ever act at once.
use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use proptest::prelude::*;

use super::decision::{BadTerms, Candidate, LONGEST, Record, Released, Step, Terms, Words};
use crate::model::Moment;

const LEASE: Duration = Duration::from_secs(6);
/// How long what was sent may take to arrive.
const MARGIN: Duration = Duration::from_secs(2);
const TICK: u64 = 50;
/// How much clocks that go wrong by three thousandths can differ within a lease, in milliseconds.
const DRIFT: u64 = 1800;
/// How long replicas are configured to have the Lease for, in seconds.
const LEASES: [u64; 6] = [6, 6, 6, 7, 60, 300];
const REPLICAS: usize = 3;
/// When things happen, and how long peace lasts after that, in milliseconds: who comes into a Lease that
/// was just taken by one who dies then has had to wait for that before.
const UNREST: u64 = 60_000;
const PEACE: u64 = 2 * 300_000 + 60_000;

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
    /// Somebody has it say something else.
    Edit(Edit),
}

#[derive(Debug, Clone)]
enum Edit {
    Duration(u64),
    /// A replica that is, or was, or none.
    Holder(Option<usize>),
    Released(bool),
    /// Whatever decides nothing by itself, as its times.
    Other,
}

fn incidents() -> impl Strategy<Value = Vec<Incident>> {
    let what = prop_oneof![
        4 => (100..20_000u64).prop_map(What::Pause),
        3 => (100..20_000u64).prop_map(What::CutOff),
        2 => (100..5_000u64).prop_map(What::Kill),
        2 => (100..5_000u64).prop_map(What::Term),
        1 => Just(What::Delete),
        2 => edit().prop_map(What::Edit),
    ];
    let incident = (0..UNREST, 0..REPLICAS, what).prop_map(|(at, replica, what)| Incident {
        at,
        replica,
        what,
    });
    prop::collection::vec(incident, 0..25)
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        prop_oneof![0..20u64, Just(1_000_000_000)].prop_map(Edit::Duration),
        prop::option::of(1..2 * REPLICAS).prop_map(Edit::Holder),
        any::<bool>().prop_map(Edit::Released),
        Just(Edit::Other),
    ]
}

/// The Lease at the API server, and what is on its way there.
#[derive(Default)]
struct Server {
    lease: Option<Record>,
    /// How often it was written.
    version: u64,
    /// Whether there is a trace of an election.
    begun: bool,
}

impl Server {
    /// Carries out a write that was decided on version `seen`; what the Lease is then.
    fn put(&mut self, words: &Words, seen: Option<&str>) -> Outcome {
        if self.lease.as_ref().map(|lease| lease.version.as_str()) != seen {
            return Outcome::Refused;
        }
        self.version += 1;
        self.lease = Some(says(words, self.version));
        Outcome::Done(self.lease.clone())
    }

    fn carry_out(&mut self, ask: &Ask) -> Outcome {
        match ask {
            Ask::Begin if std::mem::replace(&mut self.begun, true) => Outcome::Refused,
            Ask::Begin => Outcome::Done(None),
            Ask::Read => Outcome::Done(self.lease.clone()),
            Ask::Lay(words) => self.put(words, None),
            Ask::Write(words, seen) => self.put(words, seen.as_deref()),
        }
    }

    fn edit(&mut self, edit: &Edit) {
        let Some(record) = &mut self.lease else { return };
        self.version += 1;
        record.version = self.version.to_string();
        record.intact = false;
        match edit {
            Edit::Duration(seconds) => record.duration = Duration::from_secs(*seconds),
            Edit::Holder(process) => record.holder = process.map(name),
            Edit::Released(drained) => {
                record.released = Some(Released { drained: *drained });
            }
            Edit::Other => {}
        }
    }
}

/// The Lease after `words` were written.
fn says(words: &Words, version: u64) -> Record {
    Record {
        version: version.to_string(),
        intact: true,
        holder: words.holder.clone(),
        duration: words.duration,
        transitions: words.transitions,
        released: words.released,
    }
}

fn name(process: usize) -> String {
    format!("replica-{process}")
}

#[derive(Clone)]
enum Ask {
    Begin,
    Read,
    Lay(Words),
    /// And the version that it replaces.
    Write(Words, Option<String>),
}

/// What came of a call.
enum Outcome {
    /// What the Lease is then.
    Done(Option<Record>),
    /// A write, because there is something newer.
    Refused,
}

/// A call, from when it is sent to when it is answered.
struct Call {
    ask: Ask,
    sent: Moment,
    carried_out: u64,
    answered: u64,
    /// What came of it, once it was carried out.
    outcome: Option<Outcome>,
    fails: bool,
}

struct Replica {
    process: usize,
    candidate: Candidate,
    version: Option<String>,
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
}

struct World {
    now: u64,
    server: Server,
    replicas: Vec<Replica>,
    processes: usize,
    /// When each process acted last.
    acted: BTreeMap<usize, u64>,
    lots: u64,
    acts: usize,
}

impl World {
    fn new(lots: u64) -> Self {
        let mut world = Self {
            now: 0,
            server: Server::default(),
            replicas: Vec::new(),
            processes: 0,
            acted: BTreeMap::new(),
            lots,
            acts: 0,
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
        let lease = LEASES[usize::try_from(self.lot(LEASES.len() as u64)).unwrap()];
        let terms = Terms::new(Duration::from_secs(lease), MARGIN).unwrap();
        Replica {
            process: self.processes,
            candidate: Candidate::new(name(self.processes), terms),
            version: None,
            calls: Vec::new(),
            clock: (self.lot(1_000_000), 997 + self.lot(7)),
            acts: (Moment::default(), Moment::default()),
            paused_until: 0,
            cut_off_until: 0,
            ending: None,
            begins,
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
            What::Delete => self.server.lease = None,
            What::Edit(ref edit) => self.server.edit(edit),
        }
    }

    /// What its process has sent may still be carried out.
    fn replace(&mut self, index: usize, time: u64) {
        let mut next = self.process(self.now + time);
        let old = &mut self.replicas[index];
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
            if replica.begins.max(replica.paused_until) <= self.now {
                self.run(index);
            }
        }
        self.now += TICK;
    }

    fn carry_out(&mut self) {
        for replica in &mut self.replicas {
            for call in &mut replica.calls {
                if call.outcome.is_none() && call.carried_out <= self.now {
                    call.outcome = Some(self.server.carry_out(&call.ask));
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
        if replica.cut_off_until <= now {
            self.watched(index, local);
        }
        let replica = &self.replicas[index];
        if let Some((since, time)) = replica.ending {
            return self.end(index, since, time);
        }
        while self.replicas[index].calls.iter().all(|call| call.answered == u64::MAX) {
            let replica = &mut self.replicas[index];
            let ask = match replica.candidate.next(local) {
                Step::Wait { .. } => return,
                Step::Resign(_) => {
                    replica.acts.1 = Moment::default();
                    replica.candidate.step_down();
                    continue;
                }
                Step::Begin => Ask::Begin,
                Step::Look => Ask::Read,
                Step::Lay => Ask::Lay(replica.candidate.laid(Timestamp::UNIX_EPOCH)),
                Step::Take | Step::Renew => {
                    let words = replica.candidate.claim(Timestamp::UNIX_EPOCH);
                    Ask::Write(words, replica.version.clone())
                }
            };
            return self.call(index, ask);
        }
    }

    /// What the watch tells, and sometimes that the Lease was deleted.
    fn watched(&mut self, index: usize, local: Moment) {
        let hears = self.lot(4) == 0;
        let replica = &mut self.replicas[index];
        let number = |version: &String| version.parse::<u64>().unwrap();
        match &self.server.lease {
            Some(lease)
                if replica.version.as_ref().is_none_or(|v| number(v) < number(&lease.version)) =>
            {
                replica.version = Some(lease.version.clone());
                replica.candidate.observe(Some(lease.clone()), local);
            }
            None if hears && replica.version.is_some() => replica.candidate.outdated(),
            Some(_) | None => {}
        }
    }

    fn local(&self, index: usize) -> Moment {
        let (offset, rate) = self.replicas[index].clock;
        Moment(Duration::from_millis(offset) + Duration::from_micros(self.now * rate))
    }

    fn call(&mut self, index: usize, ask: Ask) {
        let sent = self.local(index);
        let (there, back) = (self.lot(600), self.lot(600));
        let cut_off = self.replicas[index].cut_off_until > self.now;
        // Of calls that fail, some were carried out, and some of those much later.
        let late = if cut_off && self.lot(2) == 0 { self.lot(8000) } else { there };
        let carried_out = if cut_off && self.lot(2) == 0 { u64::MAX } else { self.now + late };
        let answered = self.now + there + back;
        let call = Call { ask, sent, carried_out, answered, outcome: None, fails: cut_off };
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
            let (false, Some(outcome)) = (call.fails, call.outcome.take()) else {
                replica.candidate.failed(local);
                call.answered = u64::MAX;
                replica.calls.push(call);
                continue;
            };
            let found = match (&call.ask, outcome) {
                (Ask::Begin, outcome) => {
                    let ours = matches!(outcome, Outcome::Done(_)).then_some(call.sent);
                    replica.candidate.began(ours);
                    continue;
                }
                (_, Outcome::Refused) => {
                    replica.candidate.outdated();
                    continue;
                }
                (_, Outcome::Done(found)) => found,
            };
            replica.version = found.as_ref().map(|record| record.version.clone());
            match (call.ask, found) {
                (Ask::Write(..), Some(record)) => {
                    let won = replica.candidate.accepted(record, call.sent);
                    replica.acts.1 = replica.candidate.acts_until().unwrap();
                    if let Some(won) = won.filter(|_| local < replica.acts.1) {
                        let wait = if won.clean { Duration::ZERO } else { MARGIN };
                        replica.acts.0 = local + wait;
                        return self.nothing_is_under_way(index, DRIFT);
                    }
                }
                (_, found) => replica.candidate.observe(found, local),
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
        let words = replica.candidate.release(Timestamp::UNIX_EPOCH, true);
        if let Some(words) = words.filter(|_| replica.candidate.leads()) {
            let seen = replica.version.clone();
            self.call(index, Ask::Write(words, seen));
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
        self.acted.insert(self.replicas[index].process, self.now);
    }

    /// All that others have sent has arrived, even before a new leader waits for that.
    fn nothing_is_under_way(&self, index: usize, drift: u64) {
        let process = self.replicas[index].process;
        for (other, acted) in self.acted.iter().filter(|(other, _)| **other != process) {
            let arrived = acted + u64::try_from(MARGIN.as_millis()).unwrap();
            assert!(
                arrived <= self.now + drift,
                "{process} leads at {} ms while something of {other} is under way",
                self.now
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_two_replicas_ever_act_at_once_and_one_does_in_the_end(
        mut incidents in incidents(),
        lots: u64,
    ) {
        incidents.sort_by_key(|incident| incident.at);
        let mut incidents = incidents.into_iter().peekable();
        let mut world = World::new(lots);
        while world.now < UNREST + PEACE {
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

fn at(seconds: u64) -> Moment {
    Moment(Duration::from_secs(seconds))
}

/// One that knows of earlier elections.
fn candidate(me: &str, lease: u64) -> Candidate {
    let terms = Terms::new(Duration::from_secs(lease), MARGIN).unwrap();
    let mut candidate = Candidate::new(me.into(), terms);
    candidate.began(None);
    candidate
}

/// One that leads since `now`, and what the Lease says.
fn leader(me: &str, lease: u64, now: Moment) -> (Candidate, Record) {
    let mut leader = candidate(me, lease);
    leader.began(Some(now));
    leader.observe(None, now);
    leader.observe(Some(says(&leader.laid(Timestamp::UNIX_EPOCH), 1)), now);
    assert_eq!(leader.next(now), Step::Take);
    let record = says(&leader.claim(Timestamp::UNIX_EPOCH), 2);
    leader.accepted(record.clone(), now).unwrap();
    (leader, record)
}

/// How long somebody who sees these in turn, all at once, waits after that.
fn waits(mut other: Candidate, seen: &[Record]) -> Duration {
    for record in seen {
        other.observe(Some(record.clone()), at(100));
    }
    match other.next(at(100)) {
        Step::Wait { until } => until.since(at(100)),
        Step::Take => Duration::ZERO,
        step => panic!("{step:?}"),
    }
}

#[test]
fn a_process_that_is_paused_while_it_leads_stops_by_its_own_clock() {
    let (mut leader, mine) = leader("a", 6, at(0));
    assert_eq!(leader.acts_until(), Some(at(4)));
    assert_eq!(leader.next(at(1)), Step::Wait { until: at(2) });
    assert_eq!(leader.next(at(2)), Step::Renew);
    assert!(matches!(leader.next(at(9)), Step::Resign(_)));
    leader.step_down();

    let mut other = candidate("b", 6);
    other.observe(Some(mine.clone()), at(50));
    assert_eq!(other.next(at(50)), Step::Wait { until: at(56) });
    other.observe(Some(mine), at(55));
    assert_eq!(other.next(at(56)), Step::Take, "seeing the same again is no sign of life");
    assert_eq!(other.claim(Timestamp::UNIX_EPOCH).transitions, 1);
}

#[test]
fn a_released_lease_is_taken_at_once_and_tells_whether_anything_is_under_way() {
    for drained in [true, false] {
        let (leader, mine) = leader("a", 300, at(100));
        let released = says(&leader.release(Timestamp::UNIX_EPOCH, drained).unwrap(), 3);
        let mut other = candidate("b", 6);
        other.observe(Some(mine), at(100));
        other.observe(Some(released), at(100));
        assert_eq!(other.next(at(100)), Step::Take);
        let claim = says(&other.claim(Timestamp::UNIX_EPOCH), 4);
        assert_eq!(claim.released, None);
        assert_eq!(other.accepted(claim, at(100)).map(|won| won.clean), Some(drained));
    }
}

#[test]
fn in_the_very_first_election_nobody_is_waited_for_and_in_none_after_it() {
    let laid = says(&candidate("a", 6).laid(Timestamp::UNIX_EPOCH), 1);
    let begins = |ours| {
        let mut one = Candidate::new("a".into(), Terms::new(LEASE, MARGIN).unwrap());
        assert_eq!(one.next(at(100)), Step::Begin);
        one.began(ours);
        assert_eq!(one.next(at(100)), Step::Look);
        one.observe(None, at(100));
        assert_eq!(one.next(at(100)), Step::Lay);
        waits(one, std::slice::from_ref(&laid))
    };
    assert_eq!(begins(Some(at(100))), Duration::ZERO);
    assert_eq!(
        begins(None),
        LONGEST,
        "whoever had the Lease that was deleted may have it for that"
    );

    let mut first = candidate("a", 6);
    first.began(Some(at(100)));
    let (_, theirs) = leader("b", 6, at(100));
    let again = Record { version: "3".into(), ..laid.clone() };
    let theirs_then_new = [theirs.clone(), again.clone()];
    assert_eq!(waits(first.clone(), &theirs_then_new), LONGEST, "it isn't any more");
    // Its own claim may have been granted, and another's after that, while it saw nothing of it.
    assert_eq!(waits(first.clone(), &[laid.clone(), again]), LONGEST);
    assert_eq!(waits(candidate("c", 6), &[laid.clone(), theirs]), LEASE, "who has it has waited");
    first.observe(Some(laid), at(400));
    assert!(matches!(first.next(at(400)), Step::Wait { .. }), "much may have happened since");
}

#[test]
fn who_leads_writes_a_lease_again_that_was_deleted_or_edited() {
    let (mut leader, mine) = leader("a", 6, at(0));
    leader.observe(None, at(1));
    assert_eq!(leader.next(at(1)), Step::Lay);
    leader.observe(Some(says(&leader.laid(Timestamp::UNIX_EPOCH), 3)), at(1));
    assert_eq!(leader.next(at(1)), Step::Renew);
    for holder in [Some("b".to_owned()), Some("a".to_owned()), None] {
        let edited = Record { version: "4".into(), intact: false, holder, ..mine.clone() };
        leader.observe(Some(edited), at(1));
        assert_eq!(leader.next(at(1)), Step::Renew);
    }
    leader.accepted(says(&leader.claim(Timestamp::UNIX_EPOCH), 5), at(1));
    assert_eq!(leader.next(at(1)), Step::Wait { until: at(3) });
    let theirs = Record { version: "6".into(), holder: Some("b".into()), ..mine };
    leader.observe(Some(theirs), at(1));
    assert!(matches!(leader.next(at(1)), Step::Resign(_)));
}

#[test]
fn a_lease_that_was_edited_is_waited_for_as_long_as_any_holder_may_reckon_with() {
    let (_, mine) = leader("a", 60, at(0));
    let minute = Duration::from_mins(1);
    let edit = |edit: fn(&mut Record)| {
        let mut edited = Record { version: "9".into(), intact: false, ..mine.clone() };
        edit(&mut edited);
        edited
    };
    let edits: [fn(&mut Record); 6] = [
        |record| record.duration = Duration::from_secs(1),
        |record| record.duration = Duration::from_secs(1_000_000_000),
        |record| record.holder = None,
        |record| record.holder = Some("b".into()),
        |record| (record.holder, record.released) = (None, Some(Released { drained: true })),
        |_| {},
    ];
    for edited in edits.map(edit) {
        let seen = [mine.clone(), edited.clone()];
        assert_eq!(waits(candidate("b", 6), &seen), LONGEST, "{edited:?}");
        assert_eq!(waits(candidate("b", 6), &[edited]), LONGEST);
    }
    assert_eq!(waits(candidate("b", 6), &[mine]), minute);
}

#[test]
fn of_replicas_that_are_configured_differently_the_longer_lease_counts() {
    let (_, long) = leader("a", 300, at(0));
    let (_, short) = leader("b", 6, at(0));
    let short = Record { version: "3".into(), ..short };
    assert_eq!(waits(candidate("c", 6), std::slice::from_ref(&long)), LONGEST);
    assert_eq!(waits(candidate("c", 6), &[long, short.clone()]), LONGEST, "it never shrinks");
    assert_eq!(waits(candidate("c", 60), &[short]), Duration::from_mins(1));
}

#[test]
fn a_lease_is_said_in_whole_seconds_and_for_no_shorter_than_its_holder_reckons_with() {
    let terms = Terms::new(Duration::from_millis(6500), MARGIN).unwrap();
    let mut leader = Candidate::new("a".into(), terms);
    let claim = leader.claim(Timestamp::UNIX_EPOCH);
    assert_eq!(claim.duration, Duration::from_secs(7));
    leader.accepted(says(&claim, 1), at(1));
    assert!(matches!(leader.next(at(1)), Step::Wait { .. }), "what was written isn't an edit");
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
