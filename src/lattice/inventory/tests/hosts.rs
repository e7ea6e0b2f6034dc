//! Hosts come and go.
use std::{collections::BTreeMap, sync::Arc};

use serde_json::json;

use super::world::{SECOND, World, event, host, inventory, scaled};
use crate::{
    lattice::{
        inventory::{Change, Effect, Input, Silence},
        wire::{Event, Hint},
    },
    model::{HostState, Moment},
};

#[test]
fn a_start_waits_for_the_hosts_that_were_there() {
    let mut world = World::new(&["a", "b"]);
    assert_eq!(world.gate(), "not connected: not connected yet");
    world.input(Input::Disconnected { why: "no route".into() });
    assert!(world.changed().gate, "who was told that nobody had tried is told why it failed");
    world.input(Input::Disconnected { why: "refused".into() });
    assert!(!world.changed().gate, "the Lattice says what it is each time");
    world.input(Input::Connected);
    world.pong("c", 10);
    world.shows("a", 10, "x=1");
    assert_eq!(world.asked(), "c");
    world.pass(2 * SECOND, &[]);
    assert_eq!(world.asked(), "a b links", "everyone who isn't being asked, after one time-out");
    world.shows("a", 12, "x=1");
    world.pass(SECOND / 4, &[]);
    assert_eq!(world.gate(), "waiting for the inventory of 2 hosts");
    world.shows("c", 12, "");
    world.pass(SECOND, &[]);
    assert_eq!(world.gate(), "waiting for the inventory of 1 host");
    world.silent("b", Silence::NoResponders);
    assert_eq!(world.gate(), "synced");
    assert_eq!(world.state("b"), Some(HostState::Unreachable), "its grace is still to run");
}

#[test]
fn after_one_interval_a_start_waits_no_longer() {
    let mut world = World::new(&["a", "b"]);
    world.input(Input::Connected);
    world.pass(31 * SECOND, &["b"]);
    assert_eq!(world.gate(), "synced");
    assert_eq!(world.state("a"), Some(HostState::Unreachable));
    assert_eq!(world.state("b"), Some(HostState::Mute), "it answers pings and shows nothing");
}

#[test]
fn a_lattice_without_hosts_is_whole_after_one_time_out() {
    let mut world = World::new(&[]);
    world.input(Input::Connected);
    world.pass(SECOND, &[]);
    assert_eq!(world.gate(), "waiting for the inventory of 0 hosts");
    world.pass(2 * SECOND, &[]);
    assert_eq!(world.gate(), "synced");
}

#[test]
fn an_equal_heartbeat_changes_nothing() {
    let mut world = World::whole(&["a", "b"], "x=1");
    let before = world.fold.observed().clone();
    world.beats("a", 145, "x=1");
    assert!(Arc::ptr_eq(&before, world.fold.observed()), "copied for nothing");
    assert!(world.changed().is_empty());
    world.beats("a", 146, "x=2 y=1");
    let changed: Vec<_> = world.changed().workloads.into_iter().collect();
    assert_eq!(changed, ["x".parse().unwrap(), "y".parse().unwrap()]);
}

#[test]
fn a_killed_host_is_made_up_for_within_seconds() {
    let mut world = World::whole(&["a", "b", "c"], "x=1");
    world.pass(5 * SECOND, &["b", "c"]);
    assert!(world.asked().contains('a'), "who doesn't answer soon is asked by name");
    world.silent("a", Silence::NoResponders);
    assert_eq!(world.state("a"), Some(HostState::Unreachable));
    let changed = world.changed();
    assert!(changed.hosts.contains(&host("a")) && changed.workloads.len() == 1);
    world.pass(5 * SECOND / 2, &["b", "c"]);
    assert_eq!(world.state("a"), None);
    assert_eq!(world.changed().workloads.len(), 1);
    assert_eq!(world.gate(), "synced");
}

