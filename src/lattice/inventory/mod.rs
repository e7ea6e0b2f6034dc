//! Folds what a lattice says into what is observed of it.
//!
//! ```text
//! events, answers, silence, time ──▶ Fold ──▶ Observed
//!                                     ├─────▶ Change   (whom it touches)
//!                                     └─────▶ Effect…  (what to ask next)
//! ```
//!
//! 1. Heartbeats and answers to `host.get` are the truth; all other events are hints that save
//!    time, and are confirmed.
//! 2. Unknown is not absent: a silent host is asked, then waited for, and only then gone.
//! 3. What changes nothing costs nothing: an equal heartbeat leaves [`Observed`] as it is, so no
//!    copy is made and nobody is told.
//! 4. The order in which hints come, and whether they come at all, is forgotten with the next
//!    inventory.

mod change;
mod config;
mod event;
mod gate;
mod health;
mod held;
mod host;
mod life;
mod link;
mod missed;
mod probe;
mod undone;
mod vitals;

pub use change::Change;
pub use gate::Predecessor;
pub use health::{Health, HostHealth, MassLoss};
pub use held::{KnownHost, MOST_KNOWN, OnHostLoss};
pub use missed::MissedLinks;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use crate::{
    lattice::{
        in_flight::{Answer, Deadlines, Lanes, Taken, Ticket},
        wire::{Event, HostBrief, HostInventory},
    },
    model::{
        ApplicationKey, Command, ConfigName, FewOf, Gate, HostId, Lane, LatticeName, LinkMap,
        Moment, Observed,
    },
};
use config::ConfigReads;
use gate::{Loss, Phase, Unseen};
use held::Policies;
use life::{Life, Round};
use link::LinkReads;
use missed::Missed;
use undone::Undoings;
use vitals::Vitals;

/// What the fold needs to know of a lattice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub name: LatticeName,
    /// How often hosts send a heartbeat.
    pub heartbeat_interval: Duration,
    /// After how many unanswered probes in a row a host is unreachable.
    pub missed: u32,
    pub probe_interval: Duration,
    /// How long unreachable hosts are waited for when several go at once.
    pub loss_grace: Duration,
    /// How long nothing is removed after a mass loss.
    pub mass_loss_timeout: Duration,
    /// The hosts that were there when an earlier process looked last.
    pub known_hosts: Vec<KnownHost>,
    /// What hosts had missed that were out of reach then.
    pub missed_links: MissedLinks,
    /// What is done about hosts that are lost; the first that matches counts, else `Replace`.
    pub on_host_loss: Vec<OnHostLoss>,
    /// Hosts of which nothing is held, because somebody who may say so gave them up.
    pub forgotten: BTreeSet<HostId>,
    /// The token of the mass loss that somebody who may say so has confirmed.
    pub confirmed_loss: Option<Arc<str>>,
    pub deadlines: Deadlines,
}

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Input {
    Connected,
    Disconnected {
        why: Arc<str>,
    },
    /// Messages were dropped, so that anything may have been missed; or somebody who knows more
    /// asks for the whole picture again.
    Missed,
    Event(Event),
    /// One host's answer to the ping of this round.
    Pong {
        round: u64,
        host: HostBrief,
    },
    /// That of a host that is known.
    PongAgain {
        round: u64,
        host: HostId,
        uptime: Duration,
    },
    /// The end of a `host.get`.
    Inventory {
        host: HostId,
        answer: Result<HostInventory, Silence>,
    },
    /// The end of a `link.get`.
    Links(Result<LinkMap, LinksUnread>),
    /// The end of a reading of the bucket that hosts keep links in.
    StoredLinks(Result<StoredLinks, Silence>),
    /// The end of a `config.get`; `None` if there is none of that name, and words if nobody said.
    Config {
        name: ConfigName,
        values: Result<Option<BTreeMap<String, String>>, Arc<str>>,
    },
    /// The end of a command's request.
    Answered {
        lane: Lane,
        ticket: Ticket,
        answer: Answer,
    },
    Tick,
}

/// Why an answer didn't come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    /// Nobody listens on its subject.
    NoResponders,
    /// It may be alive, busy, or unable to say all in one message.
    NoAnswer,
}

/// Why the links weren't read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinksUnread {
    /// The lattice has no host.
    NoResponders,
    Failed,
    /// The answer is so near the limit of one message that the next may never come.
    TooLarge,
}

/// All links as the hosts' bucket has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLinks {
    pub links: LinkMap,
    /// Whether a host could say them in one message, with room to spare.
    pub fit: bool,
}

/// What to ask next.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    Ping { round: u64 },
    Inventory(HostId),
    Links,
    StoredLinks,
    Config(ConfigName),
}

/// The answer to one input.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    pub change: Change,
    pub effects: Vec<Effect>,
}

