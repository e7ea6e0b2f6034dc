//! Hosts that keep their share while they are cut off.
use std::{collections::BTreeMap, sync::Arc};

use serde_json::json;

use super::world::{SECOND, World, event, host, settings};
use crate::{
    lattice::{
        inventory::{Input, KnownHost, OnHostLoss, Silence},
        wire::{HostInventory, decode},
    },
    model::{
        APPLICATION, Annotations, ApplicationKey, HostId, HostState, INSTALLATION, Inventory,
        LossPolicy, RunningComponent,
    },
};

fn hold(value: &str) -> OnHostLoss {
    let labels = BTreeMap::from([("zone".to_owned(), value.to_owned())]);
    OnHostLoss { labels, policy: LossPolicy::Hold }
}

fn owned() -> Arc<Annotations> {
    Arc::new([(INSTALLATION, "trellis"), (APPLICATION, "n/a")].into())
}

impl World {
    /// Hosts whose lattice holds those labelled `zone=value`.
    fn holding(hosts: &[&str], value: &str, running: &str) -> Self {
        let mut world = Self::whole(hosts, running);
        let on_host_loss = vec![hold(value)];
        let now = world.now;
        let _ =
            world.fold.set_settings(super::super::Settings { on_host_loss, ..settings(&[]) }, now);
        world
    }

    fn loses(&mut self, id: &str, others: &[&str]) {
        self.silent(id, Silence::NoResponders);
        self.pass(31 * SECOND, others);
    }

    /// What `n/a` says of lost hosts.
    fn says(&mut self, policies: &[(&str, LossPolicy)]) {
        let policies = policies.iter().map(|(id, policy)| (id.parse().unwrap(), *policy));
        let (app, now) = (ApplicationKey::new("n", "a"), self.now);
        let outcome = self.fold.want_on_host_loss(&app, Some(policies.collect()), now);
        self.change.merge(outcome.change);
    }

    /// The host shows components `x` and `y` of `n/a`.
    fn shows_owned(&mut self, id: &str, uptime: u64) {
        let component = |id| json!({ "id": id, "image_ref": "r/a:1", "annotations": owned(), "max_instances": 1 });
        let text = json!({ "host_id": id, "friendly_name": id, "version": "1.9.2",
            "labels": { "zone": "a" }, "uptime_seconds": uptime, "providers": [],
            "components": [component("x"), component("y")] });
        let inventory: HostInventory = decode(text.to_string().as_bytes()).unwrap();
        self.input(Input::Inventory { host: host(id), answer: Ok(inventory) });
    }
}

#[test]
fn a_host_that_the_lattice_holds_keeps_what_it_ran_until_it_is_back() {
    let mut world = World::holding(&["a", "b", "c"], "a", "x=2");
    world.loses("a", &["b", "c"]);
    assert_eq!((world.state("a"), world.running("a", "x")), (Some(HostState::Held), 2));
    let _ = world.changed();
    world.pass(100 * SECOND, &["b", "c"]);
    assert!(!world.changed().hosts.contains(&host("a")), "time alone changes nothing");
    world.asked();
    world.pong("a", 0);
    assert_eq!(world.state("a"), Some(HostState::Held), "what it runs now isn't known yet");
    assert_eq!(world.asked(), "a");
    world.shows("a", 300, "x=1");
    assert_eq!((world.state("a"), world.running("a", "x")), (Some(HostState::Ready), 1));
}

#[test]
fn hosts_that_are_not_selected_are_replaced() {
    let mut world = World::holding(&["a", "b", "c"], "elsewhere", "x=2");
    world.loses("a", &["b", "c"]);
    assert_eq!(world.state("a"), None);
}

#[test]
fn a_host_that_runs_nothing_has_nothing_to_hold() {
    let mut world = World::holding(&["a", "b", "c"], "a", "");
    world.loses("a", &["b", "c"]);
    assert_eq!(world.state("a"), None);
}

#[test]
fn hosts_that_are_held_are_no_mass_loss_and_keep_no_other_from_going_fast() {
    let mut world = World::holding(&["a", "b", "c", "d", "e"], "a", "x=1");
    for id in ["a", "b", "c"] {
        world.silent(id, Silence::NoResponders);
    }
    world.pass(40 * SECOND, &["d", "e"]);
    assert_eq!(world.gate(), "synced");
    world.says(&[]);
    let now = world.now;
    let _ = world.fold.set_settings(
        super::super::Settings { on_host_loss: vec![hold("elsewhere")], ..settings(&[]) },
        now,
    );
    assert_eq!(world.state("a"), None, "nobody holds it any more");
}

#[test]
fn a_single_loss_beside_a_held_host_is_made_up_for_within_seconds() {
    let mut world = World::whole(&["a", "b", "c"], "");
    world.says(&[("x", LossPolicy::Hold)]);
    world.shows_owned("a", 145);
    world.loses("a", &["b", "c"]);
    assert_eq!(world.state("a"), Some(HostState::Held));
    world.silent("b", Silence::NoResponders);
    world.pass(5 * SECOND / 2, &["c"]);
    assert_eq!(world.state("b"), None);
}

