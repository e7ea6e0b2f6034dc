//! The simulated hosts, and what they show.

use std::time::Duration;

use parts::{Nats, Stopwatch};
use serde_json::json;
use simhost::{HostOptions, LatticeOptions, SimLattice};

use crate::{failure::Failure, size::Size};

pub(crate) struct Lattices {
    pub(crate) all: Vec<SimLattice>,
    size: Size,
    nats: async_nats::Client,
}

impl Lattices {
    /// All lattices, with all their hosts.
    pub(crate) async fn start(nats: &Nats, size: Size) -> Result<Self, Failure> {
        let mut all = Vec::with_capacity(size.lattices);
        for number in 0..size.lattices {
            let options = LatticeOptions {
                spread_heartbeats: true,
                seed: u64::try_from(number).unwrap_or_default(),
                ..LatticeOptions::named(&size.lattice(number))
            };
            let lattice = SimLattice::start(nats.url(), options).await?;
            lattice.add_hosts(size.hosts_of(number), |_| HostOptions::default()).await?;
            all.push(lattice);
        }
        let nats = async_nats::connect(nats.url()).await.map_err(Failure::step("reach NATS"))?;
        Ok(Self { all, size, nats })
    }

    /// Waits until every lattice runs as many instances as are wanted there.
    pub(crate) async fn all_run(&self, limit: Duration) -> Result<Duration, Failure> {
        let watch = Stopwatch::start();
        for (number, lattice) in self.all.iter().enumerate() {
            let wanted = self.size.wanted(number);
            let left = limit.saturating_sub(watch.elapsed());
            let run = lattice.wait_until(left, |it| it.all_instances() == wanted).await;
            run.map_err(|_| Failure::Never {
                what: format!("{wanted} instances on {}", self.size.lattice(number)),
                seconds: limit.as_secs(),
                seen: format!("{} run", lattice.all_instances()),
            })?;
        }
        Ok(watch.elapsed())
    }

    /// Stops a component as somebody would who isn't the operator.
    pub(crate) async fn stop(
        &self,
        lattice: &SimLattice,
        host: &str,
        component: &str,
    ) -> Result<(), Failure> {
        let subject = format!("wasmbus.ctl.v1.{}.component.scale.{host}", lattice.options().name);
        let scale = json!({
            "component_id": component,
            "component_ref": "registry.example/web:1.0.0",
            "host_id": host,
            "count": 0,
            "annotations": {},
            "config": [],
            "allow_update": false,
        });
        let asked = self.nats.request(subject, scale.to_string().into()).await;
        asked.map_err(Failure::step("stop a component")).map(drop)
    }

    pub(crate) fn running(&self) -> u64 {
        self.all.iter().map(SimLattice::all_instances).sum()
    }

    /// How many commands that change something have arrived in all.
    pub(crate) fn writes(&self) -> usize {
        let writes = |commands: &[simhost::Command]| {
            commands.iter().filter(|command| !command.verb.only_reads()).count()
        };
        self.all.iter().map(|lattice| lattice.with_commands(writes)).sum()
    }
}
