//! The promises of [`super::super`], over random worlds and interleavings.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use proptest::{collection::vec, prelude::*, sample::select};

use super::{
    support::{Wants, host, id, nothing, with},
    world::World,
};
use crate::{
    model::{
        Adopt, Bound, ConfigWanted, Desired, Fill, HostId, HostState, Layout, Plan,
        REBALANCE_DELAY, Reach, Rebalance, Rollout, Scaling, Strategy as Change, Subject,
        Unsatisfiable, Workload, WorkloadId, WorkloadKind,
    },
    placement::spread::shares,
};

const HOSTS: [(&str, &str); 5] = [("a", "eu"), ("b", "eu"), ("c", "us"), ("d", "us"), ("e", "ap")];

/// What one moment brings.
#[derive(Debug, Clone)]
enum Event {
    Act { lost: Vec<bool> },
    Work(usize),
    Heartbeat(usize),
    Read,
    Pass(u64),
    Crash,
    Want(usize),
    Lose(usize),
    Join(usize),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => vec(prop::bool::weighted(0.1), 8).prop_map(|lost| Event::Act { lost }),
        8 => (0..8usize).prop_map(Event::Work),
        5 => (0..5usize).prop_map(Event::Heartbeat),
        3 => Just(Event::Read),
        2 => select(vec![1, 5, 20, 70]).prop_map(Event::Pass),
        1 => Just(Event::Crash),
        1 => (0..3usize).prop_map(Event::Want),
        1 => (0..5usize).prop_map(Event::Lose),
        1 => (0..5usize).prop_map(Event::Join),
    ]
}

fn spread() -> impl Strategy<Value = &'static str> {
    select(vec!["all", "zone=eu", "zone=eu zone=us", "zone=eu*3 all", "zone=mars all", "zone=mars"])
}

fn image() -> impl Strategy<Value = &'static str> {
    select(vec!["v1", "v2"])
}

fn layout() -> impl Strategy<Value = Layout> {
    let rebalance = select(vec![
        Rebalance::Never,
        Rebalance::After(REBALANCE_DELAY),
        Rebalance::After(Duration::ZERO),
    ]);
    let unsatisfiable = select(vec![Unsatisfiable::Wait, Unsatisfiable::Redistribute]);
    (select(vec![Fill::Spread, Fill::Pack]), unsatisfiable, rebalance)
        .prop_map(|(fill, unsatisfiable, rebalance)| Layout { fill, unsatisfiable, rebalance })
}

fn bound() -> impl Strategy<Value = Bound> {
    select(vec![Bound::Hosts(1), Bound::Hosts(2), Bound::Percent(50)])
}

fn rollout() -> impl Strategy<Value = Rollout> {
    let strategy = select(vec![Change::RollingUpdate, Change::RollingUpdate, Change::Recreate]);
    (strategy, bound(), 0..3u32, 1..3u32).prop_map(
        |(strategy, max_unavailable, max_surge, max_failed_hosts)| Rollout {
            strategy,
            max_unavailable,
            max_surge,
            max_failed_hosts,
        },
    )
}

prop_compose! {
    fn desired()(
        web in prop::option::of((image(), 0..6u32, spread(), any::<bool>())),
        api in prop::option::of((image(), 0..4u32, spread(), any::<bool>())),
        http in prop::option::of((image(), 1..4u32, spread())),
        each in prop::option::of((image(), spread())),
        value in select(vec!["1", "2"]),
        target in select(vec!["http", "each"]),
        linked in any::<bool>(),
        layout in layout(),
        rollout in rollout(),
    ) -> Desired {
        let mut desired = nothing();
        if let Some((image, instances, entries, configured)) = web {
            let scaling = Scaling::Spread { instances, spread: super::support::spread(entries) };
            let names: &[&str] = if configured { &["settings"] } else { &[] };
            if configured {
                desired = desired.config("settings", value);
            }
            desired = desired.workload(WorkloadKind::Component, "web", image, scaling, names);
            if linked {
                // A config that a link names carries the hash of its content in its name.
                let name = format!("link-{value}");
                desired = desired.config(&name, value).link("web", target, &[&name]);
            }
        }
        if let Some((image, instances, entries, daemon)) = api {
            desired = if daemon {
                desired.daemon(WorkloadKind::Component, "api", image, instances, entries)
            } else {
                desired.component("api", image, instances, entries)
            };
        }
        if let Some((image, instances, entries)) = http {
            desired = desired.provider("http", image, instances, entries);
        }
        if let Some((image, entries)) = each {
            desired = desired.daemon(WorkloadKind::Provider, "each", image, 1, entries);
        }
        with(desired, layout, rollout)
    }
}

