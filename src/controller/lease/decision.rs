//! What a Lease says, and how long it has said so → what to do about it. Pure.
//!
//! ```text
//!               ┌───────── nobody's, released, or unchanged for as long as it may count ──────────┐
//!               │                                                                                 ▼
//! Begin ─▶ Look ─▶ Wait ◀─ somebody else's                            Renew ◀── a third is over ── Take
//!           ▲ ▼    ▲                                                    │                           │
//!           Lay    └───────── Resign ◀──── not renewed in time, or another's ◀──────────────────────┘
//! ```
//!
//! 1. Only this process's own clock counts. What others wrote is compared, never read as a time.
//! 2. A holder counts its time from before it asked for it, all others from after they saw that it
//!    was granted: so the holder's is over first, however long either was paused in between. Clocks
//!    that go wrong by up to three thousandths are made up for by the holder's margin.
//! 3. What somebody writes into a Lease by hand makes nobody lead earlier. A Lease tells whether it is
//!    as a replica wrote it; one that isn't may be anybody's, and is waited for as long as any lease
//!    lasts. Nor does it keep anybody from leading: no lease is longer than [`LONGEST`], whatever it
//!    says, and a holder puts right what isn't as it wrote it.
//! 4. Each write names the version that it replaces, so that of two that want to be next one fails.
//!    A Lease that isn't there is laid as nobody's before it is taken, for only what is there has a
//!    version.
//! 5. Who had a Lease that was deleted isn't known, so one that was laid is waited for as long as any
//!    lease lasts. All processes first leave a trace; who finds none of another's begins the very first
//!    election, in which nobody can have had the Lease, and needn't wait.
use std::time::Duration;

use jiff::Timestamp;

use crate::model::Moment;

/// No holder reckons with more, so nobody has to wait for longer.
pub(super) const LONGEST: Duration = Duration::from_mins(5);

/// What a Lease says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// Another each time that something was written, whatever that was.
    pub version: String,
    /// Whether it is as a replica wrote it.
    pub intact: bool,
    /// `None`: it is nobody's.
    pub holder: Option<String>,
    /// How long it is good for after it was written.
    pub duration: Duration,
    /// How often it went to another holder.
    pub transitions: i32,
    /// `None` unless its last holder released it.
    pub released: Option<Released>,
}

impl Record {
    /// Whether it was laid, and nobody has had it since.
    fn is_new(&self) -> bool {
        self.intact && self.holder.is_none() && self.released.is_none()
    }
}

/// What a Lease is to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Words {
    pub holder: Option<String>,
    /// By the clock of who writes it, for people.
    pub renewed: Timestamp,
    pub duration: Duration,
    pub transitions: i32,
    pub released: Option<Released>,
}

/// Who had a Lease has given it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Released {
    /// Whether it has left nothing under way.
    pub drained: bool,
}

/// How long a Lease is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    duration: Duration,
    /// How long before its end its holder stops: what was sent just before may take that long to
    /// arrive.
    margin: Duration,
}

/// A lease that is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadTerms {
    /// It would have to be renewed again before anything could be done with it.
    #[error("a lease of {} s is too short; give it at least {} s", .duration.as_secs_f64(), .least.as_secs_f64())]
    TooShort { duration: Duration, least: Duration },
    /// Nobody would take over in time.
    #[error("a lease of {} s is too long; give it at most {} s", .duration.as_secs_f64(), LONGEST.as_secs_f64())]
    TooLong { duration: Duration },
}

impl Terms {
    pub fn new(duration: Duration, margin: Duration) -> Result<Self, BadTerms> {
        let least = margin * 3;
        if duration < least {
            return Err(BadTerms::TooShort { duration, least });
        }
        if duration > LONGEST {
            return Err(BadTerms::TooLong { duration });
        }
        Ok(Self { duration, margin })
    }

    /// As a Lease says it: in whole seconds, and never for less than its holder reckons with.
    #[must_use]
    pub(super) fn written(&self) -> Duration {
        let part = u64::from(self.duration.subsec_nanos() > 0);
        Duration::from_secs(self.duration.as_secs() + part)
    }

