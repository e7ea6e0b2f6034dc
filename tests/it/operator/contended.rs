//! Somebody else writes what an Application wants otherwise, again and again.
use std::time::Duration;

use serde_json::{Value, json};
use simhost::{SimLattice, Verb};
use trellis::api::Application;

use super::{
    owned::{because, message},
    simulated::{heartbeats, lattice},
    stage::{PATIENCE, Stage},
};

const SHOP: &str = "
apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: { name: NAME }
spec:
  components:
    - name: web
      type: component
      properties:
        id: NAME-web
        image: registry.example/NAME/web:1
        config: [{ name: greeting, properties: { text: hi } }]
      traits:
        - { type: spreadscaler, properties: { instances: 2 } }
        - type: link
          properties: { target: api, namespace: example, package: api, interfaces: [call] }
    - name: api
      type: component
      properties: { id: NAME-api, image: registry.example/NAME/api:1 }
";

/// Who wants something otherwise, with a NATS connection of their own.
struct Other<'a> {
    sim: &'a SimLattice,
    nats: async_nats::Client,
}

impl Other<'_> {
    async fn asks(&self, what: &str, body: &Value) {
        let subject = format!("wasmbus.ctl.v1.default.{what}");
        let answer = self.nats.request(subject, body.to_string().into()).await.unwrap();
        let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
        assert_eq!(answer["success"], true, "{answer}");
    }

    /// The last thing of this kind that the operator asked for `id`.
    fn copy(&self, verb: Verb, id: &str) -> (Option<String>, Value) {
        let all = self.sim.commands().of(verb).about(id);
        let last = all.0.last().unwrap();
        (last.target.clone(), last.body.clone())
    }

    /// Puts another link in the place of each that the operator puts, without end.
    async fn replaces_the_link_of(&self, id: &str) {
        loop {
            let ours = |sim: &SimLattice| {
                sim.links().iter().any(|link| link.source_id == id && link.interfaces == ["call"])
            };
            if self.sim.wait_until(PATIENCE, ours).await.is_err() {
                continue;
            }
            let (_, mut link) = self.copy(Verb::LinkPut, id);
            self.asks("link.del", &link).await;
            link["interfaces"] = json!(["other"]);
            self.asks("link.put", &link).await;
        }
    }

    /// Puts other values in the place of those that the operator puts, without end.
    async fn replaces_the_config(&self, name: &str) {
        loop {
            let ours = |sim: &SimLattice| {
                let config = sim.config();
                config.get(name).is_some_and(|values| values["text"] == "hi")
            };
            if self.sim.wait_until(PATIENCE, ours).await.is_ok() {
                self.asks(&format!("config.put.{name}"), &json!({ "text": "bye" })).await;
            }
        }
    }

    /// Scales a component to seven whenever the operator has scaled it to two, without end.
    async fn scales_up(&self, id: &str) {
        loop {
            let ours = |sim: &SimLattice| sim.instances(id) == 2;
            if self.sim.wait_until(PATIENCE, ours).await.is_err() {
                continue;
            }
            let (host, mut scale) = self.copy(Verb::ComponentScale, id);
            scale["count"] = json!(7);
            self.asks(&format!("component.scale.{}", host.unwrap()), &scale).await;
            let done = |sim: &SimLattice| sim.instances(id) == 7;
            let _ = self.sim.wait_until(Duration::from_secs(5), done).await;
        }
    }
}

fn is_contended(app: &Application, by: &str) -> bool {
    because(app, "Ready", "Contended")
        && because(app, "Stalled", "Contended")
        && message(app).contains(by)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_keeps_changing_back_is_left_to_them_until_the_spec_changes() {
    let stage = Stage::start("contended").await;
    let sim = lattice(&stage, 1).await;
    for name in ["linked", "scaled", "told", "beside"] {
        stage.apply(&SHOP.replace("NAME", name)).await;
        stage.settled(name).await;
    }
    let nats = async_nats::connect(stage.nats.url()).await.unwrap();
    let other = Other { sim: &sim, nats };
    let since = tokio::select! {
        () = other.replaces_the_link_of("linked-web") => unreachable!("they never give in"),
        () = other.scales_up("scaled-web") => unreachable!("they never give in"),
        () = other.replaces_the_config("contended-told-greeting") => unreachable!("they never give in"),
        since = async {
            let linked = "(it leads to linked-api, through other)";
            stage.until("linked", "the fight over the link", |app| is_contended(app, linked)).await;
            let scaled = "7 instances of registry.example/scaled/web:1 run there";
            stage.until("scaled", "the fight over the number", |app| is_contended(app, scaled)).await;
            let told = "it has other values";
            stage.until("told", "the fight over the config", |app| is_contended(app, told)).await;
            let since = sim.elapsed();
            heartbeats(&stage, &sim, 5).await;
            since
        } => since,
    };
    assert_eq!(sim.commands().writes().since(since).0, [], "nobody writes any more");
    let puts = sim.commands().of(Verb::LinkPut).about("linked-web");
    let ours = puts.only(|put| put.body["interfaces"] == json!(["call"])).len();
    assert!((3..=4).contains(&ours), "it was put {ours} times");
    stage.settled("beside").await;

    // Something else is asked for: there may be no quarrel over that.
    let cases = [
        ("linked", "[call]", "[call, more]"),
        ("scaled", "instances: 2", "instances: 3"),
        ("told", "text: hi", "text: hey"),
    ];
    for (name, before, after) in cases {
        stage.apply(&SHOP.replace("NAME", name).replace(before, after)).await;
        stage.settled(name).await;
    }
    assert_eq!(sim.instances("scaled-web"), 3);
}
