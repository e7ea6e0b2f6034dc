//! What `/metrics` shows is what the documentation says.
use std::collections::{BTreeMap, BTreeSet};

use super::{
    simulated::{SHOP, lattice},
    stage::Stage,
};

/// Type and labels, by name.
type Families = BTreeMap<String, (String, BTreeSet<String>)>;

/// Of the table: `| name | type | labels | meaning |`.
fn documented() -> Families {
    let rows = include_str!("../../../docs/metrics.md").lines();
    let cells = rows.filter(|row| row.starts_with("| `trellis_")).map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let labels = cells[3].split(',').map(|label| label.trim().trim_matches('`').to_owned());
        let labels = labels.filter(|label| !label.is_empty()).collect();
        (cells[1].trim_matches('`').to_owned(), (cells[2].to_owned(), labels))
    });
    cells.collect()
}

fn shown(metrics: &str) -> Families {
    let mut families = Families::new();
    let mut last = String::new();
    for line in metrics.lines() {
        if let Some(family) = line.strip_prefix("# TYPE ") {
            let (name, kind) = family.split_once(' ').unwrap();
            name.clone_into(&mut last);
            families.insert(last.clone(), (kind.to_owned(), BTreeSet::new()));
        } else if let Some((_, rest)) = line.split_once('{')
            && !line.starts_with('#')
        {
            let (labels, _) = rest.split_once('}').unwrap();
            let names = labels.split(',').map(|label| label.split('=').next().unwrap().to_owned());
            // The bounds of a histogram's buckets are no label of ours.
            families.get_mut(&last).unwrap().1.extend(names.filter(|name| name != "le"));
        }
    }
    families
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_those_of_the_documentation() {
    let stage = Stage::start("metrics").await;
    let _sim = lattice(&stage, 2).await;
    stage.apply(&SHOP.replace("NAME", "shop")).await;
    stage.settled("shop").await;
    let url = format!("{}/metrics", stage.operator_url());
    let (_, metrics) = tokio::task::block_in_place(|| parts::http::get(&url)).unwrap();
    let (shown, mut documented) = (shown(&metrics), documented());
    if !shown.contains_key("trellis_reconcile_failures") {
        documented.remove("trellis_reconcile_failures");
    }
    assert_eq!(shown, documented);
    let line = "trellis_lattice_hosts{lattice=\"metrics\",state=\"ready\"} 2\n";
    assert!(metrics.contains(line), "{metrics}");
    assert!(metrics.contains("trellis_lattice_synced{lattice=\"metrics\"} 1\n"), "{metrics}");
}
