//! The chart grants what the operator needs, and nothing that it doesn't.
use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt, api::PostParams};
use serde_json::{Value, json};
use trellis::{
    api::Lattice,
    preflight::{self, Place},
};

use super::{
    audit,
    guard::guard,
    installed::role,
    simulated::{SHOP, lattice},
    stage::{NATS_USER, Stage},
};

/// A verb on a resource, on one object where the right names it, in one namespace where it is of a
/// Role.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Right {
    namespace: Option<String>,
    resource: String,
    name: Option<String>,
    verb: String,
}

/// So many releases that the oldest of their revisions are deleted.
const RELEASES: usize = 12;
/// What the check looks at itself, and can do without.
const OF_THE_CHECK: [&str; 2] =
    ["customresourcedefinitions.apiextensions.k8s.io", "apiservices.apiregistration.k8s.io"];

/// All that an operator's life has: a Lattice, an Application that changes, and the end of both.
async fn live(stage: &Stage) {
    stage.put_first_lattice().await;
    let _sim = lattice(stage, 2).await;
    stage.start_operator().await;
    for release in 1..=RELEASES {
        let count = format!("instances: {release}");
        stage.apply(&SHOP.replace("NAME", "shop").replace("instances: 2", &count)).await;
        stage.settled("shop").await;
    }
    // What `helm test` runs.
    let check = stage.installed().await.run(&stage.kube, "Pod").await;
    assert_eq!((check.code, check.stdout.lines().count()), (0, 1), "{check:?}");
    assert!(guard(stage).await.unwrap_err().contains(&format!("Application {}/shop", stage.name)));
    stage.delete("shop").await;
    // The guard watches the Lattice for as long as nobody lets go of it.
    stage.stop_operator().await;
    let going = |lattice: &Lattice| lattice.metadata.deletion_timestamp.is_some();
    let begun = async {
        stage.lattice_until("the Lattice to be deleted", going).await;
        stage.start_operator().await;
    };
    let (guarded, ()) = tokio::join!(guard(stage), begun);
    guarded.unwrap();
}

/// What the roles of `objects` grant that are bound to `account`.
fn granted(objects: &[Value], account: &str) -> BTreeSet<Right> {
    let bound = objects.iter().filter(|object| {
        let subjects = object["subjects"].as_array();
        subjects.is_some_and(|all| all.iter().any(|subject| subject["name"] == account))
    });
    bound.flat_map(|binding| rights(role(objects, binding))).collect()
}

/// What `trellis check` says that the operator of `stage` needs.
fn listed(stage: &Stage, watched: &[&str]) -> BTreeSet<Right> {
    let scope = preflight::Scope {
        watched: watched.iter().map(|name| (*name).to_owned()).collect(),
        own: stage.name.clone(),
        class: Some(stage.name.clone()),
        lease: Some(format!("trellis-{}", stage.name)),
    };
    let rights = preflight::rights(&scope, &[NATS_USER.to_owned()]);
    let as_granted = |right: preflight::Right| Right {
        namespace: match right.place {
            Place::Cluster => None,
            Place::Namespace(name) => Some(name),
        },
        resource: format!("{}.{}", right.resource, right.group),
        name: right.name,
        verb: right.verb.to_owned(),
    };
    rights.into_iter().map(as_granted).collect()
}

/// What the chart grants the operator beside what is for the check itself.
fn needed(objects: &[Value], stage: &Stage) -> BTreeSet<Right> {
    let mut granted = granted(objects, &stage.name);
    granted.retain(|it| !OF_THE_CHECK.contains(&it.resource.as_str()));
    granted
}

