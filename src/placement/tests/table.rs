//! Every rule of a plan, case by case.

use std::sync::Arc;

use imbl::OrdMap;

use super::support::{
    APP, Case, Wants, app, at, check, claims, config, fail, host, id, in_flight, lattice, lines,
    link, nothing, plan_at, plan_of, wanted,
};
use crate::{
    model::{
        Annotations, Command, Contended, Desired, Gate, LinkMap, Links, Moment, Observed, Reason,
        Scaling, Sign, Unhealthy, WorkloadKind,
    },
    placement::{Claims, Inputs, Removal, claims::Created, plan},
};

fn web(instances: u32, entries: &str) -> Desired {
    nothing().component("web", "v1", instances, entries)
}

fn web2(instances: u32, entries: &str) -> Desired {
    nothing().component("web", "v2", instances, entries)
}

#[test]
fn a_host_that_is_held_keeps_its_share_and_gets_no_command() {
    let held = |host: &str| {
        format!(
            "blocked: web: HostUnreachable: host {host} is cut off: whether it runs there is \
             unknown, and no other host takes over, because onHostLoss of the Lattice says Hold; \
             if it never returns, give it up: kubectl annotate lattice l \
             lattice.oam.dev/forget-host={host}"
        )
    };
    let a = held("a");
    let cases: [Case; 6] = [
        ("nobody takes over", web(2, "all"), "a(Held) [] web=1\nb [] web=1", &[&a]),
        (
            "not even where it had more than its part",
            web(2, "all"),
            "a(Held) [] web=2\nb []",
            &[&a],
        ),
        (
            "a change goes on elsewhere",
            web2(2, "all"),
            "a(Held) [] web=1\nb [] web=1\nc []",
            &[
                "scale component web on c to 1",
                "later: stop component web on a waits for the lattice: host a is cut off, and what it \
                 ran is held",
                "later: stop component web on b waits for what is newly wanted to be in place",
                &a,
            ],
        ),
        (
            "what isn't wanted there any more is stopped when it is back",
            web(1, "zone=eu"),
            "a(Held) [] web=1\nb [zone=eu] web=1",
            &[
                "later: stop component web on a waits for what is newly wanted to be in place and the \
                 lattice: host a is cut off, and what it ran is held",
            ],
        ),
        (
            "another that is missing is made up for",
            web(2, "all"),
            "a(Held) [] web=1\nb []",
            &["scale component web on b to 1", &a],
        ),
        (
            "who was replaced and comes back keeps nothing twice",
            web(2, "all"),
            "a [] web=1\nb [] web=1\nc [] web=1",
            &["stop component web on c"],
        ),
    ];
    check(&cases);
    let plan = plan_of(&web(2, "all"), &[], &lattice("a(Held) [] web=1\nb [] web=1"));
    assert_eq!(plan.progress[&id("web")].ready, 1, "what nobody sees isn't ready");
}

/// `observed`, where others have undone `made` three times, and are left alone until second 2,000.
fn contended(mut observed: Observed, made: Command) -> Observed {
    let (thing, until) = (made.thing(), at(2000));
    observed.contended.insert(thing, Contended { made, times: 3, until });
    observed
}

/// The first command of a plan for `desired`.
fn asked(desired: &Desired, observed: &Observed) -> Command {
    plan_of(desired, &[], observed).now.into_iter().next().unwrap().command
}

#[test]
fn what_others_change_back_is_left_to_them_until_something_else_is_wanted() {
    let theirs = lattice("a [] web=5");
    let theirs = contended(theirs.clone(), asked(&web(2, "all"), &theirs));
    let plan = plan_of(&web(2, "all"), &[], &theirs);
    let said = &plan.blocked[0];
    assert_eq!((plan.now.len(), said.reason), (0, Reason::Contended), "{plan}");
    for part in
        ["\"scale component web on a to 2\" 3 times", "5 instances of v1 run there of shop/front"]
    {
        assert!(said.message.contains(part), "{}", said.message);
    }
    assert_eq!(plan.wake_at, Some(at(2000)));
    let others =
        [("another number", web(3, "all")), ("another image", web2(5, "all")), ("none", nothing())];
    for (name, desired) in others {
        let plan = plan_of(&desired, &[], &theirs);
        let contended = plan.blocked.iter().any(|it| it.reason == Reason::Contended);
        assert!(!contended && !plan.to_string().is_empty(), "{name}: {plan}");
    }
    let later = plan_at(&web(2, "all"), &[], &theirs, at(2000));
    assert!(!later.now.is_empty() && later.blocked.is_empty(), "{later}");
}

