//! Where a scaler's instances go: `placement`, `whenUnsatisfiable` and `rebalance`.
use std::time::Duration;

use super::{
    cursor::{At, Fields},
    suggest::quote,
};
use crate::model::{Fill, Layout, REBALANCE_DELAY, Rebalance, Unsatisfiable, WorkloadKind};

/// What says where instances go; of a daemonscaler nothing does.
pub(super) const FIELDS: &[&str] =
    &["placement", "whenUnsatisfiable", "rebalance", "rebalanceDelay"];

/// `None` if any of it is wrong.
pub(super) fn parse(scaler: &Fields, kind: Option<WorkloadKind>) -> Option<Layout> {
    let default = Layout::default();
    let fills = [("Spread", Fill::Spread), ("Pack", Fill::Pack)];
    let fill = scaler.choice("placement", &fills, default.fill);
    if fill == Some(Fill::Pack)
        && kind == Some(WorkloadKind::Provider)
        && let Some(at) = scaler.get("placement")
    {
        at.warning("has no effect on a capability, of which a host runs one", "remove it");
    }
    let choices = [("Wait", Unsatisfiable::Wait), ("Redistribute", Unsatisfiable::Redistribute)];
    let unsatisfiable = scaler.choice("whenUnsatisfiable", &choices, default.unsatisfiable);
    let rebalance = rebalance(scaler);
    Some(Layout { fill: fill?, unsatisfiable: unsatisfiable?, rebalance: rebalance? })
}

fn rebalance(scaler: &Fields) -> Option<Rebalance> {
    let delay_at = scaler.get("rebalanceDelay");
    let delay = match &delay_at {
        Some(at) => delay(at),
        None => Some(REBALANCE_DELAY),
    };
    let choices = [
        ("Never", Some(Rebalance::Never)),
        ("Delayed", None),
        ("Eager", Some(Rebalance::After(Duration::ZERO))),
    ];
    let Some(chosen) = scaler.choice("rebalance", &choices, None)? else {
        return delay.map(Rebalance::After);
    };
    if let Some(at) = delay_at {
        at.warning("has no effect beside rebalance", "remove it, or write rebalance: Delayed");
    }
    Some(chosen)
}

/// A time as Kubernetes users write it.
fn delay(at: &At) -> Option<Duration> {
    let text = at.text()?;
    let parsed = text.parse::<jiff::SignedDuration>().ok();
    let delay = parsed.and_then(|delay| Duration::try_from(delay).ok());
    if delay.is_none() {
        at.problem(format!("{} is no length of time", quote(text)), "write it as 90s or 5m");
    }
    delay
}
