//! A lattice that can't be used says which of all possible causes it is, and what to do.
use std::{collections::BTreeMap, fs, io::Write as _, net::TcpListener};

use futures::{StreamExt, future::join_all};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, api::DeleteParams, runtime::watcher};
use parts::{Auth, Nats, NatsOptions};
use serde_json::{Value, json};
use simhost::{HostOptions, LatticeOptions, SimLattice};
use trellis::api::{Condition, ConditionStatus, Lattice};

use super::{
    lattices::{nats, nats_with, put, put_secret, put_with_secret, secret},
    simulated::{SHOP, lattice},
    stage::{CLUSTER, NATS_USER, Stage},
};
use crate::permissions::documented;

/// Waits until a condition of the Lattice has `reason`: what it says then.
async fn gives(stage: &Stage, name: &str, condition: &str, reason: &str) -> Condition {
    let waiting = async {
        let api = Api::<Lattice>::all(stage.kube.clone());
        let mut seen = std::pin::pin!(watcher::watch_object(api, name));
        loop {
            let Some(Ok(Some(lattice))) = seen.next().await else { continue };
            let conditions = lattice.status.unwrap_or_default().conditions;
            let mut named = conditions.into_iter().filter(|c| c.type_ == condition);
            if let Some(found) = named.next().filter(|c| c.reason.as_deref() == Some(reason)) {
                return found;
            }
        }
    };
    stage.wait(&format!("{name} to say {condition}: {reason}"), waiting).await
}

/// A Lattice with this `spec.nats`, which must come to say so.
struct Case {
    name: &'static str,
    nats: Value,
    secret: BTreeMap<&'static str, String>,
    reason: &'static str,
    says: String,
}

impl Case {
    fn new(name: &'static str, nats: Value, reason: &'static str, says: &str) -> Self {
        Self { name, nats, secret: BTreeMap::new(), reason, says: says.into() }
    }

    /// With a Secret of its own, that holds this.
    fn with(mut self, secret: BTreeMap<&'static str, String>) -> Self {
        self.nats["credentialsSecret"] = json!({ "name": format!("diagnosis-{}", self.name) });
        self.secret = secret;
        self
    }
}

/// Somebody who answers, and is no NATS server.
fn stranger() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            // Whoever has gone by now has learnt enough.
            let _ = stream.unwrap().write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    format!("nats://{address}")
}

struct Servers {
    open: Nats,
    token: Nats,
    tls: Nats,
    mutual: Nats,
}

