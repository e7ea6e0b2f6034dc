use std::{sync::Arc, time::Duration};

use super::world::{World, settings};
use trellis::lattice::{
    access::Credentials,
    fence::Fence,
    inventory::KnownHost,
    watch::{Settings, watch},
};

/// Real intervals: what a lattice of some size costs at a start. The bound is loose, because the
/// machine may be busy; the figure is printed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_hosts_are_synced_soon_after_a_start() {
    let usual = |ours: Settings| {
        let defaults = Settings::new(ours.name, ours.access);
        Settings { wire_name: ours.wire_name, ..defaults }
    };
    let mut world = World::start_with(usual, 500).await;
    let observed = world.open().await;
    assert_eq!(observed.hosts.len(), 500);
    drop(observed);

    // A second watch, as of the next process, to whom the hosts are known.
    let hosts = world.handle.observed().hosts.clone();
    let known_hosts = hosts.keys().cloned().map(KnownHost::named).collect();
    let next = usual(settings(world.nats.url(), Credentials::default()));
    let (tell, mut changes) = tokio::sync::mpsc::channel(16);
    let handle = watch(Settings { known_hosts, ..next }, Arc::new(Fence::open()), tell);
    let since = handle.now();
    super::world::until(&handle, &mut changes, "it to be open", |o| o.gate.may_remove()).await;
    let took = handle.now().since(since);
    println!("500 hosts synced in {took:?}");
    assert!(took < Duration::from_secs(10), "{took:?}");
}