fn happen(world: &mut World, event: &Event, wants: &[Desired]) {
    match event {
        Event::Act { lost } => {
            world.act(|index| lost.get(index).copied().unwrap_or(false));
        }
        Event::Work(index) => world.work(*index),
        Event::Heartbeat(index) => world.heartbeat(&host(HOSTS[*index].0)),
        Event::Read => world.read(),
        Event::Pass(seconds) => world.pass(*seconds),
        Event::Crash => world.crash(),
        Event::Want(index) => {
            world.want(wants[*index].clone());
            world.read();
        }
        Event::Lose(index) => {
            if world.hosts.len() > 1 {
                world.lose(&host(HOSTS[*index].0));
            }
        }
        Event::Join(index) => {
            let (name, zone) = HOSTS[*index];
            if !world.hosts.contains_key(&host(name)) {
                world.join(name, zone);
            }
        }
    }
}

/// What runs under `id`, by host.
fn runs(world: &World, id: &WorkloadId) -> BTreeMap<HostId, u32> {
    let count = |(host, things): (&HostId, &BTreeMap<WorkloadId, super::world::Runs>)| {
        things.get(id).map(|runs| (host.clone(), runs.count))
    };
    world.hosts.iter().filter_map(count).collect()
}

/// Written without a look at the planner: what must be so once nothing is left to do.
fn assert_exact(world: &World) {
    let Desired { owner: _, workloads, links, configs, shared: _, adopt: _ } = &world.desired;
    for (name, workload) in workloads {
        assert_spread(world, name, workload);
        // What can't be replaced, for want of a host, is kept as it is.
        let plan = world.plan();
        if plan.blocked.iter().any(|blocked| blocked.subject == Subject::Workload(name.clone())) {
            continue;
        }
        for (on, things) in &world.hosts {
            let Some(runs) = things.get(name) else { continue };
            assert_eq!(runs.config, workload.config, "config of {name} on {on}");
            assert_eq!(runs.code, workload.image, "what answers for {name} on {on}");
            assert_eq!(runs.annotations, workload.annotations, "annotations of {name} on {on}");
        }
    }
    for things in world.hosts.values() {
        for (name, runs) in things {
            let ours = world.desired.owner.owns(&runs.annotations);
            assert!(!ours || workloads.contains_key(name), "{name} is left over");
        }
    }
    assert_eq!(world.links, links.clone().into_iter().collect());
    let managed: BTreeMap<_, _> = configs
        .iter()
        .filter_map(|(name, wanted)| match wanted {
            ConfigWanted::Managed(values) => Some((name.clone(), values.clone())),
            ConfigWanted::Required => None,
        })
        .collect();
    // What is kept for want of a host may still read a config of its time.
    let kept = !world.plan().blocked.is_empty();
    assert!(kept || world.configs.len() == managed.len(), "left over: {:?}", world.configs);
    assert!(managed.iter().all(|(name, values)| world.configs.get(name) == Some(values)));
}

