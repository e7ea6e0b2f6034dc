use std::collections::BTreeSet;

use crate::model::{ConfigName, HostId, Labels, Lane, Moment, WorkloadId};

/// What changed on a lattice, in terms by which the Applications that it touches are found.
///
/// It is as big as what happened, never as big as the lattice, and two of them can be made one
/// when nobody has had time for the first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use = "a change that nobody is told of is lost"]
pub struct Change {
    /// What may be sent is another: every Application is touched.
    pub gate: bool,
    /// The hosts' state, or something else that a `Lattice` reports: no Application is touched.
    pub health: bool,
    /// Hosts that came, went, or may take other work than before. Applications that run something
    /// there are in `workloads`; those that could, by `labels`, are for the reader to know.
    pub hosts: BTreeSet<HostId>,
    /// What labels these hosts have, or had.
    pub labels: BTreeSet<Labels>,
    /// Ids that run otherwise than before, or of which a command got its outcome.
    pub workloads: BTreeSet<WorkloadId>,
    /// Ids whose own links are other than before, or of whose links a command got its outcome.
    pub link_sources: BTreeSet<WorkloadId>,
    pub configs: BTreeSet<ConfigName>,
    /// The links have been read for the first time, or can't be read any more: everyone who has
    /// links is touched.
    pub links: bool,
    /// When the first of it was known; the fold leaves this to whoever has changes wait.
    pub since: Option<Moment>,
}

impl Change {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.health && !self.touches_plans()
    }

    /// Whether a plan could depend on it.
    #[must_use]
    pub fn touches_plans(&self) -> bool {
        self.gate
            || self.links
            || !self.hosts.is_empty()
            || !self.workloads.is_empty()
            || !self.link_sources.is_empty()
            || !self.configs.is_empty()
    }

    /// Takes `later` up into this one.
    pub fn merge(&mut self, later: Self) {
        let Self { gate, health, hosts, labels, workloads, link_sources, configs, links, since } =
            later;
        self.since = [self.since, since].into_iter().flatten().min();
        self.gate |= gate;
        self.health |= health;
        self.links |= links;
        self.hosts.extend(hosts);
        self.labels.extend(labels);
        self.workloads.extend(workloads);
        self.link_sources.extend(link_sources);
        self.configs.extend(configs);
    }

    /// A host that has, or had, these labels may do other work than before.
    pub(crate) fn host(&mut self, id: &HostId, labels: &Labels) {
        self.hosts.insert(id.clone());
        if !self.labels.contains(labels) {
            self.labels.insert(labels.clone());
        }
    }

    pub(in crate::lattice) fn lane(&mut self, lane: Lane) {
        match lane {
            Lane::Workload(_, id) => {
                self.workloads.insert(id);
            }
            Lane::Links(id) => {
                self.link_sources.insert(id);
            }
            Lane::Config(name) => {
                self.configs.insert(name);
            }
        }
    }
}
