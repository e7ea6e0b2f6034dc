//! A Kubernetes client that changes nothing while another replica leads.
//!
//! Passes ask whether they may act when they begin, and may be paused after that. So each request
//! is looked at once more when it goes out, whoever makes it: for a status, an event, a finalizer.
use std::sync::Arc;

use axum::http::{Method, Request};
use kube::{Client, client::Body};
use tower::{BoxError, service_fn};

use crate::lattice::{clock, fence::Fence};

/// Why a request was not made.
#[derive(Debug, thiserror::Error)]
#[error("this replica does not lead")]
struct NotLeading;

/// `kube`, but for requests that change something while `fence` is closed: they fail.
#[must_use]
pub(super) fn fenced(kube: Client, fence: Arc<Fence>) -> Client {
    let namespace = kube.default_namespace().to_owned();
    let service = service_fn(move |request: Request<Body>| {
        let kube = kube.clone();
        let allowed = request.method() == Method::GET || fence.allows(clock::now());
        async move {
            if !allowed {
                return Err(BoxError::from(NotLeading));
            }
            kube.send(request).await.map_err(BoxError::from)
        }
    });
    Client::new(service, namespace)
}

#[must_use]
pub(super) fn is_not_leading(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Service(error) if error.is::<NotLeading>())
}

#[cfg(test)]
mod tests {
    use axum::http::Response;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::{
        Api,
        api::{DeleteParams, PostParams},
    };

    use super::*;

    /// An API server that answers everything with an object.
    fn server() -> Client {
        let service = service_fn(|_: Request<Body>| async {
            let object = br#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}"#;
            Ok::<_, BoxError>(Response::new(Body::from(object.to_vec())))
        });
        Client::new(service, "default")
    }

    #[tokio::test]
    async fn who_does_not_lead_may_only_read() {
        let fence = Arc::new(Fence::closed());
        let api: Api<ConfigMap> = Api::default_namespaced(fenced(server(), Arc::clone(&fence)));
        api.get("a").await.unwrap();
        let create = async || api.create(&PostParams::default(), &ConfigMap::default()).await;
        assert!(is_not_leading(&create().await.unwrap_err()));
        let delete = api.delete("a", &DeleteParams::default()).await;
        assert!(is_not_leading(&delete.unwrap_err()));
        fence.open_until(clock::now() + std::time::Duration::from_mins(1));
        create().await.unwrap();
    }
}
