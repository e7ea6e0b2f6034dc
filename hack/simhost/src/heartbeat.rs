//! One scheduler for the heartbeats of all hosts.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::{Arc, Mutex, Weak};

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::event::HEARTBEAT;
use crate::host::{Cx, Host};
use crate::lattice::Lattice;
use crate::lock;

/// When each host's next heartbeat is due, soonest on top. The number tells hosts apart that were
/// started with one id after another.
#[derive(Debug, Default)]
pub(crate) struct Heartbeats {
    due: Mutex<BinaryHeap<Reverse<(Instant, u64)>>>,
    hosts: Mutex<BTreeMap<u64, Weak<Host>>>,
    sooner: Notify,
}

impl Heartbeats {
    pub(crate) fn add(&self, host: &Arc<Host>, first: Instant) {
        let number = {
            let mut hosts = lock(&self.hosts);
            let number = hosts.last_key_value().map_or(0, |(last, _)| last + 1);
            hosts.insert(number, Arc::downgrade(host));
            number
        };
        lock(&self.due).push(Reverse((first, number)));
        self.sooner.notify_one();
    }

    fn next(&self) -> Option<Instant> {
        lock(&self.due).peek().map(|Reverse((at, _))| *at)
    }

    /// Takes the hosts that are due now and puts them back for the time after.
    fn take_due(&self, lattice: &Lattice, now: Instant) -> Vec<Arc<Host>> {
        let (mut due, mut hosts) = (lock(&self.due), lock(&self.hosts));
        let mut taken = Vec::new();
        while let Some(Reverse((at, number))) = due.peek().copied().filter(|next| next.0.0 <= now) {
            due.pop();
            match hosts.get(&number).and_then(Weak::upgrade).filter(|host| host.lives()) {
                Some(host) => {
                    due.push(Reverse((at + host.heartbeat_interval(lattice), number)));
                    taken.push(host);
                }
                None => {
                    hosts.remove(&number);
                }
            }
        }
        taken
    }
}

/// Runs until it is aborted.
pub(crate) async fn run(lattice: Arc<Lattice>) {
    loop {
        for host in lattice.heartbeats.take_due(&lattice, Instant::now()) {
            let cx = Cx { lattice: lattice.clone(), host };
            // A task each: a host that compiles makes only its own heartbeat wait (T13).
            tokio::spawn(async move { beat(&cx).await });
        }
        let wait = async {
            match lattice.heartbeats.next() {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = wait => {}
            () = lattice.heartbeats.sooner.notified() => {}
        }
    }
}

pub(crate) async fn beat(cx: &Cx) {
    if cx.host.hears() {
        let inventory = cx.inventory().await;
        cx.emit(HEARTBEAT, inventory).await;
    }
}
