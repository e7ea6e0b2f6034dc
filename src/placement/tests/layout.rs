//! What `placement`, `whenUnsatisfiable` and `rebalance` say, case by case.

use std::time::Duration;

use super::support::{Wants, at, check, host, lattice, lines, nothing, plan_at, with};
use crate::model::{Desired, Fill, Layout, Rebalance, Rollout, Unsatisfiable};

fn web(instances: u32, entries: &str, layout: Layout) -> Desired {
    with(nothing().component("web", "v1", instances, entries), layout, Rollout::default())
}

fn packed(instances: u32, entries: &str) -> Desired {
    web(instances, entries, Layout { fill: Fill::Pack, ..Layout::default() })
}

const REDISTRIBUTED: Layout = Layout {
    fill: Fill::Spread,
    unsatisfiable: Unsatisfiable::Redistribute,
    rebalance: Rebalance::Never,
};

#[test]
fn packed_instances_fill_one_host_of_each_spread() {
    check(&[
        (
            "who has most gets the rest",
            packed(5, "all"),
            "a [] web=1\nb [] web=3\nc []",
            &["scale component web on b to 4"],
        ),
        (
            "and then what is elsewhere: there first, then gone here",
            packed(5, "all"),
            "a [] web=1\nb [] web=4\nc []",
            &[
                "scale component web on b to 5",
                "later: stop component web on a waits for what is newly wanted to be in place",
            ],
        ),
        (
            "each spread has its one host",
            packed(4, "zone=eu zone=us"),
            "a [zone=eu]\nb [zone=eu] web=1\nc [zone=us]",
            &["scale component web on b to 2", "scale component web on c to 2"],
        ),
        (
            "a host that two spreads fill gets the sum",
            packed(4, "zone=eu all"),
            "a [] \nb [zone=eu] web=4",
            &[],
        ),
        (
            "a busy host keeps what it has, and another gets the rest",
            packed(5, "all"),
            "a(Mute) [] web=3\nb []",
            &["scale component web on b to 2"],
        ),
        (
            "fewer come from where fewer are",
            packed(2, "all"),
            "a [] web=1\nb [] web=3",
            &["stop component web on a", "scale component web on b to 2"],
        ),
    ]);
}

#[test]
fn a_share_without_a_host_goes_to_the_others_if_that_is_wanted() {
    let providers = |instances, entries| {
        with(
            nothing().provider("http", "v1", instances, entries),
            REDISTRIBUTED,
            Rollout::default(),
        )
    };
    check(&[
        (
            "by their weights",
            web(6, "zone=mars*2 zone=eu*3 zone=us", REDISTRIBUTED),
            "a [zone=eu]\nb [zone=us]",
            &["scale component web on a to 5", "scale component web on b to 1"],
        ),
        (
            "back when it has one: there first, then gone here",
            web(4, "zone=eu zone=us", REDISTRIBUTED),
            "a [zone=eu] web=4\nb [zone=us]",
            &[
                "scale component web on b to 2",
                "later: scale component web on a to 2 waits for what is newly wanted to be in place",
            ],
        ),
        (
            "nobody can take it",
            web(2, "zone=mars zone=moon", REDISTRIBUTED),
            "a [zone=eu]",
            &[
                "blocked: web: NoEligibleHosts: spread zone=mars finds no host that takes work and \
                 is labelled zone=mars",
                "blocked: web: NoEligibleHosts: spread zone=moon finds no host that takes work and \
                 is labelled zone=moon",
            ],
        ),
        (
            "providers that are more than the hosts of a spread",
            providers(4, "zone=eu*3 zone=us"),
            "a [zone=eu]\nb [zone=us]\nc [zone=us]\nd [zone=us]",
            &[
                "start provider http on a",
                "start provider http on b",
                "start provider http on c",
                "start provider http on d",
            ],
        ),
    ]);
}

#[test]
fn work_moves_to_a_new_host_when_rebalance_says() {
    let mut observed = lattice("a [] web=4\nb []");
    observed.host_mut(&host("b"), |host| host.joined = at(1000));
    let at_once = Rebalance::After(Duration::ZERO);
    let later = Rebalance::After(Duration::from_secs(5));
    let cases = [
        ("never", Rebalance::Never, 5000, None, false),
        ("at once", at_once, 1000, None, true),
        ("not yet", later, 1004, Some(at(1005)), false),
        ("after the delay", later, 1005, None, true),
    ];
    for (name, rebalance, now, wake_at, moves) in cases {
        let desired = web(4, "all", Layout { rebalance, ..Layout::default() });
        let plan = plan_at(&desired, &[], &observed, at(now));
        assert_eq!(plan.wake_at, wake_at, "{name}");
        let first = lines(&plan).into_iter().next();
        assert_eq!(first.as_deref(), moves.then_some("scale component web on b to 2"), "{name}");
    }
}
