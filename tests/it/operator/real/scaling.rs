//! How many of what run where.
use super::{LIMIT, Real, image};

/// One component without links, with this trait.
pub(super) async fn pool(scaler: &str) -> String {
    format!(
        "
apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: {{ name: pool }}
spec:
  components:
    - name: worker
      type: component
      properties: {{ image: '{}' }}
      traits: [{scaler}]
",
        image("tiny:1").await
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_is_scaled_up_down_and_over_two_labels() {
    let real = Real::start("real-scale", &[("a", &[("zone", "a")]), ("b", &[("zone", "b")])]).await;
    let instances =
        async |count: &str| pool(&format!("{{type: spreadscaler, properties: {{{count}}}}}")).await;

    real.stage.apply(&instances("instances: 1").await).await;
    real.stage.settled("pool").await;
    let lines = real.lines().await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].ends_with(": component ~pool-worker = tiny:1 x1, of pool/worker"),
        "{lines:?}"
    );
    // Who runs one already gets the odd one.
    let (more, fewer) = if lines[0].starts_with('a') { ("a", "b") } else { ("b", "a") };
    let on = |host: &str, count: u32| {
        format!("{host}: component ~pool-worker = tiny:1 x{count}, of pool/worker")
    };

    real.becomes("pool", &instances("instances: 5").await, &[&on(more, 3), &on(fewer, 2)]).await;
    real.becomes("pool", &instances("instances: 2").await, &[&on("a", 1), &on("b", 1)]).await;

    let spread = "instances: 10, spread: [
        {name: west, weight: 80, requirements: {zone: a}},
        {name: east, weight: 20, requirements: {zone: b}}]";
    real.becomes("pool", &instances(spread).await, &[&on("a", 8), &on("b", 2)]).await;

    real.leaves_nothing("pool").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemonscaler_fills_each_host_that_joins() {
    let edge: &[_] = &[("zone", "edge")];
    let mut real = Real::start("real-daemon", &[("a", edge), ("cloud", &[])]).await;
    let daemon = "{type: daemonscaler, properties: {instances: 2, spread: [
        {name: edge, requirements: {zone: edge}}]}}";
    let on = |host: &str| format!("{host}: component ~pool-worker = tiny:1 x2, of pool/worker");
    real.becomes("pool", &pool(daemon).await, &[&on("a")]).await;

    real.join("b", edge).await;
    let took = real.comes_to_hold(&[&on("a"), &on("b")]).await;
    assert!(took < LIMIT, "it took {took:?}\n{}", real.stage.log());
    let app = real
        .stage
        .until("pool", "both hosts in the status", |app| {
            app.status.as_ref().is_some_and(|s| {
                s.services.iter().all(|s| s.healthy && s.instances.ready == 4 && s.hosts.len() == 2)
            })
        })
        .await;
    assert_eq!(app.status.unwrap().services[0].instances.desired, 4);

    real.leaves_nothing("pool").await;
}
