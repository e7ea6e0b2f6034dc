//! What `rollout` and `limits` say, case by case.

use imbl::OrdMap;

use super::support::{
    Wants, at, check, fail, host, id, lattice, lines, link, nothing, plan_at, plan_of, wanted, with,
};
use crate::model::{
    Bound, Command, Desired, Failure, InFlight, Layout, Links, Observed, Pending, Reason, Rollout,
    Strategy, WorkloadKind,
};

fn web(image: &str, instances: u32, rollout: Rollout) -> Desired {
    with(nothing().component("web", image, instances, "all"), Layout::default(), rollout)
}

fn unavailable(max_unavailable: Bound) -> Rollout {
    Rollout { max_unavailable, ..Rollout::default() }
}

const RECREATE: Rollout = Rollout {
    strategy: Strategy::Recreate,
    max_unavailable: Bound::Hosts(1),
    max_surge: 1,
    max_failed_hosts: 1,
};

#[test]
fn regression_what_stays_in_place_of_a_share_without_a_host_is_no_more_than_that_lacks() {
    let wanted = |image| nothing().component("web", image, 4, "zone=eu");
    let scaled = plan_of(&wanted("v1"), &[], &lattice("a [zone=us] web=6"));
    assert_eq!(lines(&scaled)[0], "scale component web on a to 4");
    let four = plan_of(&wanted("v1"), &[], &lattice("a [zone=us] web=4"));
    assert!(four.now.is_empty(), "{four}");
    let old = plan_of(&wanted("v2"), &[], &lattice("a [zone=us] web=6"));
    assert!(old.now.is_empty(), "its config list isn't known: {old}");
}

#[test]
fn as_many_hosts_are_away_as_may_be() {
    let four = "a [] web=1\nb [] web=1\nc [] web=1\nd [] web=1";
    let stops = |bound, shown: &str| {
        let plan = plan_of(&web("v2", 4, unavailable(bound)), &[], &lattice(shown));
        plan.now.len()
    };
    assert_eq!(stops(Bound::Hosts(1), four), 1);
    assert_eq!(stops(Bound::Hosts(2), four), 2);
    assert_eq!(stops(Bound::Percent(70), four), 2, "rounded down");
    assert_eq!(stops(Bound::Percent(10), four), 1, "at least one");
    assert_eq!(stops(Bound::Hosts(9), four), 3, "the last waits for one that is back");
}

#[test]
fn a_single_host_is_relieved_first_only_where_that_may_be() {
    let no_surge = Rollout { max_surge: 0, ..Rollout::default() };
    let bold = Rollout { max_unavailable: Bound::Hosts(5), ..Rollout::default() };
    check(&[
        (
            "without a surge it stops, as was asked",
            web("v2", 1, no_surge),
            "a [] web=1\nb []",
            &["stop component web on a"],
        ),
        (
            "however many may be away",
            web("v2", 1, bold),
            "a [] web=1\nb []",
            &[
                "scale component web on b to 1",
                "later: stop component web on a waits for what is newly wanted to be in place",
            ],
        ),
        (
            "as many others start first as may",
            web("v2", 6, Rollout::default()),
            "a [] web=6\nb []\nc []",
            &[
                "scale component web on b to 2",
                "later: stop component web on a waits for what is newly wanted to be in place",
            ],
        ),
        (
            "a daemon that starts elsewhere is relieved by that, and its old host gets no more",
            nothing().daemon(WorkloadKind::Component, "web", "v2", 1, "all"),
            "a [] web=1\nb []\nc []",
            &[
                "scale component web on b to 1",
                "scale component web on c to 1",
                "later: stop component web on a waits for what is newly wanted to be in place",
            ],
        ),
        (
            "what is missing anyway relieves it, wherever more might start",
            web("v2", 2, Rollout { max_surge: 2, ..Rollout::default() }),
            "a [] web=1\nb []\nc []",
            &[
                "scale component web on b to 1",
                "later: stop component web on a waits for what is newly wanted to be in place",
            ],
        ),
        (
            "a daemon has no other host",
            nothing().daemon(WorkloadKind::Component, "web", "v2", 1, "zone=eu"),
            "a [zone=eu] web=1\nb []",
            &[
                "stop component web on a",
                "blocked: web: UnavoidableGap: a is the only host that can run web, which stops \
                 for a moment to change",
            ],
        ),
    ]);
}

