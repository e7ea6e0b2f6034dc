//! Whether the definitions that are there are ours, and of this version.
use std::cmp::Ordering;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt;

use super::{
    Facts, Finding, Seen, Severity,
    parts::{Part, differences},
};
use crate::api::{Mark, crds};

const APPLY: &str = "trellis crds | kubectl apply --server-side --force-conflicts -f -";

/// How a definition that is there compares to ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    Same,
    Older(Mark),
    Newer(Mark),
    /// Of the same version and another build.
    Differs(Mark),
    /// Marked as ours, and this of it is not.
    Altered(Mark, Vec<Part>),
    Foreign,
}

pub(super) fn standing(
    theirs: &CustomResourceDefinition,
    ours: &CustomResourceDefinition,
) -> Standing {
    let (Some(mark), Some(our_mark)) = (Mark::of(theirs), Mark::of(ours)) else {
        return Standing::Foreign;
    };
    // Who applies a definition over ours leaves our mark on it.
    let differ = differences(theirs, ours);
    if is_kubevelas(theirs) || differ.iter().any(|part| part.is_fixed()) {
        return Standing::Foreign;
    }
    if mark.hash == our_mark.hash {
        return match differ.as_slice() {
            [] => Standing::Same,
            parts if parts.iter().any(|part| part.is_contract()) => Standing::Foreign,
            _ => Standing::Altered(mark, differ),
        };
    }
    match (mark.numbers(), our_mark.numbers()) {
        (Some(of_theirs), Some(of_ours)) => match of_theirs.cmp(&of_ours) {
            Ordering::Less => Standing::Older(mark),
            Ordering::Greater => Standing::Newer(mark),
            Ordering::Equal => Standing::Differs(mark),
        },
        _ => Standing::Differs(mark),
    }
}

/// Whether `theirs` is a definition of ours, of whichever version.
#[must_use]
pub fn is_ours(theirs: &CustomResourceDefinition) -> bool {
    let name = theirs.name_any();
    let mut same_name = crds().into_iter().filter(|ours| ours.name_any() == name);
    same_name.any(|ours| standing(theirs, &ours) != Standing::Foreign)
}

/// What of `theirs` the API server never changes, and ours has another way: the two can't follow
/// each other.
pub(super) fn fixed(
    theirs: &CustomResourceDefinition,
    ours: &CustomResourceDefinition,
) -> Vec<Part> {
    let mut differ = differences(theirs, ours);
    differ.retain(|part| part.is_fixed());
    differ
}

/// Versions in which objects are stored and that ours doesn't define: the API server refuses a
/// definition without them.
pub(super) fn lacking(
    theirs: &CustomResourceDefinition,
    ours: &CustomResourceDefinition,
) -> Vec<String> {
    let stored = theirs.status.iter().flat_map(|status| status.stored_versions.iter().flatten());
    let has = |version: &&String| ours.spec.versions.iter().any(|ours| ours.name == **version);
    stored.filter(|version| !has(version)).cloned().collect()
}

pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    for ours in crds() {
        let name = ours.name_any();
        match facts.crds.get(&name) {
            Some(Seen::Present(theirs)) => {
                findings.extend(state(theirs));
                findings.extend(judged(theirs, &ours));
                findings.extend(stored(theirs, &ours));
            }
            Some(Seen::Unknown(why)) => findings.push(Finding {
                severity: Severity::Unknown,
                what: format!("CustomResourceDefinition {name} could not be looked at"),
                why: format!("{why}; it could be missing, older, or another project's"),
                fix: format!("look with: kubectl get crd {name} -o yaml"),
            }),
            Some(Seen::Absent) | None => findings.push(Finding {
                severity: Severity::Fatal,
                what: format!("CustomResourceDefinition {name} is missing"),
                why: "what is not defined cannot be watched".into(),
                fix: format!("run: {APPLY}"),
            }),
        }
    }
    findings
}

fn state(crd: &CustomResourceDefinition) -> Option<Finding> {
    let name = crd.name_any();
    if crd.metadata.deletion_timestamp.is_some() {
        return Some(Finding {
            severity: Severity::Fatal,
            what: format!("CustomResourceDefinition {name} is being deleted"),
            why: "all objects of the kind go with it".into(),
            fix: format!("wait with: kubectl wait --for=delete crd {name}, then run: {APPLY}"),
        });
    }
    let conditions = crd.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let is_false = |type_: &str| {
        let mut found = conditions.clone().filter(|c| c.type_ == type_ && c.status == "False");
        found.next()
    };
    let refused = is_false("NamesAccepted")?;
    let (severity, what, fix) = if is_false("Established").is_some() {
        let fix = "remove the definition that has the same kind or plural in this group";
        (Severity::Fatal, format!("CustomResourceDefinition {name} is not served"), fix)
    } else {
        let fix = "use the whole name in commands, or remove the definition that has the short one";
        let what = format!("not all names of CustomResourceDefinition {name} are accepted");
        (Severity::Warning, what, fix)
    };
    let why = refused.message.clone().unwrap_or_default();
    Some(Finding { severity, what, why, fix: fix.into() })
}

