//! Another process has sent commands until now.

use super::world::{SECOND, World, host, scale};
use crate::{
    lattice::{
        in_flight::Answer,
        inventory::{Effect, Input, Predecessor, Silence},
    },
    model::{LinkMap, Links},
};

fn take_over(world: &mut World, from: Predecessor) {
    let version = world.fold.observed().version;
    let outcome = world.fold.take_over(from, world.now);
    assert!(world.fold.observed().version > version && outcome.change.gate);
    world.effects = outcome.effects;
}

fn links_come(world: &mut World) {
    world.input(Input::Links(Ok(LinkMap::new())));
}

#[test]
fn what_was_in_flight_before_is_history() {
    let mut world = World::whole(&["a"], "");
    let command = scale("a", "x", 1);
    let ticket = world.send(&command);
    take_over(&mut world, Predecessor::Unknown);
    assert_eq!(world.in_flight(), 0);
    world.answer(&command, ticket, Answer::Refused("too late".into()));
    assert!(world.fold.observed().in_flight.failures.is_empty());
}

#[test]
fn after_an_unknown_end_a_time_out_is_waited_for_and_a_start_may_be_under_way() {
    let mut world = World::whole(&["a", "b"], "x=1");
    take_over(&mut world, Predecessor::Unknown);
    world.shows("a", 200, "x=1");
    world.shows("b", 200, "x=1");
    links_come(&mut world);
    world.pass(SECOND, &["a", "b"]);
    links_come(&mut world);
    assert_eq!(world.gate(), "waiting for the inventory of 2 hosts");
    world.pass(SECOND, &["a", "b"]);
    assert!(world.asked().contains("a b"));
    world.shows("a", 202, "x=1");
    world.shows("b", 202, "x=1");
    assert_eq!(world.gate(), "synced");
    let from = world.now;
    assert!(world.fold.observed().unseen_until >= from + 60 * SECOND);
    assert!(world.fold.may_hide_something());
}

#[test]
fn after_a_drained_one_a_look_at_everything_is_enough() {
    let mut world = World::whole(&["a", "b"], "x=1");
    links_come(&mut world);
    world.pass(SECOND, &["a", "b"]);
    links_come(&mut world);
    assert!(matches!(world.fold.observed().links, Links::Read(_)));

    take_over(&mut world, Predecessor::Drained);
    let asked = |id| world.effects.contains(&Effect::Inventory(host(id)));
    assert!(asked("a") && asked("b"));
    assert_eq!(world.fold.observed().links, Links::Unread, "somebody may have changed them");
    world.shows("a", 200, "x=1");
    world.shows("b", 200, "x=1 y=1");
    world.pass(SECOND / 4, &["a", "b"]);
    assert_eq!(world.gate(), "waiting for the inventory of 0 hosts");
    links_come(&mut world);
    world.pass(SECOND, &["a", "b"]);
    links_come(&mut world);
    world.pass(SECOND / 4, &["a", "b"]);
    assert_eq!(world.gate(), "synced");
    world.shows("a", 201, "x=1");
    world.shows("b", 201, "x=1 y=1");
    world.pass(SECOND / 4, &["a", "b"]);
    assert!(!world.fold.may_hide_something());
}

#[test]
fn links_that_can_t_be_read_hold_nothing_up_for_ever() {
    let mut world = World::whole(&["a"], "x=1");
    take_over(&mut world, Predecessor::Drained);
    world.shows("a", 200, "x=1");
    for _ in 0..8 {
        world.pass(4 * SECOND, &["a"]);
        world.silent("a", Silence::NoAnswer);
    }
    assert_eq!(world.gate(), "synced");
}
