//! What a lattice's task reports → the status of its `Lattice`. Pure.
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    conditions::{Verdict, set, shorten},
    events::{MAX_NOTE, Transition},
    held,
    lattice_fault::{self, Trouble},
    missed_links,
    settings::SettingsError,
};
use crate::{
    api::{Condition, ConditionStatus, HostCounts, HostSummary, Lattice, LatticeStatus, Orphan},
    lattice::{
        fault::Fault,
        inventory::{Health, MOST_KNOWN},
    },
    model::{CONFIRM_LOSS, Gate, Host, HostId, HostState, Observed},
};

/// Stands while a lattice is used with credentials that its Secret doesn't hold any more.
const KEPT: &str = "CredentialsKept";
/// And no more orphans; the metric counts all.
const MAX_ORPHANS: usize = 100;
/// Nor more things that are held: some 250 bytes each, in an object of 1.5 MiB at most.
const MAX_HELD: usize = 2000;
/// So many hosts are named in a message.
const MAX_NAMED: usize = 10;
/// A connection that is lost for less is nobody's business: servers are started anew.
const LOSS: Duration = Duration::from_secs(15);
/// So long a lattice may take to be seen whole, after a connection was lost or this process began,
/// before that is said.
const SYNC: Duration = Duration::from_secs(30);

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
        /// Why it is used with credentials that were read before.
        kept: Option<&'a SettingsError>,
        /// In order; `None` while nobody can say.
        orphans: Option<&'a [Orphan]>,
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
            after.conditions.retain(|c| c.type_ != KEPT);
            (all(&lattice_fault::of_settings(error)), None)
        }
        Facts::Watched { health, observed, unusable_for, kept, orphans } => {
            if let Some(orphans) = orphans {
                after.orphans = orphans.iter().take(MAX_ORPHANS).cloned().collect();
            }
            after.missed_links = missed_links::to_status(&health.missed_links);
            count_hosts(&mut after, lattice, health, observed);
            report_kept(&mut after, *kept, generation, now);
            report_troubles(&mut after, lattice, health, now);
            watched(lattice, health, *unusable_for)
        }
    };
    for verdict in verdicts.iter().flatten() {
        set(&mut after.conditions, verdict, generation, now);
    }
    (after, wake)
}

/// No verdict means that what stands there holds.
type Verdicts = [Option<Verdict>; 3];

fn all(trouble: &Trouble) -> Verdicts {
    ["Connected", "Synced", "Ready"].map(|name| Some(no(name, trouble)))
}

fn no(condition: &'static str, trouble: &Trouble) -> Verdict {
    Verdict::no(condition, trouble.reason, &trouble.message)
}

fn watched(
    lattice: &Lattice,
    health: &Health,
    unusable_for: Option<Duration>,
) -> (Verdicts, Option<Duration>) {
    let left = |most: Duration| {
        let left = most.saturating_sub(unusable_for.unwrap_or_default());
        (!left.is_zero()).then_some(left)
    };
    let held = |left| ([None, None, None], Some(left));
    if let Gate::Disconnected { why } = &health.gate {
        // What somebody has to mend, or has just changed, is said at once; so is what never worked.
        let untried = health.fault == Fault::Untried;
        let sparing = untried || (health.proven && health.fault.may_pass());
        if let Some(left) = left(LOSS).filter(|_| sparing && was(lattice, "Connected")) {
            return held(left);
        }
        return (all(&lattice_fault::of_connection(lattice, health.fault, why)), None);
    }
    let connected = Some(Verdict::yes("Connected", "Connected", ""));
    let refused = lattice_fault::of_permissions(health);
    if !health.gate.may_add() {
        if let Some(left) = left(SYNC).filter(|_| refused.is_none()) {
            if was(lattice, "Ready") {
                return ([connected, None, None], Some(left));
            }
            if is_lost(lattice) {
                // The end of it is one write, not two.
                return held(left);
            }
        }
        let syncing = || Trouble { reason: "Syncing", message: health.gate.to_string() };
        let trouble = refused.unwrap_or_else(syncing);
        return ([connected, Some(no("Synced", &trouble)), Some(no("Ready", &trouble))], None);
    }
    let synced = Some(Verdict::yes("Synced", "Synced", ""));
    let ready = match refused.or_else(|| lattice_fault::of_hosts(lattice, health)) {
        Some(trouble) => no("Ready", &trouble),
        None => Verdict::yes("Ready", "Ready", ""),
    };
    ([connected, synced, Some(ready)], None)
}