/// wadm waits for two heartbeats that don't come, 70 to 105 s.
#[test]
fn a_dead_host_is_noticed_within_seven_seconds_wherever_in_a_round_it_dies_unlike_wadm() {
    for quarters in 0..16 {
        let mut world = World::whole(&["a", "b", "c"], "x=1");
        world.pass(SECOND / 4 * quarters, &["a", "b", "c"]);
        world.effects.clear();
        let died = world.now;
        while world.state("a").is_some() {
            world.pass(SECOND / 4, &["b", "c"]);
            if world.effects.contains(&Effect::Inventory(host("a"))) {
                world.effects.clear();
                world.silent("a", Silence::NoResponders);
            }
            assert!(world.now.since(died) <= 7 * SECOND, "{quarters} quarters into a round");
        }
        // And whoever runs something there is told in that moment, not at the next heartbeat.
        assert!(world.changed().workloads.contains("x"));
    }
}

#[test]
fn a_machine_that_still_looks_subscribed_is_gone_within_twenty_seconds() {
    let mut world = World::whole(&["a", "b", "c"], "x=1");
    let at = world.now;
    while world.state("a").is_some() {
        world.pass(SECOND / 4, &["b", "c"]);
        if world.effects.contains(&Effect::Inventory(host("a"))) {
            world.effects.clear();
            world.silent("a", Silence::NoAnswer);
        }
        assert!(world.now.since(at) < 20 * SECOND);
    }
}

#[test]
fn hosts_that_go_together_are_waited_for_longer() {
    let mut world = World::whole(&["a", "b", "c", "d", "e"], "x=1");
    world.silent("a", Silence::NoResponders);
    world.silent("b", Silence::NoResponders);
    world.pass(20 * SECOND, &["c", "d", "e"]);
    assert_eq!(world.state("a"), Some(HostState::Unreachable));
    world.pong("b", 0);
    assert_ne!(world.state("b"), Some(HostState::Unreachable), "it came back");
    world.pass(SECOND, &["b", "c", "d", "e"]);
    assert_eq!(world.state("a"), None, "now all others answer");
}

#[test]
fn no_host_is_gone_while_there_is_no_connection() {
    let mut world = World::whole(&["a", "b"], "x=1");
    world.silent("a", Silence::NoResponders);
    world.input(Input::Disconnected { why: "gone fishing".into() });
    assert_eq!(world.gate(), "not connected: gone fishing");
    world.pass(100 * SECOND, &[]);
    assert_eq!(world.state("a"), Some(HostState::Unreachable));
    world.input(Input::Connected);
    assert_eq!(world.gate(), "settling after a reconnect");
    world.pass(4 * SECOND, &[]);
    assert_eq!(world.state("a"), Some(HostState::Unreachable), "its grace begins anew");
    let uptime = 300;
    for id in ["a", "b"] {
        world.shows(id, uptime, "x=1");
    }
    assert_eq!(world.gate(), "synced", "every known host has answered");
}

#[test]
fn settling_ends_after_one_interval() {
    let mut world = World::whole(&["a", "b"], "x=1");
    world.input(Input::Disconnected { why: "x".into() });
    world.input(Input::Connected);
    world.pass(29 * SECOND, &["a"]);
    assert_eq!(world.gate(), "settling after a reconnect");
    world.pass(2 * SECOND, &["a"]);
    assert_eq!(world.gate(), "synced");
}

#[test]
fn dropped_messages_unsync_until_everyone_was_asked() {
    let mut world = World::whole(&["a", "b"], "x=1");
    world.input(Input::Missed);
    assert_eq!(world.gate(), "waiting for the inventory of 2 hosts");
    assert!(world.asked().contains("a b"));
    world.shows("a", 145, "x=1");
    world.shows("b", 145, "x=1");
    assert_eq!(world.gate(), "synced");
}

#[test]
fn most_hosts_lost_at_once_stop_removals_until_they_return() {
    let mut world = World::whole(&["a", "b", "c", "d"], "x=1");
    for id in ["a", "b", "c"] {
        world.silent(id, Silence::NoResponders);
    }
    world.pass(32 * SECOND, &["d"]);
    assert_eq!(world.gate(), "3 hosts were lost at once; nothing is removed until they return");
    for id in ["e", "f", "g"] {
        world.shows(id, 1, "");
    }
    world.pass(SECOND, &["d", "e", "f", "g"]);
    assert_eq!(world.gate(), "synced");
}

