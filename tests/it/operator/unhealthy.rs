//! A provider whose process isn't well.
use std::time::Duration;

use simhost::{HostOptions, ProviderHealth, SimLattice, Verb};

use super::{
    owned::{because, message},
    simulated::lattice,
    stage::Stage,
};

const HTTP: &str = "
apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: { name: shop }
spec:
  components:
    - name: http
      type: capability
      properties: { id: http, image: registry.example/http:1 }
";

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_stays_unhealthy_is_restarted_and_the_status_says_so_until_it_is_well() {
    let stage = Stage::start("unhealthy").await;
    let sim = lattice(&stage, 0).await;
    let options = HostOptions {
        first_health_check: Duration::from_secs(1),
        health_interval: Duration::from_secs(2),
        ..HostOptions::default()
    };
    let host = sim.add_host(options).await.unwrap();
    stage.apply(HTTP).await;
    stage.settled("shop").await;
    let stops = |sim: &SimLattice| sim.commands().of(Verb::ProviderStop).len();
    let passed = |sim: &SimLattice| {
        sim.events().iter().filter(|event| event.name == "health_check_passed").count()
    };
    let once = |sim: &SimLattice| passed(sim) == 1;
    sim.wait_until(Duration::from_secs(30), once).await.unwrap();
    assert_eq!(stops(&sim), 0);

    host.set_health("http", ProviderHealth::Unhealthy);
    let unhealthy = |app: &trellis::api::Application| because(app, "Ready", "Unhealthy");
    let app = stage.until("shop", "the trouble to be told", unhealthy).await;
    let said = format!(
        "lattice unhealthy: its process on host {} says that it is unhealthy; it is restarted if \
         that lasts",
        host.id()
    );
    assert_eq!(message(&app), said);

    // What is started anew is well, which its host tells a moment later.
    let again = |sim: &SimLattice| stops(sim) == 1 && passed(sim) == 2;
    sim.wait_until(Duration::from_secs(30), again).await.unwrap();
    let app = stage.settled("shop").await;
    assert_eq!(message(&app), "");
    assert_eq!((stops(&sim), sim.commands().of(Verb::ProviderStart).len()), (1, 2));

    // What fails again soon isn't restarted as soon again.
    host.set_health("http", ProviderHealth::Unhealthy);
    let app = stage.until("shop", "the trouble to be told again", unhealthy).await;
    assert!(message(&app).contains("it was restarted once, and is again"), "{}", message(&app));
    super::simulated::heartbeats(&stage, &sim, 5).await;
    assert_eq!(stops(&sim), 1);
}
