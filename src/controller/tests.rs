//! The pure parts together: a spec and a lattice in, a status and events out.
use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::{
    decision::{Decision, Plans, Run, Sight, World, decide},
    events::transitions,
    refusal::{Refusal, Stage},
    status::{self, Facts, condition, is_true},
};
use crate::{
    api::{ApplicationStatus, Instances, Phase, RevisionName},
    appfile::{self, Appfile, Manifest, Stamp, Target},
    lattice::wire::Snapshot,
    model::{ApplicationKey, Desired, Gate, LatticeName, Moment, Observed, Owner},
    placement::{Claims, Created},
    workflow,
};

const NOON: &str = "2026-01-01T12:00:00Z";

fn appfile(instances: u32) -> Appfile {
    appfile_of(&[component("web", &json!({ "instances": instances }))])
}

fn component(name: &str, spread: &Value) -> Value {
    json!({
        "name": name,
        "type": "component",
        "properties": { "image": "registry.example/web:1" },
        "traits": [{ "type": "spreadscaler", "properties": spread }],
    })
}

fn appfile_of(components: &[Value]) -> Appfile {
    let spec = json!({ "components": components });
    let none = BTreeMap::new();
    let manifest = Manifest {
        namespace: "default",
        name: "shop",
        labels: &none,
        annotations: &none,
        spec: &spec,
    };
    appfile::parse(&manifest).unwrap()
}

fn lattice() -> LatticeName {
    "edge".parse().unwrap()
}

/// One host, which runs `instances` of what the Appfile wants.
fn observed(app: &Appfile, instances: u32) -> Observed {
    let desired = app.desired(&stamp(), [&app.key.namespace]);
    let (id, workload) = desired.workloads.first_key_value().unwrap();
    let running = json!([{
        "id": id.as_str(), "image_ref": &*workload.image, "annotations": workload.annotations,
        "max_instances": instances, "revision": 0,
    }]);
    let components = if instances == 0 { json!([]) } else { running };
    snapshot(&json!({ "hosts": [{
        "host_id": "NA", "friendly_name": "one", "labels": {}, "version": "1.9.2",
        "uptime_seconds": 100, "components": components, "providers": [],
    }] }))
}

fn snapshot(inventory: &Value) -> Observed {
    let text = inventory.to_string();
    Snapshot::parse(text.as_bytes()).unwrap().into_observed(lattice(), at(100))
}

fn at(seconds: u64) -> Moment {
    Moment(Duration::from_secs(seconds))
}

fn stamp() -> Stamp {
    let application = ApplicationKey::new("default", "shop");
    let owner = Owner { installation: "trellis".into(), application };
    Stamp { owner, uid: "".into(), revision: "shop-v1".into(), shared: Vec::new() }
}

fn world(app: &Appfile, observed: Observed, finished: bool) -> World {
    let desired = Arc::new(app.desired(&stamp(), [&app.key.namespace]));
    let mut claims = Claims::default();
    claims.set(&app.key, Created { at: 0, uid: "a".into() }, Arc::clone(&desired));
    let namespace = Arc::clone(&app.key.namespace);
    let targets = [Target { lattice: lattice(), namespace, topologies: Vec::new() }];
    let sight = Sight {
        desired,
        former: Vec::new(),
        observed: Arc::new(observed),
        claims: Arc::new(claims),
        time: at(200),
    };
    World {
        steps: workflow::generate(app, &targets),
        run: if finished { Run::Finished } else { Run::Underway },
        sights: BTreeMap::from([(lattice(), sight)]),
    }
}

fn report(
    before: &ApplicationStatus,
    world: &World,
    decision: &Decision,
    refusal: Option<&Refusal>,
) -> ApplicationStatus {
    let revision = RevisionName { name: "shop-v1".into(), revision: 1, revision_hash: "h".into() };
    status::compute(&Facts {
        generation: Some(1),
        before,
        refusal,
        revision: Some(&revision),
        world,
        decision,
        warnings: &[],
        types: &BTreeMap::from([("web".into(), "component".into())]),
        paused: false,
        token: None,
        now: NOON,
    })
}

fn reason<'a>(status: &'a ApplicationStatus, type_: &str) -> &'a str {
    condition(status, type_).and_then(|c| c.reason.as_deref()).unwrap_or_default()
}

#[test]
fn a_status_tells_how_far_an_application_is() {
    let app = appfile(2);
    let cases = [
        // running, seen whole before, phase, ready, reason of Ready
        (0, false, Phase::RunningWorkflow, "0/1", "Progressing"),
        (1, false, Phase::RunningWorkflow, "0/1", "Progressing"),
        (2, false, Phase::Running, "1/1", "Running"),
        (2, true, Phase::Running, "1/1", "Running"),
        (1, true, Phase::Unhealthy, "0/1", "Progressing"),
    ];
    for (running, finished, phase, ready, why) in cases {
        let world = world(&app, observed(&app, running), finished);
        let decision = decide(&world, &mut Plans::default());
        let status = report(&ApplicationStatus::default(), &world, &decision, None);
        let name = format!("{running} running, finished {finished}");
        assert_eq!(status.status, Some(phase), "{name}");
        assert_eq!(status.summary.as_ref().unwrap().ready, ready, "{name}");
        assert_eq!(reason(&status, "Ready"), why, "{name}");
        assert_eq!(is_true(&status, "Ready"), phase == Phase::Running, "{name}");
    }
}

