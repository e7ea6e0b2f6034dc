//! What wadm, which reads the same manifests, is known to do on a lattice, and what shows that it
//! isn't done here.
//!
//! | wadm | shown by |
//! |---|---|
//! | puts all instances of a spread on one host | `table::instances_go_evenly_to_the_hosts_of_each_spread` |
//! | does nothing while one of several spreads finds no host | the same, "a spread without a host…" |
//! | fights with itself where two spreads match a host | the same, "a host that two spreads match…" |
//! | chooses hosts by the order of a hash map | [`the_order_in_which_hosts_were_seen_decides_nothing`] |
//! | stops what looks alike and isn't its own | `table::what_is_not_ours_gets_no_command`, `properties::what_others_run_is_left_alone` |
//! | starts providers while it cleans up | [`a_removal_starts_nothing`] |
//! | sees no change of a link's interfaces or config | [`other_interfaces_and_other_config_are_another_link`] |
//! | puts a link once for each of its scalers | [`a_link_is_put_once`] |
//! | leaves seconds without an answer when an image changes | `properties::a_change_keeps_all_hosts_but_those_that_may_be_away` |
//! | deletes a config that the new version uses | [`a_config_that_is_still_wanted_is_never_deleted`] |
//! | undeploys once and forgets what it missed | [`what_a_removal_missed_is_removed_later`] |
//! | tries again each 5 s for ever | `lattice::in_flight::tests::a_refusal_delays_the_next_try_longer_each_time_until_a_success`, `operator::beside_wadm::what_fails_is_tried_again_ever_later` |
//! | acts at the next heartbeat, and finds a dead host after 70 to 105 s | `lattice::inventory::tests::flow::a_start_is_shown_by_its_event_and_confirmed`, `operator::beside_wadm::what_is_lost_is_made_up_for_long_before_a_heartbeat`, `operator::real::faults` |
//! | keeps the state of the whole lattice in one value, written anew by each event | `benches/fold.rs`: an event among 1,000 hosts costs what its own host does; `operator::rebuilt`: nothing is kept |
//! | panics on weights of 0 and on `interfaces: "x"` | `tests/manifests/bad/{weights-zero,link-interfaces-a-string}.yaml`, `appfile::tests::robust` |

use std::sync::Arc;

use super::{
    support::{Wants, config, host, id, lattice, lines, link, nothing, plan_of},
    world::World,
};
use crate::model::{Command, Desired, Links};

#[test]
fn the_order_in_which_hosts_were_seen_decides_nothing() {
    let desired = nothing().component("web", "v1", 2, "all").provider("http", "v1", 1, "all");
    let plan = |order: [&str; 3]| {
        let hosts: Vec<String> = order.iter().map(|host| format!("{host} []")).collect();
        lines(&plan_of(&desired, &[], &lattice(&hosts.join("\n"))))
    };
    let expected = plan(["a", "b", "c"]);
    for order in [["c", "b", "a"], ["b", "c", "a"], ["c", "a", "b"]] {
        assert_eq!(plan(order), expected, "{order:?}");
    }
}

#[test]
fn a_removal_starts_nothing() {
    let former = nothing().provider("http", "v1", 2, "all").daemon(
        crate::model::WorkloadKind::Provider,
        "each",
        "v1",
        1,
        "all",
    );
    let observed = lattice("a [] ~http=1 ~each=1\nb []\nc [] ~each=1");
    assert_eq!(
        lines(&plan_of(&nothing(), &[former], &observed)),
        ["stop provider each on a", "stop provider each on c", "stop provider http on a"]
    );
}

#[test]
fn other_interfaces_and_other_config_are_another_link() {
    let desired = |configs: &[&str], interface: &str| {
        let mut desired =
            nothing().component("web", "v1", 1, "all").provider("http", "v1", 1, "all");
        for name in configs {
            desired = desired.config(name, "1");
        }
        desired = desired.link("http", "web", configs);
        for (_, link) in desired.links.iter_mut() {
            link.interfaces = [interface.into()].into();
        }
        desired
    };
    let running = "a [] web=1 ~http=1";
    let mut shown = lattice(running);
    shown.links = Links::Read([link("http", "web", &["route-1"])].into_iter().collect());
    let value = Arc::new([("value".to_owned(), "1".to_owned())].into());
    for name in ["route-1", "route-2"] {
        shown.configs.insert(config(name), Some(Arc::clone(&value)));
    }
    let cases = [
        ("the same", desired(&["route-1"], "handler"), None),
        ("another interface", desired(&["route-1"], "other"), Some("delete link")),
        ("another config", desired(&["route-2"], "handler"), Some("delete link")),
    ];
    for (name, desired, expected) in cases {
        let first = lines(&plan_of(&desired, &[], &shown)).into_iter().next();
        let first = first.as_deref().map(|line| &line[..11]);
        assert_eq!(first, expected, "{name}");
    }
}

/// How often commands that `counts` holds of are sent until all is as `desired`, from nothing.
fn sent(desired: Desired, counts: impl Fn(&Command) -> bool) -> usize {
    let mut world = World::new(desired, &[("a", "eu"), ("b", "eu")]);
    let mut sent = 0;
    for _ in 0..20 {
        sent += world.plan().now.iter().filter(|planned| counts(&planned.command)).count();
        world.act(|_| false);
        while !world.at_work.is_empty() {
            world.work(0);
        }
        world.look();
        world.pass(1);
    }
    assert!(world.plan().is_settled(), "{}", world.plan());
    sent
}

#[test]
fn a_link_is_put_once() {
    let desired = nothing()
        .component("web", "v1", 4, "zone=eu all")
        .provider("http", "v1", 2, "all")
        .link("http", "web", &[])
        .link("web", "http", &[]);
    assert_eq!(sent(desired, |command| matches!(command, Command::PutLink { .. })), 2);
}

#[test]
fn a_config_that_is_still_wanted_is_never_deleted() {
    let of = |image: &str, value: &str| {
        let scaling =
            crate::model::Scaling::Spread { instances: 1, spread: super::support::spread("all") };
        nothing().config("settings", value).workload(
            crate::model::WorkloadKind::Component,
            "web",
            image,
            scaling,
            &["settings"],
        )
    };
    let mut world = World::new(of("v1", "1"), &[("a", "eu")]);
    world.settle();
    world.want(of("v2", "2"));
    world.read();
    for _ in 0..20 {
        world.act(|_| false);
        while !world.at_work.is_empty() {
            world.work(0);
            assert!(world.configs.contains_key(&config("settings")));
        }
        world.look();
    }
    assert!(world.plan().is_settled(), "{}", world.plan());
}

#[test]
fn what_a_removal_missed_is_removed_later() {
    let hosts = [("a", "eu"), ("b", "eu")];
    let mut world = World::new(nothing().component("web", "v1", 2, "all"), &hosts);
    world.settle();
    let away = (host("b"), world.hosts[&host("b")].clone());
    world.lose(&away.0);
    world.want(nothing());
    world.settle();
    world.join("b", "eu");
    world.hosts.insert(away.0, away.1);
    world.look();
    world.settle();
    assert!(
        world.hosts.values().all(|things| !things.contains_key(&id("web"))),
        "{:?}",
        world.hosts
    );
}