#[test]
fn a_link_and_a_config_that_others_change_back_are_left_to_them() {
    let wanted = |value: &str| web(1, "all").link("web", "api", &[]).config("c", value);
    let mut observed = lattice("a [] web=1");
    observed.configs.insert(config("c"), Some(Arc::default()));
    let (key, theirs) = link("web", "theirs", &[]);
    observed.links = Links::Read([(key.clone(), theirs)].into_iter().collect());
    let put_link = Command::PutLink { key, link: link("web", "api", &[]).1 };
    let put_config = asked(&web(1, "all").config("c", "1"), &observed);
    let observed = contended(contended(observed, put_link), put_config);
    let plan = plan_of(&wanted("1"), &[], &observed);
    let said: Vec<_> = plan.blocked.iter().map(|it| (it.reason, it.message.as_str())).collect();
    assert_eq!((plan.now.len(), said.len()), (0, 2), "{plan}");
    assert!(said.iter().all(|(reason, _)| *reason == Reason::Contended), "{plan}");
    assert!(said[0].1.contains("it has other values"), "{}", said[0].1);
    assert!(said[1].1.contains("it leads to theirs, through handler"), "{}", said[1].1);
    let plan = plan_of(&wanted("2"), &[], &observed);
    assert_eq!(plan.now.len(), 1, "a value that is new is written: {plan}");
}

#[test]
fn instances_go_evenly_to_the_hosts_of_each_spread() {
    let cases: [Case; 8] = [
        ("nothing to do", web(3, "all"), "a [] web=2\nb [] web=1", &[]),
        ("the remainder stays where it runs", web(3, "all"), "a [] web=1\nb [] web=2", &[]),
        (
            "what is missing goes to the emptiest",
            web(5, "all"),
            "a [] web=3\nb [] web=1",
            &["scale component web on b to 2"],
        ),
        (
            "a host that two spreads match gets the sum, as one command",
            web(4, "zone=eu all"),
            "a [zone=eu]",
            &["scale component web on a to 4"],
        ),
        (
            "a spread without a host is blocked, and the others still run",
            web(4, "zone=mars zone=eu"),
            "a [zone=eu]",
            &[
                "scale component web on a to 2",
                "blocked: web: NoEligibleHosts: spread zone=mars finds no host that takes work and \
                 is labelled zone=mars",
            ],
        ),
        (
            "an ineligible host is drained after its replacement is up",
            web(2, "zone=eu"),
            "a [zone=eu]\nb [zone=us] web=2",
            &[
                "scale component web on a to 2",
                "later: stop component web on b waits for what is newly wanted to be in place",
            ],
        ),
        (
            "and then it goes",
            web(2, "zone=eu"),
            "a [zone=eu] web=2\nb [zone=us] web=2",
            &["stop component web on b"],
        ),
        (
            "without a replacement it stays",
            web(2, "zone=eu"),
            "b [zone=us] web=2",
            &[
                "later: stop component web on b waits for what is newly wanted to be in place",
                "blocked: web: NoEligibleHosts: spread zone=eu finds no host that takes work and \
                 is labelled zone=eu",
            ],
        ),
    ];
    check(&cases);
}

#[test]
fn daemons_providers_and_hosts_that_are_not_well() {
    let cases: [Case; 4] = [
        (
            "a daemon runs on every eligible host",
            nothing().daemon(WorkloadKind::Component, "web", "v1", 2, "zone=eu"),
            "a [zone=eu] web=2\nb [zone=eu]\nc [zone=us]",
            &["scale component web on b to 2"],
        ),
        (
            "more providers than hosts",
            nothing().provider("http", "v1", 3, "zone=eu"),
            "a [zone=eu] ~http=1\nb [zone=eu]\nc [zone=us]",
            &[
                "start provider http on b",
                "blocked: http: TooFewHosts: spread zone=eu asks for 3 hosts, one for each \
                 provider, and 2 are labelled zone=eu",
            ],
        ),
        (
            "a busy host keeps what it has and gets nothing new",
            web(4, "all"),
            "a(Mute) [] web=1\nb []\nc(Mute) []",
            &["scale component web on b to 3"],
        ),
        (
            "what an unreachable host ran still counts",
            web(2, "all"),
            "a(Unreachable) [] web=1\nb [] web=1",
            &["blocked: web: HostUnreachable: host a should run it and doesn't answer"],
        ),
    ];
    check(&cases);
}

