//! What was sent and has no outcome yet: one command a lane, until the lattice shows how it ended.
//!
//! ```text
//! register ──▶ queued ──send──▶ sent ──answer──▶ acknowledged ──event, inventory──▶ resolved
//!                │                └─ time-out: may have been carried out, stays ─┘      │
//!                └── drop: never left                                  refused ──▶ Failure
//! ```
//!
//! 1. Hosts work *after* they have answered, in any order, so nothing else is sent in a lane that
//!    has a command without an outcome; after its deadline the same command may be.
//! 2. A command is resolved by its own event, or by an inventory received after the answer that
//!    shows what was asked for. One that doesn't show it proves nothing.
//! 3. It ends: a command that stays without an outcome becomes a [`Failure`] that says so.

mod backoff;
mod exclusion;
mod outcome;

pub use exclusion::starts;
pub use outcome::{bare, same_image, shows};

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use crate::model::{
    ApplicationKey, Command, Failure, HostId, InFlight, Lane, Moment, Pending, WorkloadId,
};
pub(crate) use backoff::backoff;
use backoff::{is_of_image, is_permanent};
use exclusion::excluded;

/// How long is waited for outcomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// For starts, which may pull an image.
    pub start: Duration,
    /// For all else.
    pub other: Duration,
    /// How long a host may take to answer.
    pub request: Duration,
}

/// The deadline is doubled with each try, and so is the delay after a failure, up to this.
const LONGEST: Duration = Duration::from_mins(5);
/// The delay after the first failure.
const FIRST_DELAY: Duration = Duration::from_secs(2);
/// A command that has been sent as often as this, and has no outcome, has failed.
const MOST_TRIES: u32 = 3;
/// A failure that nobody cared to try again for this long is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_mins(15);

/// Tells one sending of a command from the next in the same lane, so that a late answer can't be
/// taken for an early one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

/// What is kept beside [`InFlight`], which nobody plans with.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Note {
    ticket: Ticket,
    application: ApplicationKey,
    /// Not on the wire yet.
    queued: bool,
    /// When its request ended, answered or timed out.
    answered: Option<Moment>,
    /// When its own event was seen; for links the answer counts too.
    event: Option<Moment>,
}

/// What became of a command's request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Accepted,
    /// In the host's own words.
    Refused(Arc<str>),
    /// It certainly reached nobody.
    NotDelivered(Arc<str>),
    /// It may have been carried out.
    Unknown,
}

/// Why a command wasn't taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// Another one in the lane, or in one that excludes it, has no outcome yet.
    Unresolved,
    /// The last one asked the same and failed, and its delay isn't over.
    Delayed,
}

/// The lanes of one lattice. All methods change `in_flight`, which belongs to its `Observed`, and
/// answer with the lanes that a plan must look at again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lanes {
    deadlines: Deadlines,
    notes: BTreeMap<Lane, Note>,
    /// How many of the notes are queued.
    queued: usize,
    next: u64,
    /// What is under way or failed on each host, so that an inventory costs only what is about it.
    hosts: BTreeMap<HostId, BTreeSet<WorkloadId>>,
    /// When something about a lane changes by time alone.
    alarms: BTreeSet<(Moment, Lane)>,
    /// How many commands failed that a host had accepted, or may have, by verb; it only grows.
    failed: BTreeMap<&'static str, u64>,
}

impl Lanes {
    #[must_use]
    pub fn new(deadlines: Deadlines) -> Self {
        Self {
            deadlines,
            notes: BTreeMap::new(),
            queued: 0,
            next: 0,
            hosts: BTreeMap::new(),
            alarms: BTreeSet::new(),
            failed: BTreeMap::new(),
        }
    }

    pub fn set_deadlines(&mut self, deadlines: Deadlines) {
        self.deadlines = deadlines;
    }

