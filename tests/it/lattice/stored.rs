//! More links than a host can tell in one message.
use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use parts::{Nats, NatsOptions, NatsUser};
use serde_json::json;
use simhost::{HostOptions, LatticeOptions, SimLattice};
use tokio::sync::mpsc;
use trellis::{
    lattice::{
        fence::Fence,
        watch::{Handle, Settings, watch},
    },
    model::{Command, LinkKey, Links},
};

use super::{
    permissions::as_user,
    world::{HEARTBEAT, app, start_nats, until},
};
use crate::permissions::{REFUSED, documented, documented_with_options};

type Changes = mpsc::Receiver<(trellis::model::LatticeName, trellis::lattice::inventory::Change)>;

/// What a host could say in one message would be a fifth of it.
const LINKS: usize = 150;

struct World {
    nats: Nats,
    sim: SimLattice,
    handle: Handle,
    changes: Changes,
}

/// A lattice with more links than fit one message, watched by `user`.
async fn crowded(user: NatsUser) -> World {
    let options = NatsOptions {
        users: vec![user.clone()],
        max_payload: Some(16 * 1024),
        ..NatsOptions::default()
    };
    let nats = start_nats(options).await;
    let heartbeat_interval = HEARTBEAT;
    let options = LatticeOptions { bucket: true, heartbeat_interval, ..LatticeOptions::default() };
    let sim = SimLattice::start(nats.url(), options).await.unwrap();
    sim.add_host(HostOptions::default()).await.unwrap();
    let hosts_user = async_nats::connect(nats.url()).await.unwrap();
    join_all((0..LINKS).map(|number| {
        let link = json!({
            "source_id": format!("source-{number}"), "target": "kv", "name": "default",
            "wit_namespace": "wasi", "wit_package": "keyvalue", "interfaces": ["store"],
            "source_config": [], "target_config": [],
        });
        hosts_user.request("wasmbus.ctl.v1.default.link.put", link.to_string().into())
    }))
    .await;
    let (tell, changes) = mpsc::channel(16);
    // Less patience than usual, for nobody answers.
    let request_timeout = Duration::from_millis(200);
    let settings = Settings { request_timeout, ..as_user(&nats, &user) };
    let handle = watch(settings, Arc::new(Fence::open()), tell);
    World { nats, sim, handle, changes }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t12_links_beyond_one_message_are_read_from_the_bucket_by_who_may() {
    let World { nats, sim, handle, mut changes } = crowded(documented_with_options()).await;
    let (handle, changes) = (&handle, &mut changes);
    let all = |links: &Links, count| matches!(links, Links::Read(links) if links.len() == count);
    until(handle, changes, "all links", |o| all(&o.links, LINKS) && o.gate.may_remove()).await;
    assert!(!handle.health().links_unreadable);
    let cut_off = sim.cut_offs();

    // Links can be deleted, and that is seen, without asking a host once more.
    let key = LinkKey {
        source: "source-7".parse().unwrap(),
        name: "default".into(),
        namespace: "wasi".into(),
        package: "keyvalue".into(),
    };
    assert_eq!(handle.submit(&app(), vec![Command::DeleteLink { key }]), 1);
    until(handle, changes, "one less", |o| all(&o.links, LINKS - 1)).await;
    assert_eq!(sim.cut_offs(), cut_off);
    assert!(!nats.log().contains(REFUSED), "{}", nats.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_beyond_one_message_are_unreadable_to_who_may_not_read_the_bucket_and_nothing_else_is()
 {
    let World { nats, sim: _sim, handle, mut changes } = crowded(documented()).await;
    let (handle, changes) = (&handle, &mut changes);
    let observed =
        until(handle, changes, "unreadable links", |o| o.links == Links::Unreadable).await;
    assert_eq!(observed.hosts.len(), 1);
    assert!(handle.health().links_unreadable);
    assert!(handle.health().refused.is_empty(), "it needn't be allowed");
    assert_eq!(nats.log().matches(REFUSED).count(), 1, "{}", nats.log());
}