/// Every set of entries gets its shares on the hosts that meet one of them (Hall's condition), so
/// that each entry can be given its own.
fn assert_spread(world: &World, name: &WorkloadId, workload: &Workload) {
    let counts = runs(world, name);
    let meets = |entry: usize| -> BTreeSet<&HostId> {
        let wanted = &workload.scaling.spread()[entry].requirements;
        let zone = |host: &HostId| HOSTS.iter().find(|(name, _)| *name == host.as_str()).unwrap().1;
        let fits = |host: &&HostId| wanted.get("zone").is_none_or(|wanted| wanted == zone(host));
        world.hosts.keys().filter(fits).collect()
    };
    let entries = workload.scaling.spread().len();
    match &workload.scaling {
        Scaling::Daemon { instances, .. } => {
            let each = if workload.kind == WorkloadKind::Provider { 1 } else { *instances };
            let hosts: BTreeSet<_> = (0..entries).flat_map(meets).collect();
            let wanted: BTreeMap<_, _> =
                hosts.into_iter().map(|host| (host.clone(), each)).filter(|_| each > 0).collect();
            assert_eq!(counts, wanted, "{name} on every host");
        }
        Scaling::Spread { instances, spread } => {
            let shares = shares(*instances, spread);
            let total: u32 = counts.values().sum();
            let homeless = (0..entries).any(|entry| shares[entry] > 0 && meets(entry).is_empty());
            assert!(homeless || total <= *instances, "{name}: {total} of {instances}");
            for set in 1..1_u32 << entries {
                let chosen = || (0..entries).filter(|entry| set & (1 << entry) != 0);
                let hosts: BTreeSet<_> = chosen().flat_map(meets).collect();
                // What can be had of the set: for each part of it, its hosts' room or its shares.
                let room = |part: u32| {
                    let of = |entry: &usize| part & (1 << entry) != 0;
                    let hosts: BTreeSet<_> = chosen().filter(of).flat_map(meets).collect();
                    let room = room_on(workload.kind, hosts.len());
                    room + chosen().filter(|entry| !of(entry)).map(|e| shares[e]).sum::<u32>()
                };
                let wanted = (0..=set).filter(|part| part & set == *part).map(room).min().unwrap();
                let there: u32 =
                    counts.iter().filter(|(host, _)| hosts.contains(host)).map(|(_, n)| n).sum();
                assert!(there >= wanted, "{name}: {there} of {wanted} on {hosts:?}");
            }
            if workload.layout.unsatisfiable == Unsatisfiable::Redistribute {
                let hosts = (0..entries).flat_map(meets).collect::<BTreeSet<_>>().len();
                let room = room_on(workload.kind, hosts);
                assert!(total >= room.min(*instances), "{name}: {total} of {instances}, {room}");
            }
            if workload.kind == WorkloadKind::Component
                && entries == 1
                && workload.layout.rebalance != Rebalance::Never
            {
                assert_filled(name, workload.layout.fill, &meets(0), &counts);
            }
        }
    }
}

/// More than any test wants, where a host isn't full with one.
fn room_on(kind: WorkloadKind, hosts: usize) -> u32 {
    match (kind, hosts) {
        (_, 0) => 0,
        (WorkloadKind::Provider, hosts) => u32::try_from(hosts).unwrap(),
        (WorkloadKind::Component, _) => 1000,
    }
}

/// Where a spread of one entry ends up on its `hosts`.
fn assert_filled(
    name: &WorkloadId,
    fill: Fill,
    hosts: &BTreeSet<&HostId>,
    counts: &BTreeMap<HostId, u32>,
) {
    let on = || hosts.iter().map(|host| counts.get(*host).copied().unwrap_or(0));
    let (most, least) = (on().max().unwrap_or(0), on().min().unwrap_or(0));
    match fill {
        Fill::Spread => assert!(most - least <= 1, "{name}: uneven {counts:?}"),
        Fill::Pack => assert_eq!(on().sum::<u32>(), most, "{name}: not packed {counts:?}"),
    }
}

/// What changes its image, in the tests below.
#[derive(Debug, Clone, Copy)]
struct Shape {
    kind: WorkloadKind,
    daemon: bool,
    fill: Fill,
    hosts: usize,
    instances: u32,
    rollout: Rollout,
}

impl Shape {
    fn of(self, image: &str) -> Desired {
        let most = u32::try_from(self.hosts).unwrap();
        let desired = match (self.kind, self.daemon) {
            (kind, true) => nothing().daemon(kind, "web", image, self.instances, "all"),
            (WorkloadKind::Provider, false) => {
                nothing().provider("web", image, self.instances.min(most), "all")
            }
            (WorkloadKind::Component, false) => {
                nothing().component("web", image, self.instances, "all")
            }
        };
        with(desired, Layout { fill: self.fill, ..Layout::default() }, self.rollout)
    }

    /// All of `v1` runs.
    fn settled(self) -> World {
        let mut world = World::new(self.of("v1"), &HOSTS[..self.hosts]);
        world.settle();
        world
    }

    /// How many of those `before` must serve while it changes, on a lattice of `hosts`.
    fn kept(self, before: usize, hosts: usize) -> usize {
        let Rollout { max_unavailable, max_surge, .. } = self.rollout;
        match before {
            1 => usize::from(max_surge > 0 && !self.daemon && hosts > 1),
            several => several.saturating_sub(max_unavailable.of(several)).max(1),
        }
    }
}