#[test]
fn a_change_of_image_goes_host_by_host() {
    let cases: [Case; 6] = [
        (
            "one host at a time",
            web2(2, "all"),
            "a [] web=1\nb [] web=1",
            &[
                "stop component web on a",
                "later: stop component web on b waits for what is newly wanted to be in place",
            ],
        ),
        (
            "gone → start, and the next waits",
            web2(2, "all"),
            "a []\nb [] web=1",
            &[
                "scale component web on a to 1",
                "later: stop component web on b waits for what is newly wanted to be in place",
            ],
        ),
        (
            "up → the next",
            web2(2, "all"),
            "a [] web=1@v2\nb [] web=1",
            &["stop component web on b"],
        ),
        (
            "one host of several: elsewhere first",
            web2(1, "all"),
            "a [] web=1\nb []",
            &[
                "scale component web on b to 1",
                "later: stop component web on a waits for what is newly wanted to be in place",
            ],
        ),
        (
            "then the old goes",
            web2(1, "all"),
            "a [] web=1\nb [] web=1@v2",
            &["stop component web on a"],
        ),
        (
            "the only host there is",
            web2(1, "all"),
            "a [] web=1",
            &[
                "stop component web on a",
                "blocked: web: UnavoidableGap: a is the only host that can run web, which stops for a \
             moment to change",
            ],
        ),
    ];
    check(&cases);
}

#[test]
fn another_config_list_is_one_scale_of_a_component_and_a_restart_of_a_provider() {
    let scaling = |instances| Scaling::Spread { instances, spread: super::support::spread("all") };
    let desired = nothing()
        .workload(WorkloadKind::Component, "web", "v1", scaling(2), &["given"])
        .workload(WorkloadKind::Provider, "http", "v1", scaling(2), &["given"]);
    let observed = lattice("a [] web=1 ~http=1\nb [] web=1 ~http=1");
    assert_eq!(
        lines(&plan_of(&desired, &[], &observed)),
        [
            "stop provider http on a",
            "scale component web on a to 1",
            "scale component web on b to 1",
            "later: stop provider http on b waits for what is newly wanted to be in place",
        ]
    );
}

#[test]
fn config_then_links_then_providers_then_components() {
    let scaling = |instances| Scaling::Spread { instances, spread: super::support::spread("all") };
    let desired = nothing()
        .config("web-config", "1")
        .config("route", "/")
        .workload(WorkloadKind::Component, "web", "v1", scaling(1), &["web-config"])
        .component("alone", "v1", 1, "all")
        .provider("http", "v1", 1, "all")
        .link("http", "web", &["route"]);
    let mut observed = lattice("a []");
    observed.configs = OrdMap::from_iter([(config("web-config"), None), (config("route"), None)]);
    let plan = |observed: &Observed| lines(&plan_of(&desired, &[], observed));
    assert_eq!(
        plan(&observed),
        [
            "put config route",
            "put config web-config",
            "scale component alone on a to 1",
            "later: put link http -(wasi:http, default)-> web waits for config route",
            "later: start provider http on a waits for link http -(wasi:http, default)->",
            "later: scale component web on a to 1 waits for config web-config and link http -(wasi:http, \
         default)-> and http to be running",
        ]
    );

    let shown = |value: &str| Some(Arc::new([("value".to_owned(), value.to_owned())].into()));
    observed.configs =
        OrdMap::from_iter([(config("web-config"), shown("1")), (config("route"), shown("/"))]);
    assert_eq!(plan(&observed)[0], "put link http -(wasi:http, default)-> web");

    observed.links = Links::Read(LinkMap::from_iter([link("http", "web", &["route"])]));
    observed.links_written.note(id("http"), at(1000));
    let starting = plan(&observed);
    assert_eq!(starting[0], "scale component alone on a to 1");
    assert!(starting[1].ends_with("a provider that boots can miss some"), "{starting:?}");

    let inputs = plan_at(&desired, &[], &observed, at(1001));
    assert_eq!(lines(&inputs)[0], "start provider http on a");
}

#[test]
fn what_is_wanted_no_more_goes_in_reverse() {
    let former = nothing()
        .config("route", "/")
        .component("web", "v1", 1, "all")
        .provider("http", "v1", 1, "all")
        .link("http", "web", &["route"]);
    let mut observed = lattice("a [] web=1 ~http=1");
    observed.links = Links::Read(former.links.clone().into_iter().collect());
    let route = Some(Arc::new([("value".to_owned(), "/".to_owned())].into()));
    observed.configs = OrdMap::from_iter([(config("route"), route)]);
    let plan =
        |observed: &Observed| lines(&plan_of(&nothing(), std::slice::from_ref(&former), observed));
    assert_eq!(
        plan(&observed),
        [
            "stop component web on a",
            "later: stop provider http on a waits for web to be gone from a",
            "later: delete link http -(wasi:http, default)-> waits for http to be gone from a and web to \
         be gone from a",
            "later: delete config route waits for what is newly wanted to be in place",
        ]
    );
    observed.set_inventory(&host("a"), Some(crate::model::Inventory::default()), at(1));
    assert_eq!(plan(&observed)[0], "delete link http -(wasi:http, default)->");
    observed.links = Links::Read(LinkMap::new());
    assert_eq!(plan(&observed), ["delete config route"]);
}

