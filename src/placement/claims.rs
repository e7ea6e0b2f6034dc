//! Which Application has an id, a config name or a link on one lattice.
//!
//! ```text
//! Application ──set()──▶ Claims ──holder()──▶ who may send commands for it; the others wait
//!               remove()        ──names_config()──▶ whether a config may go
//! ```
//!
//! A contested claim stays with whoever the lattice shows as owner, until that is gone and no
//! command for it is unresolved; with nobody there, the older Application has it.

use std::sync::Arc;

use imbl::{OrdMap, ordmap::Entry};

use crate::model::{
    ApplicationKey, Command, ConfigName, ConfigWanted, Desired, FewOf, LinkKey, Links, Observed,
    Owner, WorkloadId,
};

/// When an Application was created; uids tell those of one second apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Created {
    /// Seconds since the epoch, by the API server's clock; only ever compared with one another.
    pub at: i64,
    pub uid: Arc<str>,
}

/// What all Applications want of one lattice. Cheap to clone: clones share what they have in common.
#[derive(Debug, Clone, Default)]
pub struct Claims {
    version: u64,
    applications: OrdMap<ApplicationKey, (Created, Arc<Desired>)>,
    ids: OrdMap<WorkloadId, Claimants>,
    configs: OrdMap<ConfigName, Claimants>,
    links: OrdMap<LinkKey, Claimants>,
    /// Who names a config, whether it is theirs or not.
    named: OrdMap<ConfigName, FewOf<ApplicationKey>>,
}

/// The oldest first.
type Claimants = FewOf<(Created, ApplicationKey)>;

impl Claims {
    /// Grows with every change.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Takes note of what `application` wants now; wanting the same again changes nothing.
    pub fn set(&mut self, application: &ApplicationKey, created: Created, desired: Arc<Desired>) {
        if let Some((since, known)) = self.applications.get(application)
            && *since == created
            && (Arc::ptr_eq(known, &desired) || *known == desired)
        {
            return;
        }
        self.remove(application);
        self.version += 1;
        let claimant = (created.clone(), application.clone());
        for id in desired.workloads.keys() {
            self.ids.entry(id.clone()).or_default().insert(claimant.clone());
        }
        for key in desired.links.keys() {
            self.links.entry(key.clone()).or_default().insert(claimant.clone());
        }
        for name in managed(&desired) {
            self.configs.entry(name.clone()).or_default().insert(claimant.clone());
        }
        for name in names(&desired) {
            self.named.entry(name.clone()).or_default().insert(application.clone());
        }
        self.applications.insert(application.clone(), (created, desired));
    }

    /// Forgets what `application` wanted.
    pub fn remove(&mut self, application: &ApplicationKey) {
        let Some((created, desired)) = self.applications.remove(application) else { return };
        self.version += 1;
        let claimant = (created, application.clone());
        for id in desired.workloads.keys() {
            drop_from(&mut self.ids, id, &claimant);
        }
        for key in desired.links.keys() {
            drop_from(&mut self.links, key, &claimant);
        }
        for name in managed(&desired) {
            drop_from(&mut self.configs, name, &claimant);
        }
        for name in names(&desired) {
            drop_from(&mut self.named, name, application);
        }
    }

    /// Who has `id`, of those that want it; `None` if nobody does.
    #[must_use]
    pub fn holder(&self, id: &WorkloadId, observed: &Observed) -> Option<&ApplicationKey> {
        let claimants = self.ids.get(id)?;
        let shown = |(_, application): &&(Created, ApplicationKey)| {
            self.applications
                .get(application)
                .is_some_and(|(_, desired)| is_shown(observed, id, &desired.owner))
        };
        first(claimants, shown)
    }

    /// Whether `application` is one of those that want `id`.
    #[must_use]
    pub fn has(&self, application: &ApplicationKey, id: &WorkloadId) -> bool {
        let wants = self.applications.get(application);
        wants.is_some_and(|(_, desired)| desired.workloads.contains_key(id))
    }

