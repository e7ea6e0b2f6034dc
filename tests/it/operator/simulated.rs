//! The operator on simulated hosts.
use std::time::Duration;

use futures::StreamExt;
use simhost::{HostOptions, LatticeOptions, SimLattice};

use super::stage::Stage;

/// A simulated lattice on the stage's NATS server, with `hosts` hosts.
pub(crate) async fn lattice(stage: &Stage, hosts: usize) -> SimLattice {
    let options =
        LatticeOptions { heartbeat_interval: Duration::from_secs(1), ..LatticeOptions::default() };
    let sim = SimLattice::start(stage.nats.url(), options).await.unwrap();
    sim.add_hosts(hosts, |_| HostOptions::default()).await.unwrap();
    sim
}

/// Waits until every host has sent `rounds` heartbeats: longer than anything that they could have
/// set off takes.
pub(crate) async fn heartbeats(stage: &Stage, sim: &SimLattice, rounds: usize) {
    let seen = async {
        let nats = async_nats::connect(stage.nats.url()).await.unwrap();
        let subject = format!("wasmbus.evt.{}.host_heartbeat", sim.options().name);
        let beats = nats.subscribe(subject).await.unwrap();
        beats.take(rounds * sim.hosts().len()).collect::<Vec<_>>().await
    };
    stage.wait("heartbeats", seen).await;
}

/// `shop`, of which `web` is all and runs under that id.
pub(crate) fn web(instances: u32) -> String {
    format!(
        "
apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: {{ name: shop }}
spec:
  components:
    - name: web
      type: component
      properties: {{ id: web, image: registry.example/web:1 }}
      traits:
        - {{ type: spreadscaler, properties: {{ instances: {instances} }} }}
"
    )
}

/// An Application with everything: put its name for `NAME`.
pub(crate) const SHOP: &str = "
apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: { name: NAME }
spec:
  components:
    - name: web
      type: component
      properties:
        image: registry.example/NAME/web:1
        config: [{ name: greeting, properties: { text: hi } }]
      traits:
        - { type: spreadscaler, properties: { instances: 2 } }
        - type: link
          properties: { target: api, namespace: example, package: api, interfaces: [call] }
    - name: api
      type: component
      properties: { image: registry.example/NAME/api:1 }
    - name: http
      type: capability
      properties: { image: registry.example/NAME/http:1 }
      traits:
        - type: link
          properties:
            target: web
            namespace: wasi
            package: http
            interfaces: [incoming-handler]
            source: { config: [{ name: address, properties: { address: 0.0.0.0:8000 } }] }
";

#[tokio::test(flavor = "multi_thread")]
async fn an_application_runs_is_changed_and_leaves_nothing_behind() {
    let stage = Stage::start("sim-lifecycle").await;
    let sim = lattice(&stage, 2).await;

    stage.apply(&web(4)).await;
    let app = stage.settled("shop").await;
    let status = app.status.unwrap();
    assert_eq!(status.summary.unwrap().ready, "1/1");
    assert_eq!(status.latest_revision.unwrap().name, "shop-v1");
    assert_eq!(status.workflow.unwrap().steps[0].phase, "succeeded");
    assert_eq!(sim.instances("web"), 4);

    stage.apply(&web(4).replace("web:1", "web:2")).await;
    stage.settled("shop").await;
    for host in sim.hosts() {
        assert_eq!(host.code_running("web"), ["registry.example/web:2"]);
    }

    stage.delete("shop").await;
    assert_eq!(sim.instances("web"), 0);
}