/// The events that the step from one status to the next calls for: a trouble that is new, or over.
#[must_use]
pub(super) fn transitions(before: &LatticeStatus, after: &LatticeStatus) -> Vec<Transition> {
    let kept = newly_kept(before, after);
    readiness(before, after).into_iter().chain(kept).chain(cleared(before, after)).collect()
}

fn find<'a>(status: &'a LatticeStatus, condition: &str) -> Option<&'a Condition> {
    status.conditions.iter().find(|c| c.type_ == condition)
}

/// Of which Applications nothing is left any more.
fn cleared(before: &LatticeStatus, after: &LatticeStatus) -> Option<Transition> {
    let there: BTreeSet<_> = after.tombstones.iter().map(|of| &of.application).collect();
    let over = before.tombstones.iter().map(|of| &of.application);
    let over: Vec<_> = over.filter(|of| !there.contains(of)).cloned().collect();
    let note = format!("what these had left is theirs again, or gone: {}", some_of(&over));
    (!over.is_empty()).then(|| Transition {
        warning: false,
        reason: "Cleared".into(),
        note: shorten(&note, MAX_NOTE),
    })
}

fn newly_kept(before: &LatticeStatus, after: &LatticeStatus) -> Option<Transition> {
    let new = find(after, KEPT).filter(|_| find(before, KEPT).is_none())?;
    let message = new.message.as_deref().unwrap_or_default();
    let reason = new.reason.clone().unwrap_or_default();
    Some(Transition { warning: true, reason, note: shorten(message, MAX_NOTE) })
}

fn readiness(before: &LatticeStatus, after: &LatticeStatus) -> Option<Transition> {
    let (old, new) = (find(before, "Ready"), find(after, "Ready")?);
    let reason = |c: &Condition| c.reason.clone().unwrap_or_default();
    if old.map(reason) == Some(reason(new))
        || matches!(new.reason.as_deref(), None | Some("Connecting" | "Syncing"))
    {
        return None;
    }
    let warning = new.status != ConditionStatus::True;
    if !warning && old.is_none() {
        return None; // Going well from the start is no news.
    }
    let message = new.message.as_deref().unwrap_or("can be used");
    Some(Transition { warning, reason: reason(new), note: shorten(message, MAX_NOTE) })
}

/// The Secret no longer says what the lattice is used with.
fn report_kept(
    status: &mut LatticeStatus,
    kept: Option<&SettingsError>,
    generation: Option<i64>,
    now: &str,
) {
    let Some(error) = kept else {
        return status.conditions.retain(|c| c.type_ != KEPT);
    };
    let Trouble { reason, message } = lattice_fault::of_settings(error);
    let message = format!(
        "{message}; until then the lattice is used with the credentials that were read before, and \
         an operator that starts anew can't use it"
    );
    set(&mut status.conditions, &Verdict::yes(KEPT, reason, &message), generation, now);
}