    /// Who has a config name, of those that manage it.
    #[must_use]
    pub fn config_holder(&self, name: &ConfigName, observed: &Observed) -> Option<&ApplicationKey> {
        let claimants = self.configs.get(name)?;
        let shown = |(_, application): &&(Created, ApplicationKey)| {
            let wanted =
                self.applications.get(application).and_then(|(_, wants)| wants.configs.get(name));
            match (wanted, observed.configs.get(name)) {
                (Some(ConfigWanted::Managed(wanted)), Some(Some(shown))) => **shown == *wanted,
                (Some(ConfigWanted::Managed(_) | ConfigWanted::Required) | None, _) => false,
            }
        };
        first(claimants, shown)
    }

    /// Who has a link key, of those that want it.
    #[must_use]
    pub fn link_holder(&self, key: &LinkKey, observed: &Observed) -> Option<&ApplicationKey> {
        let claimants = self.links.get(key)?;
        let shown = |(_, application): &&(Created, ApplicationKey)| {
            let wanted =
                self.applications.get(application).and_then(|(_, wants)| wants.links.get(key));
            match &observed.links {
                Links::Read(links) => wanted.is_some_and(|wanted| links.get(key) == Some(wanted)),
                Links::Unread | Links::Unreadable => false,
            }
        };
        first(claimants, shown)
    }

    /// The Applications that claim something of what `desired` names, whoever wants that.
    pub fn rivals<'a>(&'a self, desired: &'a Desired) -> impl Iterator<Item = &'a ApplicationKey> {
        let ids = desired.workloads.keys().filter_map(|id| self.ids.get(id));
        let links = desired.links.keys().filter_map(|key| self.links.get(key));
        let configs = managed(desired).filter_map(|name| self.configs.get(name));
        ids.chain(links).chain(configs).flatten().map(|(_, application)| application)
    }

    /// Whether anything that is wanted names this config; until then it must stay.
    #[must_use]
    pub fn names_config(&self, name: &ConfigName) -> bool {
        self.named.contains_key(name)
    }
}

/// The only claimant, or of several the first that the lattice shows, or else the oldest.
fn first(
    claimants: &Claimants,
    shown: impl Fn(&&(Created, ApplicationKey)) -> bool,
) -> Option<&ApplicationKey> {
    let contested = claimants.len() > 1;
    let shown = if contested { claimants.iter().find(shown) } else { None };
    shown.or_else(|| claimants.first()).map(|(_, application)| application)
}

/// Whether something under `id` carries the annotations of `owner`, or soon may.
fn is_shown(observed: &Observed, id: &WorkloadId, owner: &Owner) -> bool {
    let runs = observed.runs().hosts(id).any(|host| {
        let inventory = observed.hosts.get(host).and_then(|host| host.inventory.as_ref());
        inventory.is_some_and(|shown| shown.annotations(id).any(|shown| owner.owns(shown)))
    });
    runs || observed.in_flight.pending_of(id).any(|(_, pending)| match &pending.command {
        Command::StartProvider { annotations, .. }
        | Command::ScaleComponent { annotations, .. } => owner.owns(annotations),
        Command::StopProvider { .. }
        | Command::PutLink { .. }
        | Command::DeleteLink { .. }
        | Command::PutConfig { .. }
        | Command::DeleteConfig { .. } => false,
    })
}

fn managed(desired: &Desired) -> impl Iterator<Item = &ConfigName> {
    desired.configs.iter().filter_map(|(name, wanted)| match wanted {
        ConfigWanted::Managed(_) => Some(name),
        ConfigWanted::Required => None,
    })
}

/// Every config that is named anywhere, possibly more than once.
fn names(desired: &Desired) -> impl Iterator<Item = &ConfigName> {
    let own = desired.workloads.values().flat_map(|workload| &workload.config);
    let linked = desired
        .links
        .values()
        .flat_map(|link| link.source_config.iter().chain(&link.target_config));
    desired.configs.keys().chain(own).chain(linked)
}

fn drop_from<K: Ord + Clone, C: Ord + Clone>(
    table: &mut OrdMap<K, FewOf<C>>,
    key: &K,
    claimant: &C,
) {
    if let Entry::Occupied(mut claimants) = table.entry(key.clone()) {
        claimants.get_mut().remove(claimant);
        if claimants.get().is_empty() {
            claimants.remove();
        }
    }
}
