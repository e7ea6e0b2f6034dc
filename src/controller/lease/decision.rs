//! What a Lease says, and how long it has said so → what to do about it. Pure.
//!
//! ```text
//!            ┌──────────── nobody's, released, or unchanged for its whole duration ───────────┐
//!            │                                                                                ▼
//!  Look ─▶ Wait ◀─ somebody else's                                Renew ◀── a third is over ── Take
//!            ▲                                                      │                          │
//!            └────────── Resign ◀──── not renewed in time, or another's ◀───────────────────────┘
//! ```
//!
//! 1. Only this process's own clock counts. What others wrote is compared, never read as a time.
//! 2. A holder counts its time from before it asked for it, all others from after they saw that it
//!    was granted: so the holder's is over first, however long either was paused in between.
//! 3. What somebody writes into a Lease by hand makes nobody lead earlier: who waits reckons with the
//!    longest of what its holder ever said and what is configured, and takes a Lease without a holder
//!    for released only if that was said. Nor does it keep anybody from leading: no lease is longer
//!    than [`LONGEST`], whatever it says, and a holder puts right what isn't as it wrote it.
//! 4. Each write names the version that it replaces, so that of two that want to be next one fails.
use std::time::Duration;

use jiff::Timestamp;

use crate::model::Moment;

/// No holder reckons with more, so nobody has to wait for longer.
pub(super) const LONGEST: Duration = Duration::from_mins(5);

/// What a Lease says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// `None`: it is nobody's.
    pub holder: Option<String>,
    /// When its holder wrote it last, by the holder's clock.
    pub renewed: Option<Timestamp>,
    /// How long it is good for after that.
    pub duration: Duration,
    /// How often it went to another holder.
    pub transitions: i32,
    /// `None` unless its last holder released it.
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
    /// Read the Lease.
    Look,
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
    /// What the Lease said last; `None` if there was none.
    seen: Option<Record>,
    /// Whether that still counts. A write that failed may have been carried out, or refused because
    /// there is something newer.
    current: bool,
    /// The longest that the holder of what was seen last may reckon with.
    longest: Duration,
    /// Until when somebody else may lead, by what was seen.
    others_until: Moment,
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
            seen: None,
            current: false,
            longest: terms.written(),
            others_until: Moment::default(),
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
        if !self.current {
            return Step::Look;
        }
        if now >= self.others_until { Step::Take } else { Step::Wait { until: self.others_until } }
    }

    fn lead(&self, until: Moment, now: Moment) -> Step {
        if let Some(record) = self.seen.as_ref().filter(|record| !self.is_mine(record)) {
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
        // One that was deleted or edited is written again at once: whoever comes now would go by it.
        let whole = self.seen.as_ref().is_some_and(|seen| seen.duration == self.terms.written());
        let due = self.sent.filter(|_| whole).map(|at| at + self.terms.interval());
        match due.filter(|due| now < *due) {
            Some(due) => Step::Wait { until: due.min(until) },
            None => Step::Renew,
        }
    }

    fn is_mine(&self, record: &Record) -> bool {
        record.holder.as_ref() == Some(&self.me)
    }

    /// The Lease was read, or it was seen to change; `None`: there is none.
    pub(super) fn observe(&mut self, record: Option<Record>, now: Moment) {
        if self.seen != record {
            // The word of its holder, and not what somebody has made of it.
            let is_word = match (&self.seen, &record) {
                (Some(old), Some(new)) => {
                    new.holder.is_some() && (old.holder != new.holder || old.renewed != new.renewed)
                }
                (None, Some(_)) => true,
                (Some(_) | None, None) => false,
            };
            let before = if is_word { Duration::ZERO } else { self.longest };
            let said = record.as_ref().map_or(Duration::ZERO, |record| record.duration);
            self.longest = before.max(said).max(self.terms.written()).min(LONGEST);
            let is_mine = record.as_ref().is_some_and(|record| self.is_mine(record));
            let is_released = record
                .as_ref()
                .is_some_and(|record| record.holder.is_none() && record.released.is_some());
            // What we wrote is no news of others: it may have arrived late, in place of a Lease that
            // somebody deleted while its holder led.
            if !is_mine {
                // Its holder may have renewed it until it was deleted or edited.
                self.others_until = if is_released { now } else { now + self.longest };
            }
        }
        self.seen = record;
        self.current = true;
    }

    /// For how long after its last sign of life the holder of what was seen last is waited for.
    #[must_use]
    pub(super) fn patience(&self) -> Duration {
        self.longest
    }

    /// What to write to take or to renew the Lease.
    #[must_use]
    pub(super) fn claim(&self, renewed: Timestamp) -> Record {
        let transitions = match &self.seen {
            Some(record) if self.is_mine(record) => record.transitions,
            Some(record) => record.transitions.saturating_add(1),
            None => 0,
        };
        Record {
            holder: Some(self.me.clone()),
            renewed: Some(renewed),
            duration: self.terms.written(),
            transitions,
            released: None,
        }
    }

    /// What to write to release the Lease; `None` if it isn't ours.
    #[must_use]
    pub(super) fn release(&self, renewed: Timestamp, drained: bool) -> Option<Record> {
        let record = self.seen.as_ref().filter(|record| self.is_mine(record))?;
        Some(Record {
            holder: None,
            renewed: Some(renewed),
            duration: self.terms.written(),
            released: Some(Released { drained }),
            ..record.clone()
        })
    }

    /// A write that was sent at `sent` was accepted, and the Lease says `record` now.
    ///
    /// # Returns
    ///
    /// What was won, if that made us the leader.
    pub(super) fn accepted(&mut self, record: Record, sent: Moment) -> Option<Won> {
        let before = self.seen.replace(record);
        let clean = before.is_some_and(|record| {
            record.holder.is_none() && record.released.is_some_and(|released| released.drained)
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
