//! `spreadscaler` and `daemonscaler`.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    cursor::{At, Fields, Shape},
    layout, name, rollout,
    suggest::quote,
};
use crate::model::{Layout, LossPolicy, Rollout, Scaling, SpreadEntry, WorkloadKind};

const BELOW_ROLLOUT: &str = "belongs below rollout";
const SCALER: Shape = Shape {
    known: &[
        "instances",
        "replicas",
        "spread",
        "placement",
        "whenUnsatisfiable",
        "rebalance",
        "rebalanceDelay",
        "rollout",
        "onHostLoss",
    ],
    not_yet: &[],
    elsewhere: &[
        ("min", "scaling by load is not built in", "write instances"),
        ("max", "scaling by load is not built in", "write instances"),
        ("strategy", BELOW_ROLLOUT, "write it as rollout.strategy"),
        ("maxUnavailable", BELOW_ROLLOUT, "write it as rollout.maxUnavailable"),
        ("maxSurge", BELOW_ROLLOUT, "write it as rollout.maxSurge"),
        ("maxFailedHosts", BELOW_ROLLOUT, "write it as rollout.maxFailedHosts"),
    ],
};
const ENTRY: Shape = Shape {
    known: &["name", "weight", "requirements"],
    not_yet: &["hostSelector"],
    elsewhere: &[("labels", "unknown field", "call it requirements")],
};

const EVERYWHERE: &str = "has no effect, since a daemonscaler runs on every host that matches";

/// The weight of an entry that names none, as in wadm.
const DEFAULT_WEIGHT: u32 = 100;

/// How many run where, how that changes, and what is done about a host that is lost.
pub(super) struct Scaler {
    pub(super) scaling: Scaling,
    pub(super) on_host_loss: Option<LossPolicy>,
    pub(super) layout: Layout,
    pub(super) rollout: Rollout,
}

/// One instance, wherever there is a host: what a component without a scaler gets.
pub(super) fn one() -> Scaler {
    let scaling = Scaling::Spread { instances: 1, spread: vec![anywhere()] };
    let (layout, rollout) = (Layout::default(), Rollout::default());
    Scaler { scaling, on_host_loss: None, layout, rollout }
}

fn anywhere() -> SpreadEntry {
    SpreadEntry { name: "default".into(), weight: DEFAULT_WEIGHT, requirements: BTreeMap::new() }
}

pub(super) fn spread(properties: &At, kind: Option<WorkloadKind>) -> Option<Scaler> {
    let fields = properties.object(&SCALER)?;
    let (layout, rollout) = (layout::parse(&fields, kind), rollout::parse(&fields));
    let on_host_loss = on_host_loss(&fields);
    let spread = entries(&fields, true);
    let at = match fields.either("instances", "replicas") {
        Some(at) => at,
        // Both were written, which is reported already.
        None if fields.get("instances").is_some() => return None,
        None => fields.need("instances", "write how many instances are wanted in all")?,
    };
    let scaling = Scaling::Spread { instances: at.count()?, spread: spread? };
    let (layout, rollout) = (layout?, rollout?);
    Some(Scaler { scaling, on_host_loss: on_host_loss.ok()?, layout, rollout })
}

pub(super) fn daemon(properties: &At) -> Option<Scaler> {
    let fields = properties.object(&SCALER)?;
    for at in layout::FIELDS.iter().filter_map(|key| fields.get(key)) {
        at.warning(EVERYWHERE, "remove it");
    }
    let (on_host_loss, rollout) = (on_host_loss(&fields), rollout::parse(&fields));
    let spread = entries(&fields, false);
    let instances = match fields.either("instances", "replicas") {
        Some(at) => at.count()?,
        None => 1,
    };
    let scaling = Scaling::Daemon { instances, spread: spread? };
    let (layout, rollout) = (Layout::default(), rollout?);
    Some(Scaler { scaling, on_host_loss: on_host_loss.ok()?, layout, rollout })
}

/// Nothing if it isn't written, an error if it is wrong, which is reported already.
fn on_host_loss(fields: &Fields) -> Result<Option<LossPolicy>, Reported> {
    let Some(at) = fields.get("onHostLoss") else { return Ok(None) };
    match at.text().ok_or(Reported)? {
        "Replace" => Ok(Some(LossPolicy::Replace)),
        "Hold" => Ok(Some(LossPolicy::Hold)),
        other => {
            at.problem(
                format!("{} is no policy", quote(other)),
                "write Replace (other hosts take over) or Hold (its share stays there)",
            );
            Err(Reported)
        }
    }
}

/// What was found is among the problems.
struct Reported;

fn entries(fields: &Fields, weighted: bool) -> Option<Vec<SpreadEntry>> {
    let items = fields.list("spread");
    if items.is_empty() {
        return Some(vec![anywhere()]);
    }
    let mut names = BTreeSet::new();
    let mut spread = Vec::with_capacity(items.len());
    for at in &items {
        let Some(entry) = entry(at, weighted) else { continue };
        if !names.insert(Arc::clone(&entry.name)) {
            at.problem(
                format!("{} is the name of an earlier entry", quote(&entry.name)),
                "give it a name of its own",
            );
        }
        spread.push(entry);
    }
    let complete = spread.len() == items.len();
    if weighted && complete && spread.iter().all(|entry| entry.weight == 0) {
        let at = fields.get("spread")?;
        at.problem("every weight is 0", "give at least one entry a weight above 0");
        return None;
    }
    complete.then_some(spread)
}

fn entry(at: &At, weighted: bool) -> Option<SpreadEntry> {
    let fields = at.object(&ENTRY)?;
    let requirements = fields.get("requirements").map(|at| at.strings()).unwrap_or_default();
    let weight = match fields.get("weight") {
        None => Some(DEFAULT_WEIGHT),
        Some(at) if weighted => at.count(),
        Some(at) => {
            at.warning(EVERYWHERE, "remove it");
            Some(DEFAULT_WEIGHT)
        }
    };
    let name = fields.need("name", "give it a name").and_then(|at| name::part(&at));
    Some(SpreadEntry { name: name?, weight: weight?, requirements })
}
