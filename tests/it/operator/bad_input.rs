//! What can't be run is said with its path, and what runs goes on.
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use k8s_openapi::api::events::v1::Event;
use kube::{Api, api::ListParams};
use serde_json::Value;
use trellis::api::{Application, ApplicationStatus, Condition};

use super::{
    simulated::{SHOP, heartbeats, lattice},
    stage::{CLUSTER, PATIENCE, Stage},
};

/// An event's note ends here.
const NOTE: usize = 1000;

fn manifests(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/manifests").join(folder);
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    files
}

fn condition<'a>(status: &'a ApplicationStatus, type_: &str) -> Option<&'a Condition> {
    status.conditions.iter().find(|condition| condition.type_ == type_)
}

/// What a condition says, such as `False: why`.
fn says(app: &Application, type_: &str) -> Option<String> {
    let condition = condition(app.status.as_ref()?, type_)?;
    let current = condition.observed_generation == app.metadata.generation;
    let message = condition.message.as_deref().unwrap_or_default();
    current.then(|| format!("{:?}: {message}", condition.status))
}

/// The notes of all warnings about each Application.
async fn warnings(stage: &Stage) -> BTreeMap<String, Vec<String>> {
    let api = Api::<Event>::namespaced(stage.kube.clone(), &stage.name);
    let mut warnings = BTreeMap::<_, Vec<_>>::new();
    for event in api.list(&ListParams::default()).await.unwrap() {
        let about = event.regarding.and_then(|about| about.name).unwrap_or_default();
        if event.type_.as_deref() == Some("Warning") {
            warnings.entry(about).or_default().push(event.note.unwrap_or_default());
        }
    }
    warnings
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_manifest_is_refused_in_its_status_and_nothing_is_sent() {
    let stage = Stage::start("bad-input").await;
    let sim = lattice(&stage, 2).await;
    let mut expected = BTreeMap::new();
    for (folder, wrong) in [("bad", "Parsed"), ("bad-policy", "Policy")] {
        for path in manifests(folder) {
            // The only Lattice here is not called `default`, and nor is the namespace.
            let ours =
                |text: String| text.replace("default", "bad-input").replace("defualt", "bad-inptu");
            let text = fs::read_to_string(&path).unwrap();
            let text = if folder == "bad" { text } else { ours(text) };
            let lines = fs::read_to_string(path.with_extension("expected")).unwrap();
            let lines = if folder == "bad" { lines } else { ours(lines) };
            let mut document: Value = serde_saphyr::from_str(&text).unwrap();
            let name = document["metadata"]["name"].as_str().unwrap().to_owned();
            document["metadata"].as_object_mut().unwrap().remove("namespace");
            stage.put(&document).await;
            expected.insert(name, (wrong, lines.trim_end().to_owned()));
        }
    }
    for (name, (wrong, message)) in &expected {
        let stalled = |app: &Application| {
            says(app, "Stalled").is_some_and(|stalled| stalled.starts_with("True"))
        };
        let app = stage.until(name, "the refusal", stalled).await;
        assert_eq!(says(&app, wrong).unwrap(), format!("False: {message}"), "{name}");
        assert_eq!(says(&app, "Stalled").unwrap(), format!("True: {message}"), "{name}");
        assert_eq!(says(&app, "Ready").unwrap(), format!("False: {message}"), "{name}");
        assert!(says(&app, "Reconciling").unwrap().starts_with("False"), "{name}");
    }
    heartbeats(&stage, &sim, 2).await;
    assert_eq!(sim.commands().writes().0, []);
    let warnings = warnings(&stage).await;
    for (name, (_, message)) in &expected {
        let notes = warnings.get(name).cloned().unwrap_or_default();
        assert_eq!(notes.len(), 1, "{name}: {notes:?}");
        assert_eq!(notes[0].len().min(NOTE), message.len().min(NOTE), "{name}");
        assert_eq!(notes[0][..900.min(notes[0].len())], message[..900.min(message.len())]);
    }
    assert_eq!(warnings.len(), expected.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_goes_on_and_is_repaired_under_a_bad_edit() {
    let stage = Stage::start("bad-edit").await;
    let sim = lattice(&stage, 3).await;
    let good = SHOP.replace("NAME", "shop");
    stage.apply(&good).await;
    stage.settled("shop").await;
    let sent = sim.elapsed();

    let bad = good.replace("type: spreadscaler", "type: spreadscalar");
    stage.apply(&bad).await;
    let refused = |app: &Application| {
        says(app, "Ready").is_some_and(|ready| ready.contains("did you mean spreadscaler?"))
    };
    let app = stage.until("shop", "the refusal", refused).await;
    assert!(says(&app, "Ready").unwrap().starts_with("False: spec.components[0].traits[0].type"));
    heartbeats(&stage, &sim, 2).await;
    assert_eq!(sim.commands().writes().since(sent).0, [], "nothing is removed");

    let runs = |host: &simhost::HostHandle| host.component("bad_edit-shop-web").is_some();
    let host = sim.hosts().into_iter().find(runs).unwrap();
    host.restart().await.unwrap();
    assert_eq!(sim.instances("bad_edit-shop-web"), 1);
    let made_up = |it: &simhost::SimLattice| {
        it.instances("bad_edit-shop-web") == 2
            && it.instances("bad_edit-shop-api") == 1
            && it.instances("bad_edit-shop-http") == 1
    };
    assert!(sim.wait_until(PATIENCE, made_up).await.is_ok(), "not repaired: {}", stage.log());

    stage.apply(&good.replace("web:1", "web:2")).await;
    stage.settled("shop").await;
    let codes: Vec<_> =
        sim.hosts().iter().flat_map(|host| host.code_running("bad_edit-shop-web")).collect();
    assert_eq!(codes, ["registry.example/shop/web:2"; 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_too_long_for_a_label_is_refused_in_the_status() {
    let stage = Stage::start("long-name").await;
    let sim = lattice(&stage, 1).await;
    let (long, dotted) = ("a".repeat(64), "shop.v2");
    for name in [long.as_str(), dotted] {
        stage
            .apply(&SHOP.replace("name: NAME", &format!("name: {name}")).replace("NAME", "x"))
            .await;
    }
    let refused = |app: &Application| {
        says(app, "Stalled").is_some_and(|it| it.starts_with("True: metadata.name"))
    };
    stage.until(&long, "the refusal", refused).await;
    stage.settled(dotted).await;
    stage.delete(dotted).await;
    stage.delete(&long).await;
    for host in sim.hosts() {
        assert_eq!(host.inventory()["components"], serde_json::json!([]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_shape_is_refused_by_the_api_server_with_its_path() {
    let stage = Stage::set("no-shape").await;
    let cases = [
        ("annotation-a-number", "metadata.annotations"),
        ("annotation-key", "metadata.annotations"),
        ("component-name-a-number", "spec.components[0].name"),
        ("components-a-map", "spec.components"),
        ("lattice-local", "`local` is the default lattice's other name; choose another"),
        ("lattice-without-nats", "spec.nats"),
        ("name-a-number", "metadata.name"),
        ("name-of-wadm", "metadata.name"),
        ("no-spec", "spec"),
    ];
    for (file, path) in cases {
        let file = format!("{}/tests/manifests/unreadable/{file}.yaml", env!("CARGO_MANIFEST_DIR"));
        let create =
            ["create", "--dry-run=server", "--namespace", &stage.name, "--filename", &file];
        let refusal = CLUSTER.kubectl(&create, None).unwrap_err().to_string();
        assert!(refusal.contains(path), "{file}: {refusal}");
    }
}
