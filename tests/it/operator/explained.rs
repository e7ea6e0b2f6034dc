//! What an Application waits for, and what blocks it, is said by its status and by `trellis plan` in
//! the same words.
use std::collections::BTreeMap;

use serde_json::Value;
use trellis::api::Application;

use super::{
    simulated::{heartbeats, lattice},
    stage::Stage,
};
use crate::trellis::trellis;

/// One thing of each kind that is in the way, and something that nothing is.
const SHOP: &str = "
apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: { name: shop, namespace: explained }
spec:
  components:
    - name: fine
      type: component
      properties: { image: registry.example/fine:1 }
    - name: placeless
      type: component
      properties: { image: registry.example/placeless:1 }
      traits:
        - type: spreadscaler
          properties: { instances: 1, spread: [{ name: mars, requirements: { zone: mars } }] }
    - name: configless
      type: component
      properties:
        image: registry.example/configless:1
        config: [{ name: nobody-wrote-it }]
    - name: crowded
      type: capability
      properties: { image: registry.example/crowded:1 }
      traits:
        - { type: spreadscaler, properties: { instances: 2 } }
    - name: foreign
      type: component
      properties: { id: foreign, image: registry.example/foreign:1 }
    - name: http
      type: capability
      properties: { image: registry.example/http:1 }
      traits:
        - type: link
          properties:
            { target: served, namespace: wasi, package: http, interfaces: [incoming-handler] }
    - name: served
      type: component
      properties: { image: registry.example/served:1 }
      traits:
        - type: link
          properties: { target: http, namespace: example, package: back, interfaces: [call] }
";

/// What the status says of each component that isn't as wanted.
fn said(app: &Application) -> BTreeMap<String, String> {
    let services = app.status.iter().flat_map(|status| &status.services);
    let ill = services.filter(|service| !service.healthy);
    ill.map(|service| (service.name.clone(), service.message.clone())).collect()
}

/// What `trellis plan` says of each component that isn't as wanted.
async fn planned(stage: &Stage) -> (BTreeMap<String, String>, String) {
    let url = stage.nats.url().to_owned();
    let plan = move |output: &'static str| {
        let args = ["plan", "-f", "-", "--nats", &url, "-o", output];
        let ended = trellis(&std::env::temp_dir(), &args, SHOP);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        ended.stdout
    };
    let planned = tokio::task::spawn_blocking(move || (plan("json"), plan("text")));
    let (json, text) = planned.await.unwrap();
    let json: Value = serde_json::from_str(&json).unwrap();
    let components = json["targets"][0]["components"].as_array().unwrap().clone();
    let ill = components.iter().filter(|component| !component["message"].is_null());
    let message = |component: &Value| {
        let blocked = json["targets"][0]["blocked"].as_array().unwrap();
        let is_blocked = blocked.iter().any(|it| it["subject"] == component["id"]);
        let message = component["message"].as_str().unwrap();
        if is_blocked {
            return message.to_owned();
        }
        let (ready, desired) = (&component["ready"], &component["desired"]);
        format!("{ready} of {desired} instances ready: {message}")
    };
    let name = |component: &Value| component["name"].as_str().unwrap().to_owned();
    (ill.map(|component| (name(component), message(component))).collect(), text)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_and_a_plan_say_the_same_of_what_is_in_the_way() {
    let stage = Stage::start("explained").await;
    let sim = lattice(&stage, 1).await;
    let host = sim.hosts().remove(0);
    host.seed_component("foreign", "registry.example/other:1", 1, simhost::Map::new());
    // A provider that is never there: its host goes on asking for the image.
    sim.images().hold("registry.example/http:1");
    heartbeats(&stage, &sim, 2).await;
    stage.apply(SHOP).await;

    let under_way = format!(
        "0 of 1 instances ready: start provider explained-shop-http on {host} waits for the outcome \
         of: start provider explained-shop-http on {host}",
        host = host.id()
    );
    let app = stage
        .until("shop", "all that can be done to be done", |app| {
            let said = said(app);
            said.len() == 6 && said.get("http") == Some(&under_way)
        })
        .await;
    let said = said(&app);
    let (mut planned, text) = planned(&stage).await;

    // What this process has under way is known to nobody else.
    planned.insert("http".to_owned(), under_way);
    assert_eq!(said, planned, "{text}");

    for (name, expected) in [
        ("placeless", "NoEligibleHosts: spread mars finds no host that takes work"),
        ("configless", "waits for config nobody-wrote-it"),
        ("crowded", "TooFewHosts: spread default asks for 2 hosts"),
        ("foreign", "NotOwned: what runs under this id on host"),
        ("served", "waits for explained-shop-http to be running"),
    ] {
        assert!(said[name].contains(expected), "{name}: {}", said[name]);
    }
    // The same stands in the text for people, and in the conditions.
    for (name, message) in &said {
        let words = message.split_once(" instances ready: ").map_or(&**message, |(_, it)| it);
        let words = words.split_once(" waits for ").map_or(words, |(_, it)| it);
        assert!(name == "http" || text.contains(words), "{name}: {words} in {text}");
    }
    let status = app.status.unwrap();
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
    let (reason, message) = (ready.reason.as_deref().unwrap(), ready.message.as_deref().unwrap());
    assert_eq!(
        format!("{reason}: {message}"),
        said["foreign"].replacen(": ", ": lattice explained: ", 1)
    );
}
