//! A secrets backend: answers hosts over NATS, encrypted, and remembers who asked for what.
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_nats::{Client, HeaderMap, Message};
use futures::StreamExt;
use nkeys::XKey;
use serde_json::{Value, json};

use super::TOPIC;

/// Who asks, so that nobody else can read the answer.
const ASKING: &str = "WasmCloud-Host-Xkey";
/// Who answered; there is none where the answer is an error in the clear.
const ANSWERING: &str = "Server-Response-Xkey";

/// What a host asked for, and on whose behalf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) key: String,
    pub(super) field: Value,
    pub(super) version: Value,
    /// `component` or `provider`, by the signature that the host found.
    pub(super) by: &'static str,
    pub(super) application: Value,
    pub(super) policy: Value,
}

pub(super) struct Backend(Arc<Mutex<Vec<Asked>>>);

impl Backend {
    /// Answers as `name` until the test ends, with the secrets that it has by key.
    pub(super) async fn start(nats: &str, name: &str, secrets: &[(&str, &str)]) -> Self {
        let client = async_nats::connect(nats).await.unwrap();
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let secrets: BTreeMap<_, _> = secrets.iter().map(own).collect();
        let asked = Arc::new(Mutex::default());
        let subject = format!("{TOPIC}.v1alpha1.{name}.*");
        let mut requests = client.subscribe(subject).await.unwrap();
        client.flush().await.unwrap();
        let backend = Self(Arc::clone(&asked));
        tokio::spawn(async move {
            let own = XKey::new();
            while let Some(request) = requests.next().await {
                let answered = if request.subject.ends_with(".server_xkey") {
                    let reply = request.reply.unwrap();
                    client.publish(reply, own.public_key().into()).await
                } else {
                    answer(&client, &own, &secrets, &asked, request).await
                };
                answered.unwrap();
            }
        });
        backend
    }

    /// All that was asked since the start.
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn answer(
    client: &Client,
    own: &XKey,
    secrets: &BTreeMap<String, String>,
    asked: &Mutex<Vec<Asked>>,
    request: Message,
) -> Result<(), async_nats::PublishError> {
    let asking = request.headers.unwrap().get(ASKING).unwrap().as_str().to_owned();
    let asking = XKey::from_public_key(&asking).unwrap();
    let body = own.open(&request.payload, &asking).unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    let reply = request.reply.unwrap();
    let said = read(&body);
    let found = secrets.get(&said.key);
    asked.lock().unwrap_or_else(PoisonError::into_inner).push(said);
    let Some(value) = found else {
        return client
            .publish(reply, json!({ "error": "SecretNotFound" }).to_string().into())
            .await;
    };
    let secret = json!({
        "secret": { "version": "1", "string_secret": value, "binary_secret": null }
    });
    let answering = XKey::new();
    let sealed = answering.seal(secret.to_string().as_bytes(), &asking).unwrap();
    let mut headers = HeaderMap::new();
    headers.insert(ANSWERING, answering.public_key().as_str());
    client.publish_with_headers(reply, headers, sealed.into()).await
}

fn read(body: &Value) -> Asked {
    let context = &body["context"];
    let policy = context["application"]["policy"].as_str().unwrap();
    Asked {
        key: body["key"].as_str().unwrap().to_owned(),
        field: body["field"].clone(),
        version: body["version"].clone(),
        by: match subject(context["entity_jwt"].as_str().unwrap()).as_bytes()[0] {
            b'M' => "component",
            b'V' => "provider",
            other => panic!("a key that begins with {other}"),
        },
        application: context["application"]["name"].clone(),
        policy: serde_json::from_str(policy).unwrap(),
    }
}

/// Whose a token is.
fn subject(token: &str) -> String {
    let claims = token.split('.').nth(1).unwrap();
    let claims = data_encoding::BASE64URL_NOPAD.decode(claims.as_bytes()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    claims["sub"].as_str().unwrap().to_owned()
}
