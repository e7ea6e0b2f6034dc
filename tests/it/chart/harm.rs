//! What a release must not do to what is in the cluster.
use serde_json::json;

use super::site::{Site, application};

const CRDS: [&str; 3] =
    ["applicationrevisions.core.oam.dev", "applications.core.oam.dev", "lattices.lattice.oam.dev"];

fn crds(site: &Site) -> String {
    site.kubectl(&["get", "crds", "--output", "jsonpath={.items[*].metadata.name}"])
}

/// Takes an Application away as its operator would.
fn remove(site: &Site, namespace: &str, name: &str) {
    let none = r#"--patch={"metadata":{"finalizers":null}}"#;
    site.kubectl(&["patch", "application", name, "--namespace", namespace, "--type=merge", none]);
    site.kubectl(&["delete", "application", name, "--namespace", namespace]);
}

#[test]
fn no_upgrade_and_no_uninstallation_by_helm_deletes_a_definition() {
    let site = Site::start();
    site.namespace("here");
    site.release("install", "it", "here", &["crds.keep=false"]).unwrap();
    site.put(&application("default", "anothers", Some("another")));
    let uid = |site: &Site| {
        site.kubectl(&["get", "application", "anothers", "--output", "jsonpath={.metadata.uid}"])
    };
    let before = uid(&site);
    let without = ["crds.enabled=false", "crds.keep=false"];
    site.release("upgrade", "it", "here", &without).unwrap();
    assert_eq!((crds(&site), uid(&site)), (CRDS.join(" "), before.clone()));

    // What the takeover replaces whole is as safe.
    site.release("upgrade", "it", "here", &["crds.keep=false"]).unwrap();
    let plain = trellis::cli::crds::render().unwrap();
    for crd in serde_saphyr::from_multiple::<serde_json::Value>(&plain).unwrap() {
        let name = crd["metadata"]["name"].as_str().unwrap();
        let was = site.kubectl(&["get", "crd", name, "--output=jsonpath={.metadata.annotations}"]);
        assert!(was.contains(r#""helm.sh/resource-policy":"keep""#), "{name}: {was}");
        assert_eq!(crd["metadata"]["annotations"]["helm.sh/resource-policy"], "keep", "{name}");
    }
    site.helm(&["uninstall", "it", "--namespace", "here", "--no-hooks"]).unwrap();
    assert_eq!((crds(&site), uid(&site)), (CRDS.join(" "), before));
}

#[test]
fn definitions_that_are_not_kept_go_when_nothing_of_any_installation_is_left() {
    let site = Site::start();
    site.namespace("here");
    site.namespace("there");
    let values = ["crds.keep=false", r#"controllerClass="one""#, r#"watchNamespaces=["here"]"#];
    site.release("install", "it", "here", &values).unwrap();
    site.put(&application("there", "anothers", Some("another")));
    site.put(&json!({
        "apiVersion": "lattice.oam.dev/v1alpha1", "kind": "Lattice",
        "metadata": { "name": "nobodys" }, "spec": { "nats": { "urls": ["nats://a:4222"] } },
    }));
    let refused = site.guard("it", "here", &values);
    assert_eq!(refused.code, 1, "{refused:?}");
    let all = "  Application there/anothers\n  Lattice nobodys\n\
               keep the definitions with:\n  helm rollback it 1 --namespace here\n  helm upgrade it CHART ";
    assert!(refused.stderr.contains(all), "{refused:?}");
    assert_eq!(crds(&site), CRDS.join(" "));

    // With kept definitions it has no business with theirs, nor a right to see them.
    let kept = [values[1], values[2]];
    site.release("upgrade", "it", "here", &kept).unwrap();
    let asked = site.guard("it", "here", &kept);
    assert_eq!((asked.code, crds(&site)), (0, CRDS.join(" ")), "{asked:?}");
    site.release("upgrade", "it", "here", &values).unwrap();

    remove(&site, "there", "anothers");
    site.kubectl(&["delete", "lattice", "nobodys"]);
    // Another's definition by now, whatever mark was left on it.
    let webhook = r#"[{"op": "add", "path": "/spec/conversion", "value": {"strategy": "Webhook",
        "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {"url": "https://a"}}}}]"#;
    let lattices = ["patch", "crd", CRDS[2], "--type=json", "--patch", webhook];
    site.kubectl(&lattices);
    let refused = site.guard("it", "here", &values);
    assert!(refused.stderr.contains("lattices.lattice.oam.dev is not ours"), "{refused:?}");
    assert_eq!(crds(&site), CRDS.join(" "));
    let none = r#"[{"op": "replace", "path": "/spec/conversion", "value": {"strategy": "None"}}]"#;
    site.kubectl(&["patch", "crd", CRDS[2], "--type=json", "--patch", none]);

    let done = site.guard("it", "here", &values);
    assert_eq!((done.code, crds(&site)), (0, String::new()), "{done:?}");
    // Helm goes on from there.
    site.helm(&["uninstall", "it", "--namespace", "here", "--no-hooks"]).unwrap();
}

#[test]
fn an_upgrade_that_narrows_the_scope_names_what_it_would_leave() {
    let site = Site::start();
    for namespace in ["here", "kept", "left"] {
        site.namespace(namespace);
    }
    site.release("install", "it", "here", &[]).unwrap();
    site.put(&application("kept", "web", None));
    site.put(&application("left", "shop", None));
    site.put(&application("left", "anothers", Some("another")));
    site.put(&json!({
        "apiVersion": "lattice.oam.dev/v1alpha1", "kind": "Lattice",
        "metadata": { "name": "ours", "finalizers": ["lattice.oam.dev/in-use"] },
        "spec": { "nats": { "urls": ["nats://a:4222"] } },
    }));
    let refused = |values: &[&str], named: &str| {
        let refusal = site.release("upgrade", "it", "here", values).unwrap_err();
        assert!(refusal.contains(&format!("nobody could delete any more: {named}; ")), "{refusal}");
    };
    let [one, both] = [r#"watchNamespaces=["kept"]"#, r#"watchNamespaces=["kept", "left"]"#];
    refused(&[one], "Application left/shop");
    // Nothing is left out by naming both, and what has been named counts then.
    site.release("upgrade", "it", "here", &[both]).unwrap();
    refused(&[one], "Application left/shop");
    let class = r#"controllerClass="another""#;
    refused(&[both, class], "Application kept/web, Application left/shop, Lattice ours");
    // It may be meant.
    site.release("upgrade", "it", "here", &[one, "guard.enabled=false"]).unwrap();
    site.release("upgrade", "it", "here", &[both]).unwrap();

    remove(&site, "left", "shop");
    site.release("upgrade", "it", "here", &[one]).unwrap();
    // What is handed over beforehand is not left behind; the first Lattice is handed over with it.
    let hand = "lattice.oam.dev/controller-class=another";
    site.kubectl(&["annotate", "application", "web", "--namespace", "kept", hand]);
    refused(&[one, class], "Lattice ours");
    let first =
        ["lattice.create=true", r#"lattice.name="ours""#, r#"lattice.urls=["nats://a:4222"]"#];
    let [owner, place] = ["meta.helm.sh/release-name=it", "meta.helm.sh/release-namespace=here"];
    site.kubectl(&["annotate", "lattice", "ours", owner, place]);
    site.kubectl(&["label", "lattice", "ours", "app.kubernetes.io/managed-by=Helm"]);
    site.release("upgrade", "it", "here", &[&[one, class][..], &first].concat()).unwrap();
}

#[test]
fn a_refusal_names_only_some_of_what_would_be_left() {
    let site = Site::start();
    site.namespace("here");
    site.namespace("left");
    site.release("install", "it", "here", &[]).unwrap();
    for number in 10..23 {
        site.put(&application("left", &format!("web-{number}"), None));
    }
    let narrow = [r#"watchNamespaces=["here"]"#];
    let refusal = site.release("upgrade", "it", "here", &narrow).unwrap_err();
    assert!(refusal.contains("Application left/web-19 and 3 more; delete them"), "{refusal}");
}

#[test]
fn a_namespace_that_is_gone_does_not_keep_a_release_from_being_uninstalled() {
    let site = Site::start();
    for namespace in ["here", "stays", "goes"] {
        site.namespace(namespace);
    }
    let values = [r#"watchNamespaces=["goes", "stays"]"#];
    site.release("install", "it", "here", &values).unwrap();
    site.put(&application("goes", "shop", None));
    let refused = site.guard("it", "here", &values);
    assert!(refused.stderr.contains("  Application goes/shop\ndelete them"), "{refused:?}");

    // As the namespace's end deletes everything in it at once, and waits for what has finalizers.
    site.kubectl(&["delete", "namespace", "goes", "--wait=false"]);
    site.kubectl(&["delete", "roles,rolebindings", "--all", "--namespace", "goes"]);
    let refused = site.guard("it", "here", &values);
    let said = "error: https://127.0.0.1:";
    assert!(refused.stderr.starts_with(said), "{refused:?}");
    let said =
        "could not list applications in namespace goes: applications.core.oam.dev is forbidden: ";
    assert!(refused.stderr.contains(said), "{refused:?}");
    assert!(refused.stderr.contains("the namespace is being deleted"), "{refused:?}");
    assert!(!refused.stderr.contains("Status"), "{refused:?}");

    remove(&site, "goes", "shop");
    // Nobody finishes its deletion here.
    let namespace = site.kubectl(&["get", "namespace", "goes", "--output=json"]);
    let mut namespace: serde_json::Value = serde_json::from_str(&namespace).unwrap();
    namespace["spec"]["finalizers"] = json!([]);
    site.finalize(&namespace);
    let done = site.guard("it", "here", &values);
    assert_eq!(done.code, 0, "{done:?}");

    // Where the namespace is there and the right is not, nothing is known.
    site.kubectl(&["delete", "role", "it-guard", "--namespace", "stays"]);
    let refused = site.guard("it", "here", &values);
    assert!(refused.stderr.contains("give the Role back with helm rollback"), "{refused:?}");
}

#[test]
fn a_release_of_the_same_name_elsewhere_cannot_take_the_rights_of_the_first() {
    let site = Site::start();
    site.namespace("first");
    site.namespace("second");
    site.release("install", "it", "first", &[]).unwrap();
    let take = |name: &str, class: &str| {
        let chart = super::folder();
        let fixed = ["install", name, chart.to_str().unwrap(), "--namespace", "second"];
        let taking = ["--take-ownership", "--wait=hookOnly", "--set", "image.repository=it"];
        let class = ["--set", &format!("controllerClass={class}")];
        site.helm(&[&fixed[..], &taking, &class].concat())
    };
    let refusal = take("it", "").unwrap_err();
    assert!(refusal.contains("ClusterRole it is of release it in namespace first"), "{refusal}");
    let subject = "jsonpath={.subjects[0].namespace}";
    let bound = || site.kubectl(&["get", "clusterrolebinding", "it", "--output", subject]);
    assert_eq!(bound(), "first");
    // Of another name it takes the definitions up, as told.
    take("other", "other").unwrap();

    // What a release left whose namespace was deleted can be removed as is said.
    let (_, remove) = refusal.split_once("kubectl ").unwrap();
    let remove: Vec<_> = remove.split_whitespace().collect();
    site.kubectl(&remove);
    site.kubectl(&["delete", "deployment", "it", "--namespace", "first"]);
    take("it", "").unwrap();
    assert_eq!(bound(), "second");
}

#[test]
fn a_second_release_for_the_same_objects_is_refused_before_both_act() {
    let site = Site::start();
    for namespace in ["first", "second", "third"] {
        site.namespace(namespace);
    }
    let class = |name: &str| format!("controllerClass={}", json!(name));
    site.release("install", "plain", "first", &[]).unwrap();
    site.release("install", "blue", "second", &["crds.enabled=false", &class("blue")]).unwrap();

    let more = |values: &[&str]| {
        let values = [&["crds.enabled=false"], values].concat();
        site.release("install", "more", "third", &values)
    };
    let refusal = more(&[]).unwrap_err();
    let said = "Deployment first/plain acts on the same objects, those without a controllerClass";
    assert!(refusal.contains(said), "{refusal}");
    let refusal = more(&[&class("blue"), r#"watchNamespaces=["third"]"#]).unwrap_err();
    let said = "Deployment second/blue acts on the same objects, those of controllerClass blue";
    assert!(refusal.contains(said), "{refusal}");
    more(&[&class("green")]).unwrap();
    site.release("upgrade", "plain", "first", &[]).unwrap();
}

#[test]
fn a_deployment_that_is_merely_labelled_trellis_blocks_no_release() {
    let site = Site::start();
    for namespace in ["here", "there"] {
        site.namespace(namespace);
    }
    let deployment = |labels: &serde_json::Value, variable: &str| {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "name": "theirs", "namespace": "there", "labels": labels },
            "spec": {
                "selector": { "matchLabels": { "app": "theirs" } },
                "template": {
                    "metadata": { "labels": { "app": "theirs" } },
                    "spec": { "containers": [
                        { "name": "web", "image": "web" },
                        { "name": "operator", "image": "it", "env": [{ "name": variable }] },
                    ] },
                },
            },
        })
    };
    let trellis = json!({ "app.kubernetes.io/name": "trellis" });
    site.put(&deployment(&trellis, "GARDEN"));
    site.release("install", "it", "here", &[]).unwrap();
    // What an operator is told makes it one, whatever it is labelled.
    site.put(&deployment(&json!({ "app.kubernetes.io/name": null }), "TRELLIS_LOG"));
    let refusal = site.release("upgrade", "it", "here", &[]).unwrap_err();
    assert!(refusal.contains("Deployment there/theirs acts on the same objects"), "{refusal}");
}

#[test]
fn what_a_takeover_wrote_the_next_chart_writes_over_once_it_is_told_to() {
    let site = Site::start();
    site.namespace("here");
    site.release("install", "it", "here", &[]).unwrap();
    let older = "lattice.oam.dev/crd-version=0.0.1+0";
    site.kubectl(&["annotate", "crds", "--all", "--overwrite", older]);
    let taken = site.trellis(&["check", "--takeover"]);
    assert_eq!((taken.code, taken.stdout.lines().count()), (0, 4), "{taken:?}");
    let upgrade = |version: &str, further: &[&str]| {
        let chart = site.chart_of(version);
        let fixed = ["upgrade", "it", chart.to_str().unwrap(), "--namespace", "here"];
        let options = ["--wait=hookOnly", "--set", "image.repository=it"];
        site.helm(&[&fixed[..], &options, further].concat())
    };
    let refusal = upgrade("0.2.0", &[]).unwrap_err();
    assert!(refusal.contains("conflict with \"trellis\""), "{refusal}");
    upgrade("0.2.1", &["--force-conflicts"]).unwrap();
    upgrade("0.2.2", &[]).unwrap();
}
