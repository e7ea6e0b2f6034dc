//! What is measured is what docs/metrics.md lists.
use std::{collections::BTreeSet, fs, time::Duration};

use serde_json::{Value, json};
use simhost::Verb;

use super::{
    owned::because,
    scrape::{metrics, sum},
    simulated::{SHOP, lattice},
    stage::{PATIENCE, Stage},
};

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_is_documented_and_every_documented_one_is_there() {
    let stage = Stage::start("metrics").await;
    let _sim = lattice(&stage, 2).await;
    stage.apply(&SHOP.replace("NAME", "shop")).await;
    stage.settled("shop").await;

    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
    let page = fs::read_to_string(page).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let documented: BTreeSet<_> = rows.map(ToOwned::to_owned).collect();

    let metrics = metrics(&stage);
    let types = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    // Counters are asked for, and so documented, by the name of their series.
    let name = |(name, kind): (&str, &str)| match kind {
        "counter" => format!("{name}_total"),
        _ => name.to_owned(),
    };
    assert_eq!(types.map(name).collect::<BTreeSet<_>>(), documented);

    let lattice = format!("lattice=\"{}\"", stage.name);
    for wanted in [
        format!("trellis_lattice_hosts{{{lattice},state=\"ready\"}} 2"),
        format!("trellis_lattice_hosts{{{lattice},state=\"unreachable\"}} 0"),
        format!("trellis_lattice_synced{{{lattice}}} 1"),
    ] {
        assert!(metrics.contains(&wanted), "{wanted} in {metrics}");
    }
}

/// Waits until the counts of `series` come to `wanted`, and not to more.
async fn counts(stage: &Stage, series: &str, wanted: u64) {
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        let metrics = metrics(stage);
        let count = sum(&metrics, series);
        if count == wanted {
            return;
        }
        let late = tokio::time::Instant::now() > end;
        assert!(count < wanted && !late, "{series} is {count} and not {wanted} in {metrics}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_is_counted_as_often_and_as_long_as_it_happens() {
    let mut stage = Stage::start("counted").await;
    let sim = lattice(&stage, 1).await;
    stage.apply(&SHOP.replace("NAME", "shop")).await;
    stage.settled("shop").await;

    // A release: two configs, two links, three starts, each accepted once.
    let released = r#"trellis_convergence_seconds_count{cause="Release"}"#;
    counts(&stage, released, 1).await;
    for (verb, kind, sent) in [
        ("config.put", Verb::ConfigPut, 2),
        ("link.put", Verb::LinkPut, 2),
        ("provider.start", Verb::ProviderStart, 1),
        ("component.scale", Verb::ComponentScale, 2),
    ] {
        assert_eq!(sim.commands().of(kind).len(), sent, "{verb}");
        let series =
            format!(r#"trellis_lattice_commands_total{{verb="{verb}",outcome="accepted"}}"#);
        assert_eq!(sum(&metrics(&stage), &series), sent as u64, "{verb}");
    }
    assert!(sum(&metrics(&stage), "trellis_event_lag_seconds_count") > 0);

    // Drift: somebody stops a component, and deletes a link and a config.
    let id = "counted-shop-web";
    let nats = async_nats::connect(stage.nats.url()).await.unwrap();
    let asks = async |what: String, body: Value| {
        let subject = format!("wasmbus.ctl.v1.default.{what}");
        nats.request(subject, body.to_string().into()).await.unwrap();
    };
    let mut scale = sim.commands().of(Verb::ComponentScale).about(id).0.last().unwrap().clone();
    scale.body["count"] = json!(0);
    asks(format!("component.scale.{}", scale.target.unwrap()), scale.body).await;
    for (kind, drifted) in [("Workload", 1), ("Link", 0), ("Config", 0)] {
        let series = format!(r#"trellis_drift_repaired_total{{kind="{kind}"}}"#);
        counts(&stage, &series, drifted).await;
    }
    let put = sim.commands().of(Verb::LinkPut).about(id).0.last().unwrap().clone();
    asks("link.del".to_owned(), put.body).await;
    counts(&stage, r#"trellis_drift_repaired_total{kind="Link"}"#, 1).await;
    asks("config.del.counted-shop-greeting".to_owned(), json!({})).await;
    counts(&stage, r#"trellis_drift_repaired_total{kind="Config"}"#, 1).await;
    counts(&stage, r#"trellis_convergence_seconds_count{cause="Drift"}"#, 3).await;

    // A host that accepts a start and fails.
    sim.images().missing("registry.example/bad/web:1");
    stage.apply(&SHOP.replace("NAME", "bad")).await;
    stage.until("bad", "the failure", |app| because(app, "Ready", "Failing")).await;
    let failures = r#"trellis_lattice_command_failures_total{verb="component.scale"}"#;
    assert!(sum(&metrics(&stage), failures) > 0, "{}", metrics(&stage));
    counts(&stage, released, 1).await;
    stage.delete("bad").await;
    counts(&stage, r#"trellis_convergence_seconds_count{cause="Removal"}"#, 1).await;

    // A connection that is lost and comes again.
    counts(&stage, "trellis_lattice_reconnects_total", 0).await;
    stage.restart_nats();
    counts(&stage, "trellis_lattice_reconnects_total", 1).await;
}
