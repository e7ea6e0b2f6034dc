//! The rights that the operator needs, each once, and what doesn't work without it.
use super::{Facts, Finding, Scope, Seen, Severity};

/// Where a right holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    Cluster,
    Namespace(String),
}

/// One verb on one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Right {
    pub group: &'static str,
    /// `applications`, or `applications/status`.
    pub resource: &'static str,
    pub verb: &'static str,
    /// The one object that it is about; `None` for all.
    pub name: Option<String>,
    pub place: Place,
    /// What doesn't work without it.
    pub without: &'static str,
}

const APPLICATIONS: &[Row] = &[
    ("core.oam.dev", "applications", &["list", "watch"], "no Application is seen"),
    ("core.oam.dev", "applications", &["patch"], "no Application is taken up, and none can go"),
    ("core.oam.dev", "applications/status", &["update"], "no Application says how it is"),
    ("core.oam.dev", "applicationrevisions", &["list", "watch"], "no Application is acted on"),
    ("core.oam.dev", "applicationrevisions", &["create"], "no Application is released"),
    ("core.oam.dev", "applicationrevisions", &["delete"], "old revisions pile up"),
    ("core.oam.dev", "applicationrevisions/status", &["patch"], "no Application is released"),
    ("events.k8s.io", "events", &["create"], "Applications have no events"),
];
const CLUSTER: &[Row] = &[
    ("lattice.oam.dev", "lattices", &["list", "watch"], "no lattice is seen"),
    ("lattice.oam.dev", "lattices", &["patch"], "no lattice is taken up, and none can go"),
    ("lattice.oam.dev", "lattices/status", &["update"], "no lattice says how it is"),
];
/// Cluster-wide where all namespaces are watched; else of the watched ones alone.
const NAMESPACES: Row = (
    "",
    "namespaces",
    &["list", "watch"],
    "no Application is acted on, for the labels of namespaces say where it may go",
);
const SECRETS: Row = ("", "secrets", &["get", "watch"], "the Lattice that names it is not reached");
/// What doesn't exist yet has no name to grant.
const NO_LEASE: Row =
    ("coordination.k8s.io", "leases", &["create"], "no replica acts where none has before");
const LEASE: Row =
    ("coordination.k8s.io", "leases", &["get", "watch", "update"], "no replica acts");
/// Events of what has no namespace are kept in this one.
const DEFAULT_NAMESPACE: &str = "default";
const LATTICE_EVENTS: Row = ("events.k8s.io", "events", &["create"], "Lattices have no events");

/// Group, resource, verbs, and what doesn't work without them.
type Row = (&'static str, &'static str, &'static [&'static str], &'static str);

/// All rights that an operator of this scope needs, with these Secrets named by Lattices.
#[must_use]
pub fn rights(scope: &Scope, secrets: &[String]) -> Vec<Right> {
    let mut all = Vec::new();
    let mut add = |row: Row, place: &Place, name: Option<&String>| {
        let (group, resource, verbs, without) = row;
        for verb in verbs {
            let (place, name) = (place.clone(), name.cloned());
            all.push(Right { group, resource, verb, name, place, without });
        }
    };
    let watched: Vec<_> = match scope.watched.as_slice() {
        [] => vec![Place::Cluster],
        names => names.iter().cloned().map(Place::Namespace).collect(),
    };
    for place in &watched {
        for row in APPLICATIONS {
            add(*row, place, None);
        }
    }
    for row in CLUSTER {
        add(*row, &Place::Cluster, None);
    }
    if scope.watched.is_empty() {
        add(NAMESPACES, &Place::Cluster, None);
    } else {
        // Whoever may look at one object alone may not list.
        let (group, resource, _, without) = NAMESPACES;
        for name in &scope.watched {
            add((group, resource, &["watch"], without), &Place::Cluster, Some(name));
        }
        add(LATTICE_EVENTS, &Place::Namespace(DEFAULT_NAMESPACE.into()), None);
    }
    if let Some(lease) = &scope.lease {
        add(NO_LEASE, &Place::Namespace(scope.own.clone()), None);
        add(LEASE, &Place::Namespace(scope.own.clone()), Some(lease));
    }
    for secret in secrets {
        add(SECRETS, &Place::Namespace(scope.own.clone()), Some(secret));
    }
    all
}

/// One finding for all verbs on one thing that lack.
pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let lacks = |right: &(Right, Seen<()>)| right.1 == Seen::Absent;
    let same = |a: &(Right, Seen<()>), b: &(Right, Seen<()>)| {
        let key = |(right, _): &(Right, Seen<()>)| {
            (right.group, right.resource, right.name.clone(), right.place.clone(), right.without)
        };
        lacks(a) == lacks(b) && key(a) == key(b)
    };
    let groups = facts.rights.chunk_by(same);
    let missing = groups.filter(|group| group.first().is_some_and(lacks));
    let user = facts.user.as_deref();
    let missing = missing.filter_map(|group| missing_right(group, user));
    let unknown = facts.rights.iter().find_map(|(_, seen)| match seen {
        Seen::Unknown(why) => Some(Finding {
            severity: Severity::Unknown,
            what: "the operator's rights could not be looked at".into(),
            why: why.to_string(),
            fix: "look with: kubectl auth can-i --list".into(),
        }),
        Seen::Present(()) | Seen::Absent => None,
    });
    missing.chain(unknown).collect()
}

fn missing_right(group: &[(Right, Seen<()>)], user: Option<&str>) -> Option<Finding> {
    let (right, _) = group.first()?;
    let verbs: Vec<_> = group.iter().map(|(right, _)| right.verb).collect();
    let kind = right.kind();
    let object = right.name.as_ref().map_or_else(String::new, |name| format!(" {name}"));
    let place = match &right.place {
        Place::Cluster => String::new(),
        Place::Namespace(name) => format!(" in namespace {name}"),
    };
    let who = user.unwrap_or("the operator");
    Some(Finding {
        severity: Severity::Fault,
        what: format!("{who} may not {} {kind}{object}{place}", verbs.join(", ")),
        why: right.without.into(),
        fix: format!("the chart grants it; by hand: {}", grant(right, &verbs, user)),
    })
}

impl Right {
    /// As `applications.core.oam.dev/status`, the way in which kubectl takes it.
    #[must_use]
    pub fn kind(&self) -> String {
        let (resource, sub) = match self.resource.split_once('/') {
            Some((resource, sub)) => (resource, format!("/{sub}")),
            None => (self.resource, String::new()),
        };
        let dot = if self.group.is_empty() { "" } else { "." };
        format!("{resource}{dot}{}{sub}", self.group)
    }
}

/// The commands that grant a right.
fn grant(right: &Right, verbs: &[&str], user: Option<&str>) -> String {
    let (role, scope) = match &right.place {
        Place::Cluster => ("clusterrole", String::new()),
        Place::Namespace(name) => ("role", format!(" --namespace {name}")),
    };
    let name = format!("trellis-{}-{}", right.resource.replace('/', "-"), verbs.join("-"));
    let object = right.name.as_ref().map_or_else(String::new, |n| format!(" --resource-name={n}"));
    let to = user.and_then(|user| user.strip_prefix("system:serviceaccount:"));
    let to = match (to, user) {
        (Some(account), _) => format!("--serviceaccount={account}"),
        (None, Some(user)) => format!("--user={user}"),
        (None, None) => "--serviceaccount=NAMESPACE:NAME".into(),
    };
    format!(
        "kubectl create {role} {name} --verb={} --resource={}{object}{scope} && kubectl create \
         {role}binding {name} --{role}={name} {to}{scope}",
        verbs.join(","),
        right.kind()
    )
}
