//! Commands, links and configs: from what is sent to what is shown.
use std::collections::BTreeMap;

use serde_json::json;

use super::world::{SECOND, World, event, scale, scaled};
use crate::{
    lattice::{
        in_flight::Answer,
        inventory::{Change, Denied, Input, LinksUnread, Silence, StoredLinks},
    },
    model::{ApplicationKey, Command, ConfigName, FewOf, Link, LinkKey, LinkMap, Links},
};

#[test]
fn a_start_is_shown_by_its_event_and_confirmed() {
    let mut world = World::whole(&["a", "b"], "");
    let start = scale("a", "x", 2);
    let ticket = world.send(&start);
    world.answer(&start, ticket, Answer::Accepted);
    world.input(scaled("a", "x", 2));
    assert_eq!((world.running("a", "x"), world.in_flight()), (2, 0));
    assert_eq!(world.asked(), "");
    world.pass(5 * SECOND / 4, &["a", "b"]);
    assert_eq!(world.asked(), "a", "an event is a hint");
}

#[test]
fn an_inventory_resolves_only_what_it_shows_and_only_after_the_answer() {
    let mut world = World::whole(&["a", "b"], "x=1");
    let more = scale("a", "x", 3);
    let ticket = world.send(&more);
    world.beats("a", 141, "x=3");
    assert_eq!(world.in_flight(), 1, "not answered yet");
    world.answer(&more, ticket, Answer::Accepted);
    world.beats("a", 142, "x=1");
    assert_eq!(world.in_flight(), 1, "one that doesn't show it proves nothing");
    world.beats("a", 143, "x=3");
    assert_eq!(world.in_flight(), 0);
}

#[test]
fn the_event_of_a_running_component_only_makes_us_ask() {
    let mut world = World::whole(&["a", "b"], "x=1");
    let more = scale("a", "x", 3);
    let ticket = world.send(&more);
    world.answer(&more, ticket, Answer::Accepted);
    world.input(scaled("a", "x", 3));
    assert_eq!((world.running("a", "x"), world.in_flight()), (1, 1), "its annotations are old");
    assert_eq!(world.asked(), "a");
    world.shows("a", 141, "x=3");
    assert_eq!((world.running("a", "x"), world.in_flight()), (3, 0));
}

#[test]
fn a_false_stop_event_of_somebody_else_removes_nothing() {
    let mut world = World::whole(&["a", "b"], "x=1");
    world.input(scaled("a", "x", 0));
    assert_eq!(world.running("a", "x"), 1);
    assert_eq!(world.asked(), "a");
}

#[test]
fn an_event_counts_for_the_host_that_sent_it() {
    let mut world = World::whole(&["a", "b"], "");
    let start = scale("a", "x", 2);
    let ticket = world.send(&start);
    world.answer(&start, ticket, Answer::Accepted);
    let data = json!({ "component_id": "x", "host_id": "a", "image_ref": "r/a:1",
                       "annotations": { "k": "v" }, "max_instances": 2 });
    world.input(event("component_scaled", "b", &data));
    assert_eq!((world.running("a", "x"), world.in_flight()), (0, 1));
}

#[test]
fn a_failure_event_fails_only_what_it_is_about() {
    let mut world = World::whole(&["a", "b"], "");
    let start = scale("a", "x", 2);
    let ticket = world.send(&start);
    world.answer(&start, ticket, Answer::Accepted);
    let failed = |image: &str| {
        let data = json!({ "component_id": "x", "image_ref": image, "annotations": {},
                           "max_instances": 2, "error": "manifest unknown" });
        event("component_scale_failed", "a", &data)
    };
    world.input(failed("r/other:1"));
    assert_eq!(world.in_flight(), 1);
    world.input(failed("r/a:1"));
    assert_eq!(world.in_flight(), 0);
    let failure = world.fold.observed().in_flight.failures[&start.lane()].clone();
    assert_eq!(&*failure.error, "manifest unknown");
    world.beats("a", 141, "x=2");
    assert!(world.fold.observed().in_flight.failures.is_empty(), "it runs after all");
}

#[test]
fn nothing_is_taken_that_the_gate_forbids_by_now() {
    let mut world = World::whole(&["a", "b"], "x=2");
    world.input(Input::Disconnected { why: "x".into() });
    let app = ApplicationKey::new("n", "a");
    let denied = world.fold.register(&app, &scale("a", "y", 1), world.now);
    assert_eq!(denied, Err(Denied::Gate("not connected: x".into())));
    world.input(Input::Connected);
    assert!(world.fold.register(&app, &scale("a", "y", 1), world.now).is_ok());
    let less = world.fold.register(&app, &scale("a", "x", 1), world.now);
    assert!(matches!(less, Err(Denied::Gate(_))), "a lower count takes away");
    assert!(world.fold.register(&app, &scale("a", "x", 3), world.now).is_ok());
}

