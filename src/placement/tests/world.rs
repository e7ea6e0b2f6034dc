//! A lattice in a few pure lines, with the traps of real hosts that a planner can fall into.
//!
//! ```text
//! plan() ──send──▶ on its way ──arrive──▶ being worked on ──work──▶ what truly runs
//!   ▲                  └─ lost                 (in any order)             │
//!   └── Observed ◀── heartbeats, reads, failures ◀────────────────────────┘
//! ```
//!
//! Hosts work after they have answered, each command on its own; a component that runs keeps its
//! code whatever image a scale names; a heartbeat shows what is there at that moment.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::support::{annotations, app, at, id, new_host};
use crate::{
    model::{
        APPSPEC, Adopt, Annotations, Command, ConfigName, Desired, Failure, Gate, HostId,
        HostState, InFlight, Inventory, Lane, Link, LinkKey, Links, MANAGED_BY, Moment, Observed,
        Pending, Plan, RunningComponent, RunningProvider, WorkloadId,
    },
    placement::{Claims, Inputs, Removal, claims::Created, order, plan},
};

/// What truly runs somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Runs {
    pub(super) provider: bool,
    /// What answers callers.
    pub(super) code: Arc<str>,
    /// What the inventory says.
    pub(super) shown: Arc<str>,
    pub(super) annotations: Arc<Annotations>,
    pub(super) config: Vec<ConfigName>,
    pub(super) count: u32,
}

/// Image, annotations and config list of a start.
type Ask<'c> = (&'c Arc<str>, &'c Arc<Annotations>, &'c Vec<ConfigName>);

#[derive(Debug)]
pub(super) struct World {
    pub(super) observed: Observed,
    pub(super) time: Moment,
    pub(super) hosts: BTreeMap<HostId, BTreeMap<WorkloadId, Runs>>,
    pub(super) links: BTreeMap<LinkKey, Link>,
    pub(super) configs: BTreeMap<ConfigName, BTreeMap<String, String>>,
    /// Accepted, and not done yet; in the order of sending, done in any.
    pub(super) at_work: Vec<Command>,
    /// Hosts on which every start fails, as if no image were good.
    pub(super) broken: Vec<HostId>,
    /// Hosts on which every start fails for troubles of their own.
    pub(super) faulty: Vec<HostId>,
    pub(super) desired: Desired,
    pub(super) former: Vec<Arc<Desired>>,
    pub(super) claims: Claims,
    /// Instances that starts and scales added, for counting moves.
    pub(super) started: u32,
    pub(super) sent: usize,
    /// Commands from before a crash, of which the planner can't know.
    unknown: Vec<Command>,
}

impl World {
    pub(super) fn new(desired: Desired, hosts: &[(&str, &str)]) -> Self {
        let mut observed = Observed::unknown("l".parse().unwrap());
        observed.gate = Gate::Open;
        let mut world = Self {
            observed,
            time: at(1000),
            hosts: BTreeMap::new(),
            links: BTreeMap::new(),
            configs: BTreeMap::new(),
            at_work: Vec::new(),
            broken: Vec::new(),
            faulty: Vec::new(),
            desired: desired.clone(),
            former: Vec::new(),
            claims: Claims::default(),
            started: 0,
            sent: 0,
            unknown: Vec::new(),
        };
        for (host, zone) in hosts {
            world.join(host, zone);
        }
        world.want(desired);
        world.former.clear();
        world.look();
        world
    }

    pub(super) fn join(&mut self, name: &str, zone: &str) {
        let host: HostId = name.parse().unwrap();
        let labels = BTreeMap::from([("zone".to_owned(), zone.to_owned())]);
        let mut shown = new_host(labels, HostState::Ready, Some(Inventory::default()));
        shown.joined = self.time;
        shown.inventory_at = self.time;
        self.observed.put_host(host.clone(), shown);
        self.hosts.insert(host, BTreeMap::new());
    }

    /// A host dies, with all that it ran and was about to do.
    pub(super) fn lose(&mut self, host: &HostId) {
        self.hosts.remove(host);
        self.observed.remove_host(host);
        self.at_work.retain(|command| on_host(command) != Some(host));
        let in_flight = &mut self.observed.in_flight;
        let there = |lane: &&Lane| matches!(lane, Lane::Workload(at, _) if at == host);
        let lanes = in_flight.pending.keys().chain(in_flight.failures.keys());
        for lane in lanes.filter(there).cloned().collect::<Vec<_>>() {
            in_flight.pending.remove(&lane);
            in_flight.failures.remove(&lane);
        }
    }