    /// Takes a lane for `command`, or says why it can't have it.
    pub fn register(
        &mut self,
        in_flight: &mut InFlight,
        application: &ApplicationKey,
        command: &Command,
        now: Moment,
    ) -> Result<Ticket, Taken> {
        let lane = command.lane();
        let mut tries = 0;
        if let Some(pending) = in_flight.pending.get(&lane) {
            if pending.deadline > now || pending.command != *command {
                return Err(Taken::Unresolved);
            }
            tries = pending.tries;
        }
        let failed = failure_of(in_flight, &lane, command);
        if failed.is_some_and(|failure| failure.retry_at > now) {
            return Err(Taken::Delayed);
        }
        if excluded(in_flight, command) {
            return Err(Taken::Unresolved);
        }
        self.next += 1;
        let ticket = Ticket(self.next);
        let note = Note {
            ticket,
            application: application.clone(),
            queued: true,
            answered: None,
            event: None,
        };
        self.forget_note(&lane);
        self.notes.insert(lane.clone(), note);
        self.queued += 1;
        if let Lane::Workload(host, id) = &lane {
            self.hosts.entry(host.clone()).or_default().insert(id.clone());
        }
        let deadline = now + LONGEST;
        let pending =
            Pending { command: command.clone(), sent: now, acknowledged: None, deadline, tries };
        in_flight.pending.insert(lane, pending);
        Ok(ticket)
    }

    /// Takes note that a registered command goes out now; `None` if it is void by now.
    pub fn send(
        &mut self,
        in_flight: &mut InFlight,
        lane: &Lane,
        ticket: Ticket,
        now: Moment,
    ) -> Option<Command> {
        let note = self.notes.get_mut(lane).filter(|note| note.ticket == ticket && note.queued)?;
        note.queued = false;
        self.queued -= 1;
        let pending = in_flight.pending.get_mut(lane)?;
        pending.sent = now;
        pending.tries += 1;
        let first =
            if starts(&pending.command) { self.deadlines.start } else { self.deadlines.other };
        pending.deadline = now + backoff(first, LONGEST, pending.tries, lane);
        self.alarms.insert((pending.deadline, lane.clone()));
        Some(pending.command.clone())
    }

    /// Whether what was sent with this ticket is still waited for.
    #[must_use]
    pub fn awaits(&self, lane: &Lane, ticket: Ticket) -> bool {
        self.notes.get(lane).is_some_and(|note| note.ticket == ticket && note.answered.is_none())
    }

    /// Takes back a registered command that hasn't been sent. If it was to be sent again, what was
    /// sent before stays in flight.
    pub fn withdraw(&mut self, in_flight: &mut InFlight, lane: &Lane, ticket: Ticket, now: Moment) {
        let note = self.notes.get_mut(lane).filter(|note| note.ticket == ticket && note.queued);
        let (Some(note), Some(pending)) = (note, in_flight.pending.get_mut(lane)) else { return };
        if pending.tries == 0 {
            self.release(in_flight, lane);
            return;
        }
        note.queued = false;
        self.queued -= 1;
        note.answered = Some(now);
        pending.deadline = now + self.deadlines.other;
        self.alarms.insert((pending.deadline, lane.clone()));
    }

    /// Takes note of how a command's request ended; whether a plan must look again.
    pub fn answer(
        &mut self,
        in_flight: &mut InFlight,
        lane: &Lane,
        ticket: Ticket,
        answer: &Answer,
        now: Moment,
    ) -> bool {
        let Some(note) = self.notes.get_mut(lane).filter(|note| note.ticket == ticket) else {
            return false;
        };
        note.answered = Some(now);
        let event = note.event.is_some();
        let Some(pending) = in_flight.pending.get_mut(lane) else { return false };
        match answer {
            Answer::Accepted => {
                pending.acknowledged = Some(now);
                let done = match lane {
                    Lane::Workload(..) => false,
                    Lane::Links(_) => event,
                    Lane::Config(_) => true,
                };
                if done {
                    self.succeed(in_flight, lane);
                }
                done
            }
            Answer::Refused(error) | Answer::NotDelivered(error) => {
                self.reject(in_flight, lane, error.clone(), now);
                true
            }
            Answer::Unknown => false,
        }
    }

