use std::time::Duration;

use crate::{
    lattice::{
        in_flight::backoff,
        inventory::{Settings, link::REREAD},
        wire::Fingerprint,
    },
    model::{HostId, HostState, Moment},
};

/// How alive a host is. Kept beside `Observed`, because a plan depends on the state that comes of
/// it and not on each sign of life.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Life {
    /// The last sign of life of any kind.
    pub(super) heard: Option<Moment>,
    /// The last inventory, equal to the one before or not.
    pub(super) inventory_at: Option<Moment>,
    pub(super) uptime: Duration,
    /// Of the heartbeat that said what is shown, if one did and nothing has changed that since.
    pub(super) print: Option<Fingerprint>,
    /// Probes in a row without a sign of life.
    pub(super) unanswered: u32,
    pub(super) unreachable: Option<Moment>,
    /// It said that it stops; whether that is late is being found out.
    pub(super) stopped: Option<Moment>,
    /// A `host.get` is under way.
    pub(super) asked: bool,
    /// When one was sent last.
    pub(super) asked_at: Option<Moment>,
    /// Something happened meanwhile that its answer may not show.
    pub(super) ask_again: bool,
    /// When to ask next, whatever is heard.
    pub(super) confirm_at: Option<Moment>,
    /// How often in a row `host.get` brought nothing, though it may be alive.
    pub(super) mute: u32,
    /// When its grace was over, if something of it is held since.
    pub(super) held: Option<Moment>,
    /// Two pongs in one round: two processes have this id.
    pub(super) pongs: (u64, u32),
}

/// Two estimates of when a host started may differ by this much without its having restarted: an
/// inventory waits in the host while it compiles, so it may be older than its arrival.
const START_SLACK: Duration = Duration::from_secs(15);

impl Life {
    pub(super) fn heard(&mut self, now: Moment) {
        self.heard = Some(now);
        self.unanswered = 0;
        self.unreachable = None;
    }

    pub(super) fn heard_since(&self, since: Moment) -> bool {
        self.heard.is_some_and(|at| at >= since)
    }

    pub(super) fn shown_since(&self, since: Moment) -> bool {
        self.inventory_at.is_some_and(|at| at >= since)
    }

    /// Whether an uptime heard now is that of another process than the one known.
    pub(super) fn is_another(&self, uptime: Duration, now: Moment) -> bool {
        let Some(at) = self.inventory_at else { return false };
        let expected = self.uptime + now.since(at);
        uptime < self.uptime || uptime + START_SLACK < expected
    }

    /// Whether nothing is to be found out about it but by its next word.
    pub(super) fn is_at_rest(&self) -> bool {
        self.unanswered == 0
            && self.unreachable.is_none()
            && self.stopped.is_none()
            && self.confirm_at.is_none()
            && self.mute == 0
    }

    pub(super) fn overdue(&self, settings: &Settings, now: Moment) -> bool {
        let patience = settings.heartbeat_interval * 3 / 2;
        self.inventory_at.is_none_or(|at| now.since(at) > patience)
    }

    /// How long a host is left alone before it is asked again what it runs. Who can't say it in one
    /// message loses its connection over each question, so who was mute is asked ever less; its
    /// next heartbeat tells as much.
    pub(super) fn pause(&self, settings: &Settings, id: &HostId) -> Duration {
        if self.mute == 0 {
            return settings.probe_interval;
        }
        let once = settings.heartbeat_interval.max(settings.probe_interval);
        backoff(once, REREAD.max(once), self.mute, id)
    }

    pub(super) fn state(&self, settings: &Settings, duplicate: bool, now: Moment) -> HostState {
        let overdue = self.overdue(settings, now);
        if self.held.is_some() {
            HostState::Held
        } else if self.unreachable.is_some() {
            HostState::Unreachable
        } else if duplicate || (overdue && self.mute > 0 && self.unanswered == 0) {
            HostState::Mute
        } else if overdue || self.unanswered > 0 || self.stopped.is_some() {
            HostState::Suspect
        } else {
            HostState::Ready
        }
    }
}

/// A round of pings. Its answers are waited for until the next round starts, so that a slow host
/// isn't missed; who hasn't answered soon is asked by name meanwhile.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Round {
    pub(super) number: u64,
    pub(super) sent: Option<Moment>,
    pub(super) asked_missing: bool,
}
