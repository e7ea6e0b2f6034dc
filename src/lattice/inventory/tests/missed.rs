//! Providers whose links change while their host is out of reach.
use std::time::Duration;

use serde_json::json;

use super::world::{SECOND, World, host, inventory, settings};
use crate::{
    lattice::{
        in_flight::Answer,
        inventory::{Input, Settings, Silence},
        wire::decode,
    },
    model::{Command, FewOf, HostState, Link, LinkKey, LinkMap, Sign},
};

/// Both hosts run provider `p`, linked to `web` with config `config`.
fn lattice() -> World {
    let mut world = World::whole(&["a", "b"], "");
    for id in ["a", "b"] {
        shows(&mut world, id, 150);
    }
    read_links(&mut world, "old");
    world
}

fn shows(world: &mut World, id: &str, uptime: u64) {
    let mut shown = inventory(id, uptime, "");
    shown["providers"] = json!([{ "id": "p", "image_ref": "r/p:1", "annotations": {} }]);
    let answer = Ok(decode(shown.to_string().as_bytes()).unwrap());
    world.input(Input::Inventory { host: host(id), answer });
}

fn read_links(world: &mut World, config: &str) {
    let key = LinkKey {
        source: "p".parse().unwrap(),
        name: "default".into(),
        namespace: "wasi".into(),
        package: "http".into(),
    };
    let link = Link {
        target: "web".parse().unwrap(),
        interfaces: FewOf::default(),
        source_config: vec![config.parse().unwrap()],
        target_config: Vec::new(),
    };
    for _ in 0..2 {
        world.input(Input::Links(Ok(LinkMap::unit(key.clone(), link.clone()))));
        world.pass(SECOND * 5 / 4, &["b"]);
    }
}

fn leaves(world: &mut World, id: &str) {
    world.silent(id, Silence::NoResponders);
    assert_eq!(world.state(id), Some(HostState::Unreachable));
}

/// Which processes are to be started anew, and why.
fn stale(world: &World) -> Vec<(String, Sign)> {
    let unhealthy = &world.fold.observed().unhealthy;
    unhealthy.iter().map(|((host, _), sick)| (host.to_string(), sick.sign)).collect()
}

#[test]
fn a_provider_whose_links_changed_while_its_host_was_away_is_started_anew() {
    let mut world = lattice();
    leaves(&mut world, "a");
    read_links(&mut world, "new");
    let _ = world.changed();
    shows(&mut world, "a", 160);
    assert_eq!(stale(&world), [("a".to_owned(), Sign::MissedLinks)], "b was there");
    assert!(!world.changed().workloads.is_empty(), "who wants it is told");

    let stop = Command::StopProvider { host: host("a"), id: "p".parse().unwrap() };
    let ticket = world.send(&stop);
    assert_eq!(stale(&world), [], "all that it needs");
    world.answer(&stop, ticket, Answer::Accepted);
    world.shows("a", 161, "");
    shows(&mut world, "a", 162);
    assert_eq!(stale(&world), [], "it was told all links at its start");
}

#[test]
fn who_was_taken_for_gone_has_missed_them_too() {
    let mut world = lattice();
    leaves(&mut world, "a");
    world.pass(40 * SECOND, &["b"]);
    assert_eq!(world.state("a"), None);
    read_links(&mut world, "new");
    let uptime = 150 + world.now.since(crate::model::Moment(Duration::from_secs(1043))).as_secs();
    shows(&mut world, "a", uptime);
    assert_eq!(stale(&world), [("a".to_owned(), Sign::MissedLinks)]);
}

#[test]
fn what_was_missed_is_known_to_the_next_process() {
    let mut world = lattice();
    leaves(&mut world, "a");
    read_links(&mut world, "new");
    let missed_links = world.fold.health().missed_links;
    assert_eq!(missed_links, [(host("a"), ["p".parse().unwrap()].into())].into());

    let mut next = World::with(Settings { missed_links, ..settings(&["a", "b"]) });
    next.input(Input::Connected);
    next.pass(3 * SECOND, &[]);
    shows(&mut next, "b", 160);
    shows(&mut next, "a", 160);
    assert_eq!(stale(&next), [("a".to_owned(), Sign::MissedLinks)]);
    assert_eq!(next.fold.health().missed_links, [].into(), "nobody is away any more");
}

#[test]
fn what_a_process_that_died_changed_last_may_have_been_missed() {
    let mut world = World::with(settings(&["a", "b"]));
    world.input(Input::Connected);
    world.pass(3 * SECOND, &[]);
    shows(&mut world, "b", 160);
    world.silent("a", Silence::NoResponders);
    shows(&mut world, "c", 160);
    assert_eq!(stale(&world), [("c".to_owned(), Sign::MissedLinks)], "where was it?");
    shows(&mut world, "d", 0);
    let mut first = World::with(settings(&[]));
    first.input(Input::Connected);
    shows(&mut first, "a", 160);
    assert_eq!(self::stale(&first), [], "nobody has looked before");
    shows(&mut world, "a", 160);
    let stale: Vec<_> = stale(&world).into_iter().map(|(host, _)| host).collect();
    assert_eq!(stale, ["a", "c"], "b was there, and d is new");
}

#[test]
fn what_is_remembered_has_an_end() {
    let mut world = lattice();
    for number in 0..300 {
        let id = format!("h{number}");
        shows(&mut world, &id, 150);
        leaves(&mut world, &id);
    }
    read_links(&mut world, "new");
    assert_eq!(world.fold.health().missed_links.len(), 200);
}

#[test]
fn nothing_is_started_anew_where_no_link_changed_or_all_is_new() {
    let mut world = lattice();
    leaves(&mut world, "a");
    shows(&mut world, "a", 155);
    read_links(&mut world, "new");
    assert_eq!(stale(&world), [], "it was back by then");

    leaves(&mut world, "a");
    read_links(&mut world, "newer");
    shows(&mut world, "a", 1);
    assert_eq!(stale(&world), [], "the host has restarted");
}