#[test]
fn an_acknowledged_start_that_stays_unseen_makes_us_ask() {
    let mut world = World::whole(&["a", "b"], "");
    let start = scale("a", "x", 2);
    let ticket = world.send(&start);
    world.answer(&start, ticket, Answer::Accepted);
    world.pass(4 * SECOND, &["a", "b"]);
    assert_eq!(world.asked(), "a");
}

fn link(target: &str) -> (LinkKey, Link) {
    let key = LinkKey {
        source: "x".parse().unwrap(),
        name: "default".into(),
        namespace: "wasi".into(),
        package: "http".into(),
    };
    let link = Link {
        target: target.parse().unwrap(),
        interfaces: FewOf::from(["handler".into()]),
        source_config: Vec::new(),
        target_config: Vec::new(),
    };
    (key, link)
}

fn target(world: &World) -> Option<String> {
    match &world.fold.observed().links {
        Links::Read(links) => Some(links.values().map(|link| link.target.to_string()).collect()),
        Links::Unread | Links::Unreadable => None,
    }
}

fn links_come(world: &mut World, links: &[(LinkKey, Link)]) {
    world.input(Input::Links(Ok(links.iter().cloned().collect())));
}

#[test]
fn links_are_acted_on_when_two_reads_agree() {
    let mut world = World::whole(&["a"], "");
    links_come(&mut world, &[link("y")]);
    assert_eq!(target(&world), None);
    world.asked();
    world.pass(SECOND, &["a"]);
    assert_eq!(world.asked(), "links", "a second later");
    links_come(&mut world, &[link("z")]);
    assert_eq!(target(&world), None, "they differ");
    world.pass(SECOND, &["a"]);
    links_come(&mut world, &[link("z")]);
    assert_eq!(target(&world).as_deref(), Some("z"));
    assert!(world.changed().links);
}

#[test]
fn somebody_elses_link_makes_us_read() {
    let mut world = World::whole(&["a"], "");
    for _ in 0..2 {
        links_come(&mut world, &[]);
        world.pass(SECOND, &["a"]);
    }
    world.asked();
    let data = json!({ "source_id": "x", "target": "y", "name": "default", "wit_namespace": "wasi",
                       "wit_package": "http", "interfaces": ["handler"] });
    world.input(event("linkdef_set", "a", &data));
    world.pass(SECOND / 4, &["a"]);
    assert_eq!(world.asked(), "links");
}

#[test]
fn our_own_link_is_shown_once_answered_and_announced() {
    let mut world = World::whole(&["a"], "");
    for _ in 0..2 {
        links_come(&mut world, &[]);
        world.pass(SECOND, &["a"]);
    }
    let (key, wanted) = link("y");
    let put = Command::PutLink { key, link: wanted };
    let ticket = world.send(&put);
    let data = json!({ "source_id": "x", "target": "y", "name": "default", "wit_namespace": "wasi",
                       "wit_package": "http", "interfaces": ["handler"] });
    world.input(event("linkdef_set", "a", &data));
    assert_eq!(target(&world).as_deref(), Some(""));
    world.answer(&put, ticket, Answer::Accepted);
    assert_eq!(target(&world).as_deref(), Some("y"));
    assert!(world.changed().link_sources.iter().any(|id| id.as_str() == "x"));
    world.asked();
    world.pass(2 * SECOND, &["a"]);
    assert_eq!(world.asked(), "links", "and confirmed");
}

fn stored(world: &mut World, fit: bool) {
    let links = LinkMap::from_iter([link("y")]);
    world.input(Input::StoredLinks(Ok(StoredLinks { links, fit })));
}

#[test]
fn links_beyond_one_message_are_unreadable_where_the_bucket_is_too() {
    let mut world = World::whole(&["a"], "");
    world.asked();
    world.input(Input::Links(Err(LinksUnread::TooLarge)));
    assert_eq!(world.asked(), "stored links");
    world.input(Input::StoredLinks(Err(Silence::NoResponders)));
    assert_eq!(world.fold.observed().links, Links::Unreadable);
    assert!(world.fold.health().links_unreadable);
}

#[test]
fn links_beyond_one_message_are_read_from_the_bucket_until_they_fit_again() {
    let mut world = World::whole(&["a"], "");
    world.asked();
    world.input(Input::Links(Err(LinksUnread::TooLarge)));
    assert_eq!(world.asked(), "stored links");
    stored(&mut world, false);
    world.pass(SECOND, &["a"]);
    assert_eq!(world.asked(), "stored links", "again, and no host is asked");
    stored(&mut world, false);
    assert_eq!(target(&world).as_deref(), Some("y"));
    assert!(!world.fold.health().links_unreadable);
    world.pass(330 * SECOND, &["a"]);
    assert!(world.asked().contains("stored links"));
    stored(&mut world, true);
    world.pass(330 * SECOND, &["a"]);
    let asked = world.asked();
    assert!(asked.contains("links") && !asked.contains("stored"), "{asked}");
}

