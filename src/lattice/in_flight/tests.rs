use super::*;
use crate::model::{FewOf, Link, LinkKey, WorkloadId};

const SECOND: Duration = Duration::from_secs(1);

/// Lanes with one command that can be told by its count.
struct World {
    lanes: Lanes,
    in_flight: InFlight,
    now: Moment,
}

fn scale(id: &str, count: u32) -> Command {
    Command::ScaleComponent {
        host: "h".parse().unwrap(),
        id: id.parse().unwrap(),
        image: "r/a:1".into(),
        count,
        config: Vec::new(),
        annotations: Arc::default(),
        max_memory: None,
    }
}

fn put_link(source: &str, target: &str) -> Command {
    let key = LinkKey {
        source: source.parse().unwrap(),
        name: "default".into(),
        namespace: "wasi".into(),
        package: "http".into(),
    };
    let link = Link {
        target: target.parse().unwrap(),
        interfaces: FewOf::default(),
        source_config: Vec::new(),
        target_config: Vec::new(),
    };
    Command::PutLink { key, link }
}

impl World {
    fn new() -> Self {
        let deadlines = Deadlines { start: 60 * SECOND, other: 15 * SECOND, request: 2 * SECOND };
        let now = Moment(100 * SECOND);
        Self { lanes: Lanes::new(deadlines), in_flight: InFlight::default(), now }
    }

    fn register(&mut self, command: &Command) -> Result<Ticket, Taken> {
        let app = ApplicationKey::new("n", "a");
        self.lanes.register(&mut self.in_flight, &app, command, self.now)
    }

    fn send(&mut self, command: &Command) -> Ticket {
        let ticket = self.register(command).unwrap();
        let sent = self.lanes.send(&mut self.in_flight, &command.lane(), ticket, self.now);
        assert_eq!(sent.as_ref(), Some(command));
        ticket
    }

    fn answer(&mut self, command: &Command, ticket: Ticket, answer: &Answer) -> bool {
        self.lanes.answer(&mut self.in_flight, &command.lane(), ticket, answer, self.now)
    }

    fn pass(&mut self, time: Duration) -> Vec<Lane> {
        self.now = self.now + time;
        self.lanes.tick(&mut self.in_flight, self.now)
    }

    fn failure(&self, command: &Command) -> Option<&Failure> {
        self.in_flight.failures.get(&command.lane())
    }
}

#[test]
fn a_lane_takes_one_command_at_a_time() {
    let mut world = World::new();
    world.send(&scale("a", 1));
    assert_eq!(
        world.register(&scale("a", 1)),
        Err(Taken::Unresolved),
        "nor the same before its deadline"
    );
    assert_eq!(world.register(&scale("a", 2)), Err(Taken::Unresolved));
    assert!(world.register(&scale("b", 2)).is_ok());
}

#[test]
fn after_its_deadline_only_the_same_command_goes_again() {
    let mut world = World::new();
    world.send(&scale("a", 1));
    assert_eq!(world.pass(70 * SECOND), [scale("a", 1).lane()], "somebody must look again");
    assert_eq!(world.register(&scale("a", 2)), Err(Taken::Unresolved));
    assert!(world.register(&scale("a", 1)).is_ok());
}

#[test]
fn a_command_that_never_shows_fails_with_clear_words() {
    let mut world = World::new();
    for _ in 0..3 {
        let ticket = world.send(&scale("a", 1));
        world.answer(&scale("a", 1), ticket, &Answer::Accepted);
        let deadline = world.in_flight.pending[&scale("a", 1).lane()].deadline;
        world.pass(deadline.since(world.now));
    }
    let failure = world.failure(&scale("a", 1)).unwrap();
    assert!(failure.error.starts_with("no outcome after 3 tries and "), "{}", failure.error);
    assert!(failure.error.contains("the host accepted it"), "{}", failure.error);
    assert!(world.in_flight.pending.is_empty());
}

