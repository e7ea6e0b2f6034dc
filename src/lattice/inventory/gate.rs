//! What may be sent: connected, whole, settled, and no mass loss.
use std::{
    collections::{BTreeMap, BTreeSet},
    mem::discriminant,
    sync::Arc,
    time::Duration,
};

use super::{Effect, Fold};
use crate::model::{Gate, HostId, HostState, Links, Moment};

/// How whole the picture is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    Disconnected {
        /// Whether the picture was whole before, and only has to settle again.
        was_whole: bool,
    },
    Syncing {
        since: Moment,
        /// Inventories from before this are not enough: an earlier process's last command may
        /// have reached its host until then.
        from: Moment,
        asked: bool,
        /// Whether the links have to be read as well.
        links: bool,
        waiting: BTreeSet<HostId>,
    },
    Settling {
        since: Moment,
        waiting: BTreeSet<HostId>,
    },
    Whole,
}

/// Whether something that an earlier process had acknowledged may be under way unseen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unseen {
    Possible,
    /// Its time is over, and the hosts are being asked.
    Asked,
    RuledOut,
}

/// How whoever sent commands before us has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Predecessor {
    /// Its last command may be on its way, and a start that was acknowledged under way.
    Unknown,
    /// Everything that it sent has had its outcome.
    Drained,
}

/// Hosts that went without a word.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Loss {
    /// When each went, within one window.
    pub(super) recent: BTreeMap<HostId, Moment>,
    pub(super) mass: Option<Mass>,
    /// When we connected, or our connection moved.
    pub(super) connected: Moment,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mass {
    pub(super) since: Moment,
    pub(super) lost: BTreeSet<HostId>,
    /// How many live hosts make it good.
    pub(super) enough: usize,
}

impl Mass {
    /// What confirms this loss and no other: another set of lost hosts has another. The same in
    /// every process, so that what was confirmed stays so.
    pub(super) fn token(&self) -> String {
        let bytes = self.lost.iter().flat_map(|host| host.as_str().bytes().chain([b' ']));
        // FNV-1a: it has to differ, not to be hard to guess.
        let mix = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        let hash = bytes.fold(0x811c_9dc5, mix);
        format!("{}-{hash:08x}", self.lost.len())
    }
}

impl Fold {
    pub(super) fn connected(&mut self, now: Moment) {
        self.loss.connected = now;
        self.heard_no_health_until(now);
        self.round.sent = None;
        for life in self.lives.values_mut() {
            life.unanswered = 0;
            // Nobody was asked while we were away: whoever was unreachable begins anew.
            life.unreachable = life.unreachable.map(|_| now);
            // Requests that were under way have ended with the connection.
            life.asked = false;
        }
        self.links.reset(now);
        self.configs.all_due(now);
        let was_whole = matches!(self.phase, Phase::Disconnected { was_whole: true });
        if was_whole {
            let here = self.lives.iter().filter(|(_, life)| life.held.is_none());
            let waiting = here.map(|(id, _)| id.clone()).collect();
            self.ask_all(now);
            self.phase = Phase::Settling { since: now, waiting };
        } else {
            for host in self.settings.known_hosts.clone() {
                self.expect(host, now);
            }
            self.sync_after(Predecessor::Unknown, now);
        }
        self.probe(now);
        self.show_gate();
    }

    pub(super) fn disconnected(&mut self, why: Arc<str>) {
        let was_whole = match self.phase {
            Phase::Disconnected { was_whole } => was_whole,
            Phase::Settling { .. } | Phase::Whole => true,
            Phase::Syncing { .. } => false,
        };
        self.phase = Phase::Disconnected { was_whole };
        self.set_gate(Gate::Disconnected { why });
    }

    /// Anything may have been missed: the picture is whole again once every host has been asked.
    pub(super) fn missed(&mut self, now: Moment) {
        if !self.is_connected() {
            return;
        }
        self.heard_no_health_until(now);
        self.links.reset(now);
        self.configs.all_due(now);
        self.sync(now, now);
        self.probe(now);
        self.tick_phase(now);
    }