#[test]
fn an_empty_bucket_is_not_where_links_are_that_are_too_many_for_a_message() {
    let mut world = World::whole(&["a"], "");
    world.input(Input::Links(Err(LinksUnread::TooLarge)));
    let stored = StoredLinks { links: LinkMap::new(), fit: true };
    world.input(Input::StoredLinks(Ok(stored)));
    assert_eq!(world.fold.observed().links, Links::Unreadable);
}

/// A host that is asked for more than fits one message loses its connection over it.
#[test]
fn t12_hosts_that_never_answer_with_links_are_asked_ever_less() {
    let mut world = World::whole(&["a"], "");
    let mut asked = Vec::new();
    world.asked();
    world.input(Input::Links(Err(LinksUnread::Failed)));
    for second in 0..1200 {
        world.pass(SECOND, &["a"]);
        if world.asked().contains("links") {
            asked.push(second);
            world.input(Input::Links(Err(LinksUnread::Failed)));
            world.input(Input::StoredLinks(Err(Silence::NoResponders)));
            world.asked();
        }
    }
    assert!(asked.len() < 20, "{asked:?}");
    let last = asked.windows(2).last().map(|pair| pair[1] - pair[0]);
    assert!(last > Some(200), "{asked:?}");
}

#[test]
fn after_starts_links_are_read_again_the_later_the_more_there_are() {
    let source = |number: usize| LinkKey {
        source: format!("x-{number}").parse().unwrap(),
        name: "default".into(),
        namespace: "wasi".into(),
        package: "http".into(),
    };
    let links: Vec<_> = (0..300).map(|number| (source(number), link("y").1)).collect();
    let mut world = World::whole(&["a", "b"], "");
    for _ in 0..2 {
        links_come(&mut world, &links);
        world.pass(SECOND, &["a", "b"]);
    }
    links_come(&mut world, &links);
    world.asked();
    // One after the other, every second.
    let mut reads = 0;
    for number in 0..11 {
        let id = format!("x-{number}");
        let start = scale("a", &id, 1);
        let ticket = world.send(&start);
        world.answer(&start, ticket, Answer::Accepted);
        world.input(scaled("a", &id, 1));
        world.pass(SECOND, &["a", "b"]);
        if world.asked().contains("links") {
            reads += 1;
            links_come(&mut world, &links);
        }
    }
    assert_eq!(reads, 2, "every four seconds: one, and ten milliseconds a link");
    for _ in 0..5 {
        world.pass(SECOND, &["a", "b"]);
        if world.asked().contains("links") {
            reads += 1;
            links_come(&mut world, &links);
        }
    }
    assert_eq!(reads, 3, "and once after the last");
}

#[test]
fn links_are_read_again_after_five_minutes() {
    let mut world = World::whole(&["a"], "");
    for _ in 0..2 {
        links_come(&mut world, &[]);
        world.pass(SECOND, &["a"]);
    }
    world.asked();
    world.pass(267 * SECOND, &["a"]);
    assert!(!world.asked().contains("links"));
    world.pass(70 * SECOND, &["a"]);
    assert!(world.asked().contains("links"));
}

#[test]
fn regression_a_config_that_no_host_could_read_was_waited_for_without_a_word() {
    let mut world = World::whole(&["a"], "");
    let name: ConfigName = "c".parse().unwrap();
    let fails = |world: &mut World, why: &str| {
        world.change = Change::default();
        world.input(Input::Config { name: name.clone(), values: Err(why.into()) });
        (world.changed().configs.contains(&name), world.fold.observed().unreadable.len())
    };
    let names = FewOf::from([name.clone()]);
    let _ = world.fold.want_configs(&ApplicationKey::new("n", "a"), names);
    assert_eq!(fails(&mut world, "failed getting entry"), (true, 1));
    assert_eq!(fails(&mut world, "failed getting entry"), (false, 1), "which is no news");
    assert_eq!(fails(&mut world, "no answer in time"), (true, 1));
    world.pass(4 * SECOND, &["a"]);
    assert_eq!(world.asked(), "config c", "it is tried again");
    world.input(Input::Config { name: name.clone(), values: Ok(None) });
    assert_eq!(fails(&mut world, "no answer in time"), (false, 0), "what was read stays known");
}