/// What else can be the matter; each condition stands only while it is.
fn report_troubles(status: &mut LatticeStatus, lattice: &Lattice, health: &Health, now: &str) {
    let (name, generation) =
        (lattice.metadata.name.as_deref().unwrap_or_default(), lattice.metadata.generation);
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
            "the hosts can't tell all links, and their bucket can't be read (docs/nats-permissions.md, \
             With thousands of links); none is put or removed",
            if health.links_unreadable { "link.get".into() } else { String::new() },
        ),
        (
            "MassHostLoss",
            "LostTogether",
            "nothing is removed until hosts return",
            health.mass_loss.as_ref().map_or_else(String::new, |loss| {
                format!(
                    "{} lost, {} needed; if they won't: kubectl annotate --overwrite lattice \
                     {name} {CONFIRM_LOSS}={}",
                    loss.lost, loss.enough, loss.token
                )
            }),
        ),
        (
            "HostsHeld",
            "CutOff",
            "hosts are cut off and keep their share, whether they run it or not; give up one that \
             never returns with the annotation lattice.oam.dev/forget-host=ID",
            some_of(&held_hosts(health)),
        ),
        (
            "HoldIncomplete",
            "TooMuch",
            "more is held than is kept here: after a restart of the operator, hosts that are cut \
             off lose the rest to others",
            not_kept(status, health, &lattice.spec.installation),
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

/// Hosts that are cut off, with their names.
fn held_hosts(health: &Health) -> Vec<String> {
    let held = health.hosts.iter().filter(|(_, host)| host.state == HostState::Held);
    held.map(|(id, host)| format!("{id} ({})", host.friendly_name)).collect()
}

/// The first few of `names`, and how many more there are.
fn some_of(names: &[String]) -> String {
    let some = names.iter().take(MAX_NAMED).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MAX_NAMED) {
        0 => some,
        more => format!("{some} and {more} more"),
    }
}

/// How much of what is held has no place in the status, if it is any.
fn not_kept(status: &LatticeStatus, health: &Health, installation: &str) -> String {
    let kept: usize = status.hosts.iter().map(|host| host.held.len()).sum();
    let held = health.held.values().map(|held| held::to_status(held, installation).len());
    match held.sum::<usize>().saturating_sub(kept) {
        more if more > 0 && health.gate.may_add() => format!("{more} things"),
        _ => String::new(),
    }
}

fn was(lattice: &Lattice, condition: &str) -> bool {
    status_of(lattice, condition) == Some(ConditionStatus::True)
}

/// Whether it says that there is no connection.
fn is_lost(lattice: &Lattice) -> bool {
    status_of(lattice, "Connected") == Some(ConditionStatus::False)
}

fn status_of(lattice: &Lattice, condition: &str) -> Option<ConditionStatus> {
    let before = lattice.status.iter().flat_map(|status| &status.conditions);
    before.into_iter().find(|c| c.type_ == condition).map(|c| c.status)
}

fn count_hosts(
    status: &mut LatticeStatus,
    lattice: &Lattice,
    health: &Health,
    observed: &Observed,
) {
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
            HostState::Held => counts.held += 1,
        }
    }
    status.hosts = summaries(&status.hosts, lattice, health, observed);
    status.host_counts = Some(counts);
}

