//! Hosts that are cut off and taken to go on working: what is held of them stays in the picture.
//!
//! ```text
//! Unreachable ──grace over──▶ anything held there? ──no──▶ gone
//!                                   │ yes: just that is kept
//!                                   ▼
//!                                 Held ──shows an inventory──▶ Ready
//!                                   └── given up, or nothing held any more ──▶ gone
//! ```
//!
//! A thing is held if its scaler says so, or, where that says nothing, the lattice for its host.
//! What was held when an earlier process looked stays held until its Application has spoken.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{Fold, Outcome};
use crate::model::{
    Annotations, ApplicationKey, HostId, HostState, Inventory, Labels, LossPolicy, Moment, Owner,
    WorkloadId,
};

/// Of the hosts that are there no more are kept for the next process.
pub const MOST_KNOWN: usize = 2000;

/// A host that was there when an earlier process looked last, and what of it is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownHost {
    pub id: HostId,
    pub friendly_name: Arc<str>,
    pub version: Arc<str>,
    /// Known only where something is held.
    pub labels: BTreeMap<String, String>,
    pub held: Inventory,
}

impl KnownHost {
    /// One of which nothing is held.
    #[must_use]
    pub fn named(id: HostId) -> Self {
        let (labels, held) = (BTreeMap::new(), Inventory::default());
        Self { id, friendly_name: "".into(), version: "".into(), labels, held }
    }
}

/// What is done about hosts that are lost, by their labels; the first that matches counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnHostLoss {
    pub labels: BTreeMap<String, String>,
    pub policy: LossPolicy,
}

/// What the Applications say of what is theirs; where they say nothing the lattice decides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Policies {
    said: BTreeMap<ApplicationKey, BTreeMap<WorkloadId, LossPolicy>>,
    /// Those that hold something.
    holding: BTreeSet<ApplicationKey>,
}

impl Policies {
    /// Takes down what `application` says now. Whether that is another than before.
    fn set(
        &mut self,
        application: &ApplicationKey,
        policies: Option<BTreeMap<WorkloadId, LossPolicy>>,
    ) -> bool {
        let holds = |policies: &BTreeMap<_, _>| policies.values().any(|p| *p == LossPolicy::Hold);
        if policies.as_ref().is_some_and(holds) {
            self.holding.insert(application.clone());
        } else {
            self.holding.remove(application);
        }
        match policies {
            Some(policies) if self.said.get(application) == Some(&policies) => false,
            Some(policies) => {
                self.said.insert(application.clone(), policies);
                true
            }
            None => self.said.remove(application).is_some(),
        }
    }
}

impl Fold {
    /// What an Application's scalers say of lost hosts, all that say anything. `None`: there is no
    /// such Application any more.
    pub fn want_on_host_loss(
        &mut self,
        application: &ApplicationKey,
        policies: Option<BTreeMap<WorkloadId, LossPolicy>>,
        now: Moment,
    ) -> Outcome {
        let held = self.may_hold();
        if self.policies.set(application, policies) && (held || self.may_hold()) {
            // Whoever keeps what is held may have other things to keep.
            self.outcome.change.health = true;
            self.review_held(now);
        }
        self.finish()
    }

    /// What of `host` is held were it lost now. Costs what it runs, if anything can be held.
    pub(super) fn held_of(&self, host: &HostId) -> Inventory {
        let nothing = Inventory::default();
        if !self.may_hold() || self.settings.forgotten.contains(host) {
            return nothing;
        }
        let Some(known) = self.observed.hosts.get(host) else { return nothing };
        let Some(inventory) = known.inventory.as_deref() else { return nothing };
        let lattice = self.policy_of(&known.labels);
        let before = if known.state.is_lost() { self.remembered(host) } else { None };
        if lattice == LossPolicy::Replace && before.is_none() && self.policies.holding.is_empty() {
            return nothing;
        }
        let is_held = |id: &WorkloadId, annotations: &Annotations| {
            let owner = Owner::of(annotations);
            let said = owner.and_then(|owner| self.policies.said.get(&owner.application));
            let policy = match (said, before) {
                (Some(said), _) => said.get(id).copied().unwrap_or(lattice),
                // Its Application hasn't been looked at yet.
                (None, Some(before)) if runs(before, id) => LossPolicy::Hold,
                (None, Some(_) | None) => lattice,
            };
            policy == LossPolicy::Hold
        };
        let mut held = inventory.clone();
        held.components.retain(|id, running| is_held(id, &running.annotations));
        held.providers.retain(|id, running| is_held(id, &running.annotations));
        held
    }