    pub(super) fn want(&mut self, desired: Desired) {
        let former = std::mem::replace(&mut self.desired, desired);
        self.former.insert(0, Arc::new(former));
        let created = Created { at: 1, uid: "u".into() };
        self.claims.set(&app(super::support::APP), created, Arc::new(self.desired.clone()));
    }

    pub(super) fn run_foreign(&mut self, host: &HostId, name: &str) {
        let runs = Runs {
            provider: false,
            code: "theirs".into(),
            shown: "theirs".into(),
            annotations: annotations("other/app", "theirs", &[]),
            config: Vec::new(),
            count: 1,
        };
        self.hosts.get_mut(host).unwrap().insert(id(name), runs);
        self.heartbeat(&host.clone());
    }

    /// wadm runs this, for an application of our name.
    pub(super) fn run_of_wadm(&mut self, host: &HostId, name: &str, image: &str, count: u32) {
        let says = [(MANAGED_BY, "wadm"), (APPSPEC, "front"), ("wasmcloud.dev/scaler", "ab12")];
        let runs = Runs {
            provider: false,
            code: image.into(),
            shown: image.into(),
            annotations: Arc::new(
                says.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            ),
            config: Vec::new(),
            count,
        };
        self.hosts.get_mut(host).unwrap().insert(id(name), runs);
        self.heartbeat(&host.clone());
    }

    pub(super) fn plan(&self) -> Plan {
        let inputs = Inputs {
            desired: &self.desired,
            former: &self.former,
            observed: &self.observed,
            claims: &self.claims,
            removal: Removal::Allowed,
            time: self.time,
        };
        let plan = plan(&inputs);
        assert_eq!(plan, super::super::plan(&inputs), "equal inputs give equal plans");
        plan
    }

    /// Sends what may be sent now; `drops` says which of them never arrive.
    pub(super) fn act(&mut self, drops: impl Fn(usize) -> bool) -> usize {
        let plan = self.plan();
        let commands: Vec<Command> = plan.now.into_iter().map(|planned| planned.command).collect();
        for (index, command) in commands.iter().enumerate() {
            self.check(command);
            let lost = drops(index);
            let lane = command.lane();
            let seconds = if order::starts(command) { 60 } else { 15 };
            let tries = self.observed.in_flight.pending.get(&lane).map_or(0, |known| known.tries);
            let pending = Pending {
                command: command.clone(),
                sent: self.time,
                acknowledged: (!lost).then_some(self.time),
                deadline: self.time + Duration::from_secs(seconds),
                tries: tries + 1,
            };
            self.observed.in_flight.pending.insert(lane, pending);
            if !lost {
                self.at_work.push(command.clone());
            }
            // Links and configs are written before they are answered; they only take their time
            // here so that what is sent beside them shows. Once more is done at once, after the first.
            if !lost && tries > 0 && on_host(command).is_none() {
                let lane = command.lane();
                while let Some(first) = self.at_work.iter().position(|work| work.lane() == lane) {
                    self.work(first);
                }
            }
        }
        self.sent += commands.len();
        commands.len()
    }

    /// What must be true of every command that is sent, whatever the interleaving.
    fn check(&self, command: &Command) {
        let others = || {
            // Of two equal starts, one from before a crash, the planner sees one outcome.
            let blind = self.time < self.observed.unseen_until + Duration::from_secs(15);
            let known = move |other: &&Command| {
                !(self.unknown.contains(other) || (blind && order::starts(other)))
            };
            self.at_work.iter().filter(known).filter(|other| *other != command)
        };
        let lane = command.lane();
        assert!(
            !others().any(|other| other.lane() == lane),
            "{command} would overtake another of its lane: {:?}",
            self.at_work
        );
        let apart = |one: &Command, other: &Command| {
            matches!(one.lane(), Lane::Links(source)
                if order::starts(other) && other.lane().workload() == Some(&source))
        };
        let clash = others().find(|other| apart(command, other) || apart(other, command));
        assert!(clash.is_none(), "{command} beside {}", clash.unwrap());
        if let Some(host) = on_host(command)
            && let Some(runs) = self.hosts[host].get(command.lane().workload().unwrap())
        {
            // What may be taken up is wadm's here; whoever else's is not, asked or not.
            let mut releases = self.former.iter().map(|former| &**former).chain([&self.desired]);
            let taken = releases.any(|release| release.adopt != Adopt::Nothing)
                && runs.annotations.get(MANAGED_BY).is_some_and(|manager| manager == "wadm");
            let ours = self.desired.owner.owns(&runs.annotations) || taken;
            assert!(ours, "{command} touches what isn't ours");
        }
    }