#[test]
fn a_mass_loss_ends_when_somebody_confirms_it_or_in_time() {
    for confirmed in [true, false] {
        let mut world = World::whole(&["a", "b", "c", "d"], "x=1");
        for id in ["a", "b", "c"] {
            world.silent(id, Silence::NoResponders);
        }
        world.pass(32 * SECOND, &["d"]);
        assert!(!world.fold.observed().gate.may_remove());
        if confirmed {
            let token = world.fold.health().mass_loss.unwrap().token;
            world.confirm_loss(&token);
            assert!(world.changed().gate);
        } else {
            world.pass(900 * SECOND, &["d"]);
        }
        assert_eq!(world.gate(), "synced");
    }
}

#[test]
fn hosts_that_say_they_stop_are_no_mass_loss() {
    let mut world = World::whole(&["a", "b", "c", "d"], "x=1");
    for id in ["a", "b", "c"] {
        world.input(event("host_stopped", id, &json!({ "labels": {} })));
        assert!(world.asked().contains(id), "it is asked whether that is so");
        world.silent(id, Silence::NoResponders);
        assert_eq!(world.state(id), None, "without any grace");
    }
    world.pass(40 * SECOND, &["d"]);
    assert_eq!(world.gate(), "synced");
}

#[test]
fn a_late_host_stopped_is_ignored() {
    let mut world = World::whole(&["a", "b"], "x=1");
    world.input(event("host_stopped", "a", &json!({})));
    world.shows("a", 141, "x=1");
    world.pass(9 * SECOND, &["a", "b"]);
    world.shows("a", 150, "x=1");
    assert_eq!(world.state("a"), Some(HostState::Ready));
    world.asked();
    world.pass(SECOND, &["a", "b"]);
    assert_eq!(world.asked(), "", "the matter is closed");
}

#[test]
fn a_restart_under_the_same_id_is_found_by_its_uptime() {
    let mut world = World::whole(&["a", "b"], "x=1");
    world.send(&super::world::scale("a", "y", 1));
    world.now = world.now + 4 * SECOND;
    world.beats("a", 3, "");
    assert_eq!(world.running("a", "x"), 1, "it could be a delayed heartbeat");
    assert_eq!(world.asked(), "a");
    world.shows("a", 3, "");
    assert_eq!((world.running("a", "x"), world.in_flight()), (0, 0));
}

#[test]
fn a_heartbeat_that_was_delayed_voids_nothing() {
    let mut world = World::whole(&["a", "b"], "x=1");
    world.send(&super::world::scale("a", "y", 1));
    world.beats("a", 110, "");
    world.shows("a", 141, "x=1");
    assert_eq!((world.running("a", "x"), world.in_flight()), (1, 1));
}

#[test]
fn a_mute_host_stays_and_gets_nothing_new() {
    let mut world = World::whole(&["a", "b"], "x=1");
    for _ in 0..20 {
        world.pass(4 * SECOND, &["a", "b"]);
        world.beats("b", 140 + world.now.since(Moment(1043 * SECOND)).as_secs(), "x=1");
        if world.effects.contains(&Effect::Inventory(host("a"))) {
            world.effects.clear();
            world.silent("a", Silence::NoAnswer);
        }
    }
    assert_eq!(world.state("a"), Some(HostState::Mute));
    assert_eq!(world.running("a", "x"), 1);
    assert_eq!(world.state("b"), Some(HostState::Ready));
}

/// A host that can't say in one message what it runs loses its connection over each `host.get`.
#[test]
fn t12_a_host_that_never_says_what_it_runs_is_asked_ever_less() {
    let mut world = World::whole(&["a"], "x=1");
    let mut asked = Vec::new();
    for second in 0..1200 {
        world.pass(SECOND, &["a"]);
        let asks = |effect: &Effect| *effect == Effect::Inventory(host("a"));
        if world.effects.drain(..).any(|effect| asks(&effect)) {
            asked.push(second);
            world.silent("a", Silence::NoAnswer);
        }
    }
    assert_eq!(world.state("a"), Some(HostState::Mute));
    assert!((3..12).contains(&asked.len()), "{asked:?}");
}

#[test]
fn two_hosts_with_one_id_are_reported_and_not_acted_on() {
    let mut world = World::whole(&["a", "b"], "x=1");
    world.pong("a", 500);
    world.pong("a", 0);
    assert!(world.fold.health().duplicates.contains(&host("a")));
    world.beats("a", 500, "");
    assert_eq!(world.running("a", "x"), 1);
    assert_eq!(world.state("a"), Some(HostState::Mute));
    world.pass(9 * SECOND, &["a", "b"]);
    assert!(world.fold.health().duplicates.is_empty(), "one of them went");
}

