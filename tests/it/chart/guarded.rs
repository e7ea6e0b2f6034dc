//! What the guard must not overlook, nor delete, when a release is uninstalled.
use std::{thread, time::Duration};

use parts::{Cluster, ClusterOptions, poll};
use serde_json::{Value, json};

use super::{
    objects,
    site::{Site, application},
};
use crate::trellis::Ended;

const PATIENCE: Duration = Duration::from_secs(30);
const APPLICATIONS: &str = "applications.core.oam.dev";
const REVISIONS: &str = "applicationrevisions.core.oam.dev";
const LATTICES: &str = "lattices.lattice.oam.dev";
const SERVICE: &str = "v1beta1.core.oam.dev";
const IN_USE: &str = r#"--patch={"metadata":{"finalizers":["lattice.oam.dev/in-use"]}}"#;
const NOT_KEPT: &str = "crds.keep=false";
const FIRST: [&str; 2] = ["lattice.create=true", r#"lattice.urls=["nats://a:4222"]"#];

fn crds(site: &Site) -> Vec<String> {
    let names = ["get", "crds", "--output", "jsonpath={.items[*].metadata.name}"];
    site.kubectl(&names).split_whitespace().map(str::to_owned).collect()
}

fn lattice(name: &str, class: Option<&str>, finalizers: &[&str]) -> Value {
    let annotations =
        class.map_or(json!({}), |class| json!({ "lattice.oam.dev/controller-class": class }));
    json!({
        "apiVersion": "lattice.oam.dev/v1alpha1", "kind": "Lattice",
        "metadata": { "name": name, "annotations": annotations, "finalizers": finalizers },
        "spec": { "nats": { "urls": ["nats://a:4222"] } },
    })
}

/// An API server that serves something else of the same group and version, to everybody.
fn stranger() -> Cluster {
    let cluster = Cluster::start(ClusterOptions::default()).unwrap();
    let all = ["create", "clusterrolebinding", "all", "--clusterrole=cluster-admin"];
    cluster.kubectl(&[&all[..], &["--user=system:anonymous"]].concat(), None).unwrap();
    let crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "widgets.core.oam.dev" },
        "spec": {
            "group": "core.oam.dev", "scope": "Namespaced",
            "names": { "kind": "Widget", "plural": "widgets" },
            "versions": [{
                "name": "v1beta1", "served": true, "storage": true,
                "schema": { "openAPIV3Schema": { "type": "object" } },
            }],
        },
    });
    cluster.kubectl(&["apply", "-f", "-"], Some(&crd.to_string())).unwrap();
    cluster
}

/// Has `stranger` answer for our group and version, as what another project left would.
fn hide(site: &Site, stranger: &Cluster) {
    site.put(&json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": "stranger", "namespace": "default" },
        "spec": { "type": "ExternalName", "externalName": "localhost" },
    }));
    let port: u16 = stranger.url().rsplit(':').next().unwrap().parse().unwrap();
    // Applied, it would keep the label by which the API server keeps it as it was.
    site.replace(&json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": { "name": SERVICE },
        "spec": {
            "group": "core.oam.dev", "version": "v1beta1",
            "groupPriorityMinimum": 2100, "versionPriority": 100, "insecureSkipTLSVerify": true,
            "service": { "name": "stranger", "namespace": "default", "port": port },
        },
    }));
    let answered = poll(PATIENCE, || {
        let listed = site.try_kubectl(&["get", "--raw", "/apis/core.oam.dev/v1beta1/applications"]);
        let refusal = listed.err()?;
        refusal.contains("could not find the requested resource").then_some(())
    });
    assert!(answered.is_some(), "the stranger doesn't answer for our kinds");
}

