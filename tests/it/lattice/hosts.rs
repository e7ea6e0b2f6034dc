use std::{collections::BTreeSet, time::Duration};

use simhost::HostOptions;
use trellis::{
    lattice::{inventory::KnownHost, watch::Settings},
    model::{Gate, HostState},
};

use super::world::{PATIENCE, World, app, host_id, scale, shown};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lattice_without_hosts_is_whole() {
    let mut world = World::start().await;
    let observed = world.open().await;
    assert!(observed.hosts.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_that_were_there_are_found_and_hosts_that_come_are_seen() {
    let mut world = World::start_with(|settings| settings, 3).await;
    let observed = world.open().await;
    assert_eq!(observed.hosts.len(), 3);
    assert!(observed.hosts.values().all(|h| h.inventory.is_some() && h.state == HostState::Ready));
    world.host().await;
    world
        .until("the fourth", |o| {
            o.hosts.len() == 4 && o.hosts.values().all(|host| host.inventory.is_some())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_was_there_is_waited_for() {
    let missing = "NMISSING".parse().unwrap();
    let known = |settings| Settings { known_hosts: vec![KnownHost::named(missing)], ..settings };
    let mut world = World::start_with(known, 1).await;
    let waiting =
        |gate: &Gate| matches!(gate, Gate::Syncing { waiting_for } if waiting_for.len() > 1);
    world.until("to wait for both", |o| waiting(&o.gate)).await;
    let observed = world.open().await;
    assert_eq!(observed.hosts["NMISSING"].state, HostState::Unreachable);
    world.until("the missing to be gone", |o| o.hosts.len() == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_host_is_unreachable_then_gone() {
    let mut world = World::start_with(|settings| settings, 3).await;
    let host = world.sim.hosts().remove(0);
    world.open().await;
    // A loss right after connecting is waited for longer.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let at = world.handle.now();
    host.kill().await;
    let unreachable = |o: &trellis::model::Observed| {
        o.hosts.get(&host_id(&host)).is_none_or(|h| h.state == HostState::Unreachable)
    };
    world.until("the host to be unreachable", unreachable).await;
    world.until("the host to be gone", |o| o.hosts.len() == 2).await;
    let took = world.handle.now().since(at);
    assert!(took < Duration::from_secs(5), "took {took:?}");
    assert!(world.handle.observed().gate.may_remove());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_host_is_doubted_and_comes_back() {
    let patient = |settings| Settings { loss_grace: PATIENCE, ..settings };
    let mut world = World::start_with(patient, 2).await;
    let host = world.sim.hosts().remove(0);
    world.open().await;
    host.silence();
    let is = |state| {
        let id = host_id(&host);
        move |o: &trellis::model::Observed| o.hosts.get(&id).is_some_and(|h| h.state == state)
    };
    world.until("the host to be unreachable", is(HostState::Unreachable)).await;
    host.unsilence();
    world.until("the host to be back", is(HostState::Ready)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_says_it_stops_is_gone_at_once() {
    let patient = |settings| Settings { loss_grace: PATIENCE, ..settings };
    let mut world = World::start_with(patient, 2).await;
    world.open().await;
    world.sim.hosts().remove(0).stop().await;
    world.until("one host", |o| o.hosts.len() == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_under_the_same_id_voids_what_ran_there() {
    let mut world = World::start_with(|settings| settings, 1).await;
    let host = world.sim.hosts().remove(0);
    world.open().await;
    world.handle.submit(&app(), vec![scale(&host, "web", "r/web:1", 1)]);
    world.until("it to run", |o| shown(o, &host, "web") == 1).await;
    world.sim.images().hold("r/slow:1");
    world.handle.submit(&app(), vec![scale(&host, "slow", "r/slow:1", 1)]);
    // The uptime is told in whole seconds, so a restart shows after one.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let host = host.restart().await.unwrap();
    world
        .until("an empty host without anything in flight", |o| {
            shown(o, &host, "web") == 0 && o.in_flight.pending.is_empty()
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_nats_removes_nothing_and_loses_no_host() {
    let mut world = World::start_with(|settings| settings, 3).await;
    let hosts: BTreeSet<_> = world.open().await.hosts.keys().cloned().collect();
    world = world.restart_nats().await;
    world.until("the loss", |o| !matches!(o.gate, Gate::Open)).await;
    let observed = world.open().await;
    assert_eq!(observed.hosts.keys().cloned().collect::<BTreeSet<_>>(), hosts);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_loss_of_most_hosts_stops_removals() {
    let mut world = World::start_with(|settings| settings, 5).await;
    world.open().await;
    let mut hosts = world.sim.hosts();
    hosts.truncate(4);
    for host in &hosts {
        host.kill().await;
    }
    let lost = |gate: &Gate| matches!(gate, Gate::MassLoss { .. });
    let observed = world.until("the loss to be seen", |o| lost(&o.gate)).await;
    assert!(observed.gate.may_add() && !observed.gate.may_remove());
    let told = world.handle.health().mass_loss.expect("the loss is told");
    let confirmed_loss = Some(told.token.into());
    world.handle.update(Settings { confirmed_loss, ..world.settings.clone() }).await;
    world.open().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_of_old_are_reported_and_not_used() {
    let mut world = World::start_with(|settings| settings, 1).await;
    let old = HostOptions { version: "0.82.0".to_owned(), ..HostOptions::default() };
    let old = world.sim.add_host(old).await.unwrap();
    world.open().await;
    let id = host_id(&old);
    loop {
        if world.handle.health().unsupported.contains_key(&id) {
            break;
        }
        let _ = world.changes.recv().await.unwrap();
    }
    assert!(!world.handle.observed().hosts.contains_key(&id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_heartbeats_change_nothing() {
    let mut world = World::start_with(|settings| settings, 2).await;
    world.open().await;
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    while world.changes.try_recv().is_ok() {}
    let before = world.handle.observed();
    for host in world.sim.hosts() {
        host.beat().await;
        host.beat().await;
    }
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert!(std::sync::Arc::ptr_eq(&before, &world.handle.observed()), "copied for nothing");
    assert!(world.changes.try_recv().is_err());
}