#[test]
fn regression_what_ran_on_a_lattice_that_went_away_was_said_to_run() {
    let app = appfile(2);
    let mut seen = observed(&app, 2);
    seen.gate = Gate::Disconnected { why: "no route".into() };
    let world = world(&app, seen, true);
    let decision = decide(&world, &mut Plans::default());
    let status = report(&ApplicationStatus::default(), &world, &decision, None);
    assert_eq!(status.status, Some(Phase::Unhealthy));
    assert_eq!(reason(&status, "Ready"), "LatticeUnavailable");
    assert_eq!(status.summary.unwrap().ready, "0/1");
    let [web] = status.services.as_slice() else { panic!("{:?}", status.services) };
    assert_eq!(web.instances, Instances { desired: 2, ready: 2 });
    assert_eq!(web.message, "2 of 2 instances ready when last seen: not connected: no route");
}

#[test]
fn a_step_waits_for_what_blocks_its_own_components_only() {
    let mars = json!({ "instances": 1, "spread": [{ "name": "mars", "requirements": { "planet": "mars" } }] });
    let app = appfile_of(&[component("web", &json!({ "instances": 2 })), component("x", &mars)]);
    let decision = decide(&world(&app, observed(&app, 2), false), &mut Plans::default());
    let [web, x] = decision.steps.as_slice() else { panic!("{:?}", decision.steps) };
    assert!(web.succeeded, "{web:?}");
    assert!(x.message.starts_with("NoEligibleHosts"), "{x:?}");
}

#[test]
fn a_step_waits_for_no_link_that_goes_with_its_target() {
    let mut calling = component("web", &json!({ "instances": 2 }));
    calling["traits"].as_array_mut().unwrap().push(json!({ "type": "link", "properties": {
        "target": "api", "namespace": "example", "package": "api", "interfaces": ["call"],
    } }));
    let before = appfile_of(&[calling, component("api", &json!({ "instances": 1 }))]);
    let former = Arc::new(before.desired(&stamp(), [&before.key.namespace]));
    let components: Vec<_> = (former.workloads.iter())
        .map(|(id, workload)| {
            json!({
                "id": id.as_str(), "image_ref": &*workload.image, "annotations": workload.annotations,
                "max_instances": if id.as_str().ends_with("web") { 2 } else { 1 }, "revision": 0,
            })
        })
        .collect();
    let seen = snapshot(&json!({
        "hosts": [{
            "host_id": "NA", "friendly_name": "one", "labels": {}, "version": "1.9.2",
            "uptime_seconds": 100, "components": components, "providers": [],
        }],
        "links": [{
            "source_id": "default-shop-web", "target": "default-shop-api", "name": "default",
            "wit_namespace": "example", "wit_package": "api", "interfaces": ["call"],
        }],
    }));
    let mut world = world(&appfile(2), seen, false);
    world.sights.get_mut(&lattice()).unwrap().former = vec![former];
    let decision = decide(&world, &mut Plans::default());
    assert!(decision.finished, "{:?}", decision.steps);
    let now: Vec<_> =
        decision.plans[&lattice()].now.iter().map(|p| p.command.to_string()).collect();
    assert_eq!(now, ["stop component default-shop-api on NA"]);
}

#[test]
fn equal_facts_give_an_equal_status_at_any_time() {
    let app = appfile(2);
    let world = world(&app, observed(&app, 2), true);
    let decision = decide(&world, &mut Plans::default());
    let first = report(&ApplicationStatus::default(), &world, &decision, None);
    assert_eq!(report(&first, &world, &decision, None), first);
    assert_eq!(transitions(&first, &first), []);
}

#[test]
fn a_refused_spec_is_stalled_with_its_problems_and_says_so_once() {
    let app = appfile(2);
    let world = world(&app, observed(&app, 2), true);
    let decision = decide(&world, &mut Plans::default());
    let running = report(&ApplicationStatus::default(), &world, &decision, None);
    let problems = appfile::parse_document(&json!({ "spec": {} }), "default").unwrap_err();
    let refusal = Refusal { stage: Stage::Parse, problems };
    let refused = report(&running, &world, &decision, Some(&refusal));
    assert_eq!(refused.status, Some(Phase::Starting));
    assert!(!is_true(&refused, "Parsed") && !is_true(&refused, "Ready"));
    assert!(is_true(&refused, "Stalled"));
    assert_eq!(refused.services, running.services, "what was released goes on");
    let events = transitions(&running, &refused);
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].reason.as_str(), events[0].warning), ("FailedParse", true));
    let stays = "revision shop-v1 stays in force, and is repaired where it runs";
    assert!(events[0].note.ends_with(stays), "{}", events[0].note);
    assert_eq!(transitions(&refused, &refused), []);
}

