//! What is measured is what docs/metrics.md lists.
use std::{collections::BTreeSet, fs};

use super::{
    simulated::{SHOP, lattice},
    stage::Stage,
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

    let url = format!("{}/metrics", stage.operator_url());
    let (_, metrics) = tokio::task::block_in_place(|| parts::http::get(&url)).unwrap();
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