fn rights(role: &Value) -> Vec<Right> {
    let texts = |value: &Value| -> Vec<String> {
        let all = value.as_array().into_iter().flatten();
        all.map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let namespace = role["metadata"]["namespace"].as_str().map(str::to_owned);
    let mut rights = Vec::new();
    for rule in role["rules"].as_array().unwrap() {
        let names = texts(&rule["resourceNames"]);
        let names: Vec<_> =
            if names.is_empty() { vec![None] } else { names.into_iter().map(Some).collect() };
        for (group, resource) in product(&texts(&rule["apiGroups"]), &texts(&rule["resources"])) {
            for (name, verb) in product(&names, &texts(&rule["verbs"])) {
                let resource = format!("{resource}.{group}");
                rights.push(Right { namespace: namespace.clone(), resource, name, verb });
            }
        }
    }
    rights
}

fn product<A: Clone, B: Clone>(one: &[A], other: &[B]) -> Vec<(A, B)> {
    one.iter().flat_map(|a| other.iter().map(|b| (a.clone(), b.clone()))).collect()
}

/// Whether `request` needed `right`.
fn used(right: &Right, request: &Value) -> bool {
    let object = &request["objectRef"];
    let group = object["apiGroup"].as_str().unwrap_or_default();
    right.verb == request["verb"]
        && right.resource == format!("{}.{group}", audit::resource(request))
        && right.name.as_ref().is_none_or(|name| object["name"] == **name)
        && right.namespace.as_ref().is_none_or(|namespace| object["namespace"] == **namespace)
}

/// Tells every right of `account` with the first request that needed it; those that none did.
fn unused(namespace: &str, account: &str, objects: &[Value]) -> Vec<Right> {
    let requests = audit::requests(namespace, account);
    let mut unused = Vec::new();
    for right in granted(objects, account) {
        let by = requests.iter().find(|request| used(&right, request));
        let by = by.map(|request| request["requestURI"].as_str().unwrap());
        let Right { namespace, resource, name, verb } = &right;
        let place = namespace.as_deref().unwrap_or("*");
        let name = name.as_deref().unwrap_or("*");
        println!("{place:20} {verb:6} {resource:40} {name:10} {}", by.unwrap_or("never used"));
        if by.is_none() {
            unused.push(right);
        }
    }
    unused
}

#[tokio::test(flavor = "multi_thread")]
async fn every_right_of_the_chart_is_used_and_no_other_is_missed() {
    let stage = Stage::set("rights").await.with_first_lattice().like_deployed();
    live(&stage).await;
    let objects = &stage.installed().await.objects;
    for account in ["rights", "rights-guard"] {
        let unused = unused("rights", account, objects);
        assert!(unused.is_empty(), "the chart grants {account} too much: {unused:#?}");
        assert_eq!(audit::refusals("rights", account), [""; 0]);
    }
    assert_eq!(listed(&stage, &[]), needed(objects, &stage));
}

#[tokio::test(flavor = "multi_thread")]
async fn with_namespaces_named_the_rights_are_in_these_alone() {
    let stage = Stage::set("narrow").await;
    let beside = Namespace {
        metadata: kube::api::ObjectMeta {
            name: Some("narrow-beside".into()),
            ..Default::default()
        },
        ..Namespace::default()
    };
    let namespaces = Api::<Namespace>::all(stage.kube.clone());
    namespaces.create(&PostParams::default(), &beside).await.unwrap();
    let stage = stage.with_values(&[r#"watchNamespaces=["narrow","narrow-beside"]"#]);
    let stage = stage.with_first_lattice().like_deployed();
    live(&stage).await;

    let objects = &stage.installed().await.objects;
    let of_namespaces = ["applications", "applicationrevisions", "events", "secrets", "leases"];
    for account in ["narrow", "narrow-guard"] {
        for right in granted(objects, account) {
            let kind = right.resource.split(['.', '/']).next().unwrap();
            let narrow = right.namespace.is_some() || !of_namespaces.contains(&kind);
            assert!(narrow && (kind != "namespaces" || right.name.is_some()), "{right:?}");
        }
        // Nothing lives in the other namespace, so it could only be looked at.
        let beside = |it: &Right| it.namespace.as_deref() == Some("narrow-beside");
        let looks = |it: &Right| it.verb == "list" || it.verb == "watch";
        let mut unused = unused("narrow", account, objects);
        unused.retain(|right| !beside(right) || looks(right));
        assert!(unused.is_empty(), "the chart grants {account} too much: {unused:#?}");
        assert_eq!(audit::refusals("narrow", account), [""; 0]);
    }
    assert_eq!(listed(&stage, &["narrow", "narrow-beside"]), needed(objects, &stage));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_outside_of_the_named_namespaces_is_left_alone() {
    let stage = Stage::set("inside").await;
    let outside = Stage::set("outside").await;
    let stage = stage.with_values(&[r#"watchNamespaces=["inside"]"#]).like_deployed();
    stage.put_lattice(&json!({})).await;
    let sim = lattice(&stage, 2).await;
    stage.start_operator().await;
    // Everything about it says that it is ours, but for where it is.
    let shop = SHOP.replace("NAME", "shop");
    outside.put_for(&stage.name, &serde_saphyr::from_str(&shop).unwrap()).await;
    stage.apply(&shop).await;
    stage.settled("shop").await;
    let app = outside.applications().get("shop").await.unwrap();
    assert_eq!((app.finalizers(), app.status.is_none()), (&[][..], true));
    assert_eq!(sim.instances("outside-shop-web"), 0);
    stage.delete("shop").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_may_not_be_read_is_said_with_what_to_do_until_it_may() {
    let stage = Stage::set("forbidden").await.may_be_refused().with_secrets(&[""; 0]);
    stage.put_lattice(&json!({})).await;
    stage.start_operator().await;
    let said = "not allowed to read Secret forbidden/nats; add nats to the chart's value `secrets`";
    stage
        .lattice_until("the Lattice to say what is missing", |lattice| {
            let conditions = lattice.status.iter().flat_map(|status| &status.conditions);
            let ready = conditions.into_iter().find(|condition| condition.type_ == "Ready");
            let message = ready.and_then(|ready| ready.message.as_deref());
            message.is_some_and(|message| message.starts_with(said))
        })
        .await;

    let stage = stage.with_secrets(&[NATS_USER]);
    stage.upgrade().await;
    stage
        .lattice_until("the Lattice to be connected", |lattice| {
            let conditions = lattice.status.iter().flat_map(|status| &status.conditions);
            let connected = conditions.into_iter().find(|c| c.type_ == "Connected");
            connected.is_some_and(|c| format!("{:?}", c.status) == "True")
        })
        .await;
}
