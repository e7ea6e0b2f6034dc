use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use imbl::{OrdMap, ordmap::DiffItem};

use super::{
    Annotations, ConfigName, Contended, HostId, InFlight, Labels, LatticeName, Link, LinkKey,
    Moment, Recent, Runs, Thing, Unhealthy, WorkloadId,
};

/// What one lattice showed last. Cheap to clone: clones share what they have in common.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    pub lattice: LatticeName,
    /// Grows with each change that a plan could depend on.
    pub version: u64,
    /// [`Observed::version`] when a host last came, went, or took other work than before.
    pub hosts_version: u64,
    pub gate: Gate,
    /// Read it freely; change it through [`Observed::put_host`], [`Observed::set_inventory`],
    /// [`Observed::remove_host`] and, for all that is no inventory, [`Observed::host_mut`], which
    /// keep [`Observed::runs`] in step.
    pub hosts: OrdMap<HostId, Arc<Host>>,
    runs: Runs,
    pub links: Links,
    /// When a link of a source was last put or deleted by us: a provider that starts right after
    /// could miss it.
    pub links_written: Recent,
    /// When a provider was last seen to have started somewhere: while it boots it can miss what is
    /// written of its links.
    pub providers_started: Recent,
    /// Three states: no entry, not read yet; `None`, surely absent; `Some`, its values.
    pub configs: OrdMap<ConfigName, Option<Arc<BTreeMap<String, String>>>>,
    /// Why those that haven't been read can't be.
    pub unreadable: BTreeMap<ConfigName, Arc<str>>,
    pub in_flight: InFlight,
    /// What somebody else changes back, again and again.
    pub contended: BTreeMap<Thing, Contended>,
    /// Providers that run and aren't well.
    pub unhealthy: BTreeMap<(HostId, WorkloadId), Unhealthy>,
    /// Until then a start that an earlier process had acknowledged may be under way unseen.
    pub unseen_until: Moment,
}

impl Observed {
    /// A lattice of which nothing is known.
    #[must_use]
    pub fn unknown(lattice: LatticeName) -> Self {
        Self {
            lattice,
            version: 0,
            hosts_version: 0,
            gate: Gate::not_yet(),
            hosts: OrdMap::new(),
            runs: Runs::default(),
            links: Links::Unread,
            links_written: Recent::default(),
            providers_started: Recent::default(),
            configs: OrdMap::new(),
            unreadable: BTreeMap::new(),
            in_flight: InFlight::default(),
            contended: BTreeMap::new(),
            unhealthy: BTreeMap::new(),
            unseen_until: Moment::default(),
        }
    }

    /// Who runs what, by id and by owner.
    #[must_use]
    pub fn runs(&self) -> &Runs {
        &self.runs
    }

    /// Takes `host` into the picture, in place of what was known under its id.
    pub fn put_host(&mut self, id: HostId, mut host: Host) {
        host.inventory = host.inventory.map(|inventory| self.shared(inventory));
        let known = self.hosts.get_key_value(&id);
        let old = known.and_then(|(_, known)| known.inventory.as_deref());
        let kept = known.map_or(&id, |(kept, _)| kept);
        self.runs.replace(kept, old, host.inventory.as_deref());
        self.hosts.insert(id, Arc::new(host));
    }

    /// Takes note of what a known host says it runs; `None` if what it said before is void. A host
    /// that isn't known stays so.
    pub fn set_inventory(&mut self, id: &HostId, inventory: Option<Inventory>, at: Moment) {
        let Some((kept, host)) = self.hosts.get_key_value(id) else { return };
        let inventory = inventory.map(|inventory| self.shared(Arc::new(inventory)));
        // Kept with each thing that runs there, so it is one text for all.
        self.runs.replace(kept, host.inventory.as_deref(), inventory.as_deref());
        let Some(host) = self.hosts.get_mut(id) else { return };
        let host = Arc::make_mut(host);
        host.inventory_at = at;
        host.inventory = inventory;
    }

    /// The same, with its texts shared with others that show the same ids.
    fn shared(&self, mut inventory: Arc<Inventory>) -> Arc<Inventory> {
        self.runs.share(Arc::make_mut(&mut inventory));
        inventory
    }

    /// Takes a host out of the picture, with all that it ran.
    pub fn remove_host(&mut self, id: &HostId) {
        if let Some(host) = self.hosts.remove(id) {
            self.runs.replace(id, host.inventory.as_deref(), None);
        }
    }

    /// Changes what is known of a host, but for its inventory, which stays as it is.
    pub fn host_mut(&mut self, id: &HostId, change: impl FnOnce(&mut Host)) {
        let Some(host) = self.hosts.get_mut(id) else { return };
        let host = Arc::make_mut(host);
        let inventory = host.inventory.take();
        change(host);
        host.inventory = inventory;
    }
}