    /// The host finishes what it accepted as number `index`.
    pub(super) fn work(&mut self, index: usize) {
        if self.at_work.is_empty() {
            return;
        }
        let command = self.at_work.remove(index % self.at_work.len());
        self.unknown.retain(|unknown| self.at_work.contains(unknown));
        match &command {
            Command::PutConfig { name, values } => {
                self.configs.insert(name.clone(), values.clone());
            }
            Command::DeleteConfig { name } => {
                self.configs.remove(name);
            }
            Command::PutLink { key, link } => {
                self.links.insert(key.clone(), link.clone());
            }
            Command::DeleteLink { key } => {
                self.links.remove(key);
            }
            Command::StartProvider { host, id, image, config, annotations } => {
                self.start(&command, host, id, (image, annotations, config), 1);
            }
            Command::StopProvider { host, id }
            | Command::ScaleComponent { host, id, count: 0, .. } => {
                self.hosts.get_mut(host).unwrap().remove(id);
            }
            Command::ScaleComponent { host, id, image, count, config, annotations, .. } => {
                self.start(&command, host, id, (image, annotations, config), *count);
            }
        }
    }

    fn start(
        &mut self,
        command: &Command,
        host: &HostId,
        id: &WorkloadId,
        (image, annotations, config): Ask<'_>,
        count: u32,
    ) {
        if self.faulty.contains(host)
            || self.broken.contains(host)
            || config.iter().any(|name| !self.configs.contains_key(name))
        {
            return self.fail(command);
        }
        let provider = matches!(command, Command::StartProvider { .. });
        let things = self.hosts.get_mut(host).unwrap();
        if let Some(runs) = things.get_mut(id) {
            if provider {
                return; // already running: refused
            }
            assert_eq!(runs.code, *image, "a scale of what runs never names another image");
            if runs.count == count && runs.config == *config {
                return; // nothing changes, annotations included
            }
            self.started += count.saturating_sub(runs.count);
            runs.shown = image.clone();
            runs.annotations = annotations.clone();
            runs.config.clone_from(config);
            runs.count = count;
            return;
        }
        self.started += count;
        let runs = Runs {
            provider,
            code: image.clone(),
            shown: image.clone(),
            annotations: annotations.clone(),
            config: config.clone(),
            count,
        };
        things.insert(id.clone(), runs);
    }

    fn fail(&mut self, command: &Command) {
        let lane = command.lane();
        let in_flight = &mut self.observed.in_flight;
        if in_flight.pending.remove(&lane).is_some() {
            let count = in_flight.failures.get(&lane).map_or(0, |failure| failure.count) + 1;
            let retry_at = self.time + Duration::from_secs(1 << count.min(8));
            let of_image = on_host(command).is_some_and(|host| self.broken.contains(host));
            let error = if of_image { "no such image" } else { "no space left" };
            let (command, error) = (command.clone(), error.into());
            let failure = Failure { command, error, of_image, count, retry_at };
            in_flight.failures.insert(lane, failure);
        }
    }

    /// The inventory of one host arrives, and resolves what it shows.
    pub(super) fn heartbeat(&mut self, host: &HostId) {
        let Some(things) = self.hosts.get(host) else { return };
        let mut inventory = Inventory::default();
        for (id, runs) in things {
            let (image, annotations) = (runs.shown.clone(), runs.annotations.clone());
            if runs.provider {
                inventory.providers.insert(id.clone(), RunningProvider { image, annotations });
            } else {
                let running = RunningComponent {
                    image,
                    annotations,
                    instances: runs.count,
                    max_memory: None,
                };
                inventory.components.insert(id.clone(), running);
            }
        }
        self.observed.set_inventory(host, Some(inventory), self.time);
        self.resolve();
    }

    /// Links and configs are read.
    pub(super) fn read(&mut self) {
        self.observed.links = Links::Read(self.links.clone().into());
        let all = self.former.iter().map(|former| &**former).chain([&self.desired]);
        let names = all.flat_map(|desired| desired.configs.keys());
        let shown = |name: &ConfigName| self.configs.get(name).cloned().map(Arc::new);
        self.observed.configs = names.map(|name| (name.clone(), shown(name))).collect();
        self.resolve();
    }

