//! What taking over would change. Pure.
use std::fmt;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt;

use super::{
    Facts, Seen, api_services,
    crds::{Standing, fixed, lacking, standing},
    parts::{applied, differences},
};
use crate::api::crds;

/// One change that taking over makes.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// If it still is the one that was looked at.
    DeleteApiService { name: String, uid: Option<String> },
    /// Creates ours, or brings an older one of ours up to date.
    Apply(Box<CustomResourceDefinition>),
    /// Puts ours in the place of another's whole: what of theirs were left, such as a conversion
    /// webhook, would break ours. The object keeps its identity, and all of its kind stay.
    Replace(Box<CustomResourceDefinition>),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DeleteApiService { name, uid: _ } => write!(f, "deleted APIService {name}"),
            Self::Apply(crd) => write!(f, "applied CustomResourceDefinition {}", crd.name_any()),
            Self::Replace(crd) => {
                write!(f, "replaced CustomResourceDefinition {}", crd.name_any())
            }
        }
    }
}

/// The changes that `facts` call for. What the API server would refuse, and what only people can
/// decide, is left out; it stays a finding.
#[must_use]
pub fn steps(facts: &Facts) -> Vec<Step> {
    let service = |(name, seen): (&String, &Seen<_>)| match seen {
        Seen::Present(service) if api_services::hides(service) => {
            Some(Step::DeleteApiService { name: name.clone(), uid: service.metadata.uid.clone() })
        }
        Seen::Present(_) | Seen::Absent | Seen::Unknown(_) => None,
    };
    let definition = |ours: CustomResourceDefinition| match facts.crds.get(&ours.name_any()) {
        Some(Seen::Present(theirs)) => over(theirs, ours),
        Some(Seen::Absent) => Some(Step::Apply(Box::new(ours))),
        Some(Seen::Unknown(_)) | None => None,
    };
    facts
        .api_services
        .iter()
        .filter_map(service)
        .chain(crds().into_iter().filter_map(definition))
        .collect()
}

fn over(theirs: &CustomResourceDefinition, ours: CustomResourceDefinition) -> Option<Step> {
    let impossible = !lacking(theirs, &ours).is_empty() || !fixed(theirs, &ours).is_empty();
    if impossible || theirs.metadata.deletion_timestamp.is_some() {
        return None;
    }
    match standing(theirs, &ours) {
        Standing::Same | Standing::Newer(_) => None,
        Standing::Older(_) | Standing::Differs(_)
            if differences(&applied(theirs, &ours), &ours).is_empty() =>
        {
            Some(Step::Apply(Box::new(ours)))
        }
        Standing::Older(_) | Standing::Differs(_) | Standing::Altered(..) | Standing::Foreign => {
            let mut ours = ours;
            // Only of what was looked at.
            ours.metadata.uid.clone_from(&theirs.metadata.uid);
            ours.metadata.resource_version.clone_from(&theirs.metadata.resource_version);
            Some(Step::Replace(Box::new(ours)))
        }
    }
}