/// What may be sent to a lattice now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gate {
    /// No connection: nothing may be sent.
    Disconnected {
        why: Arc<str>,
    },
    /// Some hosts that should be there haven't answered: nothing may be sent.
    Syncing {
        waiting_for: BTreeSet<HostId>,
    },
    /// Whole, but just reconnected: nothing may be taken away.
    Settling,
    /// Most hosts went at once without a word: nothing may be taken away.
    MassLoss {
        lost: usize,
    },
    Open,
}

impl Gate {
    /// Of a lattice that nobody has tried to connect to.
    #[must_use]
    pub fn not_yet() -> Self {
        Self::Disconnected { why: "not connected yet".into() }
    }

    /// Whether anything at all may be sent.
    #[must_use]
    pub fn may_add(&self) -> bool {
        match self {
            Self::Disconnected { .. } | Self::Syncing { .. } => false,
            Self::Settling | Self::MassLoss { .. } | Self::Open => true,
        }
    }

    /// Whether something may be taken away.
    #[must_use]
    pub fn may_remove(&self) -> bool {
        match self {
            Self::Open => true,
            Self::Disconnected { .. }
            | Self::Syncing { .. }
            | Self::Settling
            | Self::MassLoss { .. } => false,
        }
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disconnected { why } => write!(f, "not connected: {why}"),
            Self::Syncing { waiting_for } => {
                let hosts = if waiting_for.len() == 1 { "host" } else { "hosts" };
                write!(f, "waiting for the inventory of {} {hosts}", waiting_for.len())
            }
            Self::Settling => f.write_str("settling after a reconnect"),
            Self::MassLoss { lost } => {
                write!(f, "{lost} hosts were lost at once; nothing is removed until they return")
            }
            Self::Open => f.write_str("synced"),
        }
    }
}

/// Links, by what tells them apart on the wire.
pub type LinkMap = OrdMap<LinkKey, Link>;

/// What `new` says, in as much of what `old` is made of as says it: two maps that are made of the same
/// are compared at the cost of what differs.
#[must_use]
pub fn like(old: &LinkMap, new: &LinkMap) -> LinkMap {
    let mut like = old.clone();
    for change in old.diff(new) {
        match change {
            DiffItem::Add(key, link) | DiffItem::Update { new: (key, link), .. } => {
                like.insert(key.clone(), link.clone());
            }
            DiffItem::Remove(key, _) => {
                like.remove(key);
            }
        }
    }
    like
}

/// The links of a lattice, which carry no heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Links {
    Unread,
    /// The hosts don't answer with them any more: none may be removed.
    Unreadable,
    Read(LinkMap),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    pub friendly_name: Arc<str>,
    pub version: Arc<str>,
    pub labels: Arc<Labels>,
    pub state: HostState,
    /// When this process first saw it.
    pub joined: Moment,
    /// When the inventory was received; it says nothing of what was acknowledged later. One that
    /// shows the same again moves it only past `unseen_until` and past deadlines, which somebody
    /// may be waiting for: otherwise each heartbeat would be a change.
    pub inventory_at: Moment,
    /// `None`: not received yet, which never means that nothing runs.
    pub inventory: Option<Arc<Inventory>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostState {
    /// Its inventory is fresh.
    Ready,
    /// A heartbeat is overdue, or a ping unanswered: it is being asked.
    Suspect,
    /// It answers a ping but shows no inventory: it stays, and gets nothing new.
    Mute,
    /// No answer: what it runs still counts until its grace is over, when it leaves the picture.
    Unreachable,
    /// Its grace is over, and something of it is held: of its inventory just that is left, and
    /// counts until the host shows another or is given up.
    Held,
}

impl HostState {
    /// Whether new work may be placed there.
    #[must_use]
    pub fn takes_work(self) -> bool {
        match self {
            Self::Ready | Self::Suspect => true,
            Self::Mute | Self::Unreachable | Self::Held => false,
        }
    }

    /// Whether nobody can see what it runs now.
    #[must_use]
    pub fn is_lost(self) -> bool {
        match self {
            Self::Ready | Self::Suspect | Self::Mute => false,
            Self::Unreachable | Self::Held => true,
        }
    }
}

/// What a host says it runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    pub components: BTreeMap<WorkloadId, RunningComponent>,
    pub providers: BTreeMap<WorkloadId, RunningProvider>,
}