#[test]
fn only_wanted_configs_are_read_and_each_only_once() {
    let mut world = World::whole(&["a"], "");
    let name: ConfigName = "c".parse().unwrap();
    world.input(event("config_set", "a", &json!({ "config_name": "c" })));
    assert_eq!(world.asked(), "");
    for app in ["a", "b"] {
        let names = FewOf::from(["c".parse().unwrap()]);
        let outcome = world.fold.want_configs(&ApplicationKey::new("n", app), names);
        world.effects.extend(outcome.effects);
    }
    assert_eq!(world.asked(), "config c");
    world.input(Input::Config { name, values: Ok(None) });
    let name: ConfigName = "c".parse().unwrap();
    assert_eq!(world.fold.observed().configs.get(&name), Some(&None), "surely absent");
    world.input(event("config_set", "a", &json!({ "config_name": "c" })));
    assert_eq!(world.asked(), "config c");
    let values = BTreeMap::from([("k".to_owned(), "v".to_owned())]);
    world.input(Input::Config { name: name.clone(), values: Ok(Some(values)) });
    assert!(world.changed().configs.contains(&name));
    for app in ["a", "b"] {
        let _ = world.fold.want_configs(&ApplicationKey::new("n", app), FewOf::default());
    }
    assert!(world.fold.observed().configs.is_empty(), "nobody wants it any more");
}

#[test]
fn a_config_that_we_put_is_known_by_its_answer() {
    let mut world = World::whole(&["a"], "");
    let name: ConfigName = "c".parse().unwrap();
    let names = FewOf::from([name.clone()]);
    let _ = world.fold.want_configs(&ApplicationKey::new("n", "a"), names);
    let values = BTreeMap::from([("k".to_owned(), "v".to_owned())]);
    let put = Command::PutConfig { name: name.clone(), values: values.clone() };
    let ticket = world.send(&put);
    world.answer(&put, ticket, Answer::Accepted);
    assert_eq!(world.fold.observed().configs[&name].as_deref(), Some(&values));
    assert_eq!(world.in_flight(), 0);
}

/// Whether somebody fights over something by now, as whoever plans is told.
fn contended(world: &World) -> usize {
    world.fold.observed().contended.len()
}

#[test]
fn a_component_that_others_scale_back_is_contended_and_a_restarted_host_is_not() {
    let mut world = World::whole(&["a", "b"], "x=1");
    let mut uptime = 141;
    let mut fight = |world: &mut World| {
        let more = scale("a", "x", 3);
        let ticket = world.send(&more);
        world.answer(&more, ticket, Answer::Accepted);
        for running in ["x=3", "x=7"] {
            uptime += 1;
            world.shows("a", uptime, running);
        }
        contended(world)
    };
    assert_eq!([(); 3].map(|()| fight(&mut world)), [0, 0, 1]);
    let how = world.fold.observed().contended.values().next().unwrap();
    assert_eq!((how.times, &how.made), (3, &scale("a", "x", 3)));
    assert!(world.changed().workloads.contains("x"));

    let mut world = World::whole(&["a", "b"], "x=1");
    let mut uptime = 141;
    for _ in 0..5 {
        let more = scale("a", "x", 3);
        let ticket = world.send(&more);
        world.answer(&more, ticket, Answer::Accepted);
        world.shows("a", uptime, "x=3");
        uptime /= 2;
        world.shows("a", uptime, "");
        assert_eq!(contended(&world), 0, "nobody else did that");
    }
}

/// Its command waited for an inventory that showed it, until it had failed, and that again and again.
#[test]
fn a_component_that_others_scale_back_before_anybody_looks_is_contended() {
    let mut world = World::whole(&["a", "b"], "x=7");
    let mut uptime = 141;
    let seen = [(); 3].map(|()| {
        let fewer = scale("a", "x", 3);
        let ticket = world.send(&fewer);
        world.answer(&fewer, ticket, Answer::Accepted);
        world.input(scaled("a", "x", 3));
        uptime += 1;
        world.shows("a", uptime, "x=7");
        assert_eq!(world.in_flight(), 1, "it may be an old answer");
        world.pass(5 * SECOND / 4, &["a", "b"]);
        uptime += 1;
        world.shows("a", uptime, "x=7");
        assert_eq!(world.in_flight(), 0);
        contended(&world)
    });
    assert_eq!(seen, [0, 0, 1]);
}

#[test]
fn a_config_that_others_write_back_is_contended() {
    let mut world = World::whole(&["a"], "");
    let name: ConfigName = "c".parse().unwrap();
    let app = ApplicationKey::new("n", "a");
    let _ = world.fold.want_configs(&app, FewOf::from([name.clone()]));
    let values = BTreeMap::from([("k".to_owned(), "ours".to_owned())]);
    let put = Command::PutConfig { name: name.clone(), values };
    let seen = [(); 3].map(|()| {
        let ticket = world.send(&put);
        world.answer(&put, ticket, Answer::Accepted);
        let theirs = Ok(Some(BTreeMap::from([("k".to_owned(), "theirs".to_owned())])));
        world.input(Input::Config { name: name.clone(), values: theirs });
        contended(&world)
    });
    assert_eq!(seen, [0, 0, 1]);
}