fn cases(servers: &Servers) -> Vec<Case> {
    let at = |url: &str| json!({ "urls": [url] });
    let Servers { open, token, tls, mutual } = servers;
    let one = |key: &'static str, value: &str| BTreeMap::from([(key, value.to_owned())]);
    let authority = |nats: &Nats| {
        let file = nats.client().authority.as_ref().unwrap();
        one("ca.crt", &fs::read_to_string(file).unwrap())
    };
    let secret = "Secret diagnosis-";
    vec![
        Case::new("missing", at(token.url()), "CredentialsMissing", "credentialsSecret"),
        Case::new("wrong", at(token.url()), "CredentialsRejected", &format!("{secret}wrong"))
            .with(one("token", "wrong")),
        Case::new("bad", at(token.url()), "CredentialsUnusable", "nkey is not a user's seed")
            .with(one("nkey", "SUNONSENSE")),
        Case::new(
            "no-secret",
            json!({ "urls": [token.url()], "credentialsSecret": { "name": "none" } }),
            "SecretNotFound",
            "Secret diagnosis/none does not exist; create it",
        ),
        Case::new("no-ca", at(tls.url()), "CertificateNotTrusted", "ca.crt of a Secret"),
        Case::new("wrong-ca", at(tls.url()), "CertificateNotTrusted", &format!("{secret}wrong-ca"))
            .with(authority(mutual)),
        Case::new("no-client", at(mutual.url()), "ClientCertificateRejected", "tls.crt")
            .with(authority(mutual)),
        Case::new(
            "no-tls",
            json!({ "urls": [open.url()], "tls": { "required": true } }),
            "TlsNotOffered",
            "tls.required",
        ),
        Case::new(
            "no-name",
            at("nats://no-such-server.invalid:4222"),
            "ServerNotFound",
            "nats://no-such-server.invalid:4222: ",
        ),
        Case::new("nowhere", at("nats://127.0.0.1:2"), "ServerUnreachable", "nats://127.0.0.1:2: "),
        Case::new("stranger", at(&stranger()), "NotNats", "does not answer as NATS does: "),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_cause_of_having_no_connection_is_told_and_keeps_nobody_from_being_ready() {
    let servers = Servers {
        open: nats(Auth::None).await,
        token: nats(Auth::Token).await,
        tls: nats(Auth::Tls).await,
        mutual: nats(Auth::MutualTls).await,
    };
    let cases = cases(&servers);
    let named = cases.iter().filter_map(|case| case.nats["credentialsSecret"]["name"].as_str());
    let stage = Stage::set("diagnosis").await.with_secrets(&named.collect::<Vec<_>>());
    for case in &cases {
        let name = format!("diagnosis-{}", case.name);
        if !case.secret.is_empty() {
            put_secret(&stage, &name, &case.secret).await;
        }
        put(&stage, &name, &json!({}), &case.nats).await;
    }
    // Ready, with not one lattice that it could reach.
    stage.start_operator().await;
    let url = format!("{}/readyz", stage.operator_url());
    let (status, _) = tokio::task::block_in_place(|| parts::http::get(&url).unwrap());
    assert_eq!(status, 200);

    join_all(cases.iter().map(|case| async {
        let name = format!("diagnosis-{}", case.name);
        for condition in ["Connected", "Synced", "Ready"] {
            let told = gives(&stage, &name, condition, case.reason).await;
            assert_eq!(told.status, ConditionStatus::False);
            let message = told.message.unwrap();
            assert!(message.contains(&case.says), "{name}: {message}");
        }
    }))
    .await;
    let log = stage.log();
    assert!(log.contains("nats://127.0.0.1:2: "), "{log}");
    event(&stage, "diagnosis-nowhere", "ServerUnreachable").await;
}

/// Waits until there is an event of this reason on the Lattice.
async fn event(stage: &Stage, lattice: &str, reason: &str) {
    let fields = format!("--field-selector=involvedObject.name={lattice},reason={reason}");
    let waiting = async {
        let told = || CLUSTER.kubectl(&["get", "events", "--output=name", &fields], None).unwrap();
        while tokio::task::block_in_place(told).is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    };
    stage.wait(&format!("an event {reason}"), waiting).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permission_that_lacks_is_named_until_it_is_granted() {
    let stage = Stage::set("denied").await.with_secrets(&["denied-mute", "denied-deaf"]);
    let lacks = |name: &str, subject: &str| {
        let mut user = documented();
        user.name = name.into();
        user.publish.retain(|other| other != subject);
        user.subscribe.retain(|other| other != subject);
        user
    };
    let (ping, events) = ("wasmbus.ctl.v1.default.host.ping", "wasmbus.evt.default.*");
    let users = vec![lacks("mute", ping), lacks("deaf", events), documented()];
    let nats = nats_with(NatsOptions { users, ..NatsOptions::default() }).await;
    let user = |name: &str| {
        BTreeMap::from([("user", name.to_owned()), ("password", documented().password)])
    };
    put_with_secret(&stage, "denied-mute", nats.url(), &user("mute")).await;
    put_with_secret(&stage, "denied-deaf", nats.url(), &user("deaf")).await;
    stage.start_operator().await;
    let told = gives(&stage, "denied-mute", "Ready", "PermissionDenied").await;
    assert!(told.message.unwrap().contains(&format!("may not publish {ping};")));
    let told = gives(&stage, "denied-deaf", "Ready", "PermissionDenied").await;
    assert!(told.message.unwrap().contains(&format!("may not subscribe {events};")));
    event(&stage, "denied-deaf", "PermissionDenied").await;

    // With another user, and hosts, it is well.
    put_secret(&stage, "denied-deaf", &user(&documented().name)).await;
    gives(&stage, "denied-deaf", "Ready", "NoHosts").await;
    let sim = SimLattice::start(nats.url(), LatticeOptions::default()).await.unwrap();
    sim.add_host(HostOptions::default()).await.unwrap();
    gives(&stage, "denied-deaf", "Ready", "Ready").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lattice_without_hosts_says_so_and_whether_there_could_be_any() {
    let stage = Stage::start("hostless").await;
    let options = NatsOptions { without_jetstream: true, ..NatsOptions::default() };
    let without_jetstream = nats_with(options).await;
    let at = json!({ "urls": [without_jetstream.url()] });
    put(&stage, "hostless-stream", &json!({}), &at).await;
    let told = gives(&stage, "hostless", "Ready", "NoHosts").await;
    assert!(told.message.unwrap().contains("wasmbus.ctl.v1.default.host.ping"));
    gives(&stage, "hostless", "Connected", "Connected").await;
    let told = gives(&stage, "hostless-stream", "Ready", "JetStreamMissing").await;
    assert!(told.message.unwrap().contains("turn JetStream on"));
    event(&stage, "hostless-stream", "JetStreamMissing").await;

    let sim = lattice(&stage, 1).await;
    gives(&stage, "hostless", "Ready", "Ready").await;
    sim.hosts()[0].stop().await;
    gives(&stage, "hostless", "Ready", "NoHosts").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_the_server_no_longer_takes_are_told_from_a_server_that_is_gone() {
    let stage = Stage::set("revoked").await.with_secrets(&["revoked"]);
    let mut nats = nats(Auth::Token).await;
    put_with_secret(&stage, "revoked", nats.url(), &secret(nats.client())).await;
    stage.start_operator().await;
    gives(&stage, "revoked", "Connected", "Connected").await;
    tokio::task::block_in_place(|| nats.stop().unwrap());
    // For a lattice that was well, a short loss is a blip.
    gives(&stage, "revoked", "Connected", "ServerUnreachable").await;
    let wrong = BTreeMap::from([("token", "wrong".to_owned())]);
    put_secret(&stage, "revoked", &wrong).await;
    tokio::task::block_in_place(|| nats.restart().unwrap());
    gives(&stage, "revoked", "Connected", "CredentialsRejected").await;
    put_secret(&stage, "revoked", &secret(nats.client())).await;
    gives(&stage, "revoked", "Connected", "Connected").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_deleted_takes_nothing_from_a_lattice_that_works() {
    let stage = Stage::start("bereft").await;
    let sim = lattice(&stage, 1).await;
    let shop = SHOP.replace("NAME", "shop");
    stage.apply(&shop).await;
    stage.settled("shop").await;
    let secrets = Api::<Secret>::namespaced(stage.kube.clone(), "bereft");
    secrets.delete(NATS_USER, &DeleteParams::default()).await.unwrap();
    let told = gives(&stage, "bereft", "CredentialsKept", "SecretNotFound").await;
    assert!(told.message.unwrap().starts_with("Secret bereft/nats does not exist; create it"));
    event(&stage, "bereft", "SecretNotFound").await;
    gives(&stage, "bereft", "Ready", "Ready").await;
    stage.apply(&shop.replace("instances: 2", "instances: 3")).await;
    stage.settled("shop").await;
    assert_eq!(sim.instances("bereft-shop-web"), 3);

    // What is written into it next is used.
    put_secret(&stage, NATS_USER, &BTreeMap::new()).await;
    gives(&stage, "bereft", "CredentialsKept", "SecretIncomplete").await;
    let user = documented();
    let whole = [("user", user.name), ("password", user.password)];
    put_secret(&stage, NATS_USER, &BTreeMap::from(whole)).await;
    stage
        .lattice_until("the Lattice to have its Secret again", |lattice| {
            let conditions = lattice.status.iter().flat_map(|status| &status.conditions);
            conditions.into_iter().all(|condition| condition.type_ != "CredentialsKept")
        })
        .await;
    gives(&stage, "bereft", "Connected", "Connected").await;
}