    /// Somebody else has sent commands until now: the picture counts only once every host has been
    /// asked, and what was in flight when we sent some ourselves is history.
    pub fn take_over(&mut self, from: Predecessor, now: Moment) -> super::Outcome {
        self.forget_what_changes(now);
        if self.is_connected() {
            self.links.reset(now);
            self.configs.all_due(now);
            self.sync_after(from, now);
            if let Phase::Syncing { links, .. } = &mut self.phase {
                *links = true;
            }
            self.probe(now);
            self.tick_phase(now);
        } else {
            self.phase = Phase::Disconnected { was_whole: false };
        }
        self.finish()
    }

    /// What others' commands change and no inventory shows is unknown until it has been read.
    fn forget_what_changes(&mut self, now: Moment) {
        self.forget_all_made();
        let observed = Arc::make_mut(&mut self.observed);
        for lane in self.lanes.forget_all(&mut observed.in_flight) {
            self.outcome.change.lane(lane);
        }
        // A provider that boots wants to know when its links were written last.
        if let Links::Read(links) = &observed.links {
            for key in links.keys() {
                observed.links_written.note(key.source.clone(), now);
            }
        }
        observed.links = Links::Unread;
        let configs = std::mem::take(&mut observed.configs);
        let unreadable = std::mem::take(&mut observed.unreadable);
        let names = configs.keys().chain(unreadable.keys());
        self.outcome.change.configs.extend(names.cloned());
        self.outcome.change.links = true;
    }

    /// Takes the whole picture, with no more to go by than how whoever sent commands before ended.
    fn sync_after(&mut self, before: Predecessor, now: Moment) {
        let (request, start) = match before {
            Predecessor::Unknown => {
                (self.settings.deadlines.request, self.settings.deadlines.start)
            }
            Predecessor::Drained => (Duration::ZERO, Duration::ZERO),
        };
        self.predecessor = before;
        let from = now + request;
        Arc::make_mut(&mut self.observed).unseen_until = from + start;
        self.unseen = Unseen::Possible;
        self.sync(now, from);
    }

    /// What an earlier process had acknowledged is ruled out once every host has shown its
    /// inventory after the last moment at which that may have been done.
    pub(super) fn tick_unseen(&mut self, now: Moment) {
        let until = self.observed.unseen_until;
        match self.unseen {
            Unseen::Possible if now >= until => {
                self.unseen = Unseen::Asked;
                self.ask_all(now);
            }
            Unseen::Asked if self.observed.hosts.values().all(|h| h.inventory_at >= until) => {
                // Each host that showed its inventory since was a change to whoever waits for all.
                self.unseen = Unseen::RuledOut;
                self.outcome.change.health = true;
            }
            Unseen::Possible | Unseen::Asked | Unseen::RuledOut => {}
        }
    }

    fn sync(&mut self, now: Moment, from: Moment) {
        let waiting = self.lives.keys().cloned().collect();
        self.phase = Phase::Syncing { since: now, from, asked: false, links: false, waiting };
    }

    /// A host that wasn't known has been heard: it belongs to the picture.
    pub(super) fn awaited(&mut self, host: &HostId) {
        match &mut self.phase {
            Phase::Syncing { waiting, .. } => {
                waiting.insert(host.clone());
            }
            Phase::Disconnected { .. } | Phase::Settling { .. } | Phase::Whole => {}
        }
    }

    /// Something was heard of `host`, or it is proven unreachable: it may not be waited for
    /// any more.
    pub(super) fn arrived(&mut self, host: &HostId, now: Moment) {
        let life = self.lives.get(host);
        match &mut self.phase {
            Phase::Syncing { from, waiting, .. } => {
                let done = life.is_none_or(|life| {
                    life.unreachable.is_some() || (life.shown_since(*from) && now >= *from)
                });
                if done && waiting.remove(host) && waiting.is_empty() {
                    self.tick_phase(now);
                }
            }
            Phase::Settling { since, waiting } => {
                let done =
                    life.is_none_or(|life| life.heard_since(*since) && life.shown_since(*since));
                if done && waiting.remove(host) && waiting.is_empty() {
                    self.tick_phase(now);
                }
            }
            Phase::Disconnected { .. } | Phase::Whole => {}
        }
    }

