//! What a cluster shows of what the operator needs.
use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::{
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    kube_aggregator::pkg::apis::apiregistration::v1::APIService,
};

use super::Right;

/// What is there of a thing that was looked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen<T> {
    Present(T),
    Absent,
    /// It may not be looked at; why, in the API server's words.
    Unknown(Arc<str>),
}

/// What the operator is to work on, and from where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// The only namespaces whose Applications it acts on; none means all.
    pub watched: Vec<String>,
    /// Its own, with the Secrets of Lattices.
    pub own: String,
    /// Which installation's Lattices are ours; `None`: those that name none.
    pub class: Option<String>,
    /// The Lease that its replicas share; `None` if it is the only one.
    pub lease: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// By name, those that have the names of ours.
    pub crds: BTreeMap<String, Seen<CustomResourceDefinition>>,
    /// By name, those of our groups and versions.
    pub api_services: BTreeMap<String, Seen<APIService>>,
    /// Whether we have each right; `Absent` if not.
    pub rights: Vec<(Right, Seen<()>)>,
    /// Who the API server takes us for; `None` if it doesn't say.
    pub user: Option<String>,
}
