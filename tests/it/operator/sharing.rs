//! What was there before is taken up, components are shared, and who says "not now" is heard.
use std::collections::BTreeMap;

use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use trellis::api::{Application, Phase};

use super::{
    owned::{because, message},
    simulated::{heartbeats, lattice},
    stage::Stage,
};

const HTTP: &str = "
apiVersion: core.oam.dev/v1beta1
kind: Application
metadata:
  name: http
  annotations: { experimental.wasmcloud.dev/shared: 'true' }
spec:
  components:
    - name: httpserver
      type: capability
      properties: { image: registry.example/http:1 }
";

/// As wadm's own example of a shared component has it.
const HELLO: &str = "
apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: { name: NAME }
spec:
  components:
    - name: httpserver
      type: capability
      properties:
        application: { name: http, component: httpserver }
      traits:
        - type: link
          properties:
            target: hello
            namespace: wasi
            package: http
            interfaces: [incoming-handler]
            source: { config: [{ name: address, properties: { path: /NAME } }] }
    - name: hello
      type: component
      properties: { image: registry.example/NAME:1 }
";

async fn annotate(stage: &Stage, name: &str, key: &str, value: Value) {
    let patch = json!({ "metadata": { "annotations": { key: value } } });
    let api = stage.applications();
    api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_component_is_linked_to_by_two_and_outlives_neither() {
    let stage = Stage::start("shared").await;
    let sim = lattice(&stage, 2).await;
    // Who refers to it may come first.
    stage.apply(&HELLO.replace("NAME", "one")).await;
    let waits = |app: &Application| because(app, "Ready", "FailedPolicy");
    let app = stage.until("one", "the wait", waits).await;
    assert!(message(&app).contains("there is no Application shared/http"), "{}", message(&app));
    assert_eq!(sim.commands().writes().0, []);

    stage.apply(HTTP).await;
    stage.apply(&HELLO.replace("NAME", "two")).await;
    for name in ["http", "one", "two"] {
        stage.settled(name).await;
    }
    assert_eq!(sim.instances("shared-http-httpserver"), 1);
    let links: BTreeMap<String, String> = sim
        .links()
        .iter()
        .map(|link| serde_json::to_value(link).unwrap())
        .map(|link| (link["name"].as_str().unwrap().into(), link["target"].to_string()))
        .collect();
    let named = |name: &str| (format!("shared-{name}-hello"), format!("\"shared-{name}-hello\""));
    assert_eq!(links, BTreeMap::from([named("one"), named("two")]));

    // It can't go while one links from it that stays.
    let api = stage.applications();
    api.delete("http", &DeleteParams::default()).await.unwrap();
    let held = |app: &Application| because(app, "Stalled", "StillReferenced");
    let app = stage.until("http", "the refusal", held).await;
    assert!(message(&app).contains("shared/one, shared/two"), "{}", message(&app));
    heartbeats(&stage, &sim, 2).await;
    assert_eq!(sim.instances("shared-http-httpserver"), 1);

    // Deleting all at once is no deadlock.
    stage.delete("one").await;
    stage.delete("two").await;
    stage.gone("http").await;
    assert_eq!(sim.instances("shared-http-httpserver"), 0);
    assert_eq!((sim.links(), sim.config()), (Vec::new(), BTreeMap::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_wadm_runs_is_taken_up_with_no_command_and_goes_with_its_application() {
    let stage = Stage::start("adopt").await;
    let sim = lattice(&stage, 1).await;
    let id = "adopt-hello-hello";
    let wadm = [("wasmcloud.dev/managed-by", "wadm"), ("wasmcloud.dev/appspec", "hello")];
    let wadm = wadm.map(|(key, value)| (key.to_owned(), value.to_owned()));
    sim.hosts()[0].seed_component(id, "registry.example/hello:1", 1, wadm.into());
    heartbeats(&stage, &sim, 2).await;
    let manifest = "
apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: { name: hello, annotations: { lattice.oam.dev/adopt: wadm } }
spec:
  components:
    - { name: hello, type: component, properties: { image: 'registry.example/hello:1' } }
";
    stage.apply(manifest).await;
    let app = stage.settled("hello").await;
    let service = app.status.unwrap().services.remove(0);
    assert!(service.healthy && service.message.starts_with("adopted"), "{service:?}");
    assert_eq!(sim.commands().writes().0, []);

    // An operator that begins anew finds the same.
    stage.stop_operator().await;
    stage.start_operator().await;
    heartbeats(&stage, &sim, 3).await;
    assert_eq!(sim.commands().writes().0, []);

    stage.apply(&manifest.replace("adopt: wadm", "adopt: restamp")).await;
    let stamped = |it: &simhost::SimLattice| {
        let component = it.hosts()[0].component(id).unwrap();
        component.annotations.contains_key("lattice.oam.dev/application")
            && component.max_instances == 1
    };
    sim.wait_until(super::stage::PATIENCE, stamped).await.unwrap();
    stage.delete("hello").await;
    assert_eq!(sim.instances(id), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_paused_is_observed_and_not_changed() {
    let stage = Stage::start("paused").await;
    let sim = lattice(&stage, 1).await;
    stage.apply(HTTP).await;
    stage.settled("http").await;
    annotate(&stage, "http", "lattice.oam.dev/paused", json!("true")).await;
    let paused = |app: &Application| because(app, "Reconciling", "Paused");
    stage.until("http", "the pause", paused).await;
    let since = sim.elapsed();
    stage
        .apply(
            &HTTP
                .replace("http:1", "http:2")
                .replace("'true' }", "'true', lattice.oam.dev/paused: 'true' }"),
        )
        .await;
    sim.hosts()[0].crash_provider("paused-http-httpserver", false);
    let api = stage.applications();
    api.delete("http", &DeleteParams::default()).await.unwrap();
    let held = |app: &Application| {
        because(app, "Stalled", "Paused")
            && app.status.as_ref().is_some_and(|s| s.status == Some(Phase::Deleting))
    };
    stage.until("http", "the deletion to wait", held).await;
    heartbeats(&stage, &sim, 2).await;
    assert_eq!(sim.commands().writes().since(since).0, []);
    annotate(&stage, "http", "lattice.oam.dev/paused", Value::Null).await;
    stage.gone("http").await;
}
