//! `/healthz`, `/readyz` and `/metrics`.
use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use prometheus_client::{encoding::text::encode, registry::Registry};
use tokio::sync::watch;

/// What the endpoints report.
#[derive(Debug, Clone)]
pub struct Health {
    pub registry: Arc<Registry>,
    /// Whether everything has been listed once.
    pub ready: watch::Receiver<bool>,
}

/// The three endpoints.
pub fn router(health: Health) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(health)
}

async fn ready(State(health): State<Health>) -> Response {
    if *health.ready.borrow() {
        "ok".into_response()
    } else {
        let why = "still listing Applications and Lattices";
        (StatusCode::SERVICE_UNAVAILABLE, why).into_response()
    }
}

/// OpenMetrics 1.0 text.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

async fn metrics(State(health): State<Health>) -> Response {
    let mut text = String::new();
    match encode(&mut text, &health.registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn readiness_waits_for_the_first_listing() {
        let (sender, ready) = watch::channel(false);
        let router = router(Health { registry: Arc::default(), ready });
        let status = async || {
            let request = Request::get("/readyz").body(Body::empty()).unwrap();
            router.clone().oneshot(request).await.unwrap().status()
        };
        assert_eq!(status().await, StatusCode::SERVICE_UNAVAILABLE);
        sender.send_replace(true);
        assert_eq!(status().await, StatusCode::OK);
    }
}