#[test]
fn what_an_api_service_hides_is_not_taken_for_none() {
    let site = Site::start();
    let stranger = stranger();
    site.namespace("here");
    site.release("install", "it", "here", &[]).unwrap();
    site.put(&application("default", "living", None));
    let uid = ["get", "application", "living", "--output", "jsonpath={.metadata.uid}"];
    let before = site.kubectl(&uid);
    hide(&site, &stranger);

    for values in [&[][..], &[NOT_KEPT]] {
        site.release("upgrade", "it", "here", values).unwrap();
        let refused = site.guard("it", "here", values);
        assert_eq!(refused.code, 1, "{refused:?}");
        let said = format!("can't see what is left of {APPLICATIONS}: APIService {SERVICE} sends");
        assert!(refused.stderr.contains(&said), "{refused:?}");
        let told = format!("kubectl delete apiservice {SERVICE}, or");
        assert!(refused.stderr.contains(&told), "{refused:?}");
        assert_eq!(crds(&site), [REVISIONS, APPLICATIONS, LATTICES]);
    }

    // What is told shows them again.
    site.kubectl(&["delete", "apiservice", SERVICE]);
    let seen = poll(PATIENCE, || site.try_kubectl(&uid).ok());
    assert_eq!(seen, Some(before));
    let refused = site.guard("it", "here", &[NOT_KEPT]);
    assert!(refused.stderr.contains("  Application default/living\n"), "{refused:?}");
}

#[test]
fn a_kind_that_is_defined_and_not_served_is_not_taken_for_none() {
    let site = Site::start();
    site.namespace("here");
    site.release("install", "it", "here", &[]).unwrap();
    site.put(&application("default", "living", None));
    let serve = |served: bool| {
        let patch =
            json!([{ "op": "replace", "path": "/spec/versions/0/served", "value": served }]);
        let patch = format!("--patch={patch}");
        site.kubectl(&["patch", "crd", APPLICATIONS, "--type=json", &patch]);
    };
    serve(false);
    let unserved = poll(PATIENCE, || site.try_kubectl(&["get", APPLICATIONS]).err());
    assert!(unserved.is_some());
    let refused = site.guard("it", "here", &[]);
    let said = format!("can't see what is left of {APPLICATIONS}: it is defined, and");
    assert!(refused.code == 1 && refused.stderr.contains(&said), "{refused:?}");
    serve(true);
    let seen = poll(PATIENCE, || site.try_kubectl(&["get", APPLICATIONS]).ok());
    assert!(seen.is_some());

    // Of what is not defined there is nothing.
    let none = r#"--patch={"metadata":{"finalizers":null}}"#;
    site.kubectl(&["patch", "application", "living", "--type=merge", none]);
    site.kubectl(&["delete", "crd", APPLICATIONS, REVISIONS]);
    let unserved = poll(PATIENCE, || site.try_kubectl(&["get", APPLICATIONS]).err());
    assert!(unserved.is_some());
    let done = site.guard("it", "here", &[]);
    assert_eq!(done.code, 0, "{done:?}");
}

/// Runs the guard, and `meanwhile` once `kind` is being deleted.
fn guard_while(site: &Site, values: &[&str], object: [&str; 2], meanwhile: impl FnOnce()) -> Ended {
    thread::scope(|scope| {
        let guard = scope.spawn(|| site.guard("it", "here", values));
        let [kind, name] = object;
        let deleted = ["get", kind, name, "--output", "jsonpath={.metadata.deletionTimestamp}"];
        let begun = poll(PATIENCE, || {
            let at = site.try_kubectl(&deleted).ok()?;
            (!at.is_empty()).then_some(())
        });
        assert!(begun.is_some(), "{:?}", guard.join().unwrap());
        meanwhile();
        let none = r#"--patch={"metadata":{"finalizers":null}}"#;
        site.kubectl(&["patch", kind, name, "--type=merge", none]);
        guard.join().unwrap()
    })
}