#[test]
fn what_a_scaler_says_goes_before_what_the_lattice_says() {
    let mut world = World::whole(&["a", "b", "c"], "");
    world.says(&[("x", LossPolicy::Hold)]);
    world.shows_owned("a", 145);
    world.loses("a", &["b", "c"]);
    assert_eq!((world.running("a", "x"), world.running("a", "y")), (1, 0));

    let mut world = World::holding(&["a", "b", "c"], "a", "");
    world.says(&[("x", LossPolicy::Replace)]);
    world.shows_owned("a", 145);
    world.loses("a", &["b", "c"]);
    assert_eq!((world.running("a", "x"), world.running("a", "y")), (0, 1));
    world.says(&[("x", LossPolicy::Replace), ("y", LossPolicy::Replace)]);
    assert_eq!(world.state("a"), None, "nothing is held any more");
}

#[test]
fn a_host_that_is_given_up_is_made_up_for() {
    let mut world = World::holding(&["a", "b", "c"], "a", "x=2");
    world.loses("a", &["b", "c"]);
    let settings = super::super::Settings {
        on_host_loss: vec![hold("a")],
        forgotten: [host("a")].into(),
        ..settings(&[])
    };
    let outcome = world.fold.set_settings(settings, world.now);
    assert_eq!(world.state("a"), None);
    assert!(outcome.change.workloads.contains("x"));
}

#[test]
fn a_host_that_says_it_stops_is_not_held() {
    let mut world = World::holding(&["a", "b", "c"], "a", "x=2");
    world.input(event("host_stopped", "a", &json!({})));
    world.silent("a", Silence::NoResponders);
    assert_eq!(world.state("a"), None, "it surely runs nothing any more");
}

/// A process that begins with what an earlier one wrote of host `a`.
fn restarted(on_host_loss: Vec<OnHostLoss>) -> World {
    let running = RunningComponent {
        image: "r/a:1".into(),
        annotations: owned(),
        instances: 2,
        max_memory: None,
    };
    let components = BTreeMap::from([("x".parse().unwrap(), running)]);
    let known = KnownHost {
        labels: BTreeMap::from([("zone".to_owned(), "a".to_owned())]),
        held: Inventory { components, providers: BTreeMap::new() },
        ..KnownHost::named("a".parse::<HostId>().unwrap())
    };
    let mut world = World::new(&[]);
    let known_hosts = vec![known, KnownHost::named(host("b"))];
    let now = world.now;
    let _ = world
        .fold
        .set_settings(super::super::Settings { known_hosts, on_host_loss, ..settings(&[]) }, now);
    world.input(Input::Connected);
    world.pass(3 * SECOND, &["b"]);
    world.shows("b", 10, "");
    world.silent("a", Silence::NoResponders);
    assert_eq!(world.gate(), "synced");
    world
}

#[test]
fn a_restarted_operator_still_holds() {
    for on_host_loss in [vec![hold("a")], Vec::new()] {
        let mut world = restarted(on_host_loss);
        assert_eq!(world.running("a", "x"), 2, "it counts at once, or others would take over");
        world.pass(40 * SECOND, &["b"]);
        assert_eq!((world.state("a"), world.running("a", "x")), (Some(HostState::Held), 2));
        assert_eq!(world.fold.observed().hosts[&host("a")].labels.len(), 1);
        assert!(world.fold.health().held.contains_key(&host("a")), "and writes it down again");
    }
}

#[test]
fn after_a_restart_an_application_can_still_let_go() {
    let mut world = restarted(Vec::new());
    world.pass(40 * SECOND, &["b"]);
    world.says(&[]);
    assert_eq!(world.state("a"), None);
}

#[test]
fn what_is_remembered_of_a_host_that_answers_is_not_taken_for_what_it_runs() {
    let mut world = restarted(Vec::new());
    world.pong("a", 5);
    assert_eq!(world.running("a", "x"), 0);
    assert!(world.fold.observed().hosts[&host("a")].inventory.is_none(), "unknown is not absent");
}

#[test]
fn a_mass_loss_is_confirmed_by_its_own_token_alone() {
    let mut world = World::whole(&["a", "b", "c", "d"], "x=1");
    for id in ["a", "b", "c"] {
        world.silent(id, Silence::NoResponders);
    }
    world.pass(32 * SECOND, &["d"]);
    let token = world.fold.health().mass_loss.unwrap().token;
    world.confirm_loss("3-00000000");
    assert!(!world.fold.observed().gate.may_remove(), "that was another loss");
    world.confirm_loss(&token);
    assert_eq!(world.gate(), "synced");
    assert_eq!(token, "3-d14f411d", "the next process, of whatever version, has the same");
}