    /// Resolves the lane as done: what was asked for is so.
    pub fn succeed(&mut self, in_flight: &mut InFlight, lane: &Lane) {
        in_flight.failures.remove(lane);
        self.release(in_flight, lane);
    }

    /// The lanes in which something is under way, or failed, on a host.
    #[must_use]
    pub fn on(&self, host: &HostId) -> Vec<Lane> {
        let ids = self.hosts.get(host).into_iter().flatten();
        ids.map(|id| Lane::Workload(host.clone(), id.clone())).collect()
    }

    /// Takes note of a link's own event. It resolves the lane only together with the answer: an
    /// event that comes twice must not open the lane while a later command is being carried out.
    pub fn link_event(&mut self, in_flight: &mut InFlight, lane: &Lane, now: Moment) -> bool {
        let Some(note) = self.notes.get_mut(lane) else { return false };
        note.event = Some(now);
        let done = note.answered.is_some();
        if done {
            self.succeed(in_flight, lane);
        }
        done
    }

    /// Takes note of an event that says that a command was carried out, but not what came of it.
    pub fn carried_out(&mut self, lane: &Lane, now: Moment) {
        if let Some(note) = self.notes.get_mut(lane) {
            note.event.get_or_insert(now);
        }
    }

    /// Whether the lane's command was carried out for sure, so long ago that an inventory which
    /// doesn't show it shows what somebody else has made of it.
    #[must_use]
    pub fn was_carried_out(&self, lane: &Lane, since: Duration, now: Moment) -> bool {
        self.notes.get(lane).is_some_and(|note| {
            note.answered.is_some() && note.event.is_some_and(|at| now.since(at) >= since)
        })
    }

    /// Resolves the lane as failed, in the host's words.
    pub fn fail(&mut self, in_flight: &mut InFlight, lane: &Lane, error: Arc<str>, now: Moment) {
        if let Some(pending) = in_flight.pending.get(lane) {
            *self.failed.entry(pending.command.verb()).or_default() += 1;
        }
        self.reject(in_flight, lane, error, now);
    }