#[test]
fn a_gap_is_said_until_the_old_is_gone() {
    let new = web("v2", 1, Rollout::default());
    let mut observed = lattice("a [] web=1");
    let command = plan_of(&new, &[], &observed).now.remove(0).command;
    observed.in_flight = under_way(&command);
    let plan = plan_of(&new, &[], &observed);
    assert_eq!(plan.blocked.first().map(|blocked| blocked.reason), Some(Reason::UnavoidableGap));
}

fn under_way(command: &Command) -> InFlight {
    let (sent, deadline) = (at(999), at(1014));
    let (lane, command) = (command.lane(), command.clone());
    let pending = Pending { command, sent, acknowledged: Some(sent), deadline, tries: 1 };
    InFlight { pending: OrdMap::unit(lane, pending), ..InFlight::default() }
}

#[test]
fn recreating_stops_all_of_the_old_before_anything_of_the_new_starts() {
    check(&[
        (
            "all at once, where it is wanted and where not",
            with(nothing().component("web", "v2", 2, "zone=eu"), Layout::default(), RECREATE),
            "a [zone=eu] web=1\nb [zone=eu] web=1\nc [] web=1",
            &["stop component web on a", "stop component web on b", "stop component web on c"],
        ),
        (
            "one is still there",
            web("v2", 2, RECREATE),
            "a []\nb(Mute) [] web=1",
            &[
                "later: scale component web on a to 1 waits for web to be gone from b",
                "later: stop component web on b waits for the lattice: host b is busy and shows no \
                 inventory",
            ],
        ),
        (
            "then all of the new",
            web("v2", 2, RECREATE),
            "a []\nb []",
            &["scale component web on a to 1", "scale component web on b to 1"],
        ),
        (
            "what has nowhere to go stays",
            with(nothing().component("web", "v2", 1, "zone=mars"), Layout::default(), RECREATE),
            "a [] web=1",
            &[
                "later: stop component web on a waits for what is newly wanted to be in place",
                "blocked: web: NoEligibleHosts: spread zone=mars finds no host that takes work and \
                 is labelled zone=mars",
            ],
        ),
    ]);
}

#[test]
fn a_change_back_keeps_what_still_runs_as_wanted() {
    check(&[(
        "v1, amid the change to v2",
        web("v1", 3, Rollout::default()),
        "a [] web=1@v2\nb [] web=1\nc [] web=1",
        &["stop component web on a"],
    )]);
}

/// The old on all hosts, but for those where the new failed so often.
fn failed_on(failures: &[(&str, u32)], of_image: bool, rest: &str, rollout: Rollout) -> Observed {
    let hosts: Vec<String> = failures.iter().map(|(host, _)| format!("{host} []")).collect();
    let mut observed = lattice(&(hosts.join("\n") + "\n" + rest));
    for (host, count) in failures {
        fail(&mut observed, &wanted(&web("v2", 4, rollout), host, 1), *count, at(2000));
    }
    let failures = std::mem::take(&mut observed.in_flight.failures).into_iter();
    observed.in_flight.failures =
        failures.map(|(lane, failure)| (lane, Failure { of_image, ..failure })).collect();
    observed
}