    fn resolve(&mut self) {
        let mut in_flight = std::mem::take(&mut self.observed.in_flight);
        let shown = |pending: &Pending| {
            // A request that was lost has timed out long before.
            let answered = pending.acknowledged.is_some() || self.time >= pending.deadline;
            answered && self.shows(&pending.command)
        };
        let done = in_flight.pending.iter().filter(|(_, pending)| shown(pending));
        for lane in done.map(|(lane, _)| lane.clone()).collect::<Vec<_>>() {
            in_flight.pending.remove(&lane);
            in_flight.failures.remove(&lane);
        }
        self.observed.in_flight = in_flight;
    }

    /// Whether what was last observed is what `command` asked for.
    fn shows(&self, command: &Command) -> bool {
        let observed = &self.observed;
        let Links::Read(links) = &observed.links else { return false };
        let inventory = on_host(command).and_then(|host| observed.hosts[host].inventory.as_ref());
        match command {
            Command::PutConfig { name, values } => {
                matches!(observed.configs.get(name), Some(Some(shown)) if **shown == *values)
            }
            Command::DeleteConfig { name } => matches!(observed.configs.get(name), Some(None)),
            Command::PutLink { key, link } => links.get(key) == Some(link),
            Command::DeleteLink { key } => !links.contains_key(key),
            Command::StartProvider { id, annotations, .. } => inventory
                .and_then(|inventory| inventory.providers.get(id))
                .is_some_and(|shown| shown.annotations == *annotations),
            Command::StopProvider { id, .. } => {
                inventory.is_some_and(|inventory| !inventory.providers.contains_key(id))
            }
            Command::ScaleComponent { id, count: 0, .. } => {
                inventory.is_some_and(|inventory| !inventory.components.contains_key(id))
            }
            Command::ScaleComponent { id, count, annotations, .. } => {
                inventory.and_then(|inventory| inventory.components.get(id)).is_some_and(|shown| {
                    shown.instances == *count && shown.annotations == *annotations
                })
            }
        }
    }

    /// Everything is read at once.
    pub(super) fn look(&mut self) {
        for host in self.hosts.keys().cloned().collect::<Vec<_>>() {
            self.heartbeat(&host);
        }
        self.read();
    }

    /// Time goes on; what a host accepted is done within a minute.
    pub(super) fn pass(&mut self, seconds: u64) {
        if seconds >= 15 {
            while !self.at_work.is_empty() {
                self.work(0);
            }
        }
        self.time = self.time + Duration::from_secs(seconds);
    }

    /// Trellis is killed and starts again: it forgets what is in flight and asks every host.
    pub(super) fn crash(&mut self) {
        // It waits out one request time-out, in which all but image pulls are done.
        while let Some(index) = self.at_work.iter().position(|command| !order::starts(command)) {
            self.work(index);
        }
        self.observed.in_flight = InFlight::default();
        self.unknown.clone_from(&self.at_work);
        self.observed.unseen_until = self.time + Duration::from_mins(1);
        self.look();
    }

    fn all_well(&self) -> bool {
        self.broken.is_empty() && self.faulty.is_empty()
    }

    /// Obeys plans until nothing is left to do, and says how many rounds that took.
    pub(super) fn settle(&mut self) -> usize {
        for round in 0..200 {
            let sent = self.act(|_| false);
            while !self.at_work.is_empty() {
                self.work(0);
            }
            self.look();
            let plan = self.plan();
            if sent == 0 && plan.now.is_empty() {
                match plan.wake_at {
                    Some(wake_at) if self.all_well() || plan.wake_at < Some(at(100_000)) => {
                        self.time = wake_at;
                    }
                    Some(_) | None => return round,
                }
            }
        }
        panic!("it doesn't settle:\n{}", self.plan());
    }
}

fn on_host(command: &Command) -> Option<&HostId> {
    match command {
        Command::StartProvider { host, .. }
        | Command::StopProvider { host, .. }
        | Command::ScaleComponent { host, .. } => Some(host),
        Command::PutConfig { .. }
        | Command::DeleteConfig { .. }
        | Command::PutLink { .. }
        | Command::DeleteLink { .. } => None,
    }
}