impl Inventory {
    /// The annotations of all that runs under `id`: of nothing, of one thing, or of a component
    /// and a provider that got the same id.
    pub fn annotations(
        &self,
        id: &WorkloadId,
    ) -> impl Iterator<Item = &Arc<Annotations>> + use<'_> {
        let component = self.components.get(id).map(|running| &running.annotations);
        component.into_iter().chain(self.providers.get(id).map(|running| &running.annotations))
    }

    /// The texts of all that runs: its image and its annotations.
    pub(super) fn texts_mut(
        &mut self,
    ) -> impl Iterator<Item = (&WorkloadId, &mut Arc<str>, &mut Arc<Annotations>)> {
        let components = self.components.iter_mut();
        let components =
            components.map(|(id, running)| (id, &mut running.image, &mut running.annotations));
        let providers = self.providers.iter_mut();
        components.chain(
            providers.map(|(id, running)| (id, &mut running.image, &mut running.annotations)),
        )
    }

    /// All that runs, with its image and its annotations.
    pub(super) fn entries(
        &self,
    ) -> impl Iterator<Item = (&WorkloadId, &Arc<str>, &Arc<Annotations>)> {
        let components =
            self.components.iter().map(|(id, running)| (id, &running.image, &running.annotations));
        let providers = self.providers.iter();
        components.chain(providers.map(|(id, running)| (id, &running.image, &running.annotations)))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningComponent {
    pub image: Arc<str>,
    pub annotations: Arc<Annotations>,
    /// The most instances that it runs at a time: what was asked, not what is busy.
    pub instances: u32,
    /// Bytes that each may take; `None` where there is no such limit, or it isn't known.
    pub max_memory: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningProvider {
    /// As the host repeats it: builtin and file references have lost their scheme.
    pub image: Arc<str>,
    pub annotations: Arc<Annotations>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{APPLICATION, FewOf, INSTALLATION, Owner};

    fn host() -> Host {
        Host {
            friendly_name: "one".into(),
            version: "1.9.2".into(),
            labels: Arc::default(),
            state: HostState::Ready,
            joined: Moment::default(),
            inventory_at: Moment::default(),
            inventory: None,
        }
    }

    fn inventory(things: &[(&str, &str)]) -> Inventory {
        let mut inventory = Inventory::default();
        for (id, application) in things {
            let annotations =
                Annotations::from([(INSTALLATION, "trellis"), (APPLICATION, *application)]);
            let running = RunningComponent {
                image: "img".into(),
                annotations: annotations.into(),
                instances: 1,
                max_memory: None,
            };
            inventory.components.insert(id.parse().unwrap(), running);
        }
        inventory
    }

    fn running(things: &[(&str, &str)]) -> Host {
        Host { inventory: Some(inventory(things).into()), ..host() }
    }

    fn owned(observed: &Observed, application: &str) -> String {
        let annotations = inventory(&[("x", application)]);
        let owner = Owner::of(annotations.annotations(&"x".parse().unwrap()).next().unwrap());
        let things = observed.runs().owned(owner.as_ref().unwrap());
        things.map(|(id, host)| format!("{id}@{host}")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn who_runs_what_follows_the_inventories() {
        let mut observed = Observed::unknown("l".parse().unwrap());
        let (a, b): (HostId, HostId) = ("a".parse().unwrap(), "b".parse().unwrap());
        observed.put_host(a.clone(), running(&[("w", "n/x")]));
        observed.put_host(b.clone(), host());
        assert_eq!(owned(&observed, "n/x"), "w@a");

        let at = Moment::default();
        observed.set_inventory(&b, Some(inventory(&[("w", "n/x"), ("v", "n/y")])), at);
        assert_eq!(owned(&observed, "n/x"), "w@a w@b");
        assert_eq!(observed.runs().hosts(&"w".parse().unwrap()).count(), 2);

        observed.set_inventory(&a, Some(inventory(&[("w", "n/y")])), at);
        assert_eq!(owned(&observed, "n/x"), "w@b", "another owner took it on a");
        assert_eq!(observed.runs().hosts(&"w".parse().unwrap()).count(), 2);

        observed.remove_host(&b);
        observed.set_inventory(&a, None, at);
        assert_eq!(*observed.runs(), Runs::default(), "nothing is left behind");
    }

    #[test]
    fn links_that_are_read_again_are_those_that_are_known_but_for_what_differs() {
        let link = |target: &str| Link {
            target: target.parse().unwrap(),
            interfaces: FewOf::default(),
            source_config: Vec::new(),
            target_config: Vec::new(),
        };
        let key = |source: usize| LinkKey {
            source: format!("id-{source}").parse().unwrap(),
            name: "default".into(),
            namespace: "wasi".into(),
            package: "http".into(),
        };
        let old: LinkMap = (0..100).map(|source| (key(source), link("http"))).collect();
        let same: LinkMap = (0..100).map(|source| (key(source), link("http"))).collect();
        assert!(!old.ptr_eq(&same));
        assert!(like(&old, &same).ptr_eq(&old));
        let mut other = same;
        other.remove(&key(7));
        other.insert(key(8), link("other"));
        other.insert(key(100), link("http"));
        assert_eq!(like(&old, &other), other);
    }

    #[test]
    fn a_change_of_a_host_leaves_its_inventory_alone() {
        let mut observed = Observed::unknown("l".parse().unwrap());
        let a: HostId = "a".parse().unwrap();
        observed.put_host(a.clone(), running(&[("w", "n/x")]));
        observed.host_mut(&a, |host| *host = Host { state: HostState::Mute, ..self::host() });
        assert_eq!(observed.hosts[&a].state, HostState::Mute);
        assert_eq!(owned(&observed, "n/x"), "w@a");
    }
}
