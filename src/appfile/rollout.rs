//! `rollout` of a scaler: how a change goes from host to host.
use serde_json::Value;

use super::{
    cursor::{At, Fields, Shape},
    suggest::quote,
};
use crate::model::{Bound, Rollout, Strategy};

const ROLLOUT: Shape = Shape {
    known: &["strategy", "maxUnavailable", "maxSurge", "maxFailedHosts"],
    not_yet: &[],
    elsewhere: &[
        ("type", "unknown field", "call it strategy"),
        ("rollingUpdate", "unknown field", "write what is below it as a field of rollout"),
    ],
};
const STRATEGIES: [(&str, Strategy); 2] =
    [("RollingUpdate", Strategy::RollingUpdate), ("Recreate", Strategy::Recreate)];

/// `None` if any of it is wrong.
pub(super) fn parse(scaler: &Fields) -> Option<Rollout> {
    let default = Rollout::default();
    let Some(at) = scaler.get("rollout") else { return Some(default) };
    let fields = at.object(&ROLLOUT)?;
    let strategy = fields.choice("strategy", &STRATEGIES, default.strategy);
    if strategy == Some(Strategy::Recreate) {
        for at in ["maxUnavailable", "maxSurge"].iter().filter_map(|key| fields.get(key)) {
            at.warning("has no effect, since Recreate stops all at once", "remove it");
        }
    }
    let max_unavailable = match fields.get("maxUnavailable") {
        Some(at) => bound(&at),
        None => Some(default.max_unavailable),
    };
    let max_surge = match fields.get("maxSurge") {
        Some(at) => at.count(),
        None => Some(default.max_surge),
    };
    let max_failed_hosts = match fields.get("maxFailedHosts") {
        Some(at) => at.count().filter(|&hosts| at_least_one(&at, hosts)),
        None => Some(default.max_failed_hosts),
    };
    Some(Rollout {
        strategy: strategy?,
        max_unavailable: max_unavailable?,
        max_surge: max_surge?,
        max_failed_hosts: max_failed_hosts?,
    })
}

/// A number of hosts, or a part of them such as `25%`.
fn bound(at: &At) -> Option<Bound> {
    let Value::String(text) = at.value else {
        return at.count().filter(|&hosts| at_least_one(at, hosts)).map(Bound::Hosts);
    };
    let number = text.strip_suffix('%').filter(|n| n.bytes().all(|byte| byte.is_ascii_digit()));
    let percent = number.and_then(|number| number.parse().ok());
    let percent = percent.filter(|percent| (1..=100).contains(percent));
    if percent.is_none() {
        at.problem(
            format!("{} is no part of the hosts", quote(text)),
            "write a whole number without quotes, or a part from 1% to 100%",
        );
    }
    percent.map(Bound::Percent)
}

fn at_least_one(at: &At, hosts: u32) -> bool {
    if hosts == 0 {
        at.problem("0 would let nothing change", "write at least 1");
    }
    hosts > 0
}
