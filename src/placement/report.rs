//! What a plan says beside its commands: who waits for what in vain, and how far everything is.

use super::{
    cell::{Cell, Fit},
    image,
    order::Draft,
    spread,
    survey::{Barred, Placement, Survey},
};
use crate::model::{
    FORGET_HOST, HostId, HostProgress, HostState, Lane, LatticeName, MANAGED_BY, Moment, Owner,
    Progress, Reason, Scaling, SpreadEntry, Subject, Unhealthy, WorkloadKind, few,
};

/// Adds what is blocked, and how far each workload is.
pub(super) fn workloads(draft: &mut Draft<'_>, survey: &Survey<'_>) {
    let placed = survey.placed.values();
    draft.plan.progress = few(placed.map(|it| (it.id.clone(), progress(it))));
    for placement in survey.placed.values() {
        if let Some(barred) = placement.barred {
            block_barred(draft, placement, barred);
            continue;
        }
        block_unplaced(draft, placement);
        block_by_host(draft, placement);
        if image::is_builtin(&placement.workload.image) {
            block_apart(draft, survey, placement);
        }
    }
}

fn progress(placement: &Placement<'_>) -> Progress {
    let cells = placement.cells.iter();
    let hosts = cells.map(|cell| {
        let running = cell.running().map_or(0, |running| running.count);
        (cell.host.clone(), HostProgress { wanted: cell.target, running })
    });
    let hosts = hosts.filter(|(_, host)| host.wanted > 0 || host.running > 0).collect();
    let adopted = placement.cells.iter().filter_map(|cell| cell.running()).any(|r| r.adopted);
    // What is held is taken to run, and nobody sees it.
    let seen = placement.cells.iter().filter(|cell| cell.info.state != HostState::Held);
    let ready = seen.filter_map(|cell| cell.running());
    let ready = ready.filter(|running| running.fit == Fit::AsWanted).map(|running| running.count);
    Progress {
        kind: placement.workload.kind,
        component: placement.workload.component.clone(),
        namespace: placement.workload.namespace.clone(),
        wanted: placement.wanted,
        adopted: adopted && placement.barred.is_none(),
        ready: if placement.barred.is_some() { 0 } else { ready.sum() },
        hosts,
    }
}

fn block_barred(draft: &mut Draft<'_>, placement: &Placement<'_>, barred: Barred<'_>) {
    let (reason, message) = match barred {
        Barred::Conflict(holder) => {
            let message = format!("{holder} has this id: give one of the two another `id`");
            (Reason::IdConflict, message)
        }
        Barred::Foreign { host, annotations } => {
            let by_wadm = annotations.get(MANAGED_BY).is_some_and(|manager| manager == "wadm");
            let how = if by_wadm { "wadm" } else { "true" };
            let whose = match (Owner::of(annotations), annotations.get(MANAGED_BY)) {
                (Some(owner), _) => format!("belongs to {owner}"),
                (None, Some(manager)) => format!("is managed by {manager}"),
                (None, None) => "belongs to nobody that says so".to_owned(),
            };
            let message = format!(
                "what runs under this id on host {host} {whose}: stop it, give this component \
                 another `id`, or take it up with the annotation lattice.oam.dev/adopt: \"{how}\""
            );
            (Reason::NotOwned, message)
        }
    };
    let subject = Subject::Workload(placement.id.clone());
    draft.block(&placement.workload.namespace, subject, reason, message);
}

/// Shares of a spread that found no host, or not enough of them.
fn block_unplaced(draft: &mut Draft<'_>, placement: &Placement<'_>) {
    let workload = placement.workload;
    if !draft.inputs.observed.gate.may_add() {
        return; // Which hosts there are isn't known yet; the lattice says why.
    }
    for (entry, &(hosts, unplaced)) in workload.scaling.spread().iter().zip(&placement.entries) {
        let daemon = matches!(workload.scaling, Scaling::Daemon { .. });
        if unplaced == 0 && !(daemon && hosts == 0) {
            continue;
        }
        let failing = failing(placement, entry, draft.inputs.time);
        let hosts = hosts + failing;
        let each_runs_one = workload.kind == WorkloadKind::Provider;
        if failing > 0 && (!each_runs_one || u32::try_from(failing).is_ok_and(|it| it >= unplaced))
        {
            continue; // It isn't hosts that lack: those that fail say so themselves.
        }
        let labels = labels(entry);
        let (reason, message) = if hosts > 0 && each_runs_one {
            let message = format!(
                "spread {} asks for {} hosts, one for each provider, and {hosts} are {labels}",
                entry.name, placement.wanted
            );
            (Reason::TooFewHosts, message)
        } else {
            let message =
                format!("spread {} finds no host that takes work and is {labels}", entry.name);
            (Reason::NoEligibleHosts, message)
        };
        let subject = Subject::Workload(placement.id.clone());
        draft.block(&workload.namespace, subject, reason, message);
    }
}

