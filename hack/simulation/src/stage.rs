//! Everything that there is: a cluster, hosts, the operator, and what is somebody else's.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};
use simhost::{
    Bus, Fate, HostHandle, HostOptions, LatticeOptions, Link, Map, Passing, SimError, SimLattice,
};
use tokio::time::sleep;

use crate::{
    asks::{App, NAMESPACE, SHARER},
    chance::Chance,
    cluster::{Cluster, Verdict, told_of},
    log::Log,
    operator::{Network, Operator},
};

pub struct Stage {
    pub log: Log,
    pub cluster: Cluster,
    pub network: Network,
    pub lattice: SimLattice,
    pub operator: Option<Operator>,
    pub weather: Weather,
    /// What users want now, by name.
    pub wanted: BTreeMap<String, App>,
    pub hosts: Vec<HostHandle>,
    zones: BTreeMap<String, String>,
    /// Hosts that were out of reach and live.
    lost: BTreeSet<String>,
    foreign: Foreign,
    names: Names,
    bus: Bus,
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Who watches the bus holds it, as does what is on it.
        self.bus.watch(|_| Fate::Pass);
    }
}

/// How bad the ways are. Clones are the same.
#[derive(Clone, Default)]
pub struct Weather(Arc<Mutex<Ways>>);

#[derive(Default)]
struct Ways {
    /// In percent: what the operator sends is lost, or comes late.
    pub loss: u64,
    pub late: u64,
    /// In percent: the API server doesn't do what it is asked, or its answer is lost.
    pub api: u64,
    /// After so many more things that the operator does it is as good as dead.
    pub ends_after: Option<u64>,
    pub ended: bool,
}

/// What is on the lattice and nobody's here.
struct Foreign {
    component: &'static str,
    config: &'static str,
    link: Link,
}

/// The least that a request may take, which who starts waits out.
const SILENT: Duration = Duration::from_secs(2);
pub const HEARTBEAT: Duration = Duration::from_secs(10);

impl Foreign {
    fn any() -> Self {
        let link = Link {
            source_id: "theirs".into(),
            target: "theirs-too".into(),
            name: "default".into(),
            wit_namespace: "their".into(),
            wit_package: "own".into(),
            interfaces: vec!["call".into()],
            source_config: vec!["theirs-config".into()],
            target_config: Vec::new(),
        };
        Self { component: "theirs", config: "theirs-config", link }
    }
}

impl Weather {
    pub fn set(&self, loss: u64, late: u64, api: u64) {
        let mut ways = self.lock();
        (ways.loss, ways.late, ways.api) = (loss, late, api);
    }

    /// Has the operator end after it has done so many things more.
    pub fn end_after(&self, done: u64) {
        self.lock().ends_after = Some(done);
    }

    /// What hasn't come of that comes no more.
    pub fn end_never(&self) {
        self.lock().ends_after = None;
    }

    /// Whether that has come.
    #[must_use]
    pub fn take_ended(&self) -> bool {
        std::mem::take(&mut self.lock().ended)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Ways> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The operator does something; whether it still lives.
    fn act(&self) -> bool {
        let mut ways = self.lock();
        match &mut ways.ends_after {
            None => !ways.ended,
            Some(0) => {
                ways.ends_after = None;
                ways.ended = true;
                false
            }
            Some(left) => {
                *left -= 1;
                true
            }
        }
    }
}

impl Stage {
    /// A cluster with one Lattice, `hosts` hosts, and no operator yet.
    pub async fn set(seed: u64, hosts: usize) -> Result<Self, SimError> {
        let log = Log::begin();
        let bus = Bus::start(seed);
        let network = Network::new(&bus);
        let cluster = Cluster::new();
        let options = LatticeOptions {
            heartbeat_interval: HEARTBEAT,
            spread_heartbeats: true,
            default_pull: Duration::from_millis(300),
            seed,
            ..LatticeOptions::default()
        };
        let lattice = SimLattice::on_bus(bus.connect(), options);
        let mut stage = Self {
            log,
            cluster,
            network,
            lattice,
            operator: None,
            weather: Weather::default(),
            wanted: BTreeMap::new(),
            hosts: Vec::new(),
            zones: BTreeMap::new(),
            lost: BTreeSet::new(),
            foreign: Foreign::any(),
            names: Names::default(),
            bus,
        };
        for number in 0..hosts {
            stage.add_host(if number % 2 == 0 { "a" } else { "b" }).await?;
        }
        stage.seed_foreign();
        stage.listen(seed);
        stage.cluster.apply(
            "namespaces",
            &json!({
                "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE },
            }),
        );
        stage.cluster.apply(
            "lattices",
            &json!({
                "apiVersion": "lattice.oam.dev/v1alpha1", "kind": "Lattice",
                "metadata": { "name": "edge" },
                "spec": {
                    "nats": { "urls": ["nats://simulated:4222"] },
                    "heartbeatInterval": "10s", "probeInterval": "2s", "lossGrace": "10s",
                    "massLossTimeout": "1m", "default": true,
                },
            }),
        );
        Ok(stage)
    }