prop_compose! {
    fn shape()(
        kind in select(vec![WorkloadKind::Component, WorkloadKind::Provider]),
        daemon in prop::bool::weighted(0.25),
        fill in select(vec![Fill::Spread, Fill::Pack]),
        hosts in 1..5usize,
        instances in 1..9u32,
        max_unavailable in bound(),
        max_surge in 0..3u32,
        max_failed_hosts in 1..3u32,
    ) -> Shape {
        let rollout =
            Rollout { max_unavailable, max_surge, max_failed_hosts, ..Rollout::default() };
        Shape { kind, daemon, fill, hosts, instances, rollout }
    }
}

/// On how many hosts `image` runs.
fn hosts_with(world: &World, image: &str) -> usize {
    let has = |things: &&BTreeMap<WorkloadId, super::world::Runs>| {
        things.get(&id("web")).is_some_and(|runs| *runs.code == *image)
    };
    world.hosts.values().filter(has).count()
}

/// What may be sent is sent, done and seen, and some seconds pass.
fn step(world: &mut World) {
    world.act(|_| false);
    while !world.at_work.is_empty() {
        world.work(0);
    }
    world.look();
    world.pass(7);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    /// Whatever happens meanwhile, losses, crashes and changes of mind included, obeying plans ends
    /// with exactly what is wanted, and no command on the way breaks a rule of the hosts.
    #[test]
    fn obeying_plans_ends_with_exactly_what_is_wanted(
        wants in vec(desired(), 4),
        events in vec(event(), 0..60),
    ) {
        let mut world = World::new(wants[3].clone(), &HOSTS[..4]);
        for event in &events {
            happen(&mut world, event, &wants);
        }
        world.settle();
        assert_exact(&world);
        let plan = world.plan();
        prop_assert!(plan.now.is_empty(), "{plan}");
        if plan.blocked.is_empty() {
            prop_assert!(plan.is_settled(), "{plan}");
        }
    }

    /// A host that runs nothing of a plan's, and was asked for nothing, changes it only if it is
    /// within the plan's reach, whether it comes, goes, takes no more work, or is labelled otherwise.
    #[test]
    fn a_host_out_of_reach_changes_no_plan(
        wants in vec(desired(), 4),
        events in vec(event(), 0..40),
        settled in prop::bool::weighted(0.7),
        zones in vec(select(vec!["eu", "us", "ap", "mars"]), 2),
        goes in any::<bool>(),
    ) {
        let mut world = World::new(wants[3].clone(), &HOSTS[..4]);
        for event in &events {
            happen(&mut world, event, &wants);
        }
        if settled {
            world.settle();
        }
        let plan = |world: &World| Plan { reach: Reach::default(), ..world.plan() };
        let reach = world.plan().reach;
        let zone = |name: &str| BTreeMap::from([("zone".to_owned(), name.to_owned())]);
        let other = host("other");
        let without = plan(&world);

        world.join("other", zones[0]);
        let with = plan(&world);
        prop_assert!(with == without || reach.has(&zone(zones[0])), "{without}\n{with}");

        // From where it is known.
        let reach = world.plan().reach;
        if goes {
            world.observed.host_mut(&other, |host| host.state = HostState::Mute);
            let muted = plan(&world);
            prop_assert!(with == muted || reach.has(&zone(zones[0])), "{with}\n{muted}");
            world.lose(&other);
            prop_assert_eq!(plan(&world), without);
        } else {
            world.observed.host_mut(&other, |host| host.labels = zone(zones[1]).into());
            let moved = plan(&world);
            let reached = zones.iter().any(|name| reach.has(&zone(name)));
            prop_assert!(with == moved || reached, "{with}\n{moved}");
        }
    }

    /// A change of image never takes more hosts away than it may, and not the last if another can
    /// take over first; whatever is sent, lost or asked for anew meanwhile, the old included, and
    /// whatever hosts are lost beside.
    #[test]
    fn a_change_keeps_all_hosts_but_those_that_may_be_away(
        shape in shape(),
        events in vec(event(), 0..80),
    ) {
        let mut world = shape.settled();
        let web = id("web");
        let before = runs(&world, &web).len();
        let mut kept = shape.kept(before, shape.hosts);
        world.want(shape.of("v2"));
        for event in events {
            match event {
                Event::Join(_) => {}
                Event::Lose(_) => {
                    let there = runs(&world, &web).len();
                    happen(&mut world, &event, &[]);
                    let lost = there - runs(&world, &web).len();
                    let left = world.hosts.len();
                    kept = kept.saturating_sub(lost).min(shape.kept(left, left));
                }
                Event::Want(index) => world.want(shape.of(["v1", "v2", "v3"][index])),
                event => happen(&mut world, &event, &[]),
            }
            let now = runs(&world, &web).len();
            prop_assert!(now >= kept, "{now} of {before} hosts serve");
        }
        world.settle();
        assert_exact(&world);
    }

    /// The new starts beside the old on no more hosts than it may, and only where one host alone
    /// runs the old.
    #[test]
    fn a_change_starts_no_more_beside_the_old_than_it_may(
        shape in shape(),
        events in vec(event(), 0..80),
    ) {
        let mut world = shape.settled();
        let web = id("web");
        let before: Vec<HostId> = runs(&world, &web).into_keys().collect();
        let most = match before.len() {
            1 if !shape.daemon => usize::try_from(shape.rollout.max_surge).unwrap(),
            _ => 0,
        };
        world.want(shape.of("v2"));
        for event in events {
            match event {
                Event::Lose(_) | Event::Join(_) | Event::Want(_) => {}
                event => happen(&mut world, &event, &[]),
            }
            let more = runs(&world, &web).keys().filter(|host| !before.contains(host)).count();
            prop_assert!(hosts_with(&world, "v1") == 0 || more <= most, "{more} beside the old");
        }
        world.settle();
        assert_exact(&world);
    }

    /// Where all is to be stopped first, the old and the new never run beside each other.
    #[test]
    fn what_is_recreated_never_runs_beside_what_it_replaces(
        shape in shape(),
        events in vec(event(), 0..80),
    ) {
        let rollout = Rollout { strategy: Change::Recreate, ..shape.rollout };
        let shape = Shape { rollout, ..shape };
        let mut world = shape.settled();
        world.want(shape.of("v2"));
        for event in events {
            match event {
                Event::Lose(_) | Event::Join(_) | Event::Want(_) | Event::Crash => {}
                event => happen(&mut world, &event, &[]),
            }
            let codes: BTreeSet<_> =
                world.hosts.values().flat_map(BTreeMap::values).map(|runs| &runs.code).collect();
            prop_assert!(codes.len() <= 1, "{codes:?} run together");
        }
        world.settle();
        assert_exact(&world);
    }

    /// A host with troubles of its own doesn't keep the others from the new.
    #[test]
    fn a_change_goes_on_around_a_host_that_fails_of_itself(
        hosts in 3..6usize,
        instances in 1..9u32,
        faulty in 0..5usize,
    ) {
        let shape = Shape {
            kind: WorkloadKind::Component,
            daemon: false,
            fill: Fill::Spread,
            hosts,
            instances,
            rollout: Rollout::default(),
        };
        let mut world = shape.settled();
        world.want(shape.of("v2"));
        let faulty = host(HOSTS[faulty % hosts].0);
        world.faulty.push(faulty.clone());
        let web = id("web");
        let is_new = |world: &World| {
            let mut others = world.hosts.iter().filter(|(host, _)| **host != faulty);
            let total: u32 = runs(world, &web).values().sum();
            total == instances
                && others.all(|(_, things)| things.get(&web).is_none_or(|runs| *runs.code == *"v2"))
        };
        let mut rounds = 0;
        while rounds < 300 && !is_new(&world) {
            step(&mut world);
            rounds += 1;
        }
        prop_assert!(is_new(&world), "{:?}\n{}", world.hosts, world.plan());
    }

    /// When a host goes, only what it ran is started again; when one comes, nothing is, at first;
    /// another number starts only the difference.
    #[test]
    fn the_fewest_instances_move(
        hosts in 2..5usize,
        instances in 0..12u32,
        more in 0..12u32,
        goes in 0..4usize,
        fill in select(vec![Fill::Spread, Fill::Pack]),
        rebalance in select(vec![Rebalance::Never, Rebalance::After(REBALANCE_DELAY)]),
    ) {
        let layout = Layout { fill, rebalance, ..Layout::default() };
        let of = |instances| {
            let desired = nothing().component("web", "v1", instances, "all");
            with(desired, layout, Rollout::default())
        };
        let mut world = World::new(of(instances), &HOSTS[..hosts]);
        world.settle();
        let web = id("web");
        let goes = host(HOSTS[goes % hosts].0);
        let lost = runs(&world, &web).get(&goes).copied().unwrap_or(0);
        world.started = 0;
        world.lose(&goes);
        world.settle();
        prop_assert_eq!(world.started, lost);

        world.started = 0;
        world.join("e", "ap");
        let plan = world.plan();
        prop_assert!(plan.now.is_empty(), "{plan}");
        prop_assert!(rebalance != Rebalance::Never || plan.wake_at.is_none(), "{plan}");

        world.want(of(more));
        let (mut rounds, start) = (0, world.time);
        while rounds < 10 {
            step(&mut world);
            world.time = start;
            rounds += 1;
        }
        prop_assert_eq!(world.started, more.saturating_sub(instances));
        prop_assert_eq!(runs(&world, &web).values().sum::<u32>(), more);
    }

    /// No more hosts are given up for an image that can't start than may fail, beside those that may
    /// be away; then it is said, and a good image goes on from there.
    #[test]
    fn what_runs_outlives_an_image_that_cannot_start(shape in shape()) {
        let mut world = shape.settled();
        let before = runs(&world, &id("web")).len();
        let failed = usize::try_from(shape.rollout.max_failed_hosts).unwrap() - 1;
        let kept = match shape.kept(before, shape.hosts) {
            0 => 0,
            kept => kept.saturating_sub(failed).max(1),
        };
        world.want(shape.of("v2"));
        world.broken = HOSTS.iter().map(|(name, _)| host(name)).collect();
        for _ in 0..60 {
            step(&mut world);
            let now = runs(&world, &id("web")).len();
            prop_assert!(now >= kept, "{now} of {before} hosts serve");
        }
        let says = |text| world.plan().blocked.iter().any(|blocked| blocked.message.contains(text));
        prop_assert!(says("no such image"));
        let gave_up = world.observed.in_flight.failures.len();
        let halted = gave_up > failed && hosts_with(&world, "v1") > 0;
        prop_assert_eq!(says("The change has halted"), halted);
        let image = if failed == 0 { "v1" } else { "v3" };
        world.want(shape.of(image));
        world.broken.clear();
        world.settle();
        assert_exact(&world);
    }

    /// What is taken up serves on, only what differs is changed, and nothing is sent where nothing
    /// does; with `restamp` all of it ends as ours. Crashes and lost commands included.
    #[test]
    fn what_is_taken_up_serves_on_and_is_changed_only_where_it_differs(
        wanted in 1..6u32,
        running in vec(1..4u32, 1..4),
        adopt in select(vec![Adopt::Wadm, Adopt::Any, Adopt::Restamp]),
        events in vec(event(), 0..40),
    ) {
        let hosts = &HOSTS[..running.len()];
        let desired = |instances, spread: &str| Desired {
            adopt,
            ..nothing().component("web", "v1", instances, spread)
        };
        let total = running.iter().sum::<u32>();
        let even = running.iter().max().unwrap() - running.iter().min().unwrap() <= 1;
        let mut world = World::new(desired(wanted, "all"), hosts);
        for ((name, _), count) in hosts.iter().zip(&running) {
            world.run_of_wadm(&host(name), "web", "v1", *count);
        }
        let web = id("web");
        for event in &events {
            match event {
                Event::Lose(_) | Event::Join(_) | Event::Want(_) => {}
                event => happen(&mut world, event, &[]),
            }
            let now = runs(&world, &web).values().sum::<u32>();
            prop_assert!(now >= total.min(wanted), "{now} of {total}, {wanted} wanted");
        }
        world.settle();
        prop_assert_eq!(runs(&world, &web).values().sum::<u32>(), wanted);
        let owner = &world.desired.owner;
        let stamped = |runs: &super::world::Runs| owner.owns(&runs.annotations);
        let all = world.hosts.values().filter_map(|things| things.get(&web)).all(stamped);
        prop_assert!(all || adopt != Adopt::Restamp, "one kept wadm's annotations");
        if even && wanted == total && adopt != Adopt::Restamp {
            prop_assert_eq!(world.sent, 0, "all was as wanted");
        }
        world.want(nothing());
        world.settle();
        prop_assert_eq!(runs(&world, &web).len(), 0, "what was taken up goes with its revision");
    }

    /// What others run is left alone, and keeps us from the same id.
    #[test]
    fn what_others_run_is_left_alone(desired in desired(), on in 0..4usize) {
        let mut world = World::new(desired.clone(), &HOSTS[..4]);
        world.run_foreign(&host(HOSTS[on].0), "web");
        world.settle();
        let theirs = &world.hosts[&host(HOSTS[on].0)][&id("web")];
        prop_assert_eq!(&*theirs.code, "theirs");
        prop_assert_eq!(runs(&world, &id("web")).len(), 1);
    }
}