    /// How often it is renewed; a call that takes longer is given up.
    #[must_use]
    pub(super) fn interval(&self) -> Duration {
        self.duration / 3
    }

    /// How soon a call that failed is tried again.
    fn retry(&self) -> Duration {
        self.duration / 15
    }
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Leave the trace of an election.
    Begin,
    /// Read the Lease.
    Look,
    /// Make the Lease, as nobody's.
    Lay,
    /// Write it with us as its new holder.
    Take,
    /// Write it again.
    Renew,
    Resign(Why),
    /// Nothing, until then or until something is observed.
    Wait {
        until: Moment,
    },
}

/// Why a holder isn't one any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Why {
    /// It could not be renewed in time.
    NotRenewed,
    /// It is another's, or nobody's, against the rules.
    Lost { to: Option<String> },
}

/// A Lease was won.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Won {
    /// Whether its last holder has left nothing under way.
    pub clean: bool,
}

/// One of those who want the Lease, with what it knows.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    me: String,
    terms: Terms,
    /// Whether a trace of an election is there.
    begun: bool,
    /// Nobody can have had a Lease that is seen as new before then, if it is the first one seen.
    first_until: Moment,
    /// What the Lease said last; `None` if there was none.
    seen: Option<Record>,
    /// Whether that still counts. A write that failed may have been carried out, or refused because
    /// there is something newer.
    current: bool,
    /// Until when somebody else may lead, by all that was seen. It grows until a holder releases it.
    others_until: Moment,
    /// Until when somebody else may lead who had a Lease that is gone, while the one seen is new.
    new_until: Moment,
    /// While we lead: when the request was sent that the Lease was taken or renewed with.
    sent: Option<Moment>,
    /// A call failed: no other until then.
    not_before: Moment,
}

impl Candidate {
    /// `me` must be nobody else's name, an earlier process of the same Pod included.
    #[must_use]
    pub(super) fn new(me: String, terms: Terms) -> Self {
        Self {
            me,
            terms,
            begun: false,
            first_until: Moment::default(),
            seen: None,
            current: false,
            others_until: Moment::default(),
            new_until: Moment::default(),
            sent: None,
            not_before: Moment::default(),
        }
    }

    #[must_use]
    pub(super) fn leads(&self) -> bool {
        self.sent.is_some()
    }

    /// Until when a leader may act.
    #[must_use]
    pub(super) fn acts_until(&self) -> Option<Moment> {
        Some(self.sent? + self.terms.duration.saturating_sub(self.terms.margin))
    }

    /// Who leads, as far as is known.
    #[must_use]
    pub(super) fn holder(&self) -> Option<&str> {
        self.seen.as_ref()?.holder.as_deref()
    }

    #[must_use]
    pub(super) fn next(&self, now: Moment) -> Step {
        if let Some(until) = self.acts_until() {
            return self.lead(until, now);
        }
        if now < self.not_before {
            return Step::Wait { until: self.not_before };
        }
        if !self.begun {
            return Step::Begin;
        }
        if !self.current {
            return Step::Look;
        }
        let Some(record) = &self.seen else { return Step::Lay };
        let until = self.others_until.max(if record.is_new() { self.new_until } else { now });
        if now >= until { Step::Take } else { Step::Wait { until } }
    }

    fn lead(&self, until: Moment, now: Moment) -> Step {
        let is_others =
            |record: &&Record| record.intact && !record.is_new() && !self.is_mine(record);
        if let Some(record) = self.seen.as_ref().filter(is_others) {
            return Step::Resign(Why::Lost { to: record.holder.clone() });
        }
        if now >= until {
            return Step::Resign(Why::NotRenewed);
        }
        if now < self.not_before {
            return Step::Wait { until: self.not_before.min(until) };
        }
        if !self.current {
            return Step::Look;
        }
        let Some(record) = &self.seen else { return Step::Lay };
        // One that was laid anew or edited is written again at once: nobody else can have it before we
        // may no longer act, and whoever comes now would go by it.
        let due = self.sent.filter(|_| self.is_whole(record)).map(|at| at + self.terms.interval());
        match due.filter(|due| now < *due) {
            Some(due) => Step::Wait { until: due.min(until) },
            None => Step::Renew,
        }
    }