#[test]
fn labels_change_eligibility_at_once() {
    let mut world = World::whole(&["a", "b"], "x=1");
    world.input(event(
        "labels_changed",
        "a",
        &json!({ "host_id": "a", "labels": { "zone": "b" } }),
    ));
    let changed = world.changed();
    assert!(changed.hosts.contains(&host("a")) && changed.workloads.len() == 1);
    let labels = &world.fold.observed().hosts[&host("a")].labels;
    assert_eq!(**labels, BTreeMap::from([("zone".to_owned(), "b".to_owned())]));
}

#[test]
fn old_hosts_are_reported_and_nothing_else() {
    let mut world = World::whole(&["a"], "");
    let data = json!({ "version": "0.82.0", "actors": { "MX": 1 }, "labels": {} });
    world.input(event("host_heartbeat", "old", &data));
    assert_eq!(world.fold.health().unsupported[&host("old")], "0.82.0".into());
    assert!(!world.fold.observed().hosts.contains_key(&host("old")));
    let changed = world.changed();
    assert!(changed.health && !changed.touches_plans());
}

#[test]
fn what_an_earlier_process_sent_is_ruled_out_by_looking_again() {
    let mut world = World::whole(&["a", "b"], "x=1");
    let until = world.fold.observed().unseen_until;
    while world.now < until {
        world.pass(SECOND, &["a", "b"]);
    }
    world.pass(SECOND, &["a", "b"]);
    assert!(world.asked().contains("a b"));
    world.change = Change::default();
    for id in ["a", "b"] {
        assert!(world.fold.observed().hosts[&host(id)].inventory_at < until);
        assert!(world.fold.may_hide_something());
        world.shows(id, 200, "x=1");
        assert!(world.fold.observed().hosts[&host(id)].inventory_at >= until);
        assert!(world.changed().hosts.contains(&host(id)), "who waits for that may go on");
    }
    world.pass(SECOND, &["a", "b"]);
    assert!(!world.fold.may_hide_something());
    assert!(!world.changed().touches_plans(), "nobody else need be looked at");
}

#[test]
fn regression_who_waits_for_a_look_at_a_host_is_told_of_it_whatever_else_it_shows_and_of_no_event()
{
    let mut world = World::whole(&["a"], "x=1");
    let until = world.fold.observed().unseen_until;
    while world.now < until {
        world.pass(SECOND, &["a"]);
    }
    world.change = Change::default();
    world.input(scaled("a", "x", 2));
    let looked_at = |world: &World| world.fold.observed().hosts[&host("a")].inventory_at >= until;
    assert!(!looked_at(&world), "an event is no look at all that runs there");
    world.shows("a", 200, "x=3");
    assert!(looked_at(&world));
    assert!(world.changed().hosts.contains(&host("a")));
}

#[test]
fn a_heartbeat_that_says_the_same_need_not_be_read_until_something_else_says_otherwise() {
    let mut world = World::whole(&["a"], "x=1");
    let beat = |uptime: u64, running: &str| {
        let Input::Event(Event { hint: Hint::Heartbeat(said), .. }) =
            event("host_heartbeat", "a", &inventory("a", uptime, running))
        else {
            panic!("no heartbeat");
        };
        said.print.unwrap()
    };
    assert!(!world.fold.shows(&host("a"), beat(141, "x=1")), "an answer has no fingerprint");
    world.input(event("host_heartbeat", "a", &inventory("a", 141, "x=1")));
    assert!(world.fold.shows(&host("a"), beat(170, "x=1")), "the uptime is another");
    assert!(!world.fold.shows(&host("a"), beat(170, "x=2")));
    assert!(!world.fold.shows(&host("b"), beat(170, "x=1")));
    let labels = json!({ "host_id": "a", "labels": { "zone": "b" } });
    world.input(event("labels_changed", "a", &labels));
    assert!(!world.fold.shows(&host("a"), beat(170, "x=1")), "its labels are others by now");
    world.input(event("host_heartbeat", "a", &inventory("a", 171, "x=1")));
    assert_eq!(world.fold.observed().hosts[&host("a")].labels["zone"], "a");
}