#[test]
fn nothing_goes_before_the_new_revision_has_succeeded() {
    let (desired, observed) = (nothing(), lattice("a [] web=1"));
    let (claims, former) = (claims(&desired), [Arc::new(web(1, "all"))]);
    let inputs = Inputs {
        desired: &desired,
        former: &former,
        observed: &observed,
        claims: &claims,
        removal: Removal::Hold,
        time: at(1000),
    };
    assert_eq!(
        lines(&plan(&inputs)),
        ["later: stop component web on a waits for what is newly wanted to be in place"]
    );
}

#[test]
fn regression_a_removal_that_has_failed_does_not_hold_up_what_it_waits_for() {
    let (desired, former) = (nothing(), nothing().config("route", "/"));
    let mut observed = lattice("a []");
    let values = Arc::new([("value".to_owned(), "/".to_owned())].into());
    observed.configs.insert(config("route"), Some(values));
    fail(&mut observed, &Command::DeleteConfig { name: config("route") }, 2, at(1010));
    let (claims, former) = (claims(&desired), [Arc::new(former)]);
    let lines = |removal| {
        let (desired, former, observed) = (&desired, &former[..], &observed);
        let inputs = Inputs { desired, former, observed, claims: &claims, removal, time: at(1000) };
        lines(&plan(&inputs))
    };
    assert_eq!(
        lines(Removal::Hold),
        ["later: delete config route waits for what is newly wanted to be in place"]
    );
    assert!(lines(Removal::Allowed).iter().any(|line| line.contains("route: Failing")));
}

#[test]
fn what_is_not_ours_gets_no_command() {
    let plan = plan_of(&web(2, "all"), &[], &lattice("a [] web=1@v1!\nb []"));
    assert_eq!(
        lines(&plan),
        ["blocked: web: NotOwned: what runs under this id on host a belongs to other/app \
         (installation trellis): stop it, give this component another `id`, or take it up with the \
         annotation lattice.oam.dev/adopt: \"true\""]
    );
    assert_eq!(plan.progress[&id("web")].ready, 0);
}

#[test]
fn a_contested_id_stays_with_whom_the_lattice_shows_then_with_the_older() {
    let (ours, mut theirs) = (web(1, "all"), web(1, "all"));
    theirs.owner = super::support::owner("other/app");
    let mut claims = Claims::default();
    let created = |at| Created { at, uid: "u".into() };
    claims.set(&app(APP), created(2), Arc::new(ours));
    claims.set(&app("other/app"), created(1), Arc::new(theirs));
    let holder = |observed: &Observed| claims.holder(&id("web"), observed).unwrap().to_string();
    assert_eq!(holder(&lattice("a []")), "other/app", "the older");
    assert_eq!(holder(&lattice("a [] web=1")), APP, "whose annotations it carries");
    let mut starting = lattice("a []");
    starting.in_flight = in_flight(&wanted(&web(1, "all"), "a", 1), at(0), at(9));
    assert_eq!(holder(&starting), APP, "whose command is unresolved");
    let version = claims.version();
    claims.remove(&app("other/app"));
    assert!(claims.version() > version);
    assert_eq!(claims.holder(&id("web"), &lattice("a []")), Some(&app(APP)));
}

#[test]
fn a_lane_with_an_unresolved_command_gets_only_that_one_again() {
    let command = wanted(&web(1, "all"), "a", 1);
    let mut observed = lattice("a []");
    observed.in_flight = in_flight(&command, at(0), at(60));
    // Another image is wanted meanwhile.
    let at_time = |observed: &Observed, seconds| {
        let plan = plan_at(&web2(1, "all"), &[], observed, at(seconds));
        (lines(&plan), plan.now.first().map(|planned| planned.command.clone()))
    };
    assert_eq!(
        at_time(&observed, 59).0,
        [
            "later: scale component web on a to 1 waits for the outcome of: scale component web on a to 1"
        ]
    );
    assert_eq!(at_time(&observed, 60).1, None, "not before its host was looked at since");
    observed.set_inventory(&host("a"), Some(crate::model::Inventory::default()), at(61));
    assert_eq!(at_time(&observed, 61).1, Some(command), "the very same, of the old image");
}