#[test]
fn what_other_lattices_pull_away_is_told_once() {
    let app = appfile(2);
    let world = world(&app, observed(&app, 2), true);
    let decision = decide(&world, &mut Plans::default());
    let here = report(&ApplicationStatus::default(), &world, &decision, None);
    let on = |lattice: &str| {
        let mut there = here.clone();
        there.released.iter_mut().for_each(|it| it.lattice = lattice.into());
        there
    };
    let events = transitions(&on("east"), &on("west"));
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!((events[0].reason.as_str(), events[0].warning), ("LatticeChanged", false));
    let note = "goes to lattice west instead of east, and leaves east once it runs there: ";
    assert!(events[0].note.starts_with(note), "{}", events[0].note);
    assert_eq!(transitions(&on("west"), &on("west")), []);
    let mut edited = on("west");
    edited.latest_revision.as_mut().unwrap().name = "shop-v2".into();
    let reasons: Vec<_> = transitions(&on("east"), &edited).into_iter().map(|e| e.reason).collect();
    assert_eq!(reasons, ["Revisioned"], "who edits it knows");
}

#[test]
fn losing_and_regaining_instances_is_degraded_and_recovered() {
    let app = appfile(2);
    let at = |running| {
        let world = world(&app, observed(&app, running), true);
        let decision = decide(&world, &mut Plans::default());
        (world, decision)
    };
    let (world, decision) = at(2);
    let well = report(&ApplicationStatus::default(), &world, &decision, None);
    let (world, decision) = at(1);
    let ill = report(&well, &world, &decision, None);
    let (world, decision) = at(2);
    let again = report(&ill, &world, &decision, None);
    let reasons = |before, after| -> Vec<String> {
        transitions(before, after).into_iter().map(|event| event.reason).collect()
    };
    assert_eq!(reasons(&well, &ill), ["Degraded"]);
    assert_eq!(reasons(&ill, &again), ["Recovered"]);
}

#[test]
fn nothing_counts_as_gone_while_a_lattice_is_not_whole() {
    let app = appfile(2);
    let mut nothing = app.clone();
    nothing.components.clear();
    for (gate, settled) in [
        (Gate::Open, true),
        (Gate::Settling, false),
        (Gate::Disconnected { why: "no route".into() }, false),
    ] {
        let mut seen = snapshot(&json!({}));
        seen.gate = gate.clone();
        let world = world(&nothing, seen, true);
        let decision = decide(&world, &mut Plans::default());
        assert_eq!(decision.settled, settled, "{gate:?}");
    }
}

#[test]
fn what_runs_stays_while_nobody_knows_what_is_wanted() {
    let app = appfile(2);
    let mut world = world(&app, observed(&app, 2), false);
    let sight = world.sights.get_mut(&lattice()).unwrap();
    sight.desired = Arc::new(Desired::nothing(stamp().owner));
    world.steps.clear();
    for (run, commands) in [(Run::Unknown, 0), (Run::Finished, 1)] {
        world.run = run;
        let decision = decide(&world, &mut Plans::default());
        assert_eq!(decision.plans[&lattice()].now.len(), commands, "{run:?}");
        assert_eq!(decision.finished, run == Run::Finished, "{run:?}");
    }
}

#[test]
fn a_pass_that_changes_nothing_plans_nothing() {
    let app = appfile(2);
    let world = world(&app, observed(&app, 2), true);
    let mut plans = Plans::default();
    let first = decide(&world, &mut plans);
    let again = decide(&world, &mut plans);
    let plan = |decision: &Decision| Arc::clone(&decision.plans[&lattice()]);
    assert!(Arc::ptr_eq(&plan(&first), &plan(&again)));
}

#[test]
fn an_error_is_told_in_one_line_and_a_refusal_of_the_api_server_in_its_words_alone() {
    #[derive(Debug, thiserror::Error)]
    #[error("could not {0}")]
    struct Step(&'static str, #[source] Box<kube::Error>);
    let refused = kube::core::Status::failure("leases \"a\" is forbidden", "Forbidden");
    let refused = Step("look", Box::new(kube::Error::Api(Box::new(refused))));
    assert_eq!(super::chain(&refused), "could not look: leases \"a\" is forbidden");

    let nothing = kube::core::Status::failure("", "Forbidden");
    let nothing = super::chain(&kube::Error::Api(Box::new(nothing)));
    assert!(nothing.contains("Forbidden"), "{nothing}");

    let late = kube::Error::Service("connection refused".into());
    let line = super::chain(&Step("look", Box::new(late)));
    assert_eq!(line, "could not look: ServiceError: connection refused");
}