    fn seed_foreign(&self) {
        let Foreign { component, config, link } = &self.foreign;
        let values = Map::from([("their".to_owned(), "value".to_owned())]);
        self.lattice.seed_config(config, values);
        self.lattice.seed_link(link.clone());
        if let Some(host) = self.hosts.first() {
            host.seed_component(component, "registry.example/theirs:1", 2, Map::new());
        }
    }

    /// Writes down what goes by, and lets go wrong what is to.
    fn listen(&self, seed: u64) {
        let (log, network, weather) =
            (self.log.clone(), self.network.clone(), self.weather.clone());
        let (names, mut chance) = (self.names.clone(), Chance::of(seed, "ways"));
        self.bus.watch(move |passing| {
            if !network.is_from(passing.from) {
                if let Some(said) = names.event(passing) {
                    log.say(said);
                }
                return Fate::Pass;
            }
            let Some(said) = names.command(passing) else { return Fate::Pass };
            if !weather.act() {
                return Fate::Lose;
            }
            let (loss, late) = {
                let ways = weather.lock();
                (ways.loss, ways.late)
            };
            let fate = if chance.percent(loss) {
                Fate::Lose
            } else if chance.percent(late) {
                Fate::Late(Duration::from_millis(chance.between(50, 1500)))
            } else {
                Fate::Pass
            };
            let fated = match fate {
                Fate::Pass => String::new(),
                Fate::Lose => " (lost)".to_owned(),
                Fate::Late(by) => format!(" (late by {} ms)", by.as_millis()),
            };
            log.say(format_args!("operator: {said}{fated}"));
            fate
        });
        let (weather, mut chance) = (self.weather.clone(), Chance::of(seed, "api"));
        self.cluster.judge(move |_, path| {
            if path.contains("/events") {
                return Verdict::Pass;
            }
            if !weather.act() {
                return Verdict::Refuse;
            }
            let bad = weather.lock().api;
            match (chance.percent(bad), chance.percent(50)) {
                (false, _) => Verdict::Pass,
                (true, true) => Verdict::Refuse,
                (true, false) => Verdict::LoseAnswer,
            }
        });
        let log = self.log.clone();
        self.cluster.tell(move |what| log.say(format_args!("status: {what}")));
    }

    pub async fn add_host(&mut self, zone: &str) -> Result<(), SimError> {
        let name = format!("host-{}", self.hosts.len() + 1);
        let options = HostOptions {
            friendly_name: Some(name),
            provider_boot: Duration::from_millis(400),
            ..HostOptions::labelled([("zone", zone)])
        };
        let host = self.lattice.add_host(options).await?;
        self.zones.insert(host.id().to_owned(), zone.to_owned());
        self.names.add(&host);
        self.hosts.push(host);
        Ok(())
    }

    /// A host that takes the place of another in the list of those that there are.
    pub fn replace_host(&mut self, at: usize, host: HostHandle) {
        if let Some(old) = self.hosts.get_mut(at) {
            let zone = self.zones.get(old.id()).cloned().unwrap_or_default();
            self.zones.insert(host.id().to_owned(), zone);
            self.names.add(&host);
            *old = host;
        }
    }

    /// Hosts that live, in the order in which they came.
    #[must_use]
    pub fn living(&self) -> Vec<&HostHandle> {
        self.hosts.iter().filter(|host| host.lives()).collect()
    }

    /// A host is out of reach from now on.
    pub fn lose(&mut self, host: &HostHandle) {
        self.lost.insert(host.id().to_owned());
    }

    #[must_use]
    pub fn was_lost(&self, host: &HostHandle) -> bool {
        self.lost.contains(host.id())
    }

    #[must_use]
    pub fn zone(&self, host: &HostHandle) -> &str {
        self.zones.get(host.id()).map_or("", String::as_str)
    }

    pub fn start_operator(&mut self) {
        self.log.say("operator starts");
        // For so long it sends nothing, and what its predecessor has sent may still arrive.
        self.lattice.unknown_before(self.lattice.elapsed() + SILENT);
        self.operator = Some(Operator::start(&self.cluster, &self.network));
    }

    pub fn kill_operator(&mut self) {
        self.weather.lock().ends_after = None;
        if self.operator.take().is_some() {
            self.log.say("operator is killed");
        }
    }

    /// A user asks for an Application as it is.
    pub fn apply(&mut self, app: App) {
        self.log.say(format_args!("user: {} is to be {}", app.name, app.told()));
        self.cluster.apply("applications", &app.manifest());
        self.wanted.insert(app.name.clone(), app);
    }

    pub fn delete(&mut self, name: &str) {
        self.log.say(format_args!("user: {name} is to go"));
        self.cluster.delete("applications", NAMESPACE, name);
        self.wanted.remove(name);
    }

    /// Applies once more what went because it had been deleted before it was asked for again.
    pub fn apply_gone(&self) {
        for (name, app) in &self.wanted {
            if self.application(name).is_none() {
                self.log.say(format_args!("user: {name} is to be there again"));
                self.cluster.apply("applications", &app.manifest());
            }
        }
    }

