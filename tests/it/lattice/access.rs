use std::{collections::BTreeMap, path::Path, sync::Arc};

use parts::{Auth, NatsClient, NatsOptions};
use tokio::sync::mpsc;
use trellis::{
    lattice::{
        access::Credentials,
        fence::Fence,
        watch::{Handle, watch},
    },
    model::Gate,
};

use super::world::{settings, start_nats, until};

fn read(file: &Path) -> Vec<u8> {
    std::fs::read(file).unwrap()
}

/// The Secret that a user would write for this server.
fn secret(client: &NatsClient) -> BTreeMap<String, Vec<u8>> {
    let text = |text: &Option<String>| text.as_ref().map(|text| text.as_bytes().to_vec());
    let entries = [
        ("user", text(&client.user)),
        ("password", text(&client.password)),
        ("token", text(&client.token)),
        ("nkey", text(&client.nkey_seed)),
        ("creds", client.credentials.as_deref().map(read)),
        ("ca.crt", client.authority.as_deref().map(read)),
        ("tls.crt", client.identity.as_ref().map(|identity| read(&identity.certificate))),
        ("tls.key", client.identity.as_ref().map(|identity| read(&identity.key))),
    ];
    entries.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}

async fn connects(auth: Auth) {
    let nats = start_nats(NatsOptions { auth, ..NatsOptions::default() }).await;
    let credentials = Credentials::from_secret(&secret(nats.client())).unwrap();
    let (tell, mut changes) = mpsc::channel(16);
    let handle = watch(settings(nats.url(), credentials), Arc::new(Fence::open()), tell);
    until(&handle, &mut changes, "the lattice to be open", |o| o.gate.may_remove()).await;
    assert!(handle.health().server.is_some());
    handle.stop().await;
}

/// What is said of a connection with these credentials, once it says `expected`.
async fn says(auth: Auth, credentials: Credentials, expected: &str) -> (parts::Nats, Handle) {
    let nats = start_nats(NatsOptions { auth, ..NatsOptions::default() }).await;
    let (tell, mut changes) = mpsc::channel(16);
    let handle = watch(settings(nats.url(), credentials), Arc::new(Fence::open()), tell);
    let why = |gate: &Gate| match gate {
        Gate::Disconnected { why } => why.to_string(),
        other => other.to_string(),
    };
    let url = nats.url().to_owned();
    until(&handle, &mut changes, expected, |o| {
        let why = why(&o.gate);
        why.starts_with(&url) && why.contains(expected)
    })
    .await;
    (nats, handle)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_credentials() {
    connects(Auth::None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_password() {
    connects(Auth::Password).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_token() {
    connects(Auth::Token).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_an_nkey() {
    connects(Auth::NKey).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_creds() {
    connects(Auth::Jwt).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_with_a_ca() {
    connects(Auth::Tls).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_with_a_client_certificate() {
    connects(Auth::MutualTls).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_credentials_say_so_and_right_ones_mend_it() {
    let wrong = BTreeMap::from([
        ("user".to_owned(), b"trellis".to_vec()),
        ("password".to_owned(), b"wrong".to_vec()),
    ]);
    let wrong = Credentials::from_secret(&wrong).unwrap();
    let (nats, handle) = says(Auth::Password, wrong, "authorization violation").await;
    let right = Credentials::from_secret(&secret(nats.client())).unwrap();
    handle.update(settings(nats.url(), right)).await;
    let waiting = async {
        while !handle.observed().gate.may_remove() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(super::world::PATIENCE, waiting).await.expect("connected");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_authority_is_named() {
    says(Auth::Tls, Credentials::default(), "UnknownIssuer").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_there_is_named() {
    let (tell, mut changes) = mpsc::channel(16);
    let handle = watch(
        settings("nats://127.0.0.1:9", Credentials::default()),
        Arc::new(Fence::open()),
        tell,
    );
    let refused = |gate: &Gate| gate.to_string().contains("nats://127.0.0.1:9: ");
    until(&handle, &mut changes, "the reason", |o| refused(&o.gate)).await;
    let text = handle.observed().gate.to_string();
    assert!(text.contains("refused"), "{text}");
}