#[test]
fn what_is_made_while_the_guard_deletes_is_not_deleted_with_the_definitions() {
    let site = Site::start();
    site.namespace("here");
    let values = [&[NOT_KEPT][..], &FIRST].concat();
    site.release("install", "it", "here", &values).unwrap();
    let hold = r#"--patch={"metadata":{"finalizers":["it.test/held"]}}"#;
    site.kubectl(&["patch", "lattice", "default", "--type=merge", hold]);

    // While the first Lattice goes.
    let refused = guard_while(&site, &values, ["lattice", "default"], || {
        site.put(&application("default", "late", Some("another")));
    });
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("  Application default/late\n"), "{refused:?}");
    let done = "already deleted: Lattice default; helm upgrade makes that again";
    assert!(refused.stderr.contains(done), "{refused:?}");
    assert_eq!(crds(&site), [REVISIONS, APPLICATIONS, LATTICES]);

    // And while definitions do.
    let none = r#"--patch={"metadata":{"finalizers":null}}"#;
    site.kubectl(&["patch", "application", "late", "--type=merge", none]);
    site.kubectl(&["delete", "application", "late"]);
    site.kubectl(&["patch", "crd", REVISIONS, "--type=merge", hold]);
    let refused = guard_while(&site, &values, ["crd", REVISIONS], || {
        site.put(&lattice("late", Some("another"), &[]));
    });
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("  Lattice late\n"), "{refused:?}");
    assert_eq!(crds(&site), [LATTICES]);
    site.kubectl(&["get", "lattice", "late"]);
}

#[test]
fn an_application_that_is_made_while_the_first_lattice_goes_keeps_the_operator() {
    let site = Site::start();
    site.namespace("here");
    site.release("install", "it", "here", &FIRST).unwrap();
    let hold = r#"--patch={"metadata":{"finalizers":["it.test/held"]}}"#;
    site.kubectl(&["patch", "lattice", "default", "--type=merge", hold]);
    let refused = guard_while(&site, &FIRST, ["lattice", "default"], || {
        site.put(&application("default", "late", None));
    });
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("  Application default/late\n"), "{refused:?}");
}

#[test]
fn a_first_lattice_that_was_handed_to_another_class_is_left_to_it() {
    let site = Site::start();
    site.namespace("here");
    let values = [&[NOT_KEPT][..], &FIRST].concat();
    site.release("install", "it", "here", &values).unwrap();
    site.put(&lattice("default", Some("another"), &["lattice.oam.dev/in-use"]));
    let done = site.guard("it", "here", &FIRST);
    assert_eq!(done.code, 0, "{done:?}");
    let deleted = ["get", "lattice", "default", "--output=jsonpath={.metadata.deletionTimestamp}"];
    assert_eq!(site.kubectl(&deleted), "");

    // With the definitions it would go all the same.
    let refused = site.guard("it", "here", &values);
    assert!(refused.stderr.contains("  Lattice default\n"), "{refused:?}");
    assert_eq!((site.kubectl(&deleted).as_str(), crds(&site).len()), ("", 3));
}

#[test]
fn a_first_lattice_that_another_release_has_taken_is_not_deleted() {
    let site = Site::start();
    site.namespace("here");
    site.release("install", "it", "here", &FIRST).unwrap();
    let other =
        ["annotate", "lattice", "default", "--overwrite", "meta.helm.sh/release-name=other"];
    site.kubectl(&other);
    site.kubectl(&["patch", "lattice", "default", "--type=merge", IN_USE]);
    let refused = site.guard("it", "here", &FIRST);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("  Lattice default\n"), "{refused:?}");
    let deleted = ["get", "lattice", "default", "--output=jsonpath={.metadata.deletionTimestamp}"];
    assert_eq!(site.kubectl(&deleted), "");
}

#[test]
fn the_job_does_not_end_before_what_the_guard_waits_for() {
    let objects = objects("it", "here", &[]);
    let job = objects.iter().find(|object| object["kind"] == "Job").unwrap();
    let variables = job["spec"]["template"]["spec"]["containers"][0]["env"].as_array().unwrap();
    let own = variables.iter().find(|it| it["name"] == "TRELLIS_GUARD_TIMEOUT").unwrap();
    let own: jiff::SignedDuration = own["value"].as_str().unwrap().parse().unwrap();
    let whole = job["spec"]["activeDeadlineSeconds"].as_i64().unwrap();
    assert!(own.as_secs() + 60 <= whole, "{own:?} of {whole} s, with the image still to be pulled");
}