    /// What is shared can't go before its users let go of it, so they do.
    pub fn end_sharing_of_what_goes(&mut self) {
        let sharer = self.application(SHARER).unwrap_or_default();
        if sharer["metadata"]["deletionTimestamp"].is_null() {
            return;
        }
        let users: Vec<_> = self.wanted.values().filter(|app| app.shares).cloned().collect();
        for user in users {
            self.apply(App { shares: false, ..user });
        }
    }

    #[must_use]
    pub fn application(&self, name: &str) -> Option<Value> {
        self.cluster.get("applications", NAMESPACE, name)
    }

    /// What the statuses say of all Applications.
    #[must_use]
    pub fn statuses(&self) -> String {
        let told = |object: &Value| {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            let conditions = object["status"]["conditions"].as_array();
            let messages = conditions.into_iter().flatten().map(|condition| {
                format!(
                    "\n    {} {}: {}",
                    condition["type"], condition["status"], condition["message"]
                )
            });
            format!("  {name}: {}{}\n", told_of(object), messages.collect::<String>())
        };
        self.cluster.all("applications").iter().map(told).collect()
    }

    /// What is somebody else's and not as it was.
    #[must_use]
    pub fn foreign_harm(&self) -> Vec<String> {
        let Foreign { component, config, link } = &self.foreign;
        let mut harm = Vec::new();
        if !self.lattice.config().contains_key(*config) {
            harm.push(format!("config {config} has gone"));
        }
        if !self.lattice.links().contains(link) {
            harm.push(format!("the link of {} has gone", link.source_id));
        }
        let touched =
            self.lattice.with_commands(|all| all.iter().any(|command| command.id() == *component));
        if touched {
            harm.push(format!("{component} was commanded"));
        }
        harm
    }

    /// How many things the operator has done that change something.
    #[must_use]
    pub fn done(&self) -> (usize, u64) {
        (self.lattice.commands().writes().0.len(), self.cluster.version())
    }

    pub async fn pass(time: Duration) {
        sleep(time).await;
    }
}

/// Names of hosts, by id, those that are gone too. Clones are the same.
#[derive(Clone, Default)]
struct Names(Arc<Mutex<BTreeMap<String, String>>>);

impl Names {
    fn add(&self, host: &HostHandle) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.insert(host.id().to_owned(), host.name().to_owned());
    }

    fn name(&self, id: &str) -> String {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.get(id).cloned().unwrap_or_else(|| id.to_owned())
    }

    /// A command as it is read by people; `None` for a question.
    fn command(&self, passing: &Passing<'_>) -> Option<String> {
        let (_, rest) = passing.subject.split_once(".v1.default.")?;
        let body: Value = serde_json::from_slice(passing.payload).unwrap_or_default();
        let text = |field: &str| body[field].as_str().unwrap_or_default().to_owned();
        let parts: Vec<&str> = rest.split('.').collect();
        Some(match parts.as_slice() {
            ["component", "scale", host] => format!(
                "scale {} on {} to {} of {}{}",
                text("component_id"),
                self.name(host),
                body["count"],
                text("component_ref"),
                configs(&body["config"]),
            ),
            ["provider", "start", host] => format!(
                "start {} on {} from {}{}",
                text("provider_id"),
                self.name(host),
                text("provider_ref"),
                configs(&body["config"]),
            ),
            ["provider", "stop", host] => {
                format!("stop {} on {}", text("provider_id"), self.name(host))
            }
            ["link", "put"] => format!(
                "link {} to {} as {}{}",
                text("source_id"),
                text("target"),
                text("name"),
                configs(&body["source_config"]),
            ),
            ["link", "del"] => format!(
                "unlink {} {}:{} {}",
                text("source_id"),
                text("wit_namespace"),
                text("wit_package"),
                text("name"),
            ),
            ["config", "put", name] => format!("config {name} is {body}"),
            ["config", "del", name] => format!("config {name} goes"),
            _ => return None,
        })
    }

    /// An event as it is read by people; `None` for a heartbeat and what isn't one.
    fn event(&self, passing: &Passing<'_>) -> Option<String> {
        let name = passing.subject.strip_prefix("wasmbus.evt.default.")?;
        if name == "host_heartbeat" || name.starts_with("health_check") {
            return None;
        }
        let event: Value = serde_json::from_slice(passing.payload).unwrap_or_default();
        let host = self.name(event["source"].as_str().unwrap_or_default());
        let data = &event["data"];
        let ids = ["component_id", "provider_id", "source_id", "config_name"];
        let id = ids.iter().find_map(|field| data[field].as_str()).unwrap_or_default();
        let count = data["max_instances"].as_u64().map(|count| format!(" {count}"));
        let error = data["error"].as_str().map(|error| format!(": {error}"));
        let (count, error) = (count.unwrap_or_default(), error.unwrap_or_default());
        Some(format!("{host}: {name} {id}{count}{error}"))
    }
}

fn configs(names: &Value) -> String {
    let names = names.as_array().into_iter().flatten().filter_map(Value::as_str);
    let names: Vec<_> = names.collect();
    if names.is_empty() { String::new() } else { format!(" with {}", names.join(", ")) }
}