    fn is_mine(&self, record: &Record) -> bool {
        record.holder.as_ref() == Some(&self.me)
    }

    /// Whether it says what we wrote.
    fn is_whole(&self, record: &Record) -> bool {
        record.intact && self.is_mine(record) && record.duration == self.terms.written()
    }

    /// The trace of an election is there. `ours`: we have made it, with what was sent then.
    pub(super) fn began(&mut self, ours: Option<Moment>) {
        self.begun = true;
        // Who else comes waits for `LONGEST`, by another clock.
        self.first_until = ours.map_or_else(Moment::default, |sent| sent + LONGEST / 2);
    }

    /// The Lease was read, or it was seen to change; `None`: there is none.
    pub(super) fn observe(&mut self, record: Option<Record>, now: Moment) {
        let known = self.seen.as_ref().map(|record| &record.version);
        if let Some(record) = record.as_ref().filter(|record| known != Some(&record.version)) {
            self.learn(record, now);
        }
        self.seen = record;
        self.current = true;
    }

    fn learn(&mut self, record: &Record, now: Moment) {
        // One that comes later may follow one that somebody has had.
        let first_until = std::mem::take(&mut self.first_until);
        if record.is_new() {
            self.new_until = if now < first_until { now } else { now + LONGEST };
        } else if record.intact && record.released.is_some() && record.holder.is_none() {
            self.others_until = now;
        } else if !record.intact {
            self.others_until = self.others_until.max(now + LONGEST);
        } else if !self.is_mine(record) {
            // What we wrote is no news of others: it replaced what we knew.
            let longest = record.duration.max(self.terms.written()).min(LONGEST);
            self.others_until = self.others_until.max(now + longest);
        }
    }

    /// What to write to lay the Lease.
    #[must_use]
    pub(super) fn laid(&self, now: Timestamp) -> Words {
        Words {
            holder: None,
            renewed: now,
            duration: self.terms.written(),
            transitions: 0,
            released: None,
        }
    }

    /// What to write to take or to renew the Lease.
    #[must_use]
    pub(super) fn claim(&self, renewed: Timestamp) -> Words {
        let transitions = match &self.seen {
            Some(record) if self.is_mine(record) || record.is_new() => record.transitions,
            Some(record) => record.transitions.saturating_add(1),
            None => 0,
        };
        let holder = Some(self.me.clone());
        Words { holder, transitions, ..self.laid(renewed) }
    }

    /// What to write to release the Lease; `None` if it isn't ours.
    #[must_use]
    pub(super) fn release(&self, renewed: Timestamp, drained: bool) -> Option<Words> {
        let record = self.seen.as_ref().filter(|record| self.is_mine(record))?;
        let (transitions, released) = (record.transitions, Some(Released { drained }));
        Some(Words { transitions, released, ..self.laid(renewed) })
    }

    /// A write that was sent at `sent` was accepted, and the Lease says `record` now.
    ///
    /// # Returns
    ///
    /// What was won, if that made us the leader.
    pub(super) fn accepted(&mut self, record: Record, sent: Moment) -> Option<Won> {
        let before = self.seen.replace(record);
        let clean = before.is_some_and(|record| {
            let released = record.released.filter(|_| record.intact && record.holder.is_none());
            released.is_some_and(|released| released.drained)
        });
        let won = !self.leads();
        (self.current, self.sent, self.not_before) = (true, Some(sent), Moment::default());
        won.then_some(Won { clean })
    }

    /// A write was refused because the Lease isn't any more what was seen.
    pub(super) fn outdated(&mut self) {
        self.current = false;
    }

    /// A call failed, and may have been carried out.
    pub(super) fn failed(&mut self, now: Moment) {
        self.current = false;
        self.not_before = now + self.terms.retry();
    }

    pub(super) fn step_down(&mut self) {
        self.sent = None;
    }
}