#[test]
fn a_command_that_nobody_sends_again_ends_too() {
    let mut world = World::new();
    world.send(&scale("a", 0));
    world.pass(20 * SECOND);
    assert!(!world.in_flight.pending.is_empty());
    world.pass(20 * SECOND);
    assert!(world.in_flight.pending.is_empty());
    assert!(world.failure(&scale("a", 0)).is_some());
}

#[test]
fn a_refusal_delays_the_next_try_longer_each_time_until_a_success() {
    let mut world = World::new();
    let mut delays = Vec::new();
    for _ in 0..3 {
        let ticket = world.send(&scale("a", 1));
        assert!(world.answer(&scale("a", 1), ticket, &Answer::Refused("no".into())));
        let failure = world.failure(&scale("a", 1)).unwrap();
        let delay = failure.retry_at.since(world.now);
        assert_eq!(world.register(&scale("a", 1)), Err(Taken::Delayed));
        assert_eq!(world.pass(delay), [scale("a", 1).lane()], "somebody must look again");
        delays.push(delay);
    }
    assert!(delays.is_sorted() && delays[2] > 3 * delays[0], "{delays:?}");
    world.send(&scale("a", 1));
    world.lanes.succeed(&mut world.in_flight, &scale("a", 1).lane());
    assert_eq!(world.in_flight, InFlight::default());
}

#[test]
fn a_failure_delays_only_what_asks_the_same() {
    let mut world = World::new();
    for _ in 0..2 {
        let ticket = world.send(&scale("a", 1));
        world.answer(&scale("a", 1), ticket, &Answer::Refused("manifest unknown".into()));
        world.pass(10 * 60 * SECOND);
    }
    let ticket = world.send(&scale("a", 1));
    world.answer(&scale("a", 1), ticket, &Answer::Refused("manifest unknown".into()));
    assert_eq!(world.failure(&scale("a", 1)).unwrap().count, 3);
    assert_eq!(
        world.register(&scale("a", 2)),
        Err(Taken::Delayed),
        "another count is no other ask"
    );

    let mut corrected = scale("a", 1);
    if let Command::ScaleComponent { image, .. } = &mut corrected {
        *image = "r/a:2".into();
    }
    let ticket = world.send(&corrected);
    world.answer(&corrected, ticket, &Answer::Refused("no".into()));
    let failure = world.failure(&corrected).unwrap();
    assert_eq!((failure.count, &failure.command), (1, &corrected), "it is its own first failure");
}

#[test]
fn what_trying_cannot_mend_is_not_tried_hot() {
    let mut world = World::new();
    let ticket = world.send(&scale("a", 1));
    let error = "policy denied request to scale component: no";
    world.answer(&scale("a", 1), ticket, &Answer::Refused(error.into()));
    let delay = world.failure(&scale("a", 1)).unwrap().retry_at.since(world.now);
    assert!(delay > 4 * 60 * SECOND, "{delay:?}");
}

#[test]
fn a_timed_out_request_stays_in_flight() {
    let mut world = World::new();
    let ticket = world.send(&scale("a", 1));
    assert!(!world.answer(&scale("a", 1), ticket, &Answer::Unknown));
    assert!(world.lanes.is_answered(&scale("a", 1).lane()));
    assert_eq!(world.in_flight.pending[&scale("a", 1).lane()].acknowledged, None);
}

#[test]
fn an_answer_to_an_earlier_sending_counts_for_nothing() {
    let mut world = World::new();
    let early = world.send(&scale("a", 1));
    world.pass(70 * SECOND);
    world.send(&scale("a", 1));
    assert!(!world.answer(&scale("a", 1), early, &Answer::Refused("late".into())));
    assert!(world.failure(&scale("a", 1)).is_none());
}

#[test]
fn links_of_a_source_and_starts_of_it_exclude_each_other() {
    let mut world = World::new();
    world.send(&put_link("a", "b"));
    assert_eq!(world.register(&scale("a", 1)), Err(Taken::Unresolved));
    assert!(world.register(&scale("a", 0)).is_ok(), "a stop touches no links");
    assert!(world.register(&scale("b", 1)).is_ok());
    assert_eq!(world.register(&put_link("b", "c")), Err(Taken::Unresolved));
}

