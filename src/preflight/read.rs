//! Looks at the cluster; changes nothing.
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    time::Duration,
};

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::{
    authentication::v1::SelfSubjectReview,
    authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec},
};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, PostParams},
};
use serde::de::DeserializeOwned;

use super::{Facts, Place, Right, Scope, Seen, rights};
use crate::api::{CLASS, Lattice, crds};

/// Questions under way at a time.
const AT_ONCE: usize = 8;
/// All of it; an API server that is well takes a fraction of a second.
const LONGEST: Duration = Duration::from_secs(30);

/// Why the cluster could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not ask the API server for {what}")]
    Ask { what: String, source: Box<kube::Error> },
    #[error("the API server did not answer within {} s", LONGEST.as_secs())]
    TimedOut,
}

/// Everything that [`super::findings`] and [`super::steps`] go by.
pub async fn read(kube: &Client, scope: &Scope) -> Result<Facts, Error> {
    tokio::time::timeout(LONGEST, look(kube, scope)).await.map_err(|_| Error::TimedOut)?
}

async fn look(kube: &Client, scope: &Scope) -> Result<Facts, Error> {
    let ours = crds();
    let mut definitions = BTreeMap::new();
    let mut groups = BTreeSet::new();
    for crd in &ours {
        let name = crd.name_any();
        definitions.insert(name.clone(), seen(&Api::all(kube.clone()), &name).await?);
        let versions = crd.spec.versions.iter().map(|version| &version.name);
        groups.extend(versions.map(|version| format!("{version}.{}", crd.spec.group)));
    }
    let mut api_services = BTreeMap::new();
    for name in groups {
        let service = seen(&Api::all(kube.clone()), &name).await?;
        api_services.insert(name, service);
    }
    let secrets = secrets(kube, scope.class.as_ref()).await?;
    let rights = stream::iter(rights(scope, &secrets))
        .map(|right| async {
            let held = held(kube, &right).await?;
            Ok((right, held))
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    Ok(Facts { crds: definitions, api_services, rights, user: user(kube).await })
}

async fn seen<K>(api: &Api<K>, name: &str) -> Result<Seen<K>, Error>
where
    K: kube::Resource + Clone + DeserializeOwned + Debug,
{
    match api.get_opt(name).await {
        Ok(Some(found)) => Ok(Seen::Present(found)),
        Ok(None) => Ok(Seen::Absent),
        Err(kube::Error::Api(status)) if status.is_forbidden() => {
            Ok(Seen::Unknown(status.message.as_str().into()))
        }
        Err(source) => Err(Error::Ask { what: name.into(), source: Box::new(source) }),
    }
}

/// The Secrets that our Lattices name; none where Lattices can't be listed, which the rights tell.
async fn secrets(kube: &Client, class: Option<&String>) -> Result<Vec<String>, Error> {
    let lattices = match Api::<Lattice>::all(kube.clone()).list(&ListParams::default()).await {
        Ok(lattices) => lattices.items,
        Err(kube::Error::Api(_)) => Vec::new(),
        Err(source) => {
            return Err(Error::Ask { what: "lattices".into(), source: Box::new(source) });
        }
    };
    let ours = lattices.into_iter().filter(|l| l.annotations().get(CLASS) == class);
    let named = ours.filter_map(|l| l.spec.nats.credentials_secret);
    let distinct: BTreeSet<_> = named.map(|secret| secret.name).collect();
    Ok(distinct.into_iter().collect())
}

async fn held(kube: &Client, right: &Right) -> Result<Seen<()>, Error> {
    let (resource, subresource) = match right.resource.split_once('/') {
        Some((resource, sub)) => (resource, Some(sub.to_owned())),
        None => (right.resource, None),
    };
    let attributes = ResourceAttributes {
        group: Some(right.group.into()),
        resource: Some(resource.into()),
        subresource,
        verb: Some(right.verb.into()),
        name: right.name.clone(),
        namespace: match &right.place {
            Place::Cluster => None,
            Place::Namespace(name) => Some(name.clone()),
        },
        ..ResourceAttributes::default()
    };
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let api = Api::<SelfSubjectAccessReview>::all(kube.clone());
    match api.create(&PostParams::default(), &review).await {
        Ok(review) => Ok(if review.status.is_some_and(|status| status.allowed) {
            Seen::Present(())
        } else {
            Seen::Absent
        }),
        Err(kube::Error::Api(status)) => Ok(Seen::Unknown(status.message.as_str().into())),
        Err(source) => Err(Error::Ask { what: "our rights".into(), source: Box::new(source) }),
    }
}

/// Who we are; nothing depends on it but words.
async fn user(kube: &Client) -> Option<String> {
    let api = Api::<SelfSubjectReview>::all(kube.clone());
    let review = api.create(&PostParams::default(), &SelfSubjectReview::default()).await.ok()?;
    review.status?.user_info?.username
}