/// How many hosts meet `entry` and are passed over because nothing starts there.
fn failing(placement: &Placement<'_>, entry: &SpreadEntry, now: Moment) -> usize {
    let met = placement.cells.iter().filter(|cell| spread::meets(cell.info, entry));
    let empty = met.filter(|cell| cell.running().is_none() && cell.pending.is_none());
    empty.filter(|cell| cell.passed_over_until(now).is_some()).count()
}

fn labels(entry: &SpreadEntry) -> String {
    if entry.requirements.is_empty() {
        return "in the lattice".to_owned();
    }
    let labels = entry.requirements.iter().map(|(label, value)| format!("{label}={value}"));
    format!("labelled {}", labels.collect::<Vec<_>>().join(", "))
}

/// Hosts that fail, and hosts that should run it and don't answer.
fn block_by_host(draft: &mut Draft<'_>, placement: &Placement<'_>) {
    let namespace = &placement.workload.namespace;
    for cell in &placement.cells {
        let lane = || Lane::Workload(cell.host.clone(), placement.id.clone());
        let is_passed_over = cell.passed_over_until(draft.inputs.time).is_some();
        if let Some(failure) = cell.failure
            && (is_passed_over || cell.pending.is_some())
        {
            draft.report(namespace, &lane(), failure);
        }
        if let Some(sick) = cell.sick {
            let subject = Subject::Workload(placement.id.clone());
            draft.block(namespace, subject, Reason::Unhealthy, unwell(cell.host, sick));
        }
        if cell.target > 0
            && let Some(message) = unseen(&draft.inputs.observed.lattice, placement, cell)
        {
            let subject = Subject::Workload(placement.id.clone());
            draft.block(namespace, subject, Reason::HostUnreachable, message);
        }
    }
}

/// What a host tells of a provider, and what is done about it.
fn unwell(host: &HostId, sick: &Unhealthy) -> String {
    let restarts = match sick.restarts {
        0 => "it is restarted if that lasts".to_owned(),
        1 => "it was restarted once, and is again with a growing delay".to_owned(),
        times => format!("it was restarted {times} times, and is again with a growing delay"),
    };
    format!("its process on host {host} {}; {restarts}", sick.sign)
}

/// Why nobody can see what a host runs that should run something.
fn unseen(lattice: &LatticeName, placement: &Placement<'_>, cell: &Cell<'_>) -> Option<String> {
    let host = cell.host;
    match cell.info.state {
        HostState::Ready | HostState::Suspect | HostState::Mute => None,
        HostState::Unreachable => Some(format!("host {host} should run it and doesn't answer")),
        HostState::Held => {
            let whose = match placement.workload.on_host_loss {
                Some(_) => "its scaler",
                None => "the Lattice",
            };
            Some(format!(
                "host {host} is cut off: whether it runs there is unknown, and no other host takes \
                 over, because onHostLoss of {whose} says Hold; if it never returns, give it up: \
                 kubectl annotate lattice {lattice} {FORGET_HOST}={host}"
            ))
        }
    }
}

/// Link peers of a builtin provider on hosts where it isn't.
fn block_apart(draft: &mut Draft<'_>, survey: &Survey<'_>, placement: &Placement<'_>) {
    let peers: Vec<_> = survey.peers.get(placement.id).into_iter().flatten().copied().collect();
    let own: Vec<_> = placement.cells.iter().filter(|cell| cell.target > 0).collect();
    if own.is_empty() {
        return;
    }
    let beside = |host| own.iter().any(|cell| cell.host == host);
    let hosts = survey.hosts_of(draft.inputs, peers.into_iter());
    let apart: Vec<&str> =
        hosts.into_iter().filter(|host| !beside(*host)).map(HostId::as_str).collect();
    if !apart.is_empty() {
        let message = format!(
            "a builtin provider reaches only its own host, and what it is linked with also runs on {}",
            apart.join(", ")
        );
        let subject = Subject::Workload(placement.id.clone());
        draft.block(&placement.workload.namespace, subject, Reason::NotColocated, message);
    }
}