/// The hosts, those first of which something is held; `before` is what stood there.
fn summaries(
    before: &[HostSummary],
    lattice: &Lattice,
    health: &Health,
    observed: &Observed,
) -> Vec<HostSummary> {
    let mut room = MAX_HELD;
    let mut summary = |id: &HostId, host: &Host| {
        let held = health.held.get(id);
        let mut held =
            held.map_or_else(Vec::new, |held| held::to_status(held, &lattice.spec.installation));
        held.truncate(room);
        room -= held.len();
        HostSummary {
            id: id.to_string(),
            name: host.friendly_name.to_string(),
            version: host.version.to_string(),
            labels: if held.is_empty() { BTreeMap::new() } else { (*host.labels).clone() },
            held,
        }
    };
    let (mut first, mut rest): (Vec<_>, Vec<_>) =
        observed.hosts.iter().partition(|(id, _)| health.held.contains_key(*id));
    // Who is cut off already needs it most.
    first.sort_by_key(|(_, host)| host.state != HostState::Held);
    first.append(&mut rest);
    let mut hosts: Vec<_> =
        first.into_iter().take(MOST_KNOWN).map(|(id, host)| summary(id, host)).collect();
    if health.mass_loss.is_some() {
        // The next process has to find out that they were lost together.
        let known: BTreeSet<String> = hosts.iter().map(|host| host.id.clone()).collect();
        let lost = before.iter().filter(|host| !known.contains(&host.id)).cloned();
        hosts.extend(lost.take(MOST_KNOWN - hosts.len()));
    }
    hosts.sort_by(|one, other| one.id.cmp(&other.id));
    hosts
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        api::{LatticeSpec, Tombstone},
        lattice::{
            fault::{Permission, Verb},
            inventory::{HostHealth, MassLoss},
        },
        model::{
            APPLICATION, Annotations, INSTALLATION, Inventory, LatticeName, Moment,
            RunningComponent,
        },
    };

    fn lattice(before: Option<&'static str>, secret: bool) -> Lattice {
        let mut spec: LatticeSpec =
            serde_json::from_value(serde_json::json!({ "nats": { "urls": ["nats://n"] } }))
                .unwrap();
        spec.nats.credentials_secret =
            secret.then(|| crate::api::SecretName { name: "nats".into() });
        let mut lattice = Lattice::new("edge", spec);
        let mut status = LatticeStatus::default();
        for name in before.into_iter().flat_map(|_| ["Connected", "Synced", "Ready"]) {
            set(&mut status.conditions, &Verdict::yes(name, before.unwrap(), ""), None, "1");
        }
        lattice.status = before.map(|_| status);
        lattice
    }

    /// As of a lattice with one host, and no trouble but its gate's.
    fn healthy(gate: Gate) -> Health {
        let host = HostHealth {
            friendly_name: "a".into(),
            version: "1.0.0".into(),
            state: HostState::Ready,
            components: 0,
            providers: 0,
        };
        Health {
            gate,
            server: None,
            jetstream: true,
            fault: Fault::Other,
            proven: true,
            refused: BTreeSet::new(),
            hosts: BTreeMap::from([("NHOST".parse().unwrap(), host)]),
            duplicates: BTreeSet::new(),
            unsupported: BTreeMap::new(),
            mass_loss: None,
            held: BTreeMap::new(),
            missed_links: BTreeMap::new(),
            links_unreadable: false,
        }
    }

    fn computed(
        lattice: &Lattice,
        health: &Health,
        for_seconds: u64,
    ) -> (LatticeStatus, Option<Duration>) {
        let mut observed = Observed::unknown("edge".parse::<LatticeName>().unwrap());
        observed.gate = health.gate.clone();
        let unusable_for = Some(Duration::from_secs(for_seconds));
        let (kept, orphans) = (None, None);
        let facts = Facts::Watched { health, observed: &observed, unusable_for, kept, orphans };
        compute(lattice, &facts, "2")
    }

    fn reasons(status: LatticeStatus) -> Vec<String> {
        status.conditions.into_iter().filter_map(|c| c.reason).collect()
    }

    /// The three conditions, and whether time alone would change them.
    fn shown(before: Option<&'static str>, gate: Gate, for_seconds: u64) -> (Vec<String>, bool) {
        let (after, wake) = computed(&lattice(before, false), &healthy(gate), for_seconds);
        (reasons(after), wake.is_some())
    }

    fn gone() -> Gate {
        Gate::Disconnected { why: "nats://n: gone".into() }
    }

    #[test]
    fn what_was_ready_is_taken_for_ready_for_a_while() {
        let syncing = || Gate::Syncing { waiting_for: BTreeSet::new() };
        let all = |reason: &str| vec![reason.to_owned(); 3];
        let syncs = || ["Connected", "Syncing", "Syncing"].map(str::to_owned).to_vec();
        let held = || ["Connected", "Was", "Was"].map(str::to_owned).to_vec();
        assert_eq!(shown(None, gone(), 0), (all("Disconnected"), false));
        assert_eq!(shown(Some("Was"), gone(), 0), (all("Was"), true));
        assert_eq!(shown(Some("Was"), gone(), 14), (all("Was"), true));
        assert_eq!(shown(Some("Was"), gone(), 15), (all("Disconnected"), false));
        assert_eq!(shown(None, syncing(), 0), (syncs(), false));
        assert_eq!(shown(Some("Was"), syncing(), 0), (held(), true), "as after a restart");
        assert_eq!(shown(Some("Was"), syncing(), 30), (syncs(), false));
    }

    #[test]
    fn what_has_to_be_mended_or_was_just_changed_is_said_at_once() {
        let was = lattice(Some("Was"), true);
        let reason = |fault, proven| {
            let health = Health { fault, proven, ..healthy(gone()) };
            reasons(computed(&was, &health, 0).0).pop().unwrap()
        };
        assert_eq!(reason(Fault::Unreachable, true), "Was");
        assert_eq!(reason(Fault::Unreachable, false), "ServerUnreachable");
        assert_eq!(reason(Fault::Untried, false), "Was", "what comes of it is known soon");
        for (fault, expected) in [
            (Fault::Refused, "CredentialsRejected"),
            (Fault::Untrusted, "CertificateNotTrusted"),
            (Fault::NoTls, "TlsNotOffered"),
            (Fault::ClientCertificate, "ClientCertificateRejected"),
        ] {
            assert_eq!(reason(fault, true), expected);
        }
    }

    #[test]
    fn a_loss_that_was_said_and_is_over_is_one_write_more() {
        let lost = lattice(Some("Was"), false);
        let (status, _) = computed(&lost, &healthy(gone()), 15);
        let lost = Lattice { status: Some(status.clone()), ..lost };
        let syncing = healthy(Gate::Syncing { waiting_for: BTreeSet::new() });
        assert_eq!(computed(&lost, &syncing, 16).0, status);
        assert_eq!(reasons(computed(&lost, &syncing, 30).0)[1], "Syncing");
    }

    #[test]
    fn credentials_that_a_restart_would_not_find_are_said_and_told_once() {
        let (before, health) = (lattice(Some("Ready"), true), healthy(Gate::Open));
        let missing = SettingsError::NoSecret { namespace: "home".into(), name: "nats".into() };
        let mut observed = Observed::unknown("edge".parse::<LatticeName>().unwrap());
        observed.gate = Gate::Open;
        let status = |kept| {
            let (health, observed) = (&health, &observed);
            let facts =
                Facts::Watched { health, observed, unusable_for: None, kept, orphans: None };
            compute(&before, &facts, "2").0
        };
        let (well, kept) = (status(None), status(Some(&missing)));
        assert_eq!(find(&kept, "Ready").unwrap().status, ConditionStatus::True);
        let said = find(&kept, KEPT).unwrap();
        assert_eq!(said.reason.as_deref(), Some("SecretNotFound"));
        assert!(said.message.as_ref().unwrap().starts_with("Secret home/nats does not exist"));
        let told = |before, after| {
            let events = transitions(before, after).into_iter();
            events.map(|event| event.reason).collect::<Vec<_>>()
        };
        assert_eq!(told(&well, &kept), ["SecretNotFound"]);
        assert_eq!(told(&kept, &kept), [""; 0]);
        assert_eq!(find(&well, KEPT), None);
    }

    #[test]
    fn each_cause_of_having_no_connection_has_its_own_reason_and_advice() {
        let cases = [
            (Fault::NameUnknown, false, "ServerNotFound", "spec.nats.urls"),
            (Fault::Unreachable, false, "ServerUnreachable", "start NATS"),
            (Fault::NotNats, false, "NotNats", "spec.nats.urls"),
            (Fault::Untrusted, false, "CertificateNotTrusted", "credentialsSecret"),
            (Fault::Untrusted, true, "CertificateNotTrusted", "ca.crt of Secret nats"),
            (Fault::NoTls, true, "TlsNotOffered", "tls.required"),
            (Fault::ClientCertificate, true, "ClientCertificateRejected", "tls.key of Secret nats"),
            (Fault::Refused, false, "CredentialsMissing", "credentialsSecret"),
            (Fault::Refused, true, "CredentialsRejected", "Secret nats"),
        ];
        for (fault, secret, reason, advice) in cases {
            let health = Health { fault, ..healthy(gone()) };
            let (after, _) = computed(&lattice(None, secret), &health, 0);
            let message = after.conditions[2].message.clone().unwrap();
            assert!(message.starts_with("nats://n: gone: "), "{message}");
            assert!(message.contains(advice), "{message}");
            assert_eq!(reasons(after), vec![reason; 3]);
        }
    }

    #[test]
    fn a_connected_lattice_says_what_it_lacks() {
        let refused = Permission { verb: Verb::Publish, subject: "a.b".into() };
        let none = BTreeMap::new;
        let denied = || BTreeSet::from([refused.clone()]);
        let open = || healthy(Gate::Open);
        let expected_types = ["Connected", "Synced", "Ready"];
        let old = BTreeMap::from([("NHOST".parse().unwrap(), "0.82.0".into())]);
        let syncing = healthy(Gate::Syncing { waiting_for: BTreeSet::new() });
        let cases = [
            (open(), ["Connected", "Synced", "Ready"]),
            (Health { hosts: none(), ..open() }, ["Connected", "Synced", "NoHosts"]),
            (
                Health { hosts: none(), jetstream: false, ..open() },
                ["Connected", "Synced", "JetStreamMissing"],
            ),
            (Health { jetstream: false, ..open() }, ["Connected", "Synced", "Ready"]),
            (
                Health { hosts: none(), unsupported: old, ..open() },
                ["Connected", "Synced", "HostsTooOld"],
            ),
            (
                Health { hosts: none(), refused: denied(), ..open() },
                ["Connected", "Synced", "PermissionDenied"],
            ),
            (
                Health { refused: denied(), ..syncing },
                ["Connected", "PermissionDenied", "PermissionDenied"],
            ),
        ];
        for (health, expected) in cases {
            let (after, _) = computed(&lattice(None, false), &health, 0);
            let three = |c: &Condition| expected_types.contains(&c.type_.as_str());
            let status = LatticeStatus {
                conditions: after.conditions.into_iter().filter(three).collect(),
                ..LatticeStatus::default()
            };
            assert_eq!(reasons(status), expected);
        }
    }

    #[test]
    fn a_mass_loss_says_how_to_confirm_it_and_keeps_the_lost_known() {
        let loss = MassLoss { lost: 3, token: "3-d14f411d".into(), enough: 4 };
        let gate = Gate::MassLoss { lost: 3 };
        let health = Health { mass_loss: Some(loss), ..healthy(gate) };
        let mut lattice = lattice(Some("Was"), false);
        let summary = HostSummary { id: "NLOST".into(), ..HostSummary::default() };
        lattice.status.as_mut().unwrap().hosts = vec![summary.clone()];
        let (after, _) = computed(&lattice, &health, 0);
        let said = after.conditions.iter().find(|c| c.type_ == "MassHostLoss").unwrap();
        let message = said.message.clone().unwrap();
        let command = "kubectl annotate --overwrite lattice edge \
                       lattice.oam.dev/confirm-loss=3-d14f411d";
        assert!(message.ends_with(command), "{message}");
        assert_eq!(after.hosts, [summary], "or a restart would take removals up again");
        let (after, _) = computed(&lattice, &healthy(Gate::Open), 0);
        assert!(after.hosts.is_empty());
    }

    #[test]
    fn more_than_a_status_can_keep_is_said_and_who_is_cut_off_comes_first() {
        let many = |count: usize| {
            let owned = [(INSTALLATION, "trellis"), (APPLICATION, "n/a")];
            let annotations: Arc<Annotations> = Arc::new(owned.into());
            let running =
                RunningComponent { image: "r".into(), annotations, instances: 1, max_memory: None };
            let ids = (0..count).map(|n| (format!("id{n}").parse().unwrap(), running.clone()));
            Inventory { components: ids.collect(), providers: BTreeMap::new() }
        };
        let mut observed = Observed::unknown("edge".parse::<LatticeName>().unwrap());
        observed.gate = Gate::Open;
        let mut held = BTreeMap::new();
        for (id, state) in [("NA", HostState::Ready), ("NB", HostState::Held)] {
            let host = Host {
                friendly_name: id.into(),
                version: "1.9.2".into(),
                labels: BTreeMap::from([("site".to_owned(), "north".to_owned())]).into(),
                state,
                joined: Moment::default(),
                inventory_at: Moment::default(),
                inventory: None,
            };
            let id: HostId = id.parse().unwrap();
            observed.put_host(id.clone(), host);
            held.insert(id, many(1500));
        }
        let health = Health { held, ..healthy(Gate::Open) };
        let facts = Facts::Watched {
            health: &health,
            observed: &observed,
            unusable_for: None,
            kept: None,
            orphans: None,
        };
        let (after, _) = compute(&lattice(None, false), &facts, "2");
        let kept: Vec<_> = after.hosts.iter().map(|host| host.held.len()).collect();
        assert_eq!(kept, [500, 1500]);
        let said = after.conditions.iter().find(|c| c.type_ == "HoldIncomplete").unwrap();
        assert!(said.message.as_ref().unwrap().ends_with("1000 things"));
        let size = serde_json::to_vec(&after).unwrap().len();
        assert!(size < 1_000_000, "{size} bytes");
    }

    #[test]
    fn what_was_left_and_is_gone_is_told_once() {
        let with = |applications: &[&str]| LatticeStatus {
            tombstones: (applications.iter())
                .map(|of| Tombstone { application: (*of).into(), ..Tombstone::default() })
                .collect(),
            ..LatticeStatus::default()
        };
        let told = |before: &[&str], after: &[&str]| -> Vec<_> {
            transitions(&with(before), &with(after)).into_iter().map(|event| event.note).collect()
        };
        assert_eq!(told(&[], &["n/a", "n/b"]), [""; 0], "the Application has told that");
        let one = ["what these had left is theirs again, or gone: n/a"];
        assert_eq!(told(&["n/a", "n/b"], &["n/b"]), one);
    }

    #[test]
    fn an_event_tells_of_a_trouble_once_and_of_its_end() {
        let status = |health: &Health| computed(&lattice(None, false), health, 30).0;
        let (ready, hostless) = (healthy(Gate::Open), healthy(Gate::Open));
        let hostless = Health { hosts: BTreeMap::new(), ..hostless };
        let (ready, hostless) = (status(&ready), status(&hostless));
        let syncing = status(&healthy(Gate::Syncing { waiting_for: BTreeSet::new() }));
        let told = |before: &LatticeStatus, after: &LatticeStatus| {
            let mut events = transitions(before, after).into_iter();
            let told = events.next().map(|event| (event.warning, event.reason));
            assert_eq!(events.next(), None);
            told
        };
        let nothing = LatticeStatus::default();
        assert_eq!(told(&nothing, &ready), None);
        assert_eq!(told(&nothing, &hostless), Some((true, "NoHosts".into())));
        let gate = Gate::not_yet();
        let trying = status(&Health { fault: Fault::Untried, ..healthy(gate) });
        assert_eq!(told(&nothing, &trying), None);
        assert_eq!(told(&trying, &ready), Some((false, "Ready".into())));
        assert_eq!(told(&hostless, &hostless), None);
        assert_eq!(told(&hostless, &syncing), None);
        assert_eq!(told(&hostless, &ready), Some((false, "Ready".into())));
    }
}
