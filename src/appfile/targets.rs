//! Where an Application goes: topology policies, or the default lattice.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{Appfile, LatticeChoice, Problems, Topology, policy::choice_path, problem::Findings};
use crate::{
    api::{AllowedNamespaces, CLASS, CrossNamespace, Lattice, NamespacesFrom},
    model::{LatticeName, WorkloadId},
};

/// KubeVela's name for its own cluster; here the default lattice.
const LOCAL: &str = "local";
/// On a namespace: its default lattice.
const DEFAULT: &str = "lattice.oam.dev/default";
/// On a namespace: whose Applications may act for it.
const ACCEPT_FROM: &str = "lattice.oam.dev/accept-from";

/// What has to be known of the cluster to say where an Application goes.
#[derive(Debug, Clone, Default)]
pub struct TargetFacts {
    pub lattices: BTreeMap<LatticeName, LatticeFacts>,
    /// Those of other installations, each with its controller class.
    pub left: BTreeMap<LatticeName, Option<String>>,
    /// Those of [`Appfile::namespaces`] that exist.
    pub namespaces: BTreeMap<Arc<str>, NamespaceFacts>,
}

#[derive(Debug, Clone, Default)]
pub struct LatticeFacts {
    pub labels: BTreeMap<String, String>,
    pub default: bool,
    pub allowed_namespaces: AllowedNamespaces,
    pub cross_namespace: CrossNamespace,
}

#[derive(Debug, Clone, Default)]
pub struct NamespaceFacts {
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

/// A lattice, and the namespace whose name is part of the ids there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    pub lattice: LatticeName,
    pub namespace: Arc<str>,
    /// The topologies that chose it; none without any.
    pub topologies: Vec<Arc<str>>,
}

impl From<&Lattice> for LatticeFacts {
    fn from(lattice: &Lattice) -> Self {
        Self {
            labels: lattice.metadata.labels.clone().unwrap_or_default(),
            default: lattice.spec.default,
            allowed_namespaces: lattice.spec.allowed_namespaces.clone(),
            cross_namespace: lattice.spec.cross_namespace,
        }
    }
}

impl TargetFacts {
    fn lattice(&self, name: &str) -> Option<(&LatticeName, &LatticeFacts)> {
        self.lattices.get_key_value(name)
    }

    fn admits(&self, lattice: &LatticeFacts, namespace: &str) -> bool {
        match lattice.allowed_namespaces.from {
            NamespacesFrom::All => true,
            NamespacesFrom::None => false,
            NamespacesFrom::Selector => self
                .namespaces
                .get(namespace)
                .is_some_and(|facts| has_all(&facts.labels, &lattice.allowed_namespaces.selector)),
        }
    }
}

/// What is wrong with naming a lattice that is another installation's, and what to do.
#[must_use]
pub fn of_another_class(name: &str, class: Option<&str>) -> [String; 2] {
    let wrong = match class {
        Some(class) => format!("Lattice {name} is of controller class {class}"),
        None => format!("Lattice {name} is of no controller class"),
    };
    let todo = format!(
        "give it and the Application the same {CLASS}, or name a Lattice that has the \
         Application's"
    );
    [wrong, todo]
}

fn has_all(labels: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

impl Appfile {
    /// Where it goes: each target once, in the order in which it was chosen first.
    ///
    /// # Errors
    ///
    /// A lattice that isn't known or doesn't admit the namespaces, no default lattice, an empty
    /// choice, or an id that two targets on one lattice would share.
    pub fn targets(&self, facts: &TargetFacts) -> Result<Vec<Target>, Problems> {
        let findings = Findings::default();
        let choosing = Choosing { app: self, facts, findings: &findings };
        let mut targets: Vec<Target> = Vec::new();
        for topology in &self.topologies {
            for (lattice, namespace) in choosing.topology(topology) {
                let name = Arc::clone(&topology.name);
                let known =
                    targets.iter_mut().find(|t| t.lattice == lattice && t.namespace == namespace);
                match known {
                    Some(target) if target.topologies.contains(&name) => {}
                    Some(target) => target.topologies.push(name),
                    None => targets.push(Target { lattice, namespace, topologies: vec![name] }),
                }
            }
        }
        if self.topologies.is_empty() {
            let namespace = &self.key.namespace;
            if let Some(lattice) = choosing.default_lattice("spec", namespace) {
                let namespace = Arc::clone(namespace);
                targets.push(Target { lattice, namespace, topologies: Vec::new() });
            }
        }
        choosing.check_ids(&targets);
        findings.finish().map(|_| targets)
    }
}

struct Choosing<'a> {
    app: &'a Appfile,
    facts: &'a TargetFacts,
    findings: &'a Findings,
}

