//! A secrets backend that answers when it is told to.

use async_nats::{Client, HeaderMap, Subscriber};
use futures::StreamExt;
use nkeys::XKey;
use serde_json::json;

/// What the subjects of the tests' backends begin with.
pub(super) const TOPIC: &str = "wasmcloud.secrets";

/// What a config has to be to refer to a secret of the backend.
pub(super) fn reference() -> serde_json::Value {
    let policy = json!({"type": "properties.secret.wasmcloud.dev/v1alpha1", "properties": {}});
    json!({
        "name": "SECRET_s", "type": "secret.wasmcloud.dev/v1alpha1", "backend": "tests", "key": "k",
        "policy": policy.to_string(),
    })
}

pub(super) struct Backend {
    client: Client,
    key: XKey,
    requests: Subscriber,
}

impl Backend {
    pub(super) async fn start(nats: &str) -> Self {
        let client = async_nats::connect(nats).await.unwrap();
        let requests = client.subscribe(format!("{TOPIC}.v1alpha1.tests.*")).await.unwrap();
        simhost::round_trip(&client).await;
        Self { client, key: XKey::new(), requests }
    }

    /// The next request that a host makes. It waits, as does whatever it is for.
    pub(super) async fn asked(&mut self) -> async_nats::Message {
        self.requests.next().await.unwrap()
    }

    /// Answers `request`; whether that was with a secret, and not with the backend's own key.
    pub(super) async fn answer(&self, request: async_nats::Message) -> bool {
        let reply = request.reply.unwrap();
        let Some(asking) = request.headers.as_ref().and_then(|it| it.get("WasmCloud-Host-Xkey"))
        else {
            self.client.publish(reply, self.key.public_key().into()).await.unwrap();
            return false;
        };
        let asking = XKey::from_public_key(asking.as_str()).unwrap();
        let secret = json!({
            "secret": {"version": "1", "string_secret": "hush", "binary_secret": null}
        });
        let sealed = self.key.seal(secret.to_string().as_bytes(), &asking).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("Server-Response-Xkey", self.key.public_key().as_str());
        self.client.publish_with_headers(reply, headers, sealed.into()).await.unwrap();
        true
    }

    /// Answers until a secret has been given out.
    pub(super) async fn give(&mut self) {
        loop {
            let request = self.asked().await;
            if self.answer(request).await {
                return;
            }
        }
    }
}
