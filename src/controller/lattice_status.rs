//! What a lattice's task reports → the status of its `Lattice`. Pure.
use std::time::Duration;

use super::{
    conditions::{Verdict, set},
    settings::SettingsError,
};
use crate::{
    api::{HostCounts, HostSummary, Lattice, LatticeStatus},
    controller::chain,
    lattice::inventory::Health,
    model::{Gate, HostState, Observed},
};

/// A status lists no more hosts than this.
const MAX_HOSTS: usize = 2000;
/// A connection that is gone for less is nobody's business.
pub(super) const BLIP: Duration = Duration::from_secs(30);

/// What is known of a lattice.
#[derive(Debug)]
pub(super) enum Facts<'a> {
    /// Its settings are wrong, so nobody watches it.
    Unusable(&'a SettingsError),
    Watched {
        health: &'a Health,
        observed: &'a Observed,
        /// How long the connection has been gone; `None` while there is one.
        gone_for: Option<Duration>,
    },
}

/// The status that `facts` call for, and when it would change by time alone.
#[must_use]
pub(super) fn compute(
    lattice: &Lattice,
    facts: &Facts,
    now: &str,
) -> (LatticeStatus, Option<Duration>) {
    let before = lattice.status.clone().unwrap_or_default();
    let generation = lattice.metadata.generation;
    let mut after = LatticeStatus { observed_generation: generation, ..before };
    let (verdicts, wake) = match facts {
        Facts::Unusable(error) => {
            let message = chain(*error);
            (all("Unusable", &message), None)
        }
        Facts::Watched { health, observed, gone_for } => {
            count_hosts(&mut after, observed);
            watched(&after, health, *gone_for)
        }
    };
    for verdict in verdicts.iter().flatten() {
        set(&mut after.conditions, verdict, generation, now);
    }
    (after, wake)
}

/// No verdict means that what stands there holds.
type Verdicts = [Option<Verdict>; 3];

fn all(reason: &'static str, message: &str) -> Verdicts {
    ["Connected", "Synced", "Ready"].map(|name| Some(Verdict::no(name, reason, message)))
}

fn watched(
    status: &LatticeStatus,
    health: &Health,
    gone_for: Option<Duration>,
) -> (Verdicts, Option<Duration>) {
    if let Gate::Disconnected { why } = &health.gate {
        let was = status
            .conditions
            .iter()
            .any(|c| c.type_ == "Connected" && c.status == crate::api::ConditionStatus::True);
        let left = BLIP.saturating_sub(gone_for.unwrap_or_default());
        if was && !left.is_zero() {
            return ([None, None, None], Some(left));
        }
        return (all("Disconnected", why), None);
    }
    let connected = Some(Verdict::yes("Connected", "Connected", ""));
    if !health.gate.may_add() {
        let message = health.gate.to_string();
        let verdicts = ["Synced", "Ready"].map(|n| Some(Verdict::no(n, "Syncing", &message)));
        let [synced, ready] = verdicts;
        return ([connected, synced, ready], None);
    }
    let synced = Some(Verdict::yes("Synced", "Synced", ""));
    ([connected, synced, Some(Verdict::yes("Ready", "Ready", ""))], None)
}

fn count_hosts(status: &mut LatticeStatus, observed: &Observed) {
    if !observed.gate.may_add() {
        return; // What isn't whole must not replace what was.
    }
    let mut counts = HostCounts::default();
    for host in observed.hosts.values() {
        counts.total += 1;
        match host.state {
            HostState::Ready => counts.ready += 1,
            HostState::Suspect => counts.suspect += 1,
            HostState::Mute => counts.mute += 1,
            HostState::Unreachable => counts.unreachable += 1,
        }
    }
    let summary =
        |(id, host): (&crate::model::HostId, &std::sync::Arc<crate::model::Host>)| HostSummary {
            id: id.to_string(),
            name: host.friendly_name.to_string(),
            version: host.version.to_string(),
        };
    status.hosts = observed.hosts.iter().take(MAX_HOSTS).map(summary).collect();
    status.host_counts = Some(counts);
}
