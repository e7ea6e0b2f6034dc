//! Short ways to write what is wanted and what is shown.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use imbl::OrdMap;

use crate::{
    model::{
        APPLICATION, Annotations, ApplicationKey, AskHash, Command, ConfigName, ConfigWanted,
        Desired, Failure, FewOf, Gate, HASH, Host, HostId, HostState, INSTALLATION, InFlight,
        Inventory, Layout, Link, LinkKey, LinkMap, Links, Moment, Observed, Owner, Pending, Plan,
        Rollout, RunningComponent, RunningProvider, Scaling, SpreadEntry, Workload, WorkloadId,
        WorkloadKind,
    },
    placement::{Claims, Inputs, Removal, claims::Created, plan},
};

pub(super) const APP: &str = "shop/front";

pub(super) fn at(seconds: u64) -> Moment {
    Moment(Duration::from_secs(seconds))
}

pub(super) fn id(text: &str) -> WorkloadId {
    text.parse().unwrap()
}

pub(super) fn host(text: &str) -> HostId {
    text.parse().unwrap()
}

pub(super) fn config(text: &str) -> ConfigName {
    text.parse().unwrap()
}

pub(super) fn app(text: &str) -> ApplicationKey {
    ApplicationKey::parse(text).unwrap()
}

pub(super) fn owner(application: &str) -> Owner {
    Owner { installation: "trellis".into(), application: app(application) }
}

pub(super) fn nothing() -> Desired {
    Desired::nothing(owner(APP))
}

pub(super) fn annotations(
    application: &str,
    image: &str,
    config: &[ConfigName],
) -> Arc<Annotations> {
    let hash = hash(image, config).to_string();
    Arc::new([(INSTALLATION, "trellis"), (APPLICATION, application), (HASH, &hash)].into())
}

fn hash(image: &str, config: &[ConfigName]) -> AskHash {
    let names: Vec<&str> = config.iter().map(ConfigName::as_str).collect();
    AskHash {
        start: image.replace(['.', ':', '/'], "_").into(),
        config: format!("c{}", names.join("_")).into(),
    }
}

/// `"zone=eu*2 zone=us"`: one entry a word, `label=value` and a weight; `all` asks for no label.
pub(super) fn spread(text: &str) -> Vec<SpreadEntry> {
    let entry = |word: &str| {
        let (labels, weight) = word.split_once('*').unwrap_or((word, "1"));
        let requirements =
            labels.split_once('=').map(|(label, value)| (label.to_owned(), value.to_owned()));
        SpreadEntry {
            name: word.into(),
            weight: weight.parse().unwrap(),
            requirements: requirements.into_iter().collect(),
        }
    };
    text.split_whitespace().map(entry).collect()
}

pub(super) trait Wants: Sized {
    fn workload(
        self,
        kind: WorkloadKind,
        id: &str,
        image: &str,
        scaling: Scaling,
        config: &[&str],
    ) -> Self;
    fn link(self, source: &str, target: &str, configs: &[&str]) -> Self;
    fn config(self, name: &str, value: &str) -> Self;

    fn component(self, id: &str, image: &str, instances: u32, entries: &str) -> Self {
        let scaling = Scaling::Spread { instances, spread: spread(entries) };
        self.workload(WorkloadKind::Component, id, image, scaling, &[])
    }

    fn provider(self, id: &str, image: &str, instances: u32, entries: &str) -> Self {
        let scaling = Scaling::Spread { instances, spread: spread(entries) };
        self.workload(WorkloadKind::Provider, id, image, scaling, &[])
    }

    fn daemon(
        self,
        kind: WorkloadKind,
        id: &str,
        image: &str,
        instances: u32,
        entries: &str,
    ) -> Self {
        let scaling = Scaling::Daemon { instances, spread: spread(entries) };
        self.workload(kind, id, image, scaling, &[])
    }
}

impl Wants for Desired {
    fn workload(
        mut self,
        kind: WorkloadKind,
        name: &str,
        image: &str,
        scaling: Scaling,
        names: &[&str],
    ) -> Self {
        let names: Vec<ConfigName> = names.iter().map(|name| config(name)).collect();
        let workload = Workload {
            kind,
            component: name.into(),
            namespace: "shop".into(),
            image: image.into(),
            scaling,
            on_host_loss: None,
            layout: Layout::default(),
            rollout: Rollout::default(),
            max_memory: None,
            annotations: annotations(&self.owner.application.to_string(), image, &names),
            hash: hash(image, &names),
            config: names,
        };
        self.workloads.insert(id(name), Box::new(workload));
        self
    }

    fn link(mut self, source: &str, target: &str, configs: &[&str]) -> Self {
        let (key, link) = link(source, target, configs);
        self.links.insert(key, link);
        self
    }

    fn config(mut self, name: &str, value: &str) -> Self {
        let values = BTreeMap::from([("value".to_owned(), value.to_owned())]);
        self.configs.insert(config(name), ConfigWanted::Managed(values));
        self
    }
}

/// Every workload laid out and rolled out like this.
pub(super) fn with(mut desired: Desired, layout: Layout, rollout: Rollout) -> Desired {
    for workload in desired.workloads.values_mut() {
        (workload.layout, workload.rollout) = (layout, rollout);
    }
    desired
}

/// One line for each command and each thing that is blocked.
pub(super) fn lines(plan: &Plan) -> Vec<String> {
    plan.to_string().lines().map(str::to_owned).collect()
}