#[test]
fn a_failure_delays_the_same_and_not_what_mends_it() {
    let mut observed = lattice("a []");
    fail(&mut observed, &wanted(&web(1, "all"), "a", 1), 1, at(1010));
    let plan = plan_of(&web(1, "all"), &[], &observed);
    assert_eq!(
        lines(&plan),
        [
            "later: scale component web on a to 1 waits for the delay after 1 failures, the last: no such \
         image",
            "blocked: web: Failing: failed once to scale component web on a to 1: no such image. It is tried \
             again with a growing delay; if the image is at fault, correct properties.image of \
             component web",
        ]
    );
    assert_eq!(plan.wake_at, Some(at(1010)));
    assert_eq!(lines(&plan_of(&web2(1, "all"), &[], &observed)), ["scale component web on a to 1"]);
}

/// A start of the old that was sent twice can come after its stop, and before the start of the new,
/// which then fails because the place is taken.
#[test]
fn the_old_that_came_in_between_goes_though_the_new_failed_there() {
    let mut observed = lattice("a [] web=1");
    let new = web2(1, "all");
    fail(&mut observed, &wanted(&new, "a", 1), 1, at(1010));
    assert_eq!(lines(&plan_of(&new, &[], &observed))[0], "stop component web on a");
    let mut observed = lattice("a [] web=1\nb []");
    fail(&mut observed, &wanted(&web2(2, "all"), "b", 1), 1, at(1010));
    assert_eq!(
        lines(&plan_of(&web2(2, "all"), &[], &observed))[0],
        "later: stop component web on a waits for what is newly wanted to be in place",
        "what failed where nothing runs is a fault of the new"
    );
}

#[test]
fn a_host_that_failed_three_times_gives_its_share_to_others_until_its_delay_is_over() {
    let mut observed = lattice("a [] web=1\nb []\nc []");
    fail(&mut observed, &wanted(&web(2, "all"), "b", 1), 3, at(1010));
    let plan = plan_of(&web(2, "all"), &[], &observed);
    assert_eq!(
        lines(&plan),
        [
            "scale component web on c to 1",
            "blocked: web: Failing: failed 3 times to scale component web on b to 1: no such image. It is tried \
             again with a growing delay; if the image is at fault, correct properties.image of \
             component web",
        ]
    );
    assert_eq!(plan.wake_at, Some(at(1010)));
}

#[test]
fn regression_a_host_that_failed_is_not_reported_once_others_have_its_share_and_its_delay_is_over()
{
    let mut observed = lattice("a [] web=1\nb []\nc [] web=1");
    fail(&mut observed, &wanted(&web(2, "all"), "b", 1), 3, at(1010));
    let lines_at = |seconds| lines(&plan_at(&web(2, "all"), &[], &observed, at(seconds)));
    assert!(lines_at(1009)[0].starts_with("blocked: web: Failing"));
    assert_eq!(lines_at(1010), [""; 0], "nobody tries it again");
}

#[test]
fn where_every_host_fails_the_failures_say_why_and_no_host_is_said_to_lack() {
    let mut observed = lattice("a []\nb [zone=eu]");
    fail(&mut observed, &wanted(&web(2, "all"), "a", 1), 3, at(1010));
    fail(&mut observed, &wanted(&web(2, "all"), "b", 1), 3, at(1010));
    let failing = |host| {
        format!(
            "blocked: web: Failing: failed 3 times to scale component web on {host} to 1: no such \
             image. It is tried again with a growing delay; if the image is at fault, correct \
             properties.image of component web"
        )
    };
    let all = lines(&plan_of(&web(2, "all"), &[], &observed));
    assert_eq!(all, [failing("a"), failing("b")]);
    let mars = lines(&plan_of(&web(2, "zone=mars"), &[], &observed));
    assert!(mars[0].starts_with("blocked: web: NoEligibleHosts: spread zone=mars"), "{mars:?}");
}

#[test]
fn a_provider_that_fails_on_one_of_enough_hosts_does_not_lack_hosts() {
    let http = |instances| nothing().provider("http", "v1", instances, "all");
    let mut observed = lattice("a [] ~http=1\nb []");
    let start = plan_of(&http(2), &[], &observed).now[0].command.clone();
    fail(&mut observed, &start, 3, at(1010));
    let two = lines(&plan_of(&http(2), &[], &observed));
    assert!(two.len() == 1 && two[0].starts_with("blocked: http: Failing"), "{two:?}");
    let three = lines(&plan_of(&http(3), &[], &observed));
    let lack = "blocked: http: TooFewHosts: spread all asks for 3 hosts, one for each provider, and \
                2 are in the lattice";
    assert_eq!(three[0], lack, "{three:?}");
}

