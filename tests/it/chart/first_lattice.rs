//! The Lattice that a release makes, and what others make of it.
use serde_json::json;

use super::site::Site;

const FIRST: &str = "lattice.create=true";
const CLIENT_SIDE: [&str; 1] = ["--server-side=false"];

fn urls(url: &str) -> String {
    format!("lattice.urls={}", json!([url]))
}

/// A path of a Lattice, for kubectl.
fn of(site: &Site, name: &str, path: &str) -> String {
    site.kubectl(&["get", "lattice", name, "--output", &format!("jsonpath={{{path}}}")])
}

fn first(site: &Site, path: &str) -> String {
    of(site, "default", path)
}

fn edit(site: &Site, patch: &str) {
    let manager = "--field-manager=kubectl-edit";
    site.kubectl(&["patch", "lattice", "default", "--type=merge", "--patch", patch, manager]);
}

fn status(site: &Site) -> String {
    let status = ["status", "it", "--namespace", "here", "--output", "json"];
    let status: serde_json::Value = serde_json::from_str(&site.helm(&status).unwrap()).unwrap();
    status["info"]["status"].as_str().unwrap().to_owned()
}

fn roll_back(site: &Site, revision: &str, flags: &[&str]) -> Result<String, String> {
    let fixed = ["rollback", "it", revision, "--namespace", "here", "--wait=hookOnly"];
    site.helm(&[&fixed[..], flags].concat())
}

const A: &str = "nats://a:4222";
const B: &str = "nats://b:4222";
const C: &str = "nats://c:4222";
const URL: &str = ".spec.nats.urls[0]";