#[test]
fn a_change_halts_once_the_image_failed_on_too_many_hosts() {
    let bold =
        Rollout { max_failed_hosts: 2, max_unavailable: Bound::Hosts(2), ..Rollout::default() };
    let two = "c [] web=1\nd [] web=1";
    let cases: [(&str, Rollout, Observed, bool); 3] = [
        (
            "one is too many",
            Rollout::default(),
            failed_on(&[("a", 3)], true, "b [] web=2\nc [] web=2", Rollout::default()),
            true,
        ),
        (
            "one may, if two may fail",
            bold,
            failed_on(&[("a", 3)], true, "b [] web=2\nc [] web=2", bold),
            false,
        ),
        ("two may not", bold, failed_on(&[("a", 3), ("b", 3)], true, two, bold), true),
    ];
    for (name, rollout, observed, halts) in cases {
        let plan = plan_of(&web("v2", 4, rollout), &[], &observed);
        assert_eq!(plan.now.is_empty(), halts, "{name}: {plan}");
        let says = "The change has halted, and what still runs stays as it is";
        assert_eq!(plan.to_string().contains(says), halts, "{name}: {plan}");
    }
}

#[test]
fn a_change_goes_around_a_host_with_troubles_of_its_own() {
    let rollout = Rollout::default();
    let cases = [
        ("one may be the host's", &[("a", 3)][..], "c [] web=2\nd [] web=2", true),
        ("two where none succeeded", &[("a", 3), ("b", 3)], "c [] web=2\nd [] web=2", false),
        ("two where one succeeded", &[("a", 3), ("b", 3)], "c [] web=2@v2\nd [] web=2", true),
        ("the last isn't risked", &[("a", 3)], "d [] web=4", false),
    ];
    for (name, failures, rest, goes_on) in cases {
        let observed = failed_on(failures, false, rest, rollout);
        let plan = plan_of(&web("v2", 4, rollout), &[], &observed);
        assert_eq!(!plan.now.is_empty(), goes_on, "{name}: {plan}");
    }
}

#[test]
fn providers_change_host_by_host_too() {
    let rollout = unavailable(Bound::Hosts(2));
    let desired = with(nothing().provider("http", "v2", 3, "all"), Layout::default(), rollout);
    let plan = plan_of(&desired, &[], &lattice("a [] ~http=1\nb [] ~http=1\nc [] ~http=1"));
    assert_eq!(
        lines(&plan),
        [
            "stop provider http on a",
            "stop provider http on b",
            "later: stop provider http on c waits for what is newly wanted to be in place",
        ]
    );
}

/// A server that is built into hosts would start where nothing is that it could reach.
#[test]
fn a_builtin_provider_is_not_relieved_by_a_host_without_its_peers() {
    let server = "wasmcloud+builtin://http-server";
    let desired = nothing()
        .component("web", "v1", 1, "all")
        .provider("http", server, 1, "all")
        .link("http", "web", &[]);
    let mut observed = lattice("a [] web=1 ~http=1@http-server\nb []");
    observed.links = Links::Read([link("http", "web", &[])].into_iter().collect());
    let plan = plan_at(&desired, &[], &observed, at(1000));
    assert_eq!(lines(&plan)[0], "stop provider http on a", "its annotations are of another image");
}

#[test]
fn other_limits_are_stop_then_start_and_unknown_ones_are_left_alone() {
    let limited = |max_memory| {
        let mut desired = nothing().component("web", "v1", 1, "all");
        desired.workloads.get_mut(&id("web")).unwrap().max_memory = max_memory;
        desired
    };
    let cases = [
        ("as wanted", Some(65_536), Some(65_536), true),
        ("another", Some(65_536), Some(131_072), false),
        ("one that nobody wants", None, Some(65_536), false),
        ("a host that tells none", Some(65_536), None, true),
    ];
    for (name, wanted, shown, settled) in cases {
        let mut observed = lattice("a [] web=1");
        let mut inventory = observed.hosts[&host("a")].inventory.as_deref().unwrap().clone();
        inventory.components.get_mut(&id("web")).unwrap().max_memory = shown;
        observed.set_inventory(&host("a"), Some(inventory), at(999));
        let plan = plan_of(&limited(wanted), &[], &observed);
        assert_eq!(plan.is_settled(), settled, "{name}: {plan}");
    }
    let start = plan_of(&limited(Some(65_536)), &[], &lattice("a []")).now.remove(0).command;
    let Command::ScaleComponent { max_memory, .. } = start else { panic!("{start}") };
    assert_eq!(max_memory, Some(65_536));
}