#[test]
fn nothing_of_the_old_stops_after_a_start_of_the_new_failed() {
    let mut observed = lattice("a []\nb [] web=1\nc [] web=1");
    fail(&mut observed, &wanted(&web2(3, "all"), "a", 1), 1, at(1010));
    let plan = plan_of(&web2(3, "all"), &[], &observed);
    assert!(plan.now.is_empty(), "{plan}");
}

#[test]
fn work_moves_to_a_new_host_after_its_delay_and_only_if_it_is_uneven() {
    let mut observed = lattice("a [] web=2\nb [] web=2\nc []");
    observed.host_mut(&host("c"), |host| host.joined = at(1000));
    let plan = |desired, seconds| plan_at(&desired, &[], &observed, at(seconds));
    let waiting = plan(web(4, "all"), 1059);
    assert!(waiting.is_settled(), "{waiting}");
    assert_eq!(waiting.wake_at, Some(at(1060)));
    assert_eq!(lines(&plan(web(4, "all"), 1060))[0], "scale component web on c to 1");
}

#[test]
fn what_was_told_to_run_fewer_is_no_surplus_though_its_inventory_is_old() {
    let mut observed = lattice("a [] web=1\nb [] web=3\nc [] web=2");
    observed.in_flight = in_flight(&wanted(&web(5, "all"), "c", 1), at(990), at(1060));
    assert_eq!(
        lines(&plan_of(&web(5, "all"), &[], &observed)),
        [
            "scale component web on a to 2",
            "later: scale component web on b to 2 waits for what is newly wanted to be in place",
            "later: scale component web on c to 1 waits for the outcome of: scale component web on c to 1",
        ]
    );
}

#[test]
fn after_a_restart_only_what_every_release_would_ask_for_is_started() {
    let mut observed = lattice("a []");
    observed.unseen_until = at(1060);
    let waits = [
        "later: scale component web on a to 1 waits for what an earlier process may have sent to show",
    ];
    let cases: [(&str, Vec<Desired>, Moment, &[&str]); 4] = [
        ("never released before", vec![], at(0), &["scale component web on a to 1"]),
        ("the same before", vec![web(1, "all")], at(0), &["scale component web on a to 1"]),
        ("another image before", vec![web(1, "all"), web2(1, "all")], at(0), &waits),
        ("seen since", vec![web2(1, "all")], at(1061), &["scale component web on a to 1"]),
    ];
    for (name, former, inventory_at, expected) in cases {
        observed.set_inventory(&host("a"), Some(crate::model::Inventory::default()), inventory_at);
        let plan = plan_of(&web(1, "all"), &former, &observed);
        assert_eq!(lines(&plan), expected, "{name}");
    }
}

#[test]
fn the_gate_decides_what_may_be_sent() {
    let desired = web(1, "zone=eu");
    let shown = "a [zone=eu] web=3\nb [zone=eu]\nc [zone=us] old=1";
    let cases = [
        (Gate::Open, 2),
        (Gate::Settling, 0),
        (Gate::MassLoss { lost: 3 }, 0),
        (Gate::Disconnected { why: "no route".into() }, 0),
    ];
    for (gate, sent) in cases {
        let mut observed = lattice(shown);
        observed.gate = gate.clone();
        let plan = plan_of(&desired, &[], &observed);
        assert_eq!(plan.now.len(), sent, "{gate}: {plan}");
        assert_eq!(plan.later.len(), 2 - sent, "{gate}: {plan}");
    }
}

#[test]
fn a_builtin_provider_is_placed_beside_what_it_is_linked_with() {
    let desired = web(2, "zone=eu")
        .provider("http", "wasmcloud+builtin://http-server", 1, "all")
        .link("http", "web", &[]);
    let mut observed = lattice("a []\nb [zone=eu] web=1\nc [zone=eu] web=1\nd []");
    observed.links = Links::Read(desired.links.clone().into_iter().collect());
    let plan = plan_of(&desired, &[], &observed);
    let on =
        plan.progress[&id("http")].hosts.iter().map(|(host, _)| host).next().unwrap().to_string();
    let other = if on == "b" { "c" } else { "b" };
    assert_eq!(
        lines(&plan),
        [
            format!("start provider http on {on}"),
            format!(
                "blocked: http: NotColocated: a builtin provider reaches only its own host, and what \
             it is linked with also runs on {other}"
            ),
        ]
    );
}

#[test]
fn an_unknown_inventory_is_not_an_empty_one() {
    assert_eq!(
        lines(&plan_of(&web(1, "all"), &[], &lattice("a [] ?"))),
        ["later: scale component web on a to 1 waits for a read of the inventory of host a"]
    );
}

