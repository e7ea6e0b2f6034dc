//! Whether the API server serves our kinds itself, or has somebody else answer for them.
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::ResourceExt;

use super::{Facts, Finding, Seen, Severity};

/// What the API server labels those with that it keeps itself, for CustomResourceDefinitions.
const MANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";

pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let finding = |(name, seen): (&String, &Seen<APIService>)| match seen {
        Seen::Absent => None,
        Seen::Present(service) => hidden(service),
        Seen::Unknown(why) => Some(Finding {
            severity: Severity::Unknown,
            what: format!("APIService {name} could not be looked at"),
            why: format!("{why}; one that wasmcloud-operator left would hide our definitions"),
            fix: format!("look with: kubectl get apiservice {name} -o yaml"),
        }),
    };
    facts.api_services.iter().filter_map(finding).collect()
}

/// Whether requests go to somebody else's service, whatever definitions there are.
pub(super) fn hides(service: &APIService) -> bool {
    let labels = service.metadata.labels.as_ref();
    let managed = labels.is_some_and(|labels| labels.contains_key(MANAGED));
    let elsewhere = service.spec.as_ref().is_some_and(|spec| spec.service.is_some());
    elsewhere && !managed
}

/// What is said of one that hides our definitions; `None` if it doesn't.
#[must_use]
pub fn hidden(service: &APIService) -> Option<Finding> {
    let name = service.name_any();
    let to = service.spec.as_ref().and_then(|spec| spec.service.as_ref());
    let part = |part: Option<&String>| part.cloned().unwrap_or_default();
    let (namespace, of) = to
        .map_or_else(Default::default, |to| (part(to.namespace.as_ref()), part(to.name.as_ref())));
    hides(service).then(|| Finding {
        severity: Severity::Fatal,
        what: format!(
            "APIService {name} sends requests to Service {namespace}/{of}, as wasmcloud-operator's \
             does, which stays when that is uninstalled"
        ),
        why: "the API server does not serve our definitions while it exists".into(),
        fix: format!(
            "remove wasmcloud-operator if it still runs, for it would write it again, then: \
             kubectl delete apiservice {name}, or: trellis check --takeover"
        ),
    })
}