    pub(super) fn tick_phase(&mut self, now: Moment) {
        let interval = self.settings.heartbeat_interval;
        match &mut self.phase {
            Phase::Disconnected { .. } => return,
            Phase::Syncing { from, asked, .. } if now >= *from && !*asked => {
                *asked = true;
                self.ask_all(now);
                if self.lives.is_empty() {
                    self.phase = Phase::Whole;
                }
            }
            Phase::Syncing { since, from, links, waiting, .. } => {
                let late = now.since(*since) >= interval;
                let read = !*links || self.observed.links != Links::Unread;
                if now >= *from && ((waiting.is_empty() && read) || late) {
                    let (since, silent) = (*since, std::mem::take(waiting));
                    self.phase = Phase::Whole;
                    self.give_up_on(&silent, since, now);
                }
            }
            Phase::Settling { since, waiting } => {
                if waiting.is_empty() || now.since(*since) >= interval {
                    self.phase = Phase::Whole;
                }
            }
            Phase::Whole => {}
        }
        self.watch_mass_loss(now);
        self.show_gate();
    }

    fn ask_all(&mut self, now: Moment) {
        let all: Vec<_> = self.lives.keys().cloned().collect();
        for host in &all {
            self.ask(host, now);
        }
    }

    /// One interval has passed: who has said nothing at all is unreachable, its grace still to
    /// run; who has answered a ping and shows nothing is mute.
    fn give_up_on(&mut self, silent: &BTreeSet<HostId>, since: Moment, now: Moment) {
        for host in silent {
            if let Some(life) = self.lives.get_mut(host) {
                if life.heard_since(since) {
                    life.mute = life.mute.max(1);
                } else {
                    life.unreachable = Some(now);
                }
            }
            self.show_state(host, now);
        }
    }

    /// A host went without a word, and is made up for.
    pub(super) fn lost(&mut self, host: &HostId, now: Moment) {
        let window = self.settings.loss_grace.max(self.settings.heartbeat_interval);
        self.loss.recent.retain(|_, at| now.since(*at) < window);
        self.loss.recent.insert(host.clone(), now);
        let live = self.live();
        let lost = self.loss.recent.len();
        if lost >= 3 && lost * 2 > live + lost {
            let mut mass = self.loss.mass.take().unwrap_or_else(|| Mass {
                since: now,
                lost: BTreeSet::new(),
                enough: 0,
            });
            mass.lost.extend(self.loss.recent.keys().cloned());
            mass.enough = mass.enough.max(live + lost);
            self.loss.mass = Some(mass);
        }
    }

    fn watch_mass_loss(&mut self, now: Moment) {
        if let Some(mass) = &self.loss.mass
            && (self.live() >= mass.enough
                || now.since(mass.since) >= self.settings.mass_loss_timeout
                || self.settings.confirmed_loss.as_deref() == Some(&*mass.token()))
        {
            self.loss.mass = None;
            self.loss.recent.clear();
        }
    }

    fn live(&self) -> usize {
        self.lives.values().filter(|life| life.unreachable.is_none()).count()
    }

    pub(super) fn show_gate(&mut self) {
        let gate = match (&self.phase, &self.loss.mass) {
            (Phase::Disconnected { .. }, _) => return,
            (Phase::Syncing { waiting, .. }, _) => Gate::Syncing { waiting_for: waiting.clone() },
            (Phase::Settling { .. } | Phase::Whole, Some(mass)) => {
                Gate::MassLoss { lost: mass.lost.len() }
            }
            (Phase::Settling { .. }, None) => Gate::Settling,
            (Phase::Whole, None) => Gate::Open,
        };
        self.set_gate(gate);
    }

    fn set_gate(&mut self, gate: Gate) {
        if self.observed.gate == gate {
            return;
        }
        // Who is still waited for is no news to a plan; that it is waited is, and why there never was
        // a connection.
        let first = self.observed.gate == Gate::not_yet();
        if first || discriminant(&gate) != discriminant(&self.observed.gate) {
            self.outcome.change.gate = true;
        }
        self.outcome.change.health = true;
        Arc::make_mut(&mut self.observed).gate = gate;
    }

    /// Starts a new round of pings.
    pub(super) fn probe(&mut self, now: Moment) {
        self.round.number += 1;
        self.round.sent = Some(now);
        self.round.asked_missing = false;
        self.outcome.effects.push(Effect::Ping { round: self.round.number });
    }

    /// Whether new work could ever go to a host in this state is what a plan sees of it.
    pub(super) fn matters(before: HostState, after: HostState) -> bool {
        before.takes_work() != after.takes_work()
            || (before == HostState::Unreachable) != (after == HostState::Unreachable)
    }
}