#[test]
fn a_required_config_that_is_missing_is_said() {
    let mut desired = nothing();
    desired.configs.insert(config("given"), crate::model::ConfigWanted::Required);
    let mut observed = lattice("a []");
    observed.configs.insert(config("given"), None);
    let plan = plan_of(&desired, &[], &observed);
    assert_eq!(plan.blocked[0].reason, Reason::ConfigMissing);
    assert!(plan.now.is_empty() && plan.later.is_empty());
}

#[test]
fn why_a_config_cannot_be_read_is_said() {
    let wanted = nothing().config("greeting", "hi");
    let mut observed = lattice("a []");
    observed.configs.remove(&config("greeting"));
    observed.unreadable.insert(config("greeting"), "failed getting entry".into());
    let lines = lines(&plan_of(&wanted, &[], &observed));
    let read = "waits for a read of config greeting, which no host can do: failed getting entry";
    assert!(lines.iter().any(|line| line.ends_with(read)), "{lines:?}");
}

#[test]
fn a_config_that_another_application_names_stays() {
    let former = nothing().config("shared", "1");
    let mut observed = lattice("a []");
    observed.configs.insert(config("shared"), Some(Arc::default()));
    let (desired, former) = (nothing(), [Arc::new(former)]);
    let mut claims = claims(&desired);
    let mut other = Desired::nothing(super::support::owner("other/app"));
    other.configs.insert(config("shared"), crate::model::ConfigWanted::Required);
    let sent = |claims: &Claims| {
        let (desired, former, observed) = (&desired, &former[..], &observed);
        let (removal, time) = (Removal::Allowed, at(1000));
        plan(&Inputs { desired, former, observed, claims, removal, time }).now.len()
    };
    assert_eq!(sent(&claims), 1);
    let created = Created { at: 1, uid: "u".into() };
    claims.set(&app("other/app"), created, Arc::new(other));
    assert_eq!(sent(&claims), 0);
}

/// What `host` runs, with wadm's annotations for an application of this name.
fn by_wadm(observed: &mut crate::model::Observed, on: &str, application: &str) {
    let mut inventory = observed.hosts[&host(on)].inventory.as_deref().unwrap().clone();
    let annotations: Arc<Annotations> = Arc::new(
        [
            (crate::model::MANAGED_BY, "wadm"),
            (crate::model::APPSPEC, application),
            ("wasmcloud.dev/scaler", "ab12"),
        ]
        .into(),
    );
    for running in inventory.components.values_mut() {
        running.annotations = Arc::clone(&annotations);
    }
    observed.set_inventory(&host(on), Some(inventory), at(999));
}

#[test]
fn look_alikes_are_taken_up_only_as_the_annotation_says() {
    use crate::model::Adopt;
    let cases = [
        ("nobody asked", Adopt::Nothing, "front", 2, "blocked"),
        ("wadm's, of the same name", Adopt::Wadm, "front", 2, ""),
        ("wadm's, of another name", Adopt::Wadm, "back", 2, "blocked"),
        ("whoever's", Adopt::Any, "back", 2, ""),
        ("only what differs is changed", Adopt::Any, "front", 3, "scale component web on a to 3"),
        (
            "our annotations need another number",
            Adopt::Restamp,
            "front",
            2,
            "scale component web on a to 3",
        ),
    ];
    for (name, adopt, application, instances, expected) in cases {
        let mut observed = lattice("a [] web=2@v1");
        by_wadm(&mut observed, "a", application);
        let desired = Desired { adopt, ..web(instances, "all") };
        let plan = plan_of(&desired, &[], &observed);
        let text = plan.to_string();
        let commands: Vec<String> = plan.now.iter().map(|p| p.command.to_string()).collect();
        match expected {
            "blocked" => {
                assert!(commands.is_empty() && text.contains("NotOwned"), "{name}: {text}");
            }
            "" => assert!(plan.is_settled(), "{name}: {text}"),
            expected => assert!(commands.concat().contains(expected), "{name}: {text}"),
        }
    }
}

#[test]
fn what_was_taken_up_goes_with_its_application_and_what_was_not_stays() {
    use crate::model::Adopt;
    for (adopt, goes) in [(Adopt::Wadm, true), (Adopt::Nothing, false)] {
        let mut observed = lattice("a [] web=2@v1");
        by_wadm(&mut observed, "a", "front");
        let former = Desired { adopt, ..web(2, "all") };
        let plan = plan_of(&nothing(), &[former], &observed);
        assert_eq!(plan.now.len(), usize::from(goes), "{plan}");
    }
}

