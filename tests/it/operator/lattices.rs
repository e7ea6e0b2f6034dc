//! Lattices: how they are reached, who uses them, and what moves between them.
use std::{collections::BTreeMap, fs, time::Duration};

use futures::StreamExt;
use kube::{Api, api::DeleteParams, runtime::watcher};
use parts::{Nats, NatsClient, NatsOptions};
use serde_json::{Value, json};
use simhost::{HostOptions, LatticeOptions, SimLattice};
use trellis::api::Lattice;

use super::{
    simulated::{SHOP, heartbeats, lattice},
    stage::{PATIENCE, Stage},
};

pub(crate) async fn nats(auth: parts::Auth) -> Nats {
    nats_with(NatsOptions { auth, ..NatsOptions::default() }).await
}

pub(crate) async fn nats_with(options: NatsOptions) -> Nats {
    tokio::task::spawn_blocking(move || Nats::start(options).unwrap()).await.unwrap()
}

pub(crate) async fn put(stage: &Stage, name: &str, labels: &Value, nats: &Value) {
    stage
        .put(&json!({
            "apiVersion": "lattice.oam.dev/v1alpha1",
            "kind": "Lattice",
            "metadata": { "name": name, "labels": labels },
            "spec": {
                "nats": nats,
                "heartbeatInterval": "1s",
                "probeInterval": "500ms",
                "lossGrace": "3s",
            },
        }))
        .await;
}

/// The Secret and the Lattice of the same name that uses it.
pub(crate) async fn put_with_secret(
    stage: &Stage,
    name: &str,
    url: &str,
    data: &BTreeMap<&str, String>,
) {
    put_secret(stage, name, data).await;
    let nats = json!({ "urls": [url], "credentialsSecret": { "name": name } });
    put(stage, name, &json!({}), &nats).await;
}

pub(crate) async fn put_secret(stage: &Stage, name: &str, data: &BTreeMap<&str, String>) {
    let metadata = json!({ "name": name });
    let secret =
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data });
    stage.put(&secret).await;
}

/// A Secret's data for what `client` needs to be let in.
pub(crate) fn secret(client: &NatsClient) -> BTreeMap<&'static str, String> {
    let read = |path| fs::read_to_string(path).unwrap();
    let identity = client.identity.as_ref();
    [
        ("user", client.user.clone()),
        ("password", client.password.clone()),
        ("token", client.token.clone()),
        ("nkey", client.nkey_seed.clone()),
        ("creds", client.credentials.as_ref().map(read)),
        ("ca.crt", client.authority.as_ref().map(read)),
        ("tls.crt", identity.map(|identity| read(&identity.certificate))),
        ("tls.key", identity.map(|identity| read(&identity.key))),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((key, value?)))
    .collect()
}

/// Waits until `Connected` and `Synced` of the Lattice are `status`, with `said` in the message.
/// `Ready` takes a host more.
async fn says(stage: &Stage, name: &str, status: &str, said: &str) {
    let what = format!("{name} to be {status}: {said}");
    let waiting = async {
        let api = Api::<Lattice>::all(stage.kube.clone());
        let mut seen = std::pin::pin!(watcher::watch_object(api, name));
        loop {
            let Some(Ok(Some(lattice))) = seen.next().await else { continue };
            let conditions = lattice.status.unwrap_or_default().conditions;
            let says = |type_: &str| {
                conditions.iter().any(|c| {
                    c.type_ == type_
                        && format!("{:?}", c.status) == status
                        && c.message.as_deref().unwrap_or_default().contains(said)
                })
            };
            if says("Connected") && says("Synced") {
                return;
            }
        }
    };
    stage.wait(&what, waiting).await;
}

/// Those that the Lattices of the next test name.
const SECRETS: [&str; 10] = [
    "credentials-password",
    "credentials-token",
    "credentials-nkey",
    "credentials-creds",
    "credentials-tls",
    "credentials-mutual-tls",
    "credentials-wrong",
    "credentials-bad-key",
    "credentials-stranger",
    "not-yet",
];