    /// Whether anything at all could be held.
    fn may_hold(&self) -> bool {
        self.settings.on_host_loss.iter().any(|on| on.policy == LossPolicy::Hold)
            || !self.policies.holding.is_empty()
            || self.settings.known_hosts.iter().any(|known| known.held != Inventory::default())
    }

    /// What an earlier process kept of a host.
    fn remembered(&self, host: &HostId) -> Option<&Inventory> {
        let known = self.settings.known_hosts.iter().find(|known| known.id == *host)?;
        (known.held != Inventory::default()).then_some(&known.held)
    }

    fn policy_of(&self, labels: &BTreeMap<String, String>) -> LossPolicy {
        let matches = |wanted: &BTreeMap<String, String>| {
            wanted.iter().all(|(label, value)| labels.get(label) == Some(value))
        };
        let first = self.settings.on_host_loss.iter().find(|on| matches(&on.labels));
        first.map_or(LossPolicy::Replace, |on| on.policy)
    }

    /// The grace of a host is over: what is held of it stays, the rest is made up for.
    pub(super) fn grace_is_over(&mut self, id: &HostId, now: Moment) {
        let held = self.held_of(id);
        if held == Inventory::default() {
            return self.gone(id, false, now);
        }
        let before = self.observed.hosts.get(id).and_then(|host| host.inventory.as_deref());
        if before.is_some_and(|before| *before != held) {
            self.lost(id, now);
        }
        if let Some(life) = self.lives.get_mut(id) {
            life.held = Some(now);
        }
        self.void(id, now);
        self.keep(id, held, now);
        self.show_state(id, now);
        self.tick_phase(now);
    }

    fn keep(&mut self, id: &HostId, held: Inventory, now: Moment) {
        let known = self.observed.hosts.get(id);
        let inventory = known.and_then(|host| host.inventory.as_deref());
        let workloads = inventory.into_iter().flat_map(super::host::ids).cloned();
        self.outcome.change.workloads.extend(workloads);
        self.outcome.change.host(id, known.map_or(&Labels::new(), |host| &host.labels));
        self.outcome.change.health = true;
        self.differs_from_heartbeat(id);
        Arc::make_mut(&mut self.observed).set_inventory(id, Some(held), now);
    }

    /// Policies are other than before: what isn't held any more goes.
    pub(super) fn review_held(&mut self, now: Moment) {
        let held: Vec<HostId> = self
            .lives
            .iter()
            .filter(|(_, life)| life.held.is_some())
            .map(|(id, _)| id.clone())
            .collect();
        for id in held {
            let still = self.held_of(&id);
            let shown = self.observed.hosts.get(&id).and_then(|host| host.inventory.as_deref());
            if still == Inventory::default() {
                self.gone(&id, true, now);
            } else if shown != Some(&still) {
                self.keep(&id, still, now);
            }
        }
    }

    /// A host that an earlier process knew doesn't answer: what was held of it counts, as it would
    /// if this process had seen it. Once it answers, what it runs is unknown until it says so.
    pub(super) fn show_remembered(&mut self, id: &HostId, state: HostState, now: Moment) {
        let (Some(life), Some(host)) = (self.lives.get(id), self.observed.hosts.get(id)) else {
            return;
        };
        if life.inventory_at.is_some() {
            return;
        }
        match (&host.inventory, state.is_lost()) {
            (None, true) => {
                if let Some(held) = self.remembered(id).cloned() {
                    self.keep(id, held, now);
                }
            }
            (Some(_), false) => {
                self.differs_from_heartbeat(id);
                Arc::make_mut(&mut self.observed).set_inventory(id, None, now);
            }
            (None, false) | (Some(_), true) => {}
        }
    }

    /// What each host runs that is, or would be, held; hosts without such are left out.
    pub(super) fn all_held(&self) -> BTreeMap<HostId, Inventory> {
        if !self.may_hold() {
            return BTreeMap::new();
        }
        let held = self.observed.hosts.keys().map(|id| (id.clone(), self.held_of(id)));
        held.filter(|(_, held)| *held != Inventory::default()).collect()
    }

    /// Shows what a host runs; whoever keeps what is held of it is told.
    pub(super) fn set_inventory(&mut self, id: &HostId, inventory: Inventory, now: Moment) {
        let before = self.held_of(id);
        self.differs_from_heartbeat(id);
        Arc::make_mut(&mut self.observed).set_inventory(id, Some(inventory), now);
        if self.held_of(id) != before {
            self.outcome.change.health = true;
        }
    }
}

fn runs(inventory: &Inventory, id: &WorkloadId) -> bool {
    inventory.components.contains_key(id) || inventory.providers.contains_key(id)
}