    /// How many commands failed after their request had got through, by verb.
    #[must_use]
    pub fn failed(&self) -> &BTreeMap<&'static str, u64> {
        &self.failed
    }

    /// Resolves the lane as failed; the command wasn't even taken.
    fn reject(&mut self, in_flight: &mut InFlight, lane: &Lane, error: Arc<str>, now: Moment) {
        let Some(pending) = in_flight.pending.remove(lane) else { return };
        self.forget_note(lane);
        let before = failure_of(in_flight, lane, &pending.command).map_or(0, |f| f.count);
        let count = before.saturating_add(1);
        let delay = if is_permanent(&error) { LONGEST } else { FIRST_DELAY };
        let retry_at = now + backoff(delay, LONGEST, count, lane);
        self.alarms.insert((retry_at, lane.clone()));
        let (command, of_image) = (pending.command, is_of_image(&error));
        let failure = Failure { command, error, of_image, count, retry_at };
        in_flight.failures.insert(lane.clone(), failure);
    }

    /// Whether an inventory received now could resolve the lane.
    #[must_use]
    pub fn is_answered(&self, lane: &Lane) -> bool {
        self.notes.get(lane).is_some_and(|note| note.answered.is_some())
    }

    /// Whether the lane's command is still waiting to be sent.
    #[must_use]
    pub fn is_queued(&self, lane: &Lane) -> bool {
        self.notes.get(lane).is_some_and(|note| note.queued)
    }

    /// How many commands are on the wire without an outcome.
    #[must_use]
    pub fn sent(&self) -> usize {
        self.notes.len() - self.queued
    }

    /// Everything in flight on a host that was sent before `born` is void: the host is gone, or
    /// another process since then.
    pub fn void_host(
        &mut self,
        in_flight: &mut InFlight,
        host: &HostId,
        born: Moment,
    ) -> Vec<Lane> {
        let mut lanes = self.on(host);
        lanes.retain(|lane| in_flight.pending.get(lane).is_none_or(|it| it.sent <= born));
        for lane in &lanes {
            self.succeed(in_flight, lane);
        }
        lanes
    }

    /// Everything in flight, and every failure, is of another time. Late answers find no lane: their
    /// tickets aren't given again.
    pub fn forget_all(&mut self, in_flight: &mut InFlight) -> BTreeSet<Lane> {
        let failed = std::mem::take(&mut self.failed);
        *self = Self { next: self.next, failed, ..Self::new(self.deadlines) };
        let InFlight { pending, failures } = std::mem::take(in_flight);
        pending.keys().chain(failures.keys()).cloned().collect()
    }

    /// Whether [`Lanes::tick`] has something to do.
    #[must_use]
    pub fn is_due(&self, now: Moment) -> bool {
        self.alarms.first().is_some_and(|(at, _)| *at <= now)
    }

    /// What time alone changes: deadlines and delays that are over, commands without an end.
    pub fn tick(&mut self, in_flight: &mut InFlight, now: Moment) -> Vec<Lane> {
        let mut changed = Vec::new();
        while self.alarms.first().is_some_and(|(at, _)| *at <= now) {
            let Some((at, lane)) = self.alarms.pop_first() else { break };
            if in_flight.pending.get(&lane).is_some_and(|pending| pending.deadline <= now) {
                self.overdue(in_flight, &lane, at, now);
                changed.push(lane);
            } else if let Some(failure) = in_flight.failures.get(&lane) {
                if failure.retry_at + FORGOTTEN_AFTER <= now {
                    in_flight.failures.remove(&lane);
                    self.tidy(in_flight, &lane);
                } else if failure.retry_at <= now {
                    self.alarms.insert((failure.retry_at + FORGOTTEN_AFTER, lane.clone()));
                    changed.push(lane);
                }
            }
        }
        changed
    }

    /// The first time, a planner may ask for the same again; if it doesn't for as long again, or
    /// has often enough, the command has failed.
    fn overdue(&mut self, in_flight: &mut InFlight, lane: &Lane, alarm: Moment, now: Moment) {
        let Some(pending) = in_flight.pending.get(lane) else { return };
        let waited = pending.deadline.since(pending.sent);
        let again = pending.deadline + waited;
        if pending.tries < MOST_TRIES && alarm < again {
            self.alarms.insert((again, lane.clone()));
            return;
        }
        let heard = if pending.acknowledged.is_some() {
            "the host accepted it, but no event and no inventory has shown it done"
        } else {
            "the host has not answered, and no event and no inventory has shown it done"
        };
        let error = format!(
            "no outcome after {} {} and {} s: {heard}",
            pending.tries,
            if pending.tries == 1 { "try" } else { "tries" },
            now.since(pending.sent).as_secs(),
        );
        self.fail(in_flight, lane, error.into(), now);
    }

    fn release(&mut self, in_flight: &mut InFlight, lane: &Lane) {
        in_flight.pending.remove(lane);
        self.forget_note(lane);
        self.tidy(in_flight, lane);
    }

    fn forget_note(&mut self, lane: &Lane) {
        if self.notes.remove(lane).is_some_and(|note| note.queued) {
            self.queued -= 1;
        }
    }

    /// Drops a lane from its host's once there is nothing in it.
    fn tidy(&mut self, in_flight: &InFlight, lane: &Lane) {
        let Lane::Workload(host, id) = lane else { return };
        if in_flight.pending.contains_key(lane) || in_flight.failures.contains_key(lane) {
            return;
        }
        if let Some(ids) = self.hosts.get_mut(host) {
            ids.remove(id);
            if ids.is_empty() {
                self.hosts.remove(host);
            }
        }
    }
}

/// What failed last in the lane, if that asked for the same as `command`: what asks for something
/// else may be what mends it.
fn failure_of<'a>(in_flight: &'a InFlight, lane: &Lane, command: &Command) -> Option<&'a Failure> {
    in_flight.failures.get(lane).filter(|failure| failure.command.asks_the_same(command))
}

#[cfg(test)]
mod tests;
