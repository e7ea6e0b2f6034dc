use std::time::Duration;

use async_nats::{Client, ConnectOptions, jetstream};
use parts::{Auth, Nats, NatsClient, NatsOptions, NatsUser};

/// Options as a client's settings would give them, each part only if it is there.
async fn options(client: &NatsClient) -> ConnectOptions {
    let mut options = ConnectOptions::new().connection_timeout(Duration::from_secs(5));
    if let (Some(user), Some(password)) = (&client.user, &client.password) {
        options = options.user_and_password(user.clone(), password.clone());
    }
    if let Some(token) = &client.token {
        options = options.token(token.clone());
    }
    if let Some(seed) = &client.nkey_seed {
        options = options.nkey(seed.clone());
    }
    if let Some(credentials) = &client.credentials {
        options = options.credentials_file(credentials).await.unwrap();
    }
    if let Some(authority) = &client.authority {
        options = options.add_root_certificates(authority.clone()).require_tls(true);
    }
    if let Some(identity) = &client.identity {
        options =
            options.add_client_certificate(identity.certificate.clone(), identity.key.clone());
    }
    options
}

/// Proves that a connection is one: writes a key to JetStream, as hosts do.
async fn uses_jetstream(client: Client) {
    let config = jetstream::kv::Config { bucket: "probe".to_owned(), ..Default::default() };
    let store = jetstream::new(client).create_key_value(config).await.unwrap();
    store.put("key", "value".into()).await.unwrap();
    assert_eq!(store.get("key").await.unwrap().unwrap(), "value");
}

async fn lets_in_only_those_with(auth: Auth) {
    let nats = Nats::start(NatsOptions { auth, ..NatsOptions::default() }).unwrap();
    let client = options(nats.client()).await.connect(nats.url()).await.unwrap();
    uses_jetstream(client).await;

    let stranger = NatsClient {
        // Whoever talks TLS has to trust the server; what is checked is the rest.
        authority: nats.client().authority.clone().filter(|_| auth == Auth::MutualTls),
        ..NatsClient::default()
    };
    let refused = options(&stranger).await.connect(nats.url()).await;
    assert!(refused.is_err(), "{auth:?} let a stranger in");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_server_lets_everybody_in() {
    let nats = Nats::start(NatsOptions::default()).unwrap();
    uses_jetstream(async_nats::connect(nats.url()).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_lets_in() {
    lets_in_only_those_with(Auth::Password).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_lets_in() {
    lets_in_only_those_with(Auth::Token).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_nkey_lets_in() {
    lets_in_only_those_with(Auth::NKey).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_of_the_operators_account_let_in() {
    lets_in_only_those_with(Auth::Jwt).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trust_in_the_servers_certificate_lets_in() {
    lets_in_only_those_with(Auth::Tls).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_lets_in() {
    lets_in_only_those_with(Auth::MutualTls).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_message_is_as_asked() {
    let nats = Nats::start(NatsOptions { max_payload: Some(4096), ..NatsOptions::default() });
    let nats = nats.unwrap();
    let client = async_nats::connect(nats.url()).await.unwrap();
    assert_eq!(client.server_info().max_payload, 4096);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_server_keeps_its_port_and_its_store() {
    let mut nats = Nats::start(NatsOptions::default()).unwrap();
    let url = nats.url().to_owned();
    uses_jetstream(async_nats::connect(&url).await.unwrap()).await;

    nats.restart().unwrap();

    assert_eq!(nats.url(), url);
    let context = jetstream::new(async_nats::connect(&url).await.unwrap());
    let store = context.get_key_value("probe").await.unwrap();
    assert_eq!(store.get("key").await.unwrap().unwrap(), "value");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_server_answers_when_it_is_resumed() {
    let nats = Nats::start(NatsOptions::default()).unwrap();
    let client = async_nats::connect(nats.url()).await.unwrap();

    nats.pause().unwrap();
    let flushed = tokio::time::timeout(Duration::from_millis(300), client.flush()).await;
    let answered = tokio::time::timeout(Duration::from_millis(300), client.request("x", "".into()));
    assert!(flushed.is_ok_and(|flushed| flushed.is_ok()), "a flush only reaches the socket");
    assert!(answered.await.is_err(), "nobody answers");

    nats.resume().unwrap();
    // No responders: an answer of the server itself.
    let answered = tokio::time::timeout(Duration::from_secs(5), client.request("x", "".into()));
    assert!(answered.await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_may_do_what_it_may_and_everybody_else_all() {
    let user = NatsUser {
        name: "u".to_owned(),
        password: "p".to_owned(),
        publish: vec!["may".to_owned()],
        subscribe: vec!["_INBOX.>".to_owned()],
    };
    let options = NatsOptions { users: vec![user], ..NatsOptions::default() };
    let nats = Nats::start(options).unwrap();
    let everybody = async_nats::connect(nats.url()).await.unwrap();
    uses_jetstream(everybody).await;
    assert!(!nats.log().contains("Violation"), "{}", nats.log());

    let limited = ConnectOptions::new().user_and_password("u".to_owned(), "p".to_owned());
    let limited = limited.connect(nats.url()).await.unwrap();
    limited.publish("may-not", "".into()).await.unwrap();
    // No responders: the server has come that far.
    limited.request("may", "".into()).await.unwrap_err();
    assert!(nats.log().contains("Publish Violation"), "{}", nats.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_jetstream_says_so() {
    let options = NatsOptions { without_jetstream: true, ..NatsOptions::default() };
    let nats = Nats::start(options).unwrap();
    let client = async_nats::connect(nats.url()).await.unwrap();
    assert!(!client.server_info().jetstream);
}