/// What it is about, what is wanted, what is shown, and the plan.
pub(super) type Case<'a> = (&'a str, Desired, &'a str, &'a [&'a str]);

pub(super) fn check(cases: &[Case<'_>]) {
    for (name, desired, observed, expected) in cases {
        assert_eq!(lines(&plan_of(desired, &[], &lattice(observed))), *expected, "{name}");
    }
}

/// A start of `id` with this image failed there.
pub(super) fn fail(observed: &mut Observed, command: &Command, count: u32, retry_at: Moment) {
    let (lane, command, error) = (command.lane(), command.clone(), "no such image".into());
    let failure = Failure { command, error, of_image: true, count, retry_at };
    observed.in_flight.failures.insert(lane, failure);
}

/// `command` was sent and has no outcome yet.
pub(super) fn in_flight(command: &Command, sent: Moment, deadline: Moment) -> InFlight {
    let pending =
        Pending { command: command.clone(), sent, acknowledged: Some(sent), deadline, tries: 1 };
    InFlight { pending: OrdMap::unit(command.lane(), pending), failures: OrdMap::new() }
}

/// The command that starts or scales `web` as `desired` has it.
pub(super) fn wanted(desired: &Desired, on: &str, count: u32) -> Command {
    let workload = &desired.workloads[&id("web")];
    Command::ScaleComponent {
        host: host(on),
        id: id("web"),
        image: workload.image.clone(),
        count,
        config: Vec::new(),
        annotations: annotations(APP, &workload.image, &[]),
        max_memory: workload.max_memory,
    }
}

pub(super) fn link(source: &str, target: &str, configs: &[&str]) -> (LinkKey, Link) {
    let key = LinkKey {
        source: id(source),
        name: "default".into(),
        namespace: "wasi".into(),
        package: "http".into(),
    };
    let link = Link {
        target: id(target),
        interfaces: FewOf::from(["handler".into()]),
        source_config: configs.iter().map(|name| config(name)).collect(),
        target_config: Vec::new(),
    };
    (key, link)
}

/// One host a line: `name [label=value …] id=count@image …`. `~` before the id makes it a
/// provider, `!` after the image someone else's. `?` alone: no inventory. A state may follow the
/// name: `a(Mute)`.
pub(super) fn lattice(text: &str) -> Observed {
    let mut observed = Observed::unknown("l".parse().unwrap());
    observed.gate = Gate::Open;
    observed.links = Links::Read(LinkMap::new());
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (head, rest) = line.split_once('[').unwrap();
        let (labels, things) = rest.split_once(']').unwrap();
        let (name, state) = head.trim().split_once('(').unwrap_or((head.trim(), "Ready)"));
        let state = match state {
            "Ready)" => HostState::Ready,
            "Suspect)" => HostState::Suspect,
            "Mute)" => HostState::Mute,
            "Unreachable)" => HostState::Unreachable,
            "Held)" => HostState::Held,
            other => panic!("no state of a host: {other}"),
        };
        let labels = labels.split_whitespace().filter_map(|label| label.split_once('='));
        let labels = labels.map(|(label, value)| (label.to_owned(), value.to_owned())).collect();
        let inventory = (things.trim() != "?").then(|| inventory(things));
        observed.put_host(host(name), new_host(labels, state, inventory));
    }
    observed
}

pub(super) fn new_host(
    labels: BTreeMap<String, String>,
    state: HostState,
    inventory: Option<Inventory>,
) -> Host {
    Host {
        friendly_name: "a host".into(),
        version: "1.9.2".into(),
        labels: labels.into(),
        state,
        joined: Moment::default(),
        inventory_at: Moment::default(),
        inventory: inventory.map(Arc::new),
    }
}

fn inventory(things: &str) -> Inventory {
    let mut inventory = Inventory::default();
    for thing in things.split_whitespace() {
        let (name, rest) = thing.split_once('=').unwrap();
        let (count, image) = rest.split_once('@').unwrap_or((rest, "v1"));
        let (image, whose) =
            image.strip_suffix('!').map_or((image, APP), |image| (image, "other/app"));
        let annotations = annotations(whose, image, &[]);
        let image: Arc<str> = image.into();
        if let Some(name) = name.strip_prefix('~') {
            inventory.providers.insert(id(name), RunningProvider { image, annotations });
        } else {
            let instances = count.parse().unwrap();
            let running = RunningComponent { image, annotations, instances, max_memory: None };
            inventory.components.insert(id(name), running);
        }
    }
    inventory
}

pub(super) fn claims(desired: &Desired) -> Claims {
    let mut claims = Claims::default();
    let created = Created { at: 1, uid: "u".into() };
    claims.set(&desired.owner.application, created, Arc::new(desired.clone()));
    claims
}

pub(super) fn plan_of(desired: &Desired, former: &[Desired], observed: &Observed) -> Plan {
    plan_at(desired, former, observed, at(1000))
}

pub(super) fn plan_at(
    desired: &Desired,
    former: &[Desired],
    observed: &Observed,
    time: Moment,
) -> Plan {
    let claims = claims(desired);
    let former: Vec<Arc<Desired>> = former.iter().cloned().map(Arc::new).collect();
    let (former, claims) = (&former[..], &claims);
    let removal = Removal::Allowed;
    plan(&Inputs { desired, former, observed, claims, removal, time })
}
