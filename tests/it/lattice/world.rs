//! One NATS server, one simulated lattice, one watch on it.
use std::{sync::Arc, time::Duration};

use parts::{Nats, NatsOptions};
use simhost::{HostHandle, HostOptions, LatticeOptions, SimLattice};
use tokio::{sync::mpsc, time::timeout};
use trellis::{
    lattice::{
        access::{Access, Credentials},
        fence::Fence,
        inventory::Change,
        watch::{Handle, Settings, watch},
    },
    model::{Annotations, ApplicationKey, Command, HostId, LatticeName, Observed, WorkloadId},
};

/// Longer than anything here takes, also on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(1);

pub(crate) struct World {
    pub(crate) nats: Nats,
    pub(crate) sim: SimLattice,
    pub(crate) settings: Settings,
    pub(crate) handle: Handle,
    pub(crate) changes: mpsc::Receiver<(LatticeName, Change)>,
}

/// Starting and restarting a server blocks.
pub(crate) async fn start_nats(options: NatsOptions) -> Nats {
    tokio::task::spawn_blocking(move || Nats::start(options)).await.unwrap().unwrap()
}

pub(crate) fn settings(urls: &str, credentials: Credentials) -> Settings {
    let access = Access { urls: vec![urls.to_owned()], credentials, inbox_prefix: None };
    Settings {
        wire_name: "default".to_owned(),
        heartbeat_interval: HEARTBEAT,
        probe_interval: Duration::from_millis(400),
        loss_grace: Duration::from_secs(3),
        mass_loss_timeout: Duration::from_mins(1),
        request_timeout: Duration::from_millis(500),
        start_deadline: Duration::from_secs(5),
        ..Settings::new("edge".parse().unwrap(), access)
    }
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::start_with(|settings| settings, 0).await
    }

    pub(crate) async fn start_with(
        change: impl FnOnce(Settings) -> Settings,
        hosts: usize,
    ) -> Self {
        let nats = start_nats(NatsOptions::default()).await;
        let settings = change(settings(nats.url(), Credentials::default()));
        let heartbeat_interval = settings.heartbeat_interval;
        let options = LatticeOptions { heartbeat_interval, ..LatticeOptions::default() };
        let sim = SimLattice::start(nats.url(), options).await.unwrap();
        sim.add_hosts(hosts, |_| HostOptions::default()).await.unwrap();
        let (tell, changes) = mpsc::channel(16);
        let handle = watch(settings.clone(), Arc::new(Fence::open()), tell);
        Self { nats, sim, settings, handle, changes }
    }

    pub(crate) async fn host(&self) -> HostHandle {
        self.sim.add_host(HostOptions::default()).await.unwrap()
    }

    /// Waits until the lattice shows what `holds` asks for.
    pub(crate) async fn until(
        &mut self,
        what: &str,
        holds: impl Fn(&Observed) -> bool,
    ) -> Arc<Observed> {
        until(&self.handle, &mut self.changes, what, holds).await
    }

    pub(crate) async fn open(&mut self) -> Arc<Observed> {
        self.until("the lattice to be open", |observed| observed.gate.may_remove()).await
    }

    pub(crate) async fn restart_nats(mut self) -> Self {
        self.nats = tokio::task::spawn_blocking(move || {
            self.nats.restart().unwrap();
            self.nats
        })
        .await
        .unwrap();
        self
    }
}

pub(crate) async fn until(
    handle: &Handle,
    changes: &mut mpsc::Receiver<(LatticeName, Change)>,
    what: &str,
    holds: impl Fn(&Observed) -> bool,
) -> Arc<Observed> {
    let waiting = async {
        loop {
            let observed = handle.observed();
            if holds(&observed) {
                return observed;
            }
            drop(observed);
            let _ = changes.recv().await.expect("the watch goes on");
        }
    };
    timeout(PATIENCE, waiting).await.unwrap_or_else(|_| {
        panic!("waited in vain for {what}: {:#?} {:#?}", handle.observed(), handle.health())
    })
}

pub(crate) fn app() -> ApplicationKey {
    ApplicationKey::new("shop", "web")
}

pub(crate) fn annotations(hash: &str) -> Arc<Annotations> {
    let pairs = [
        ("lattice.oam.dev/installation", "trellis"),
        ("lattice.oam.dev/application", "shop/web"),
        ("lattice.oam.dev/hash", hash),
    ];
    Arc::new(pairs.into())
}

pub(crate) fn scale(host: &HostHandle, id: &str, image: &str, count: u32) -> Command {
    Command::ScaleComponent {
        host: host_id(host),
        id: id.parse().unwrap(),
        image: image.into(),
        count,
        config: Vec::new(),
        annotations: annotations("1.a.b"),
        max_memory: None,
    }
}

pub(crate) fn host_id(host: &HostHandle) -> HostId {
    host.id().parse().unwrap()
}

/// How many instances of `id` are shown on `host`.
pub(crate) fn shown(observed: &Observed, host: &HostHandle, id: &str) -> u32 {
    let id: WorkloadId = id.parse().unwrap();
    let host = observed.hosts.get(&host_id(host));
    let inventory = host.and_then(|host| host.inventory.as_ref());
    inventory.and_then(|i| i.components.get(&id)).map_or(0, |running| running.instances)
}
