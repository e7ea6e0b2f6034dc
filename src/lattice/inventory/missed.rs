//! Changes of links that the providers of a host miss while it is out of reach.
//!
//! A host that comes back learns of new links, and its providers ignore those that they have one for
//! already; of links that were deleted nobody tells it at all. So a provider there goes by links that
//! are no more, and only its start anew mends that.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::{Fold, MOST_KNOWN, Predecessor};
use crate::model::{HostId, Link, LinkKey, Moment, Sign, Unhealthy, WorkloadId};

/// By host, the providers whose links have changed while it was out of reach, or any id that could be one;
/// none if it isn't known which.
pub type MissedLinks = BTreeMap<HostId, BTreeSet<WorkloadId>>;

/// A host is found to be out of reach within this after it was heard last.
const NOTICED: Duration = Duration::from_mins(2);
/// Who was away for longer won't be remembered.
const FORGOTTEN: Duration = Duration::from_hours(24);
/// What is remembered is gone over this often.
const SWEEP: Duration = Duration::from_mins(1);
/// Of more hosts than that it isn't remembered since when they are away.
const MOST_AWAY: usize = 200;
/// Of a host that has missed more than that it isn't remembered what.
const MOST_MISSED: usize = 500;

#[derive(Debug, Default)]
pub(super) struct Missed {
    /// When a link last changed that has this end, of late.
    changed: BTreeMap<WorkloadId, Moment>,
    away: BTreeMap<HostId, Away>,
    swept: Moment,
}

/// A host out of reach.
#[derive(Debug)]
struct Away {
    /// When it was heard last, if this process has ever heard it.
    since: Option<Moment>,
    /// The providers that it ran then, as far as that is known.
    runs: Option<BTreeSet<WorkloadId>>,
    /// Those whose links have changed since; `None`: nobody knows.
    missed: Option<BTreeSet<WorkloadId>>,
}

impl Missed {
    /// What an earlier process knew.
    pub(super) fn known(missed: &MissedLinks) -> Self {
        let away = |(host, ends): (&HostId, &BTreeSet<_>)| {
            let missed = (!ends.is_empty()).then(|| ends.clone());
            (host.clone(), Away { since: None, runs: None, missed })
        };
        Self { away: missed.iter().map(away).collect(), ..Self::default() }
    }

    fn sweep(&mut self, now: Moment) {
        self.away.retain(|_, away| now.since(away.since.unwrap_or_default()) < FORGOTTEN);
        self.changed.retain(|_, at| now.since(*at) < NOTICED);
        self.swept = now;
    }

    pub(super) fn links(&self) -> MissedLinks {
        let missed = self.away.iter().filter(|(_, away)| away.has_missed_some());
        missed.map(|(host, away)| (host.clone(), away.missed.clone().unwrap_or_default())).collect()
    }
}

impl Away {
    fn has_missed_some(&self) -> bool {
        self.missed.as_ref().is_none_or(|missed| !missed.is_empty())
    }

    /// Links of `end` have changed: whether that is news.
    fn misses(&mut self, end: &WorkloadId) -> bool {
        if self.runs.as_ref().is_some_and(|runs| !runs.contains(end)) {
            return false;
        }
        let Some(missed) = &mut self.missed else { return false };
        let news = missed.insert(end.clone());
        if missed.len() > MOST_MISSED {
            self.missed = None;
        }
        news
    }
}

impl Fold {
    /// A link is another than before, or isn't any more.
    pub(super) fn link_changed(&mut self, key: &LinkKey, links: [Option<&Link>; 2], now: Moment) {
        if now.since(self.missed.swept) >= SWEEP {
            self.missed.sweep(now);
        }
        let targets = links.into_iter().flatten().map(|link| &link.target);
        for end in targets.chain([&key.source]) {
            self.missed.changed.insert(end.clone(), now);
            for away in self.missed.away.values_mut() {
                self.outcome.change.health |= away.misses(end);
            }
        }
    }

    /// A host is out of reach, or taken for gone.
    pub(super) fn away(&mut self, host: &HostId) {
        if self.missed.away.contains_key(host) {
            return;
        }
        let since = self.lives.get(host).and_then(|life| life.heard);
        // What whoever sent commands before changed last, it may not have been able to write down.
        let known = since.is_some() || self.predecessor == Predecessor::Drained;
        let inventory = self.observed.hosts.get(host).and_then(|host| host.inventory.as_ref());
        let runs = inventory.map(|inventory| inventory.providers.keys().cloned().collect());
        let mut away = Away { since, runs, missed: known.then(BTreeSet::new) };
        for (end, at) in &self.missed.changed {
            if since.is_none_or(|since| *at >= since) {
                away.misses(end);
            }
        }
        self.note_away(host, away);
    }

    /// A host answers that this process doesn't know, and has run for so long. One that has run since
    /// before it looked was out of reach then, or when an earlier process looked last.
    pub(super) fn stranger(&mut self, host: &HostId, uptime: Duration, now: Moment) {
        let listed = self.settings.known_hosts.len();
        let would_be_listed = (1..MOST_KNOWN).contains(&listed);
        if now.before(uptime) <= self.loss.connected
            && (!self.is_syncing() || would_be_listed)
            && !self.missed.away.contains_key(host)
        {
            self.note_away(host, Away { since: None, runs: None, missed: None });
        }
    }

    fn note_away(&mut self, host: &HostId, away: Away) {
        self.outcome.change.health |= away.has_missed_some();
        let all = &mut self.missed.away;
        if all.len() >= MOST_AWAY
            && let Some(longest) = all.iter().min_by_key(|(_, away)| away.since)
        {
            let longest = longest.0.clone();
            all.remove(&longest);
        }
        all.insert(host.clone(), away);
    }

    /// A host shows what it runs, for so long: whether it was away meanwhile, and what it missed.
    pub(super) fn is_back(&mut self, host: &HostId, uptime: Duration, now: Moment) {
        let Some(away) = self.missed.away.remove(host) else { return };
        self.outcome.change.health |= away.has_missed_some();
        let Away { since, missed, .. } = away;
        if now.before(uptime) > since.unwrap_or(self.loss.connected) {
            // What runs there has been started since.
            return;
        }
        let shown = self.observed.hosts.get(host).and_then(|host| host.inventory.as_ref());
        let providers = shown.into_iter().flat_map(|inventory| inventory.providers.keys());
        let stale = |id: &&WorkloadId| missed.as_ref().is_none_or(|missed| missed.contains(*id));
        let stale: Vec<_> = providers.filter(stale).cloned().collect();
        if !stale.is_empty() {
            tracing::info!(%host, providers = ?stale, "back, and may have missed changes of links");
        }
        for id in stale {
            let sick = Unhealthy { sign: Sign::MissedLinks, restarts: 0, due: now };
            self.outcome.change.workloads.insert(id.clone());
            let unhealthy = &mut Arc::make_mut(&mut self.observed).unhealthy;
            unhealthy.insert((host.clone(), id), sick);
        }
    }
}