fn judged(theirs: &CustomResourceDefinition, ours: &CustomResourceDefinition) -> Option<Finding> {
    let name = ours.name_any();
    let version = env!("CARGO_PKG_VERSION");
    let finding = |severity, is: &str, why: &str, fix: &str| Finding {
        severity,
        what: format!("CustomResourceDefinition {name} is {is}"),
        why: why.into(),
        fix: fix.into(),
    };
    let apply = format!("run: {APPLY}");
    match standing(theirs, ours) {
        Standing::Same => None,
        Standing::Older(mark) => Some(finding(
            Severity::Fault,
            &format!("of Trellis {mark}, which is older than this {version}"),
            "the API server drops the fields that it does not know",
            &apply,
        )),
        Standing::Differs(mark) => Some(finding(
            Severity::Fault,
            &format!("of another build of Trellis, {mark}"),
            "the API server drops the fields that it does not know",
            &apply,
        )),
        Standing::Newer(mark) => Some(finding(
            Severity::Warning,
            &format!("of Trellis {mark}, which is newer than this {version}"),
            "this version does not know all of its fields",
            "upgrade the operator to that version",
        )),
        Standing::Altered(mark, parts) => Some(finding(
            Severity::Fault,
            &format!("marked as of Trellis {mark}, with other {}", listed(&parts)),
            "somebody has applied another over it, by which fields are kept, dropped and refused",
            "run: trellis check --takeover, which keeps all objects",
        )),
        Standing::Foreign => {
            let (owner, remove) = owner(theirs);
            let fixed = fixed(theirs, ours);
            let then = if fixed.is_empty() {
                "then: trellis check --takeover, which keeps all objects".to_owned()
            } else {
                format!(
                    "then delete it, and with it all objects of its kind, which `kubectl get {name} \
                     --all-namespaces` shows, for the API server never changes its {}: kubectl \
                     delete crd {name}; then: trellis check --takeover",
                    listed(&fixed)
                )
            };
            Some(finding(
                Severity::Fatal,
                &format!("{owner}, not ours"),
                "two operators would take the same objects for theirs",
                &format!("use another cluster, or {remove}, {then}"),
            ))
        }
    }
}

fn listed(parts: &[Part]) -> String {
    parts.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
}

fn is_kubevelas(crd: &CustomResourceDefinition) -> bool {
    let short = crd.spec.names.short_names.iter().flatten().any(|name| name == "velaapp");
    let by_vela = crd.annotations().values().any(|value| value.starts_with("vela-system/"));
    // Its revisions have a name that says nothing; what their specs hold does.
    let definitions = serde_json::to_string(&crd.spec.versions).is_ok_and(|text| {
        text.contains("componentDefinitions") && text.contains("traitDefinitions")
    });
    short || by_vela || definitions
}

/// Whose a definition is that isn't ours, and how to be rid of them.
fn owner(crd: &CustomResourceDefinition) -> (String, String) {
    if is_kubevelas(crd) {
        return (
            "KubeVela's".into(),
            "remove KubeVela with: helm uninstall kubevela --namespace vela-system".into(),
        );
    }
    let annotations = crd.annotations();
    let release = annotations.get("meta.helm.sh/release-name");
    let namespace = annotations.get("meta.helm.sh/release-namespace");
    // Where our mark was left, so was the name of our release.
    if let (Some(release), Some(namespace), None) = (release, namespace, Mark::of(crd)) {
        return (
            format!("of Helm release {namespace}/{release}"),
            format!("remove that with: helm uninstall {release} --namespace {namespace}"),
        );
    }
    let written = crd.managed_fields().iter();
    let by_others = written.filter(|entry| entry.manager.as_deref() != Some("kube-apiserver"));
    let last = by_others.max_by_key(|entry| entry.time.clone());
    let manager = last.and_then(|entry| entry.manager.as_deref());
    (
        format!("somebody else's, written by {}", manager.unwrap_or("nobody who says so")),
        "stop what uses it".into(),
    )
}

fn stored(theirs: &CustomResourceDefinition, ours: &CustomResourceDefinition) -> Option<Finding> {
    let lacking = lacking(theirs, ours);
    if lacking.is_empty() {
        return None;
    }
    let name = ours.name_any();
    let versions = |names: &[String]| serde_json::to_string(names).unwrap_or_default();
    let kept: Vec<_> = ours.spec.versions.iter().map(|version| version.name.clone()).collect();
    Some(Finding {
        severity: Severity::Fault,
        what: format!(
            "objects of {name} may be stored as {}, which Trellis does not define",
            lacking.join(", ")
        ),
        why: "the API server refuses a definition that drops a stored version".into(),
        fix: format!(
            "have all written anew with: kubectl get {name} -A -o json | kubectl replace -f -, then \
             say so with: kubectl patch crd {name} --subresource=status --type=merge -p \
             '{{\"status\":{{\"storedVersions\":{}}}}}'",
            versions(&kept)
        ),
    })
}
