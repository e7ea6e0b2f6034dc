//! What a lattice's task reports → the status of its `Lattice`. Pure.
use std::time::Duration;

use super::{
    conditions::{Verdict, set},
    settings::SettingsError,
};
use crate::{
    api::{ConditionStatus, HostCounts, HostSummary, Lattice, LatticeStatus},
    controller::chain,
    lattice::inventory::Health,
    model::{Gate, HostState, Observed},
};

/// A status lists no more hosts than this.
const MAX_HOSTS: usize = 2000;
/// A lattice that can't be used for less, be it for a lost connection or because this process has
/// just begun to look, is nobody's business.
pub(super) const BLIP: Duration = Duration::from_secs(30);

/// What is known of a lattice.
#[derive(Debug)]
pub(super) enum Facts<'a> {
    /// Its settings are wrong, so nobody watches it.
    Unusable(&'a SettingsError),
    Watched {
        health: &'a Health,
        observed: &'a Observed,
        /// How long it has been disconnected or not been seen whole; `None` while it can be used.
        unusable_for: Option<Duration>,
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
        Facts::Watched { health, observed, unusable_for } => {
            count_hosts(&mut after, observed);
            report_troubles(&mut after, health, generation, now);
            watched(&after, health, *unusable_for)
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
    unusable_for: Option<Duration>,
) -> (Verdicts, Option<Duration>) {
    let left = BLIP.saturating_sub(unusable_for.unwrap_or_default());
    let spare = !left.is_zero();
    if let Gate::Disconnected { why } = &health.gate {
        if spare && was(status, "Connected") {
            return ([None, None, None], Some(left));
        }
        return (all("Disconnected", why), None);
    }
    let connected = Some(Verdict::yes("Connected", "Connected", ""));
    if !health.gate.may_add() {
        if spare && was(status, "Ready") {
            return ([connected, None, None], Some(left));
        }
        let message = health.gate.to_string();
        let verdicts = ["Synced", "Ready"].map(|n| Some(Verdict::no(n, "Syncing", &message)));
        let [synced, ready] = verdicts;
        return ([connected, synced, ready], None);
    }
    let synced = Some(Verdict::yes("Synced", "Synced", ""));
    ([connected, synced, Some(Verdict::yes("Ready", "Ready", ""))], None)
}

/// What else can be the matter; each condition stands only while it is.
fn report_troubles(
    status: &mut LatticeStatus,
    health: &Health,
    generation: Option<i64>,
    now: &str,
) {
    let listed = |ids: Vec<String>| ids.join(", ");
    let old = health.unsupported.iter().map(|(id, version)| format!("{id} ({version})"));
    let twins = health.duplicates.iter().map(ToString::to_string);
    let troubles = [
        (
            "UnsupportedHosts",
            "TooOld",
            "hosts older than 1.0 are not commanded; upgrade",
            listed(old.collect()),
        ),
        (
            "DuplicateHosts",
            "SameId",
            "two live hosts have one id; give one another seed",
            listed(twins.collect()),
        ),
        (
            "LinksUnreadable",
            "NoAnswer",
            "the hosts no longer answer with all links; none is removed",
            if health.links_unreadable { "link.get".into() } else { String::new() },
        ),
        (
            "MassHostLoss",
            "LostTogether",
            "nothing is removed until hosts return",
            health
                .mass_loss
                .map_or_else(String::new, |l| format!("{} lost, {} needed", l.lost, l.enough)),
        ),
    ];
    for (condition, reason, what, which) in troubles {
        if which.is_empty() {
            status.conditions.retain(|c| c.type_ != condition);
        } else {
            let verdict = Verdict::yes(condition, reason, &format!("{what}: {which}"));
            set(&mut status.conditions, &verdict, generation, now);
        }
    }
}

fn was(status: &LatticeStatus, condition: &str) -> bool {
    let named = status.conditions.iter().find(|c| c.type_ == condition);
    named.is_some_and(|c| c.status == ConditionStatus::True)
}

fn count_hosts(status: &mut LatticeStatus, observed: &Observed) {
    if !observed.gate.may_add() {
        return; // What isn't whole must not replace what was.
    }
    let mut counts = HostCounts::default();
    for host in observed.hosts.values() {
        counts.total += 1;
        match host.state {
            // Who is late once is asked, and mostly well: a status that followed would flicker.
            HostState::Ready | HostState::Suspect => counts.ready += 1,
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

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::{api::LatticeSpec, model::LatticeName};

    /// The three conditions, and whether time alone would change them.
    fn shown(before: Option<&'static str>, gate: Gate, for_seconds: u64) -> (Vec<String>, bool) {
        let spec: LatticeSpec =
            serde_json::from_value(serde_json::json!({ "nats": { "urls": ["nats://n"] } }))
                .unwrap();
        let mut lattice = Lattice::new("edge", spec);
        let mut status = LatticeStatus::default();
        for name in before.into_iter().flat_map(|_| ["Connected", "Synced", "Ready"]) {
            set(&mut status.conditions, &Verdict::yes(name, before.unwrap(), ""), None, "1");
        }
        lattice.status = before.map(|_| status);
        let health = Health {
            gate: gate.clone(),
            server: None,
            complaint: None,
            hosts: BTreeMap::new(),
            duplicates: BTreeSet::new(),
            unsupported: BTreeMap::new(),
            mass_loss: None,
            links_unreadable: false,
        };
        let mut observed = Observed::unknown("edge".parse::<LatticeName>().unwrap());
        observed.gate = gate;
        let unusable_for = Some(Duration::from_secs(for_seconds));
        let facts = Facts::Watched { health: &health, observed: &observed, unusable_for };
        let (after, wake) = compute(&lattice, &facts, "2");
        let reasons = after.conditions.into_iter().filter_map(|c| c.reason);
        (reasons.collect(), wake.is_some())
    }

    #[test]
    fn what_was_ready_is_taken_for_ready_for_a_while() {
        let gone = || Gate::Disconnected { why: "the connection was lost".into() };
        let syncing = || Gate::Syncing { waiting_for: BTreeSet::new() };
        let all = |reason: &str| vec![reason.to_owned(); 3];
        let syncs = || ["Connected", "Syncing", "Syncing"].map(str::to_owned).to_vec();
        let held = || ["Connected", "Was", "Was"].map(str::to_owned).to_vec();
        assert_eq!(shown(None, gone(), 0), (all("Disconnected"), false));
        assert_eq!(shown(Some("Was"), gone(), 0), (all("Was"), true));
        assert_eq!(shown(Some("Was"), gone(), 30), (all("Disconnected"), false));
        assert_eq!(shown(None, syncing(), 0), (syncs(), false));
        assert_eq!(shown(Some("Was"), syncing(), 0), (held(), true), "as after a restart");
        assert_eq!(shown(Some("Was"), syncing(), 30), (syncs(), false));
    }
}
