//! The simulated host reads as the real one does.

use std::time::Duration;

use parts::Scratch;
use simhost::conformance::{Refs, Transcript, run};
use simhost::{HostOptions, LatticeOptions, SimLattice};
use tokio::task::spawn_blocking;

use crate::support::nats;

/// Two refs of a component, one of a provider, and things that can't be started.
fn refs(folder: &Scratch) -> Refs {
    let file = |name: &str, bytes: Vec<u8>| {
        format!("file://{}", folder.write(name, bytes).unwrap().display())
    };
    let tiny = parts::components::tiny().unwrap();
    let none = |name: &str| format!("file://{}", folder.path().join(name).display());
    Refs {
        tiny_v1: file("one.wasm", tiny.clone()),
        tiny_v2: file("two.wasm", tiny),
        missing: none("none.wasm"),
        garbage: file("garbage.wasm", b"package of words".to_vec()),
        provider: format!("file://{}", parts::programs::http_provider().unwrap().display()),
        missing_provider: none("none.par.gz"),
    }
}

async fn of_the_simulated(refs: &Refs) -> Transcript {
    let nats = nats(None).await;
    let options =
        LatticeOptions { heartbeat_interval: Duration::from_secs(1), ..LatticeOptions::default() };
    let lattice = SimLattice::start(nats.url(), options).await.unwrap();
    refs.teach(&lattice);
    let options = HostOptions { secrets: false, ..HostOptions::labelled([("zone", "a")]) };
    let host = lattice.add_host(options).await.unwrap();
    let client = async_nats::connect(nats.url()).await.unwrap();
    run(&client, lattice.options(), host.id(), refs).await.unwrap()
}

async fn of_the_real(refs: &Refs) -> Transcript {
    let nats = nats(None).await;
    let url = nats.url().to_owned();
    let options = parts::HostOptions {
        labels: vec![("zone".to_owned(), "a".to_owned())],
        features: Vec::new(),
        ..parts::HostOptions::default()
    };
    let host =
        spawn_blocking(move || parts::Host::start_at(&url, &options)).await.unwrap().unwrap();
    let client = async_nats::connect(nats.url()).await.unwrap();
    let told = run(&client, &LatticeOptions::default(), host.id(), refs).await.unwrap();
    spawn_blocking(move || drop(host)).await.unwrap();
    told
}

#[tokio::test]
async fn the_simulated_host_and_the_real_one_tell_the_same() {
    let (folder, refs) = spawn_blocking(|| {
        let folder = Scratch::new("conformance").unwrap();
        let refs = refs(&folder);
        (folder, refs)
    })
    .await
    .unwrap();
    let (real, simulated) = tokio::join!(of_the_real(&refs), of_the_simulated(&refs));
    let differences = real.differences(&simulated);
    assert!(differences.is_empty(), "first the real host, then the simulated one:\n{differences}");
    drop(folder);
}
