//! What the operator's metrics say.
use super::stage::Stage;

/// All that is served at `/metrics`.
pub(crate) fn metrics(stage: &Stage) -> String {
    let url = format!("{}/metrics", stage.operator_url());
    let (_, metrics) = tokio::task::block_in_place(|| parts::http::get(&url)).unwrap();
    metrics
}

/// The sum of the counts of all series that begin with `series`, a metric's name with as many of its labels as
/// matter; 0 if there are none.
pub(crate) fn sum(metrics: &str, series: &str) -> u64 {
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    let labels: Vec<_> = labels.trim_end_matches('}').split(',').collect();
    let values = metrics.lines().filter_map(|line| {
        let (found, value) = line.rsplit_once(' ')?;
        let (of, among) = found.split_once('{').unwrap_or((found, ""));
        let matches = of == name && labels.iter().all(|label| among.contains(label));
        matches.then(|| value.parse::<u64>().unwrap())
    });
    values.sum()
}