impl Choosing<'_> {
    fn topology(&self, topology: &Topology) -> Vec<(LatticeName, Arc<str>)> {
        let namespace = topology.namespace.as_ref().unwrap_or(&self.app.key.namespace);
        let path = choice_path(topology);
        let lattices: Vec<LatticeName> = match &topology.lattices {
            LatticeChoice::Default => self.default_lattice(&path, namespace).into_iter().collect(),
            LatticeChoice::Named(names) => names
                .iter()
                .filter_map(|(name, path)| self.named_lattice(path, name, namespace))
                .collect(),
            LatticeChoice::Selector(labels) => {
                self.selected_lattices(topology, &path, labels, namespace)
            }
        };
        lattices.into_iter().map(|lattice| (lattice, Arc::clone(namespace))).collect()
    }

    fn named_lattice(&self, path: &str, name: &str, namespace: &str) -> Option<LatticeName> {
        if name == LOCAL {
            return self.default_lattice(path, namespace);
        }
        let Some((lattice, facts)) = self.facts.lattice(name) else {
            if self.is_foreign(path, name, "") {
                return None;
            }
            let known: Vec<&str> = self.facts.lattices.keys().map(LatticeName::as_str).collect();
            let todo = match super::suggest::closest(name, known) {
                Some(known) => format!("did you mean {known}?"),
                None => format!("create a Lattice {name}, or name another"),
            };
            self.problem("UnknownLattice", path, format!("there is no Lattice {name}"), todo);
            return None;
        };
        self.check_admission(path, lattice, facts, namespace).then(|| lattice.clone())
    }

    /// Those with the labels that admit the namespaces. One that doesn't isn't meant: its labels
    /// are for those whom it admits.
    fn selected_lattices(
        &self,
        topology: &Topology,
        path: &str,
        labels: &BTreeMap<String, String>,
        namespace: &str,
    ) -> Vec<LatticeName> {
        let labelled: Vec<_> = self
            .facts
            .lattices
            .iter()
            .filter(|(_, facts)| has_all(&facts.labels, labels))
            .collect();
        let chosen: Vec<_> = labelled
            .iter()
            .filter(|(_, facts)| self.admitted(facts, namespace))
            .filter(|(name, facts)| self.check_consent(path, name, facts, namespace))
            .map(|(name, _)| (*name).clone())
            .collect();
        if chosen.is_empty() && !topology.allow_empty {
            let wrong = if labelled.is_empty() {
                "no Lattice has these labels"
            } else {
                "no Lattice with these labels admits the namespace"
            };
            self.problem(
                "NoLatticeSelected",
                path,
                wrong.into(),
                "choose other labels, or set allowEmpty: true".into(),
            );
        }
        chosen
    }

    /// The namespace's own choice, else the only lattice that admits it, else the one that says
    /// it is the default.
    fn default_lattice(&self, path: &str, namespace: &str) -> Option<LatticeName> {
        let own = &self.app.key.namespace;
        let chosen =
            self.facts.namespaces.get(own).and_then(|facts| facts.annotations.get(DEFAULT));
        if let Some(name) = chosen {
            let Some((lattice, facts)) = self.facts.lattice(name) else {
                let by = format!(", and namespace {own} names it in {DEFAULT}");
                if self.is_foreign(path, name, &by) {
                    return None;
                }
                self.problem(
                    "UnknownLattice",
                    path,
                    format!("there is no Lattice {name}, which namespace {own} names in {DEFAULT}"),
                    "create it, or change the annotation".into(),
                );
                return None;
            };
            return self.check_admission(path, lattice, facts, namespace).then(|| lattice.clone());
        }
        let admitting: Vec<_> =
            self.facts.lattices.iter().filter(|(_, facts)| self.facts.admits(facts, own)).collect();
        let defaults: Vec<_> = admitting.iter().filter(|(_, facts)| facts.default).collect();
        let (lattice, facts) = match (admitting.as_slice(), defaults.as_slice()) {
            ([only], _) => *only,
            (_, [only]) => **only,
            _ => {
                let (wrong, todo) = no_default(own, admitting.len(), defaults.len());
                let todo = match self.facts.left.first_key_value() {
                    Some((name, class)) => {
                        let [left, _] = of_another_class(name.as_str(), class.as_deref());
                        format!("{todo} (those of other installations don't count: {left})")
                    }
                    None => todo,
                };
                self.problem("NoDefaultLattice", path, wrong, todo);
                return None;
            }
        };
        self.check_admission(path, lattice, facts, namespace).then(|| lattice.clone())
    }

    /// Whether the lattice admits both the Application's namespace and the target's.
    fn admitted(&self, lattice: &LatticeFacts, namespace: &str) -> bool {
        self.facts.admits(lattice, &self.app.key.namespace) && self.facts.admits(lattice, namespace)
    }

    fn check_admission(
        &self,
        path: &str,
        name: &LatticeName,
        lattice: &LatticeFacts,
        namespace: &str,
    ) -> bool {
        let own = &*self.app.key.namespace;
        let refused = [own, namespace].into_iter().find(|ns| !self.facts.admits(lattice, ns));
        if let Some(refused) = refused {
            self.problem(
                "NotAdmitted",
                path,
                format!("Lattice {name} doesn't admit namespace {refused}"),
                "choose another, or ask its owner to change allowedNamespaces".into(),
            );
            return false;
        }
        self.check_consent(path, name, lattice, namespace)
    }

    /// Whether the target's namespace accepts this one's Applications, where the lattice asks.
    fn check_consent(
        &self,
        path: &str,
        name: &LatticeName,
        lattice: &LatticeFacts,
        namespace: &str,
    ) -> bool {
        let own = &*self.app.key.namespace;
        let accepts = |facts: &NamespaceFacts| {
            facts.annotations.get(ACCEPT_FROM).is_some_and(|accepted| {
                accepted.split(',').map(str::trim).any(|from| from == own || from == "*")
            })
        };
        let agreed = match lattice.cross_namespace {
            CrossNamespace::Allow => true,
            CrossNamespace::Consent => {
                namespace == own || self.facts.namespaces.get(namespace).is_some_and(accepts)
            }
        };
        if !agreed {
            self.problem(
                "NoConsent",
                path,
                format!(
                    "namespace {namespace} doesn't accept Applications of {own}, as Lattice {name} \
                     demands"
                ),
                format!("run kubectl annotate namespace {namespace} {ACCEPT_FROM}={own}"),
            );
        }
        agreed
    }

    /// An id is taken once a lattice, whether it was written or made of names.
    fn check_ids(&self, targets: &[Target]) {
        let lattices: BTreeSet<&LatticeName> = targets.iter().map(|t| &t.lattice).collect();
        for lattice in lattices {
            let mut taken: BTreeMap<WorkloadId, String> = BTreeMap::new();
            for target in targets.iter().filter(|target| target.lattice == *lattice) {
                for component in &self.app.components {
                    let id = self.app.id(component, &target.namespace);
                    let user = format!("{} in {}", component.name, target.namespace);
                    let Some(first) = taken.insert(id.clone(), user.clone()) else { continue };
                    self.problem(
                        "IdConflict",
                        &format!("{}.properties.id", component.path),
                        format!("{user} and {first} have the id {id} on Lattice {lattice}"),
                        "remove the id, or choose targets on different lattices".into(),
                    );
                }
            }
        }
    }

    /// Says so if another installation has it; `by` follows, who names it.
    fn is_foreign(&self, path: &str, name: &str, by: &str) -> bool {
        let Some(class) = self.facts.left.get(name) else { return false };
        let [wrong, todo] = of_another_class(name, class.as_deref());
        self.problem("ForeignLattice", path, wrong + by, todo);
        true
    }

    fn problem(&self, reason: &'static str, path: &str, wrong: String, todo: String) {
        self.findings.problem_of(reason, path, wrong, todo);
    }
}

fn no_default(namespace: &str, admitting: usize, defaults: usize) -> (String, String) {
    let wrong = match (admitting, defaults) {
        (0, _) => {
            return (
                format!("no Lattice admits namespace {namespace}"),
                "create one, or change the allowedNamespaces of one".into(),
            );
        }
        (several, 0) => {
            format!("{several} Lattices admit namespace {namespace}, none is the default")
        }
        (_, several) => format!("{several} Lattices are the default of namespace {namespace}"),
    };
    let todo = format!(
        "write a topology policy, annotate the namespace with {DEFAULT}, or set default: true on \
         one Lattice"
    );
    (wrong, todo)
}
