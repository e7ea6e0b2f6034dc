//! Links: when they are put, and when they are deleted before.

use super::support::{
    Wants, at, host, id, in_flight, lattice, lines, link, nothing, plan_at, plan_of, wanted,
};
use crate::model::{Command, Desired, LinkMap, Links, Observed};

fn web(instances: u32, entries: &str) -> Desired {
    nothing().component("web", "v1", instances, entries)
}

#[test]
fn a_link_to_another_target_is_changed_at_once() {
    let desired = web(1, "all").provider("new", "v1", 1, "all").link("web", "new", &[]);
    let mut observed = lattice("a [] web=1 ~new=1");
    observed.links = Links::Read(LinkMap::from_iter([link("web", "old", &[])]));
    assert_eq!(
        lines(&plan_of(&desired, &[], &observed)),
        ["delete link web -(wasi:http, default)->"]
    );
    observed.links = Links::Read(LinkMap::new());
    assert_eq!(
        lines(&plan_of(&desired, &[], &observed)),
        ["put link web -(wasi:http, default)-> new"]
    );
}

#[test]
fn links_of_a_source_and_starts_of_it_exclude_each_other() {
    let desired = web(2, "all").provider("http", "v1", 1, "all").link("web", "http", &[]);
    let mut observed = lattice("a [] web=1 ~http=1\nb []");
    let start = wanted(&desired, "b", 1);
    observed.in_flight = in_flight(&start, at(990), at(1050));
    let plan = plan_of(&desired, &[], &observed);
    assert_eq!(
        lines(&plan),
        [
            "later: put link web -(wasi:http, default)-> http waits for the outcome of: scale component \
         web on b to 1",
            "later: scale component web on b to 1 waits for the outcome of: scale component web on b to 1",
        ]
    );
    assert_eq!(plan.wake_at, Some(at(1050)));
}

/// `web` served by `http`, whose link was put with another config.
fn other_address() -> (Desired, Observed) {
    let desired = web(1, "all").provider("http", "v1", 1, "all").link("http", "web", &["new"]);
    let mut observed = lattice("a [] web=1 ~http=1");
    observed.links = Links::Read(LinkMap::from_iter([link("http", "web", &["old"])]));
    (desired, observed)
}

#[test]
fn regression_a_link_is_changed_once_a_provider_that_boots_can_hear_of_it() {
    let (desired, mut observed) = other_address();
    observed.providers_started.note(id("http"), at(999));
    let booting = plan_of(&desired, &[], &observed);
    let waits = "later: delete link http -(wasi:http, default)-> waits for http to have booted, \
                 because it can miss what its links become";
    assert_eq!(lines(&booting), [waits]);
    assert_eq!(booting.wake_at, Some(at(1001)));
    let booted = plan_at(&desired, &[], &observed, at(1001));
    assert_eq!(lines(&booted), ["delete link http -(wasi:http, default)->"]);

    let gone = plan_of(&nothing(), std::slice::from_ref(&desired), &lattice("a []"));
    assert!(gone.later.is_empty(), "what doesn't run misses nothing: {gone}");
}

#[test]
fn a_link_waits_for_the_start_of_a_provider_at_its_other_end() {
    let desired = web(1, "all").provider("store", "v1", 1, "all").link("web", "store", &[]);
    let mut observed = lattice("a [] web=1");
    let (on, store) = (host("a"), &desired.workloads[&id("store")]);
    let start = Command::StartProvider {
        host: on,
        id: id("store"),
        image: store.image.clone(),
        config: Vec::new(),
        annotations: store.annotations.clone(),
    };
    observed.in_flight = in_flight(&start, at(990), at(1050));
    assert_eq!(
        lines(&plan_of(&desired, &[], &observed))[0],
        "later: put link web -(wasi:http, default)-> store waits for the outcome of: start provider \
         store on a"
    );
}
