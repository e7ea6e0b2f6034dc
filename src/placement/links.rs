//! Links: there before their ends start, gone after they stop, and never edited in place.
//!
//! A running provider ignores a second put for the same peer, and hosts refuse a second target
//! under one key; so a change is delete → observed gone → put, at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::{
    Inputs, config, foreign,
    order::{Draft, Effect},
    removal,
    survey::Survey,
};
use crate::model::{Command, Desired, Link, LinkKey, Links, Reason, Subject, WaitsFor, WorkloadId};

/// A provider hears of its links from then on at the latest, counted from when it was seen to run.
const BOOT: Duration = Duration::from_secs(2);

/// For each id, links of it that the lattice doesn't show as wanted yet.
pub(super) type Open<'a> = BTreeMap<&'a WorkloadId, Vec<WaitsFor>>;

/// Puts what is wanted and missing, and takes away what stands in its place.
pub(super) fn put<'a>(draft: &mut Draft<'a>, survey: &Survey<'a>) -> Open<'a> {
    let inputs = draft.inputs;
    let mut open = Open::new();
    for (key, wanted) in &inputs.desired.links {
        let shown = match &inputs.observed.links {
            Links::Read(links) => links.get(key),
            // What can't be seen can't be waited for, nor safely written again and again.
            Links::Unreadable => continue,
            Links::Unread => None,
        };
        if shown == Some(wanted) {
            continue;
        }
        for end in [&key.source, &wanted.target] {
            open.entry(end).or_default().push(WaitsFor::Link(key.clone()));
        }
        let barred = |id| survey.placed.get(id).is_some_and(|placed| placed.barred.is_some());
        if !barred(&key.source) && !barred(&wanted.target) {
            put_one(draft, key, wanted, shown);
        }
    }
    open
}

fn put_one(draft: &mut Draft<'_>, key: &LinkKey, wanted: &Link, shown: Option<&Link>) {
    let inputs = draft.inputs;
    let namespace = namespace(inputs.desired, key, wanted);
    let subject = Subject::Link(key.clone());
    if let Some(holder) = inputs.claims.link_holder(key, inputs.observed)
        && *holder != inputs.desired.owner.application
    {
        let message = format!("{holder} has link {key}->: give one of the two another name");
        return draft.block(namespace, subject, Reason::IdConflict, message);
    }
    let names = wanted.source_config.iter().chain(&wanted.target_config);
    let mut waits = config::missing(inputs, names);
    let ends = [Some(&key.source), Some(&wanted.target), shown.map(|shown| &shown.target)];
    waits.extend(deaf(draft, ends.into_iter().flatten()));
    if inputs.observed.links == Links::Unread {
        waits.push(WaitsFor::Read { what: "the links".to_owned() });
    }
    let put = Command::PutLink { key: key.clone(), link: wanted.clone() };
    match shown {
        None => draft.offer(namespace, put, Effect::Adds, waits),
        Some(shown) if shown.target != wanted.target && !is_ours(inputs, key, shown) => {
            let message = format!(
                "it leads to {} and isn't ours: delete it, or give ours another name",
                shown.target
            );
            draft.block(namespace, subject, Reason::NotOwned, message);
        }
        // What runs ignores another put, be it on a host that is taken for gone and comes back.
        Some(_) => {
            draft.offer(namespace, Command::DeleteLink { key: key.clone() }, Effect::Takes, waits);
        }
    }
}

/// Whether a link that leads elsewhere than wanted may be changed: its source is ours, or an
/// earlier revision of ours put it.
fn is_ours(inputs: &Inputs<'_>, key: &LinkKey, shown: &Link) -> bool {
    let target = |desired: &Arc<Desired>| {
        desired.links.get(key).is_some_and(|link| link.target == shown.target)
    };
    inputs.desired.workloads.contains_key(&key.source) || inputs.former.iter().any(target)
}

/// Deletes what only earlier revisions wanted, once ends that go are gone.
pub(super) fn delete(draft: &mut Draft<'_>) {
    let inputs = draft.inputs;
    let mut seen = BTreeSet::new();
    for former in inputs.former {
        for (key, link) in &former.links {
            if inputs.desired.links.contains_key(key) || !seen.insert(key) {
                continue;
            }
            let held = inputs.claims.link_holder(key, inputs.observed).is_some();
            let theirs = foreign::has_link(inputs, former, key, link);
            if !held && !theirs && is_there(inputs, key) {
                delete_one(draft, former, key, link);
            }
        }
    }
}

/// Whether the lattice shows, or may show, a link that a former revision of ours put.
fn is_there(inputs: &Inputs<'_>, key: &LinkKey) -> bool {
    match &inputs.observed.links {
        Links::Unread | Links::Unreadable => true,
        Links::Read(links) => links.get(key).is_some_and(|shown| {
            inputs.former.iter().any(|former| {
                former.links.get(key).is_some_and(|wanted| wanted.target == shown.target)
            })
        }),
    }
}

fn delete_one(draft: &mut Draft<'_>, former: &Desired, key: &LinkKey, link: &Link) {
    let inputs = draft.inputs;
    let mut waits = Vec::new();
    match inputs.observed.links {
        Links::Read(_) => {}
        Links::Unread | Links::Unreadable => {
            waits.push(WaitsFor::Read { what: "the links".to_owned() });
        }
    }
    if !inputs.may_remove() {
        waits.push(WaitsFor::Rollout);
    }
    for end in [&key.source, &link.target] {
        if !inputs.desired.workloads.contains_key(end) {
            waits.extend(ours_running(inputs, end));
        }
    }
    waits.extend(deaf(draft, [&key.source, &link.target].into_iter()));
    let command = Command::DeleteLink { key: key.clone() };
    draft.offer(namespace(former, key, link), command, Effect::Takes, waits);
}

/// A provider among the ends of a link that wouldn't hear of a change: it is about to start, or boots.
fn deaf<'a>(
    draft: &mut Draft<'_>,
    mut ends: impl Iterator<Item = &'a WorkloadId>,
) -> Option<WaitsFor> {
    let observed = draft.inputs.observed;
    ends.find_map(|end| {
        let pending = observed.in_flight.pending_of(end).map(|(_, pending)| &pending.command);
        let mut starts = pending.filter(|it| matches!(it, Command::StartProvider { .. }));
        if let Some(start) = starts.next() {
            return Some(WaitsFor::InFlight { what: start.to_string() });
        }
        observed.runs().hosts(end).next()?;
        let listens = observed.providers_started.last(end)? + BOOT;
        draft.wake(listens);
        let why = format!("{end} to have booted, because it can miss what its links become");
        (listens > draft.inputs.time).then_some(WaitsFor::Delay { why })
    })
}

/// The first host on which something of ours still runs under `id`.
pub(super) fn ours_running(inputs: &Inputs<'_>, id: &WorkloadId) -> Option<WaitsFor> {
    let host = inputs.observed.runs().hosts(id).find(|host| {
        let inventory = inputs.observed.hosts.get(*host).and_then(|host| host.inventory.as_ref());
        inventory.is_some_and(|shown| {
            shown.annotations(id).any(|shown| removal::is_ours(inputs, id, shown))
        })
    })?;
    Some(WaitsFor::Stopped(host.clone(), id.clone()))
}

/// The target's namespace that a link is for: its source's, or that of the end that is ours.
fn namespace<'a>(desired: &'a Desired, key: &LinkKey, link: &Link) -> &'a Arc<str> {
    let end = desired.workloads.get(&key.source).or_else(|| desired.workloads.get(&link.target));
    end.map_or(&desired.owner.application.namespace, |workload| &workload.namespace)
}
