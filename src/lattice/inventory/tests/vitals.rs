//! Providers that aren't well.
use std::collections::BTreeMap;

use serde_json::json;

use super::world::{SECOND, World, event, host, inventory};
use crate::{
    lattice::{in_flight::Answer, inventory::Input, wire::decode},
    model::{Command, Sign, Unhealthy},
};

const NAMES: [&str; 1] = ["a"];

/// One host, `a`, with an external provider `p`.
struct Lattice {
    world: World,
    uptime: u64,
}

impl Lattice {
    fn new() -> Self {
        let mut lattice = Self { world: World::whole(&NAMES, ""), uptime: 150 };
        lattice.shows(true);
        lattice
    }

    fn shows(&mut self, running: bool) {
        let mut shown = inventory("a", self.uptime, "");
        if running {
            shown["providers"] = json!([{ "id": "p", "image_ref": "r/p:1", "annotations": {} }]);
        }
        let answer = Ok(decode(shown.to_string().as_bytes()).unwrap());
        self.world.input(Input::Inventory { host: host("a"), answer });
    }

    fn tells(&mut self, what: &str) {
        let data = json!({ "provider_id": "p", "host_id": "a" });
        self.world.input(event(&format!("health_check_{what}"), "a", &data));
    }

    /// Time passes in which the host is well and tells nothing of the provider.
    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.world.pass(SECOND, &NAMES);
            self.uptime += 1;
            if self.uptime.is_multiple_of(25) {
                self.shows(true);
            }
        }
    }

    fn sick(&self) -> Option<&Unhealthy> {
        self.world.fold.observed().unhealthy.get(&(host("a"), "p".parse().unwrap()))
    }

    /// The sign, the restarts so far, and in how many seconds the next is due.
    fn told(&self) -> Option<(Sign, u32, u64)> {
        let sick = self.sick()?;
        Some((sick.sign, sick.restarts, sick.due.since(self.world.now).as_secs()))
    }

    /// It is stopped and started, as a plan does it.
    fn restart(&mut self) {
        let (at, id) = (host("a"), "p".parse().unwrap());
        let stop = Command::StopProvider { host: at, id };
        let ticket = self.world.send(&stop);
        self.world.answer(&stop, ticket, Answer::Accepted);
        self.shows(false);
        self.pass(6);
        self.shows(true);
    }
}

#[test]
fn one_that_fails_twice_is_due_and_one_that_recovers_is_well() {
    let mut lattice = Lattice::new();
    lattice.tells("status");
    assert_eq!(lattice.told(), None, "that alone says nothing");
    lattice.tells("passed");
    lattice.pass(30);
    let _ = lattice.world.changed();
    lattice.tells("failed");
    assert_eq!(lattice.told(), Some((Sign::Failed, 0, 45)));
    assert_eq!(lattice.world.changed().workloads.len(), 1, "who wants it is told");
    lattice.tells("passed");
    assert_eq!((lattice.told(), lattice.world.changed().workloads.len()), (None, 1));

    lattice.pass(30);
    lattice.tells("failed");
    lattice.pass(30);
    lattice.tells("status");
    assert_eq!(lattice.told(), Some((Sign::Failed, 0, 0)), "it is so still");
}

#[test]
fn each_restart_is_later_than_the_one_before_until_it_was_well_for_long() {
    let mut lattice = Lattice::new();
    lattice.tells("failed");
    lattice.tells("status");
    let mut delays = Vec::new();
    for _ in 0..6 {
        lattice.restart();
        // The first answer of one that is unhealthy from its start is no change for its host.
        lattice.tells("status");
        delays.push(lattice.told().unwrap().2);
        lattice.pass(5);
        lattice.tells("status");
    }
    let near = |(delay, wanted): (&u64, u64)| (*delay + 6).abs_diff(wanted) <= wanted / 10 + 1;
    assert!(delays.iter().zip([60, 120, 240, 480, 600, 600]).all(near), "{delays:?}");
    assert_eq!(lattice.told().map(|told| (told.0, told.1)), Some((Sign::Failed, 6)));

    lattice.tells("passed");
    assert_eq!(lattice.told(), None);
    for _ in 0..10 {
        lattice.pass(30);
        lattice.tells("status");
    }
    lattice.tells("failed");
    assert_eq!(lattice.told().map(|told| told.1), Some(6), "five minutes are no health");
    lattice.tells("passed");
    for _ in 0..21 {
        lattice.pass(30);
        lattice.tells("status");
    }
    lattice.tells("failed");
    assert_eq!(lattice.told(), Some((Sign::Failed, 0, 45)));
}

#[test]
fn silence_counts_where_there_was_a_word_and_one_could_be_heard() {
    let mut lattice = Lattice::new();
    lattice.pass(200);
    assert_eq!(lattice.told(), None, "of a builtin one nobody tells ever");
    lattice.tells("passed");
    lattice.pass(70);
    assert_eq!(lattice.told(), None);
    lattice.pass(10);
    assert_eq!(lattice.told(), Some((Sign::Silent, 0, 0)));
    lattice.tells("status");
    assert_eq!(lattice.told(), None, "it answers again");

    // While nothing can be heard, silence is no sign; nor is what was told before still true.
    lattice.pass(60);
    lattice.world.input(Input::Disconnected { why: "gone".into() });
    lattice.world.now = lattice.world.now + 60 * SECOND;
    lattice.uptime += 60;
    lattice.world.input(Input::Connected);
    lattice.shows(true);
    lattice.pass(70);
    assert_eq!(lattice.told(), None);
    lattice.tells("failed");
    lattice.tells("status");
    lattice.world.input(Input::Missed);
    assert_eq!(lattice.told(), Some((Sign::Failed, 0, 75)));
}

#[test]
fn what_nobody_runs_is_not_kept() {
    let mut lattice = Lattice::new();
    lattice.shows(false);
    lattice.tells("failed");
    assert_eq!(lattice.told(), None, "nobody runs it there");
    lattice.shows(true);
    lattice.tells("failed");
    lattice.shows(false);
    lattice.pass(6);
    assert_eq!(lattice.told(), None, "somebody stopped it");
    lattice.shows(true);
    lattice.tells("failed");
    lattice.uptime = 1;
    lattice.shows(true);
    assert_eq!(lattice.told(), None, "its host is another process by now");
    assert_eq!(lattice.world.fold.observed().unhealthy, BTreeMap::new());
}
