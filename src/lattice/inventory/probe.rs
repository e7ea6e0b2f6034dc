//! Whom to ask, and how long to wait for an answer.
use std::{collections::BTreeSet, time::Duration};

use super::{Fold, Life, Phase};
use crate::model::{HostId, Lane, Moment};

/// How long an unreachable host is waited for when all others answer.
const GRACE: Duration = Duration::from_secs(2);
/// Who hasn't answered a ping by then is asked by name: a dead process has no responders.
const SOON: Duration = Duration::from_millis(500);
/// Where nothing happens and nothing is waited for, hosts are gone over this often.
const REST: Duration = Duration::from_secs(1);
/// A host that said it stops is asked this often whether that is so.
const STOPPING: Duration = Duration::from_millis(500);
/// An acknowledged command that shows nothing for so long makes us ask.
const UNSEEN: Duration = Duration::from_secs(3);
/// And then again this often.
const UNSEEN_AGAIN: Duration = Duration::from_secs(5);

impl Fold {
    pub(super) fn tick_hosts(&mut self, now: Moment) {
        self.tick_round(now);
        self.tick_unseen(now);
        if now < self.rest_until {
            return;
        }
        let grace = self.grace(now);
        let acknowledged = self.acknowledged(now);
        let mut at_rest = self.observed.in_flight.pending.is_empty();
        let mut ask = Vec::new();
        let mut changed = Vec::new();
        let mut gone = Vec::new();
        let known = &self.observed.hosts;
        // Both have the same hosts, in the same order.
        let mut shown = known.iter();
        for (id, life) in &mut self.lives {
            at_rest &= life.is_at_rest();
            let shown = shown.next().filter(|(host, _)| *host == id).map(|(_, host)| host);
            let idle = |pause| life.asked_at.is_none_or(|at| now.since(at) >= pause);
            let overdue = life.overdue(&self.settings, now);
            let pause = life.pause(&self.settings, id);
            let unseen = if life.mute > 0 { UNSEEN_AGAIN.max(pause) } else { UNSEEN_AGAIN };
            let wanted = (life.stopped.is_some() && idle(STOPPING))
                || (overdue && life.unreachable.is_none() && idle(pause))
                || life.confirm_at.is_some_and(|at| at <= now)
                || (acknowledged.contains(id) && idle(unseen));
            if wanted {
                life.confirm_at = None;
                ask.push(id.clone());
            }
            let probe = self.settings.probe_interval;
            // A host that stops goes on answering for a moment; one that still does after a whole
            // round hasn't stopped.
            if life
                .stopped
                .is_some_and(|at| now.since(at) > probe && life.heard_since(at + probe / 2))
            {
                life.stopped = None;
            }
            let state = life.state(&self.settings, self.duplicates.contains(id), now);
            if shown.or_else(|| known.get(id)).is_some_and(|host| host.state != state) {
                changed.push(id.clone());
            }
            let lost = life.unreachable.filter(|_| life.held.is_none());
            if lost.is_some_and(|since| now.since(since) >= grace) {
                gone.push(id.clone());
            }
        }
        if at_rest {
            self.rest_until = now + REST;
        }
        for id in &ask {
            self.ask(id, now);
        }
        for id in &changed {
            self.show_state(id, now);
        }
        if !self.is_syncing() {
            for id in &gone {
                self.grace_is_over(id, now);
            }
        }
    }

    /// How long who is unreachable is waited for: not long if it is alone in that.
    fn grace(&self, now: Moment) -> Duration {
        let unsure = |l: &&Life| l.held.is_none() && (l.unreachable.is_some() || l.unanswered > 0);
        let long_ago = |at: &Moment| now.since(*at) >= self.settings.loss_grace;
        let alone = self.lives.values().filter(unsure).count() == 1
            && self.loss.recent.values().all(long_ago)
            && long_ago(&self.loss.connected);
        if alone { GRACE } else { self.settings.loss_grace }
    }

    /// The hosts that have accepted a command a while ago, of which nothing has been seen since.
    fn acknowledged(&self, now: Moment) -> BTreeSet<HostId> {
        let pending = self.observed.in_flight.pending.iter();
        pending
            .filter(|(lane, pending)| {
                self.lanes.is_answered(lane) && now.since(pending.sent) >= UNSEEN
            })
            .filter_map(|(lane, _)| match lane {
                Lane::Workload(host, _) => Some(host.clone()),
                Lane::Links(_) | Lane::Config(_) => None,
            })
            .collect()
    }

    fn tick_round(&mut self, now: Moment) {
        let Some(sent) = self.round.sent else { return self.probe(now) };
        if now.since(sent) >= self.settings.probe_interval {
            let missed = self.settings.missed;
            for life in self.lives.values_mut().filter(|life| !life.heard_since(sent)) {
                life.unanswered = life.unanswered.saturating_add(1);
                if life.unanswered >= missed {
                    life.unreachable.get_or_insert(now);
                }
            }
            let round = self.round.number;
            let one = |id: &HostId| {
                self.lives.get(id).is_some_and(|life| life.pongs.0 == round && life.pongs.1 == 1)
            };
            let single: Vec<_> = self.duplicates.iter().filter(|id| one(id)).cloned().collect();
            for id in single {
                self.duplicates.remove(&id);
                self.ask(&id, now);
                self.outcome.change.health = true;
            }
            self.probe(now);
        } else if !self.round.asked_missing
            && now.since(sent) >= SOON.min(self.settings.probe_interval / 2)
        {
            self.round.asked_missing = true;
            let missing = self.lives.iter().filter(|(_, life)| !life.heard_since(sent));
            let missing: Vec<_> = missing
                .filter(|(_, l)| l.unreachable.is_none())
                .map(|(id, _)| id.clone())
                .collect();
            for id in &missing {
                self.ask(id, now);
            }
        }
    }

    pub(super) fn is_syncing(&self) -> bool {
        matches!(self.phase, Phase::Syncing { .. })
    }

    /// The host says that it stops. It may have said so long ago, so it is asked.
    pub(super) fn stopping(&mut self, id: &HostId, now: Moment) {
        let Some(life) = self.lives.get_mut(id) else { return };
        life.stopped = Some(now);
        self.ask(id, now);
        self.show_state(id, now);
    }
}