/// The state machine of one lattice.
#[derive(Debug)]
pub struct Fold {
    settings: Settings,
    observed: Arc<Observed>,
    lanes: Lanes,
    phase: Phase,
    predecessor: Predecessor,
    unseen: Unseen,
    lives: BTreeMap<HostId, Life>,
    round: Round,
    /// Hosts needn't be gone over before, unless something happens.
    rest_until: Moment,
    loss: Loss,
    links: LinkReads,
    configs: ConfigReads,
    unsupported: BTreeMap<HostId, Arc<str>>,
    duplicates: BTreeSet<HostId>,
    policies: Policies,
    undoings: Undoings,
    vitals: Vitals,
    missed: Missed,
    /// What this input has changed and asked so far.
    outcome: Outcome,
}

impl Fold {
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            observed: Arc::new(Observed::unknown(settings.name.clone())),
            lanes: Lanes::new(settings.deadlines),
            phase: Phase::Disconnected { was_whole: false },
            predecessor: Predecessor::Unknown,
            unseen: Unseen::Possible,
            lives: BTreeMap::new(),
            round: Round::default(),
            rest_until: Moment::default(),
            loss: Loss::default(),
            links: LinkReads::new(&settings.name),
            configs: ConfigReads::new(&settings.name),
            unsupported: BTreeMap::new(),
            duplicates: BTreeSet::new(),
            policies: Policies::default(),
            undoings: Undoings::default(),
            vitals: Vitals::default(),
            missed: Missed::known(&settings.missed_links),
            outcome: Outcome::default(),
            settings,
        }
    }

    #[must_use]
    pub fn observed(&self) -> &Arc<Observed> {
        &self.observed
    }

    /// Other intervals and limits hold from now on; hosts that were known stay so.
    pub fn set_settings(&mut self, settings: Settings, now: Moment) -> Outcome {
        self.lanes.set_deadlines(settings.deadlines);
        self.settings = settings;
        self.review_held(now);
        self.tick_phase(now);
        self.finish()
    }

    /// Takes in what happened at `now`; times never go back.
    pub fn fold(&mut self, input: Input, now: Moment) -> Outcome {
        match input {
            Input::Connected => self.connected(now),
            Input::Disconnected { why } => self.disconnected(why),
            Input::Missed => self.missed(now),
            Input::Event(event) => self.event(event, now),
            Input::Pong { round, host } => self.pong(round, host, now),
            Input::PongAgain { round, host, uptime } => {
                self.pong_again(round, &host, uptime, now);
            }
            Input::Inventory { host, answer } => match answer {
                Ok(inventory) => self.answered(&host, inventory, now),
                Err(silence) => self.silent(&host, silence, now),
            },
            Input::Links(read) => self.links_read(read, now),
            Input::StoredLinks(read) => self.stored_links_read(read, now),
            Input::Config { name, values } => self.config_read(&name, values, now),
            Input::Answered { lane, ticket, answer } => {
                self.command_answered(&lane, ticket, &answer, now);
            }
            Input::Tick => self.tick(now),
        }
        self.finish()
    }

    fn finish(&mut self) -> Outcome {
        let outcome = std::mem::take(&mut self.outcome);
        if outcome != Outcome::default() {
            self.rest_until = Moment::default();
        }
        if outcome.change.touches_plans() {
            let observed = Arc::make_mut(&mut self.observed);
            observed.version += 1;
            if !outcome.change.hosts.is_empty() {
                observed.hosts_version = observed.version;
            }
        }
        outcome
    }

    /// The configs that have to be kept read for an Application, all of them.
    pub fn want_configs(
        &mut self,
        application: &ApplicationKey,
        names: FewOf<ConfigName>,
    ) -> Outcome {
        let connected = self.is_connected();
        let (read, dropped) = self.configs.want(application, names);
        if connected {
            self.outcome.effects.extend(read.into_iter().map(Effect::Config));
        }
        if !dropped.is_empty() {
            let observed = Arc::make_mut(&mut self.observed);
            for name in dropped {
                observed.configs.remove(&name);
                observed.unreadable.remove(&name);
            }
        }
        self.finish()
    }

    /// Takes a lane for a command, if the lattice's state allows it.
    pub fn register(
        &mut self,
        application: &ApplicationKey,
        command: &Command,
        now: Moment,
    ) -> Result<Ticket, Denied> {
        self.may_send(command).map_err(Denied::Gate)?;
        let observed = Arc::make_mut(&mut self.observed);
        let ticket = self
            .lanes
            .register(&mut observed.in_flight, application, command, now)
            .map_err(Denied::Taken)?;
        observed.version += 1;
        Ok(ticket)
    }

    /// Takes note that a registered command goes out now: it, or `None` if it may not any more.
    pub fn send(&mut self, lane: &Lane, ticket: Ticket, now: Moment) -> Option<Command> {
        let pending = self.observed.in_flight.pending.get(lane)?;
        if self.may_send(&pending.command).is_err() {
            return None;
        }
        let observed = Arc::make_mut(&mut self.observed);
        let command = self.lanes.send(&mut observed.in_flight, lane, ticket, now)?;
        if let Lane::Links(source) = lane {
            observed.links_written.note(source.clone(), now);
        }
        self.restarts(&command, now);
        Some(command)
    }

    /// Whether the outcome of what was sent with this ticket is still waited for.
    #[must_use]
    pub fn awaits(&self, lane: &Lane, ticket: Ticket) -> bool {
        self.lanes.awaits(lane, ticket)
    }

    /// Takes back a registered command that hasn't been sent.
    pub fn withdraw(&mut self, lane: &Lane, ticket: Ticket, now: Moment) -> Outcome {
        let observed = Arc::make_mut(&mut self.observed);
        self.lanes.withdraw(&mut observed.in_flight, lane, ticket, now);
        self.outcome.change.lane(lane.clone());
        self.finish()
    }

    /// When a host's inventory was received last, equal to the one before or not.
    #[must_use]
    pub fn shown_at(&self, host: &HostId) -> Option<Moment> {
        self.lives.get(host)?.inventory_at
    }

    /// How many commands are on the wire without an outcome.
    #[must_use]
    pub fn sent(&self) -> usize {
        self.lanes.sent()
    }

    /// How many commands failed after their request had got through, by verb.
    #[must_use]
    pub fn failed(&self) -> &BTreeMap<&'static str, u64> {
        self.lanes.failed()
    }

    /// Whether something that an earlier process sent may be under way without our knowing.
    #[must_use]
    pub fn may_hide_something(&self) -> bool {
        self.unseen != Unseen::RuledOut
    }

    fn may_send(&self, command: &Command) -> Result<(), Arc<str>> {
        let gate = &self.observed.gate;
        let allowed = if self.takes_away(command) { gate.may_remove() } else { gate.may_add() };
        if allowed { Ok(()) } else { Err(gate.to_string().into()) }
    }

    /// Whether it leaves less than there is, a scale to a lower count included.
    #[must_use]
    pub fn takes_away(&self, command: &Command) -> bool {
        let Command::ScaleComponent { host, id, count, .. } = command else {
            return command.removes();
        };
        let inventory = self.observed.hosts.get(host).and_then(|host| host.inventory.as_ref());
        let running = inventory.and_then(|inventory| inventory.components.get(id));
        *count == 0 || running.is_some_and(|running| running.instances > *count)
    }

    fn command_answered(&mut self, lane: &Lane, ticket: Ticket, answer: &Answer, now: Moment) {
        let pending = self.observed.in_flight.pending.get(lane);
        let config = pending.and_then(|pending| match &pending.command {
            Command::PutConfig { values, .. } => Some(Some(Arc::new(values.clone()))),
            Command::DeleteConfig { .. } => Some(None),
            Command::PutLink { .. }
            | Command::DeleteLink { .. }
            | Command::StartProvider { .. }
            | Command::StopProvider { .. }
            | Command::ScaleComponent { .. } => None,
        });
        let command = pending.map(|pending| pending.command.clone());
        let observed = Arc::make_mut(&mut self.observed);
        let changed = self.lanes.answer(&mut observed.in_flight, lane, ticket, answer, now);
        if changed {
            self.outcome.change.lane(lane.clone());
        }
        match lane {
            Lane::Config(name) => match (answer, config) {
                (Answer::Accepted, Some(values)) if changed => {
                    if let Some(command) = &command {
                        self.made(command, now);
                    }
                    self.set_config(name, values, now);
                }
                _ => self.config_due(name, now),
            },
            Lane::Links(_) => match (answer, command) {
                (Answer::Accepted, Some(command)) if changed => self.apply_link(command, now),
                _ => self.links_due(now),
            },
            // A refusal may come of what isn't known here yet, as that it runs already.
            Lane::Workload(host, _) => match answer {
                Answer::Accepted => {}
                Answer::Refused(_) | Answer::NotDelivered(_) | Answer::Unknown => {
                    self.ask(host, now);
                }
            },
        }
    }

    fn tick(&mut self, now: Moment) {
        if !self.is_connected() {
            return;
        }
        self.tick_hosts(now);
        self.tick_phase(now);
        self.tick_links(now);
        self.tick_configs(now);
        self.tick_undoings(now);
        self.tick_vitals(now);
        if self.lanes.is_due(now) {
            let observed = Arc::make_mut(&mut self.observed);
            for lane in self.lanes.tick(&mut observed.in_flight, now) {
                // Before it is sent again, its host is looked at.
                if let Lane::Workload(host, _) = &lane {
                    self.ask(&host.clone(), now);
                }
                self.outcome.change.lane(lane);
            }
        }
    }

    fn is_connected(&self) -> bool {
        !matches!(self.observed.gate, Gate::Disconnected { .. })
    }
}

/// Why a command wasn't registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denied {
    /// The lattice's state forbids it, in its words.
    Gate(Arc<str>),
    Taken(Taken),
}

#[cfg(test)]
mod tests;