#[tokio::test(flavor = "multi_thread")]
async fn credentials_of_every_kind_are_read_from_a_secret_and_from_its_next_version() {
    use parts::Auth;
    let kinds = [
        ("password", Auth::Password),
        ("token", Auth::Token),
        ("nkey", Auth::NKey),
        ("creds", Auth::Jwt),
        ("tls", Auth::Tls),
        ("mutual-tls", Auth::MutualTls),
    ];
    let stage = Stage::set("credentials").await.with_secrets(&SECRETS);
    stage.start_operator().await;
    let mut servers = BTreeMap::new();
    for (kind, auth) in kinds {
        let server = nats(auth).await;
        let name = format!("credentials-{kind}");
        put_with_secret(&stage, &name, server.url(), &secret(server.client())).await;
        servers.insert(kind, server);
    }

    // What is wrong is said, and keeps nobody else from being reached.
    let url = |kind: &str| servers[kind].url().to_owned();
    let one = |key: &'static str, value: &str| BTreeMap::from([(key, value.to_owned())]);
    put_with_secret(&stage, "credentials-wrong", &url("token"), &one("token", "wrong")).await;
    put_with_secret(&stage, "credentials-bad-key", &url("nkey"), &one("nkey", "SUNONSENSE")).await;
    put_with_secret(&stage, "credentials-stranger", &url("tls"), &{
        let mut other = secret(servers["tls"].client());
        other.extend(
            secret(servers["mutual-tls"].client()).remove("ca.crt").map(|ca| ("ca.crt", ca)),
        );
        other
    })
    .await;
    let missing = json!({ "urls": [url("token")], "credentialsSecret": { "name": "not-yet" } });
    put(&stage, "credentials-missing", &json!({}), &missing).await;
    let nowhere = json!({ "urls": ["nats://127.0.0.1:1"] });
    put(&stage, "credentials-nowhere", &json!({}), &nowhere).await;
    for (name, said) in [
        ("wrong", "authorization violation"),
        ("bad-key", "nkey is not a user's seed"),
        ("stranger", "certificate"),
        ("missing", "Secret credentials/not-yet does not exist; create it"),
        ("nowhere", "127.0.0.1:1: "),
    ] {
        says(&stage, &format!("credentials-{name}"), "False", said).await;
    }
    for kind in servers.keys() {
        says(&stage, &format!("credentials-{kind}"), "True", "").await;
    }

    // A Secret that is mended, or appears, is read at once.
    put_secret(&stage, "credentials-wrong", &secret(servers["token"].client())).await;
    put_secret(&stage, "credentials-bad-key", &secret(servers["nkey"].client())).await;
    put_secret(&stage, "not-yet", &secret(servers["token"].client())).await;
    for name in ["wrong", "bad-key", "missing"] {
        says(&stage, &format!("credentials-{name}"), "True", "").await;
    }

    // So is one that is changed under a connection; its loss is said only if it lasts.
    put_secret(&stage, "credentials-token", &one("token", "wrong")).await;
    says(&stage, "credentials-token", "False", "authorization violation").await;
    put_secret(&stage, "credentials-token", &secret(servers["token"].client())).await;
    says(&stage, "credentials-token", "True", "").await;
    says(&stage, "credentials-password", "True", "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lattice_in_use_stays_until_its_applications_are_gone() {
    let stage = Stage::start("in-use").await;
    let sim = lattice(&stage, 2).await;
    stage.apply(&SHOP.replace("NAME", "shop")).await;
    stage.settled("shop").await;
    let api = Api::<Lattice>::all(stage.kube.clone());
    api.delete("in-use", &DeleteParams::default()).await.unwrap();
    heartbeats(&stage, &sim, 3).await;
    assert!(api.get("in-use").await.unwrap().metadata.deletion_timestamp.is_some());

    // It is still repaired.
    sim.hosts()[0].restart().await.unwrap();
    let whole = |it: &SimLattice| {
        ["web", "api", "http"].map(|of| it.instances(&format!("in_use-shop-{of}"))) == [2, 1, 1]
    };
    sim.wait_until(PATIENCE, whole).await.unwrap();

    stage.delete("shop").await;
    assert_eq!(sim.instances("in_use-shop-web"), 0);
    stage
        .wait("the Lattice to be gone", async {
            let mut seen = std::pin::pin!(watcher::watch_object(api, "in-use"));
            while !matches!(seen.next().await, Some(Ok(None))) {}
        })
        .await;
}

const WEB: &str = "
apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: { name: NAME }
spec:
  components:
    - name: web
      type: component
      properties: { image: registry.example/NAME:1 }
      traits:
        - { type: spreadscaler, properties: { instances: 2 } }
  policies:
    - { name: where, type: topology, properties: { TOPOLOGY } }
";

#[tokio::test(flavor = "multi_thread")]
async fn an_application_follows_labels_and_goes_only_once_it_is_there() {
    let stage = Stage::set("moving").await;
    let (east, west) = (lattice(&stage, 2).await, nats(parts::Auth::None).await);
    let options =
        LatticeOptions { heartbeat_interval: Duration::from_secs(1), ..LatticeOptions::default() };
    let [at_east, at_west] = [&stage.nats, &west].map(|nats| json!({ "urls": [nats.url()] }));
    let west = SimLattice::start(west.url(), options).await.map(|sim| (sim, west)).unwrap();
    let (west, _server) = west;
    west.add_hosts(2, |_| HostOptions::default()).await.unwrap();
    let (eu, none) = (json!({ "region": "eu" }), json!({}));
    put(&stage, "moving-east", &eu, &at_east).await;
    put(&stage, "moving-west", &none, &at_west).await;
    stage.start_operator().await;

    let selected = WEB.replace("TOPOLOGY", "latticeSelector: { region: eu }");
    stage.apply(&selected.replace("NAME", "selected")).await;
    let named = WEB.replace("TOPOLOGY", "lattices: [moving-east, moving-west]");
    stage.apply(&named.replace("NAME", "named")).await;
    stage.settled("named").await;
    stage.settled("selected").await;
    let [selected, named] = ["moving-selected-web", "moving-named-web"];
    let both = |id: &str| [east.instances(id), west.instances(id)];
    assert_eq!([both(selected), both(named)], [[2, 0], [2, 2]]);

    // Not chosen any more here, and not there yet.
    west.images().hold("registry.example/selected:1");
    put(&stage, "moving-west", &eu, &at_west).await;
    put(&stage, "moving-east", &none, &at_east).await;
    let asked = |it: &SimLattice| !it.commands().writes().about(selected).is_empty();
    west.wait_until(PATIENCE, asked).await.unwrap();
    heartbeats(&stage, &east, 3).await;
    assert_eq!(both(selected), [2, 0]);
    west.images().release("registry.example/selected:1");
    east.wait_until(PATIENCE, |it| it.instances(selected) == 0).await.unwrap();
    assert_eq!([both(selected), both(named)], [[0, 2], [2, 2]]);
    stage.settled("selected").await;

    for name in ["selected", "named"] {
        stage.delete(name).await;
    }
    assert_eq!([both(selected), both(named)], [[0, 0], [0, 0]]);
}