#[test]
fn a_link_needs_its_answer_and_its_event_in_either_order() {
    let put = put_link("a", "b");
    let mut world = World::new();
    let ticket = world.send(&put);
    assert!(!world.lanes.link_event(&mut world.in_flight, &put.lane(), world.now));
    assert!(world.answer(&put, ticket, &Answer::Accepted));
    assert!(world.in_flight.pending.is_empty());

    let ticket = world.send(&put);
    assert!(!world.answer(&put, ticket, &Answer::Accepted));
    assert!(world.lanes.link_event(&mut world.in_flight, &put.lane(), world.now));
    assert!(world.in_flight.pending.is_empty());
}

#[test]
fn what_is_withdrawn_was_never_there_unless_it_had_been_sent_before() {
    let mut world = World::new();
    let ticket = world.register(&scale("a", 1)).unwrap();
    world.lanes.withdraw(&mut world.in_flight, &scale("a", 1).lane(), ticket, world.now);
    assert_eq!(world.in_flight, InFlight::default());

    world.send(&scale("a", 1));
    world.pass(70 * SECOND);
    let ticket = world.register(&scale("a", 1)).unwrap();
    world.lanes.withdraw(&mut world.in_flight, &scale("a", 1).lane(), ticket, world.now);
    assert_eq!(world.in_flight.pending.len(), 1);
    assert_eq!(world.register(&scale("a", 2)), Err(Taken::Unresolved));
}

#[test]
fn a_host_that_is_gone_takes_its_lanes_with_it() {
    let mut world = World::new();
    let ticket = world.send(&scale("a", 1));
    world.answer(&scale("a", 1), ticket, &Answer::Refused("no".into()));
    world.send(&scale("b", 1));
    world.send(&put_link("c", "d"));
    let host = "h".parse().unwrap();
    let void = world.lanes.void_host(&mut world.in_flight, &host, world.now);
    let id = |id: &str| id.parse::<WorkloadId>().unwrap();
    assert_eq!(
        void,
        [Lane::Workload(host.clone(), id("a")), Lane::Workload(host.clone(), id("b"))]
    );
    assert_eq!(world.in_flight.pending.len(), 1, "the link");
    assert!(world.in_flight.failures.is_empty() && world.lanes.on(&host).is_empty());
}

#[test]
fn regression_what_was_sent_to_a_host_after_it_restarted_stays_in_flight() {
    let mut world = World::new();
    world.send(&scale("old", 1));
    let born = world.now + SECOND;
    world.pass(2 * SECOND);
    world.send(&scale("new", 1));
    let void = world.lanes.void_host(&mut world.in_flight, &"h".parse().unwrap(), born);
    assert_eq!(void, [scale("old", 1).lane()]);
    assert_eq!(world.register(&scale("new", 2)), Err(Taken::Unresolved));
}

#[test]
fn references_are_compared_as_hosts_repeat_them() {
    let cases = [
        ("wasmcloud+builtin://http-server", "http-server", true),
        ("file:///x.par.gz", "/x.par.gz", true),
        ("ghcr.io/A/b:1", "ghcr.io/a/b:1", true),
        ("r/a:1", "r/a:2", false),
    ];
    for (asked, shown, same) in cases {
        assert_eq!(same_image(asked, shown), same, "{asked} {shown}");
    }
}

#[test]
fn the_jitter_is_a_tenth_and_always_the_same() {
    let lane = scale("a", 1).lane();
    for tries in 1..50 {
        let pause = backoff(15 * SECOND, LONGEST, tries, &lane);
        let plain = (15 * SECOND).saturating_mul(1 << (tries - 1).min(10)).min(LONGEST);
        assert!(pause >= plain / 10 * 9 && pause <= plain / 10 * 11, "{tries}: {pause:?}");
        assert_eq!(pause, backoff(15 * SECOND, LONGEST, tries, &lane));
    }
}
