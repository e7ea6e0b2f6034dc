//! The lattices' own counters, read when somebody asks.
use std::{
    fmt,
    sync::{Arc, Weak, atomic::Ordering::Relaxed},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};

use super::Lattices;
use crate::model::{HostState, Observed};

type Counter = fn(&crate::lattice::watch::Metrics) -> u64;

/// Reads the counters of every lattice's task.
#[derive(Debug)]
pub struct LatticeMetrics(Weak<Lattices>);

impl LatticeMetrics {
    #[must_use]
    pub fn new(lattices: &Arc<Lattices>) -> Self {
        Self(Arc::downgrade(lattices))
    }
}

impl Collector for LatticeMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let handles = self.0.upgrade().map(|lattices| lattices.handles()).unwrap_or_default();
        let counters: [(&str, &str, Counter); 4] = [
            ("lattice_events", "Lattice events received", |m| m.events.load(Relaxed)),
            ("lattice_unread", "Messages that could not be read", |m| m.unread.load(Relaxed)),
            ("lattice_connections", "Connections made", |m| m.connections.load(Relaxed)),
            ("lattice_slow", "Times that messages were dropped", |m| m.slow.load(Relaxed)),
        ];
        for (name, help, read) in counters {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for handle in &handles {
                let labels = [("lattice", handle.name().as_str())];
                ConstCounter::new(read(handle.metrics())).encode(family.encode_family(&labels)?)?;
            }
        }
        let mut family = encoder.encode_descriptor(
            "lattice_commands",
            "Commands sent, by verb and by how the request ended",
            None,
            MetricType::Counter,
        )?;
        for handle in &handles {
            for ((verb, outcome), count) in handle.metrics().commands() {
                let labels =
                    [("lattice", handle.name().as_str()), ("verb", verb), ("outcome", outcome)];
                ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
            }
        }
        let mut family = encoder.encode_descriptor(
            "lattice_orphans",
            "Things of this installation whose Application isn't there",
            None,
            MetricType::Gauge,
        )?;
        let orphans = self.0.upgrade().map(|lattices| lattices.orphans()).unwrap_or_default();
        for (name, count) in orphans {
            let labels = [("lattice", name.as_str())];
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            ConstGauge::new(count).encode(family.encode_family(&labels)?)?;
        }
        let mut hosts = encoder.encode_descriptor(
            "lattice_hosts",
            "Hosts, by state",
            None,
            MetricType::Gauge,
        )?;
        for handle in &handles {
            for (state, count) in by_state(&handle.observed()) {
                let labels = [("lattice", handle.name().as_str()), ("state", state)];
                ConstGauge::new(count).encode(hosts.encode_family(&labels)?)?;
            }
        }
        let mut synced = encoder.encode_descriptor(
            "lattice_synced",
            "Whether enough is known of the lattice to change something there",
            None,
            MetricType::Gauge,
        )?;
        for handle in &handles {
            let labels = [("lattice", handle.name().as_str())];
            let open = i64::from(handle.observed().gate.may_add());
            ConstGauge::new(open).encode(synced.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// How many hosts are in each state; those that none is in are there too, so that a graph has no gaps.
fn by_state(observed: &Observed) -> [(&'static str, i64); 5] {
    let states = [
        ("ready", HostState::Ready),
        ("suspect", HostState::Suspect),
        ("mute", HostState::Mute),
        ("unreachable", HostState::Unreachable),
        ("held", HostState::Held),
    ];
    states.map(|(name, state)| {
        let count = observed.hosts.values().filter(|host| host.state == state).count();
        (name, i64::try_from(count).unwrap_or(i64::MAX))
    })
}