/// A workload with a config and a link to another that is shared, and the same on the lattice.
fn with_link_and_config() -> (Desired, Observed) {
    let scaling = Scaling::Spread { instances: 1, spread: super::support::spread("all") };
    let desired = nothing()
        .workload(WorkloadKind::Component, "web", "v1", scaling, &["c"])
        .link("web", "store", &["route"])
        .config("c", "1")
        .config("route", "1");
    let mut observed = lattice("a [] web=1@v1!");
    observed.links = Links::Read([link("web", "store", &["route"])].into_iter().collect());
    for name in ["c", "route"] {
        observed.configs.insert(config(name), Some(Arc::default()));
    }
    (desired, observed)
}

#[test]
fn links_and_configs_of_what_is_not_ours_are_neither_changed_nor_removed() {
    use crate::model::{Adopt, Owner};
    let (desired, observed) = with_link_and_config();
    let other = Owner { installation: "other".into(), ..super::support::owner(APP) };
    let mut elsewhere = observed.clone();
    let mut inventory = elsewhere.hosts[&host("a")].inventory.as_deref().unwrap().clone();
    for running in inventory.components.values_mut() {
        let theirs =
            [(crate::model::INSTALLATION, &*other.installation), (crate::model::APPLICATION, APP)];
        let annotations = running.annotations.iter().chain(theirs).collect();
        running.annotations = Arc::new(annotations);
    }
    elsewhere.set_inventory(&host("a"), Some(inventory), at(999));
    let mut wadm = observed.clone();
    by_wadm(&mut wadm, "a", "front");

    let whose =
        [("an orphan's", observed), ("another installation's", elsewhere), ("wadm's", wadm)];
    for (name, observed) in whose {
        let plan = plan_of(&desired, &[], &observed);
        let reasons: Vec<_> = plan.blocked.iter().map(|it| it.reason).collect();
        assert_eq!((plan.now.len(), &reasons[..]), (0, &[Reason::NotOwned][..]), "{name}: {plan}");
        let plan = plan_of(&nothing(), std::slice::from_ref(&desired), &observed);
        assert!(plan.is_settled(), "{name}: {plan}");

        let adopt = Adopt::Any;
        let plan = plan_of(&nothing(), &[Desired { adopt, ..desired.clone() }], &observed);
        assert!(plan.to_string().contains("delete link"), "{name}: taken up, it goes: {plan}");
    }
}

#[test]
fn a_link_stays_ours_to_remove_when_another_application_has_its_source_by_now() {
    let (former, observed) = with_link_and_config();
    let (desired, former) = (nothing(), [Arc::new(former)]);
    let mut claims = claims(&desired);
    let mut other = web(1, "all");
    other.owner = super::support::owner("other/app");
    claims.set(&app("other/app"), Created { at: 1, uid: "u".into() }, Arc::new(other));
    let (removal, time) = (Removal::Allowed, at(1000));
    let inputs = Inputs {
        desired: &desired,
        former: &former,
        observed: &observed,
        claims: &claims,
        removal,
        time,
    };
    let plan = plan(&inputs).to_string();
    for goes in ["delete link web", "delete config c", "delete config route"] {
        assert!(plan.contains(goes), "{plan}");
    }
}

#[test]
fn a_provider_that_is_not_well_is_restarted_when_it_is_due_one_host_at_a_time() {
    let desired = nothing().provider("http", "v1", 2, "all");
    let mut observed = lattice("a [] ~http=1\nb [] ~http=1");
    let mut plan = |a: Option<u64>, b: Option<u64>, time: u64| {
        observed.unhealthy.clear();
        for (on, due) in [("a", a), ("b", b)] {
            let sick = |due| Unhealthy { sign: Sign::Failed, restarts: 0, due: at(due) };
            let process = (host(on), id("http"));
            observed.unhealthy.extend(due.map(|due| (process, sick(due))));
        }
        let plan = plan_at(&desired, &[], &observed, at(time));
        (lines(&plan), plan.wake_at)
    };
    let sick = |on: &str| {
        format!(
            "blocked: http: Unhealthy: its process on host {on} says that it is unhealthy; it is \
             restarted if that lasts"
        )
    };
    assert_eq!(plan(None, None, 100), (Vec::new(), None));
    assert_eq!(plan(Some(130), None, 100), (vec![sick("a")], Some(at(130))));
    let stop = "stop provider http on a".to_owned();
    assert_eq!(plan(Some(130), None, 130), (vec![stop.clone(), sick("a")], None));
    let later = "later: stop provider http on b waits for what is newly wanted to be in place";
    let both = vec![stop, later.to_owned(), sick("a"), sick("b")];
    assert_eq!(plan(Some(100), Some(100), 130), (both, None));
}
