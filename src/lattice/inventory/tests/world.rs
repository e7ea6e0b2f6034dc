//! A fold with a clock that is turned by hand, and hosts that say what a test lets them say.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    lattice::{
        in_flight::{Answer, Deadlines, Ticket},
        inventory::{Change, Effect, Fold, Input, KnownHost, Settings, Silence},
        wire::{Event, Hint, HostBrief, HostInventory, decode, decode_event},
    },
    model::{ApplicationKey, Command, HostId, HostState, Moment, WorkloadId},
};

pub(super) const SECOND: Duration = Duration::from_secs(1);

pub(super) struct World {
    pub(super) fold: Fold,
    pub(super) now: Moment,
    pub(super) effects: Vec<Effect>,
    pub(super) change: Change,
    round: u64,
}

pub(super) fn settings(known: &[&str]) -> Settings {
    Settings {
        name: "l".parse().unwrap(),
        heartbeat_interval: 30 * SECOND,
        missed: 3,
        probe_interval: 4 * SECOND,
        loss_grace: 30 * SECOND,
        mass_loss_timeout: 900 * SECOND,
        known_hosts: known.iter().map(|id| KnownHost::named(host(id))).collect(),
        missed_links: BTreeMap::new(),
        on_host_loss: Vec::new(),
        forgotten: BTreeSet::new(),
        confirmed_loss: None,
        deadlines: Deadlines { start: 60 * SECOND, other: 15 * SECOND, request: 2 * SECOND },
    }
}

pub(super) fn host(id: &str) -> HostId {
    id.parse().unwrap()
}

/// `"a=2 b=1"`: components with their counts.
pub(super) fn inventory(id: &str, uptime: u64, running: &str) -> Value {
    let components: Vec<_> = running
        .split_whitespace()
        .map(|entry| {
            let (id, count) = entry.split_once('=').unwrap();
            json!({ "id": id, "image_ref": "r/a:1", "annotations": { "k": "v" },
                    "max_instances": count.parse::<u32>().unwrap() })
        })
        .collect();
    json!({ "host_id": id, "friendly_name": id, "version": "1.9.2", "labels": { "zone": "a" },
            "uptime_seconds": uptime, "components": components, "providers": [] })
}

pub(super) fn event(name: &str, source: &str, data: &Value) -> Input {
    let text = json!({ "source": source, "data": data }).to_string();
    let subject = format!("wasmbus.evt.l.{name}");
    Input::Event(decode_event(&subject, text.as_bytes()).unwrap().unwrap())
}

pub(super) fn scaled(source: &str, id: &str, count: u32) -> Input {
    let data = json!({ "component_id": id, "host_id": source, "image_ref": "r/a:1",
                       "annotations": { "k": "v" }, "max_instances": count });
    event("component_scaled", source, &data)
}

pub(super) fn scale(at: &str, id: &str, count: u32) -> Command {
    Command::ScaleComponent {
        host: host(at),
        id: id.parse().unwrap(),
        image: "r/a:1".into(),
        count,
        config: Vec::new(),
        annotations: Arc::new([("k", "v")].into()),
        max_memory: None,
    }
}

impl World {
    pub(super) fn new(known: &[&str]) -> Self {
        Self::with(settings(known))
    }

    pub(super) fn with(settings: Settings) -> Self {
        let fold = Fold::new(settings);
        let (effects, change) = (Vec::new(), Change::default());
        Self { fold, now: Moment(1000 * SECOND), effects, change, round: 0 }
    }

    /// A lattice that is whole, with these hosts, each of which runs `running`.
    pub(super) fn whole(hosts: &[&str], running: &str) -> Self {
        let mut world = Self::new(hosts);
        world.input(Input::Connected);
        world.pass(3 * SECOND, &[]);
        for id in hosts {
            world.shows(id, 100, running);
        }
        assert_eq!(world.gate(), "synced");
        // A loss right after connecting is another matter.
        for _ in 0..10 {
            world.pass(4 * SECOND, hosts);
        }
        // Twice, because a question may have been asked again.
        for id in hosts {
            world.shows(id, 140, running);
            world.shows(id, 140, running);
        }
        world.change = Change::default();
        world.effects.clear();
        world
    }

    pub(super) fn input(&mut self, input: Input) {
        let version = self.fold.observed().version;
        let input = self.shortened(input);
        let outcome = self.fold.fold(input, self.now);
        let grown = self.fold.observed().version > version;
        assert_eq!(grown, outcome.change.touches_plans(), "{:?}", outcome.change);
        self.change.merge(outcome.change);
        for effect in outcome.effects {
            if let Effect::Ping { round } = effect {
                self.round = round;
            }
            self.effects.push(effect);
        }
    }