#[test]
fn a_release_takes_no_lattice_that_another_has_or_that_somebody_made() {
    let site = Site::start();
    for namespace in ["here", "there"] {
        site.namespace(namespace);
    }
    site.release("install", "other", "there", &[FIRST, &urls(A)]).unwrap();
    let blue = r#"controllerClass="blue""#;
    let values = [FIRST, blue, "crds.enabled=false", &urls(B)];
    let install =
        |further: &[&str]| site.release("install", "it", "here", &[&values[..], further].concat());
    let refusal = install(&[]).unwrap_err();
    let said = "Lattice default is there already and of release there/other: give the first";
    assert!(refusal.contains(said), "{refusal}");
    site.put(&json!({
        "apiVersion": "lattice.oam.dev/v1alpha1", "kind": "Lattice",
        "metadata": {
            "name": "mine", "annotations": { "lattice.oam.dev/controller-class": "green" },
        },
        "spec": { "nats": { "urls": [A] } },
    }));
    let refusal = install(&[r#"lattice.name="mine""#]).unwrap_err();
    let said = "Lattice mine is there already and no release's, of controllerClass green: ";
    assert!(refusal.contains(said), "{refusal}");
    assert_eq!((first(&site, URL), of(&site, "mine", URL)), (A.to_owned(), A.to_owned()));

    // Both ways out that it names work.
    install(&[r#"lattice.name="blue""#]).unwrap();
    site.helm(&["uninstall", "it", "--namespace", "here", "--no-hooks"]).unwrap();
    site.kubectl(&["delete", "lattice", "blue"]);
    let (_, adopt) = refusal.split_once("with: ").unwrap();
    for command in adopt.lines().next().unwrap().split("; ") {
        let words: Vec<_> = command.split_whitespace().skip(1).collect();
        site.kubectl(&words);
    }
    let class = ".metadata.annotations.lattice\\.oam\\.dev/controller-class";
    let forced = ["--force-conflicts"];
    let mine = [&values[..], &[r#"lattice.name="mine""#]].concat();
    site.release_with("install", "it", "here", &mine, &forced).unwrap();
    assert_eq!((of(&site, "mine", URL), of(&site, "mine", class)), (B.to_owned(), "blue".into()));
}

#[test]
fn a_lattice_that_is_renamed_leaves_no_second_default() {
    let site = Site::start();
    site.namespace("here");
    let values = [FIRST, &urls(A)];
    site.release("install", "it", "here", &values).unwrap();
    let renamed = [&values[..], &[r#"lattice.name="new""#]].concat();
    let refusal = site.release("upgrade", "it", "here", &renamed).unwrap_err();
    let said = "lattice.name is new, and this release's Lattice is default, ";
    assert!(refusal.contains(said), "{refusal}");

    let (_, keep) = refusal.split_once("with: kubectl ").unwrap();
    let words: Vec<_> = keep.lines().next().unwrap().split_whitespace().collect();
    site.kubectl(&words);
    let refusal = site.release("upgrade", "it", "here", &renamed).unwrap_err();
    assert!(refusal.contains("Lattice default has default: true already"), "{refusal}");
    edit(&site, r#"{"spec":{"default":false}}"#);
    site.release("upgrade", "it", "here", &renamed).unwrap();
    assert_eq!((first(&site, ".spec.default"), of(&site, "new", URL)), ("false".into(), A.into()));
}

#[test]
fn an_upgrade_while_the_lattice_is_being_deleted_is_refused() {
    let site = Site::start();
    site.namespace("here");
    let values = [FIRST, &urls(A)];
    site.release("install", "it", "here", &values).unwrap();
    let held = r#"--patch={"metadata":{"finalizers":["it.test/held"]}}"#;
    site.kubectl(&["patch", "lattice", "default", "--type=merge", held]);
    site.kubectl(&["delete", "lattice", "default", "--wait=false"]);
    let refusal = site.release("upgrade", "it", "here", &values).unwrap_err();
    assert!(refusal.contains("Lattice default is being deleted"), "{refusal}");
    // Once it is gone, the upgrade makes it anew.
    let none = r#"--patch={"metadata":{"finalizers":null}}"#;
    site.kubectl(&["patch", "lattice", "default", "--type=merge", none]);
    site.release("upgrade", "it", "here", &values).unwrap();
    assert_eq!(first(&site, URL), A);
}

#[test]
fn what_a_user_changed_is_kept_by_an_upgrade_and_blocks_none() {
    let site = Site::start();
    site.namespace("here");
    let upgrade =
        |values: &[&str]| site.release("upgrade", "it", "here", &[&[FIRST], values].concat());
    let missed = r#"lattice.spec={"missed": 5}"#;
    site.release("install", "it", "here", &[FIRST, &urls(A), missed]).unwrap();
    // Nothing of what is in it was changed, however deep that is.
    let secret = r#"lattice.credentialsSecret="nats""#;
    for url in [B, A] {
        let notes = upgrade(&[&urls(url), secret, missed]).unwrap();
        assert!(!notes.contains("keeps what"), "{notes}");
        assert_eq!(first(&site, ".spec.nats.credentialsSecret.name"), "nats");
    }
    edit(&site, &json!({ "spec": { "nats": { "urls": [B] }, "default": false } }).to_string());
    let said = "Lattice default keeps what was changed by hand, and not what the values say: \
                spec.default, spec.nats.urls";
    for replicas in ["replicas=3", "replicas=1"] {
        let notes = upgrade(&[&urls(A), replicas, r#"lattice.spec={"missed": 7}"#]).unwrap();
        assert!(notes.contains(said), "{notes}");
        assert_eq!(first(&site, URL), B);
        assert_eq!(first(&site, ".spec['default','missed']"), "false 7");
    }

    // What both changed is for the user to decide, and nothing gets stuck on the way.
    let refusal = upgrade(&[&urls(C)]).unwrap_err();
    assert!(refusal.contains(r#"conflict with "kubectl-edit""#), "{refusal}");
    assert!(refusal.contains(".spec.nats.urls"), "{refusal}");
    assert_eq!((first(&site, URL), status(&site)), (B.to_owned(), "failed".into()));
    upgrade(&[&urls(B)]).unwrap();
    assert_eq!(first(&site, URL), B);
    let forced = ["--force-conflicts"];
    site.release_with("upgrade", "it", "here", &[FIRST, &urls(C)], &forced).unwrap();
    assert_eq!((first(&site, URL), status(&site)), (C.to_owned(), "deployed".into()));
    let notes = upgrade(&[&urls(A)]).unwrap();
    assert!(notes.contains("what the values say: spec.default\n"), "{notes}");
    assert_eq!(first(&site, URL), A);
}

#[test]
fn a_rollback_over_what_a_user_changed_leaves_no_release_pending() {
    let site = Site::start();
    site.namespace("here");
    let upgrade = |url: &str| site.release("upgrade", "it", "here", &[FIRST, &urls(url)]);
    site.release("install", "it", "here", &[FIRST, &urls(A)]).unwrap();
    upgrade(B).unwrap();
    upgrade(C).unwrap();
    roll_back(&site, "2", &[]).unwrap();
    assert_eq!((first(&site, URL), status(&site)), (B.to_owned(), "deployed".into()));

    edit(&site, &json!({ "spec": { "nats": { "urls": ["nats://d:4222"] } } }).to_string());
    let refusal = roll_back(&site, "3", &[]).unwrap_err();
    assert!(refusal.contains(r#"conflict with "kubectl-edit""#), "{refusal}");
    assert_eq!((first(&site, URL), status(&site)), ("nats://d:4222".to_owned(), "failed".into()));
    roll_back(&site, "3", &["--force-conflicts"]).unwrap();
    assert_eq!((first(&site, URL), status(&site)), (C.to_owned(), "deployed".into()));

    // What was a hook then is as it is.
    edit(&site, &json!({ "spec": { "nats": { "urls": ["nats://d:4222"] } } }).to_string());
    roll_back(&site, "1", &[]).unwrap();
    assert_eq!((first(&site, URL), status(&site)), ("nats://d:4222".to_owned(), "deployed".into()));
}

#[test]
fn a_release_that_is_applied_client_side_is_never_stuck_on_its_lattice() {
    let site = Site::start();
    site.namespace("here");
    let values = |url: &str| [FIRST.to_owned(), urls(url)];
    let release = |command: &str, url: &str, flags: &[&str]| {
        let values = values(url);
        let values: Vec<_> = values.iter().map(String::as_str).collect();
        site.release_with(command, "it", "here", &values, flags)
    };
    release("install", A, &CLIENT_SIDE).unwrap();
    release("upgrade", A, &[]).unwrap();
    let refusal = release("upgrade", B, &[]).unwrap_err();
    let said = "Helm doesn't change it in a release that it applies client-side: change it first, \
                with kubectl edit lattice default";
    assert!(refusal.contains(said), "{refusal}");
    edit(&site, &json!({ "spec": { "nats": { "urls": [B] } } }).to_string());
    release("upgrade", B, &[]).unwrap();
    for revision in ["1", "2", "3"] {
        roll_back(&site, revision, &[]).unwrap();
        assert_eq!((first(&site, URL), status(&site)), (B.to_owned(), "deployed".into()));
    }
    // With what belongs to the server it goes on as any other.
    release("upgrade", B, &["--server-side=true", "--force-conflicts"]).unwrap();
    release("upgrade", C, &["--force-conflicts"]).unwrap();
    assert_eq!((first(&site, URL), status(&site)), (C.to_owned(), "deployed".into()));
}
