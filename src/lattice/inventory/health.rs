use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{Fold, MissedLinks};
use crate::{
    lattice::fault::{Fault, Permission},
    model::{Gate, HostId, HostState, Inventory, Links},
};

/// What a `Lattice` reports of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// `Disconnected` carries the reason in the connection's own words.
    pub gate: Gate,
    /// The NATS server's version, while connected.
    pub server: Option<Arc<str>>,
    /// Whether that server has JetStream; true while nothing is known of it.
    pub jetstream: bool,
    /// What kind of reason `Disconnected` carries.
    pub fault: Fault,
    /// Whether there has been a connection with the present address and credentials.
    pub proven: bool,
    /// What the NATS server refuses us.
    pub refused: BTreeSet<Permission>,
    pub hosts: BTreeMap<HostId, HostHealth>,
    /// Ids that two live processes have.
    pub duplicates: BTreeSet<HostId>,
    /// Hosts older than 1.0, with their versions: they aren't commanded.
    pub unsupported: BTreeMap<HostId, Arc<str>>,
    pub mass_loss: Option<MassLoss>,
    /// What each host runs that stays with it when it is lost.
    pub held: BTreeMap<HostId, Inventory>,
    /// What hosts have missed that are out of reach, or were when they were taken for gone.
    pub missed_links: MissedLinks,
    /// The links don't fit into one message any more, or nobody answers with them.
    pub links_unreadable: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostHealth {
    pub friendly_name: Arc<str>,
    pub version: Arc<str>,
    pub state: HostState,
    pub components: usize,
    pub providers: usize,
}

/// Most hosts went at once without a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MassLoss {
    pub lost: usize,
    /// What confirms it.
    pub token: String,
    /// Nothing is removed until so many hosts are there.
    pub enough: usize,
}

impl Fold {
    #[must_use]
    pub fn health(&self) -> Health {
        let host = |(id, host): (&HostId, &Arc<crate::model::Host>)| {
            let inventory = host.inventory.as_ref();
            let health = HostHealth {
                friendly_name: host.friendly_name.clone(),
                version: host.version.clone(),
                state: host.state,
                components: inventory.map_or(0, |inventory| inventory.components.len()),
                providers: inventory.map_or(0, |inventory| inventory.providers.len()),
            };
            (id.clone(), health)
        };
        let mass_loss = self.loss.mass.as_ref().map(|mass| MassLoss {
            lost: mass.lost.len(),
            token: mass.token(),
            enough: mass.enough,
        });
        Health {
            gate: self.observed.gate.clone(),
            server: None,
            jetstream: true,
            fault: Fault::Untried,
            proven: false,
            refused: BTreeSet::new(),
            hosts: self.observed.hosts.iter().map(host).collect(),
            duplicates: self.duplicates.clone(),
            unsupported: self.unsupported.clone(),
            mass_loss,
            held: self.all_held(),
            missed_links: self.missed.links(),
            links_unreadable: self.observed.links == Links::Unreadable,
        }
    }
}
