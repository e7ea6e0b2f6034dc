//! What the Applications of the files want on which lattice.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::documents::Documents;
use crate::{
    api::Lattice,
    appfile::{
        Appfile, LatticeFacts, NamespaceFacts, SharedId, Sharer, Stamp, Target, TargetFacts,
    },
    cli::Failure,
    model::{ApplicationKey, Desired, LatticeName, Owner},
    placement::{Claims, claims::Created},
};

/// What a Lattice is called, and whose things are on it, where no file says so.
const LATTICE: &str = "default";
const INSTALLATION: &str = "trellis";
/// The label that Kubernetes puts on every namespace.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

pub(super) struct Wanted {
    /// In the order of the files.
    pub(super) each: Vec<OnLattice>,
    /// The lattice that is looked at.
    pub(super) shown: Shown,
    claims: BTreeMap<LatticeName, Claims>,
    nothing: Claims,
}

/// A lattice, and how it is called on the wire.
pub(super) struct Shown {
    pub(super) name: LatticeName,
    pub(super) wire_name: String,
    pub(super) control_prefix: String,
    pub(super) event_prefix: String,
}

/// What one Application wants on one lattice.
pub(super) struct OnLattice {
    pub(super) application: ApplicationKey,
    pub(super) lattice: LatticeName,
    pub(super) namespaces: Vec<Arc<str>>,
    pub(super) desired: Arc<Desired>,
}

impl Wanted {
    pub(super) fn of(
        documents: &Documents,
        lattice: Option<&LatticeName>,
    ) -> Result<Self, Failure> {
        let shown = Shown::of(documents, shown(documents, lattice)?);
        let facts = facts(documents, &shown.name);
        let sharers = sharers(documents, &facts);
        let mut wanted =
            Self { each: Vec::new(), shown, claims: BTreeMap::new(), nothing: Claims::default() };
        let (mut refused, mut seen) = (Vec::new(), BTreeSet::new());
        for (file, app) in &documents.applications {
            if !seen.insert(&app.key) {
                refused.push(format!(
                    "{file}: metadata.name: {} is the name of an earlier Application; remove one",
                    app.key
                ));
                continue;
            }
            let found = app.targets(&facts).and_then(|targets| {
                let shared = app.shared_ids(&targets, &sharers)?;
                Ok((targets, shared))
            });
            match found {
                Ok((targets, shared)) => wanted.add(app, (&targets, shared), &documents.lattices),
                Err(problems) => {
                    refused.extend(problems.iter().map(|problem| format!("{file}: {problem}")));
                }
            }
        }
        if refused.is_empty() { Ok(wanted) } else { Err(Failure::Refused(refused)) }
    }

    pub(super) fn claims(&self, lattice: &LatticeName) -> &Claims {
        self.claims.get(lattice).unwrap_or(&self.nothing)
    }

    fn add(
        &mut self,
        app: &Appfile,
        (targets, shared): (&[Target], Vec<SharedId>),
        lattices: &BTreeMap<LatticeName, Lattice>,
    ) {
        let mut namespaces: BTreeMap<&LatticeName, Vec<Arc<str>>> = BTreeMap::new();
        for target in targets {
            namespaces.entry(&target.lattice).or_default().push(Arc::clone(&target.namespace));
        }
        for (lattice, namespaces) in namespaces {
            let installation = lattices.get(lattice).map_or(INSTALLATION, |l| &l.spec.installation);
            let owner = Owner { installation: installation.into(), application: app.key.clone() };
            // There is neither a uid nor a revision outside Kubernetes.
            let shared = shared.iter().filter(|of| of.lattice == *lattice).cloned().collect();
            let stamp = Stamp { owner, uid: "".into(), revision: "".into(), shared };
            let desired = Arc::new(app.desired(&stamp, &namespaces));
            // Of two Applications that want the same, the earlier in the files has it.
            let at = i64::try_from(self.each.len()).unwrap_or(i64::MAX);
            let created = Created { at, uid: "".into() };
            let claims = self.claims.entry(lattice.clone()).or_default();
            claims.set(&app.key, created, Arc::clone(&desired));
            self.each.push(OnLattice {
                application: app.key.clone(),
                lattice: lattice.clone(),
                namespaces,
                desired,
            });
        }
    }
}

/// What the Applications of the files offer one another.
fn sharers(documents: &Documents, facts: &TargetFacts) -> BTreeMap<ApplicationKey, Sharer> {
    let sharer = |(_, app): &(String, Appfile)| {
        let components = app.offers(&app.targets(facts).unwrap_or_default());
        let sharing = app.sharing.clone();
        (app.key.clone(), Sharer { sharing, leaving: false, components })
    };
    documents.applications.iter().map(sharer).collect()
}

impl Shown {
    /// As its Lattice says, or with the defaults of one.
    fn of(documents: &Documents, name: LatticeName) -> Self {
        let (wire_name, control_prefix, event_prefix) = match documents.lattices.get(&name) {
            Some(Lattice { spec, .. }) => {
                (spec.lattice.clone(), spec.control_prefix.clone(), spec.event_prefix.clone())
            }
            None => (name.to_string(), "wasmbus.ctl".to_owned(), "wasmbus.evt".to_owned()),
        };
        Self { name, wire_name, control_prefix, event_prefix }
    }
}

/// The lattice that is looked at: the one named on the command line, else the default one.
fn shown(documents: &Documents, named: Option<&LatticeName>) -> Result<LatticeName, Failure> {
    if let Some(name) = named {
        return Ok(name.clone());
    }
    let mut defaults = documents.lattices.iter().filter(|(_, lattice)| lattice.spec.default);
    let mut all = documents.lattices.keys();
    match (all.next(), all.next(), defaults.next(), defaults.next()) {
        (None, ..) => LATTICE.parse().map_err(|error| Failure::because(LATTICE, error)),
        (Some(only), None, ..) => Ok(only.clone()),
        (_, _, Some((default, _)), None) => Ok(default.clone()),
        _ => Err(Failure::Failed(
            "there are several Lattices and not one default; say which to look at with --lattice"
                .into(),
        )),
    }
}

fn facts(documents: &Documents, shown: &LatticeName) -> TargetFacts {
    let mut lattices: BTreeMap<LatticeName, LatticeFacts> = documents
        .lattices
        .iter()
        .map(|(name, lattice)| {
            let facts = LatticeFacts::from(lattice);
            (name.clone(), LatticeFacts { default: name == shown, ..facts })
        })
        .collect();
    lattices
        .entry(shown.clone())
        .or_insert_with(|| LatticeFacts { default: true, ..LatticeFacts::default() });
    let names = documents.applications.iter().flat_map(|(_, app)| app.namespaces());
    let namespace = |name: &Arc<str>| {
        let labels = BTreeMap::from([(NAME_LABEL.to_owned(), name.to_string())]);
        (Arc::clone(name), NamespaceFacts { labels, annotations: BTreeMap::new() })
    };
    let namespaces = names.map(namespace).collect();
    TargetFacts { lattices, namespaces, ..TargetFacts::default() }
}