    /// A heartbeat that needn't be read isn't, as on a connection; what it would have said is shown.
    fn shortened(&self, input: Input) -> Input {
        let Input::Event(Event { host, hint: Hint::Heartbeat(said) }) = &input else {
            return input;
        };
        if !said.print.is_some_and(|print| self.fold.shows(host, print)) {
            return input;
        }
        let shown = &self.fold.observed().hosts[host];
        assert_eq!(shown.inventory.as_deref(), Some(&said.inventory));
        let shown = (&*shown.labels, &shown.friendly_name, &shown.version);
        assert_eq!(shown, (&said.labels, &said.friendly_name, &said.version));
        let hint = Hint::SameAgain { uptime: said.uptime };
        Input::Event(Event { host: host.clone(), hint })
    }

    /// Lets time pass in ticks; `answering` answer each ping.
    pub(super) fn pass(&mut self, time: Duration, answering: &[&str]) {
        let end = self.now + time;
        while self.now < end {
            self.now = self.now + SECOND / 4;
            let round = self.round;
            self.input(Input::Tick);
            if self.round > round {
                for id in answering {
                    self.pong(id, 0);
                }
            }
        }
    }

    pub(super) fn pong(&mut self, id: &str, uptime: u64) {
        let uptime = if uptime == 0 { self.uptime(id) } else { Duration::from_secs(uptime) };
        let host = HostBrief {
            id: host(id),
            friendly_name: id.into(),
            version: "1.9.2".into(),
            labels: BTreeMap::from([("zone".to_owned(), "a".to_owned())]),
            uptime,
        };
        self.input(Input::Pong { round: self.round, host });
    }

    fn uptime(&self, id: &str) -> Duration {
        let life = self.fold.lives.get(&host(id));
        life.map_or(Duration::ZERO, |life| {
            life.uptime + life.inventory_at.map_or(Duration::ZERO, |at| self.now.since(at))
        })
    }

    /// The host answers `host.get`.
    pub(super) fn shows(&mut self, id: &str, uptime: u64, running: &str) {
        let text = inventory(id, uptime, running).to_string();
        let inventory: HostInventory = decode(text.as_bytes()).unwrap();
        self.input(Input::Inventory { host: host(id), answer: Ok(inventory) });
    }

    /// The host sends a heartbeat.
    pub(super) fn beats(&mut self, id: &str, uptime: u64, running: &str) {
        self.input(event("host_heartbeat", id, &inventory(id, uptime, running)));
    }

    /// Somebody writes a token on the `Lattice`.
    pub(super) fn confirm_loss(&mut self, token: &str) {
        let confirmed_loss = Some(token.into());
        let outcome =
            self.fold.set_settings(Settings { confirmed_loss, ..settings(&[]) }, self.now);
        self.change.merge(outcome.change);
    }

    pub(super) fn silent(&mut self, id: &str, silence: Silence) {
        self.input(Input::Inventory { host: host(id), answer: Err(silence) });
    }

    /// What was asked since this was called last in the order of names, pings left out.
    pub(super) fn asked(&mut self) -> String {
        let asked =
            std::mem::take(&mut self.effects).into_iter().filter_map(|effect| match effect {
                Effect::Ping { .. } => None,
                Effect::Inventory(host) => Some(host.to_string()),
                Effect::Links => Some("links".to_owned()),
                Effect::StoredLinks => Some("stored links".to_owned()),
                Effect::Config(name) => Some(format!("config {name}")),
            });
        asked.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(" ")
    }

    /// What changed since this was called last.
    pub(super) fn changed(&mut self) -> Change {
        std::mem::take(&mut self.change)
    }

    pub(super) fn gate(&self) -> String {
        self.fold.observed().gate.to_string()
    }

    pub(super) fn state(&self, id: &str) -> Option<HostState> {
        self.fold.observed().hosts.get(&host(id)).map(|host| host.state)
    }

    /// How many instances of `id` a host shows.
    pub(super) fn running(&self, at: &str, id: &str) -> u32 {
        let id: WorkloadId = id.parse().unwrap();
        let host = self.fold.observed().hosts.get(&host(at));
        let inventory = host.and_then(|host| host.inventory.as_ref());
        inventory.and_then(|i| i.components.get(&id)).map_or(0, |running| running.instances)
    }

    pub(super) fn send(&mut self, command: &Command) -> Ticket {
        let app = ApplicationKey::new("n", "a");
        let ticket = self.fold.register(&app, command, self.now).unwrap();
        let sent = self.fold.send(&command.lane(), ticket, self.now);
        assert_eq!(sent.as_ref(), Some(command));
        ticket
    }

    pub(super) fn answer(&mut self, command: &Command, ticket: Ticket, answer: Answer) {
        self.input(Input::Answered { lane: command.lane(), ticket, answer });
    }

    pub(super) fn in_flight(&self) -> usize {
        self.fold.observed().in_flight.pending.len()
    }
}
