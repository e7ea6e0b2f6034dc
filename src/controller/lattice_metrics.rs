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
use crate::{
    lattice::watch::Handle,
    model::{HostState, Observed},
};

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
        let Some(lattices) = self.0.upgrade() else { return Ok(()) };
        let handles = lattices.handles();
        counters(&mut encoder, &handles)?;
        commands(&mut encoder, &handles)?;
        failures(&mut encoder, &handles)?;
        let name = |handle: &Handle| handle.name().to_string();
        let states = handles.iter().flat_map(|handle| {
            by_state(&handle.observed()).map(|(state, count)| {
                (vec![("lattice", name(handle)), ("state", state.to_owned())], count)
            })
        });
        gauge(&mut encoder, "lattice_hosts", "Hosts, by state", states)?;
        let open = |handle: &Handle| usize::from(handle.observed().gate.may_add());
        let synced = handles.iter().map(|it| (vec![("lattice", name(it))], open(it)));
        let help = "Whether enough is known of the lattice to change something there";
        gauge(&mut encoder, "lattice_synced", help, synced)?;
        let orphans = lattices.orphans().into_iter();
        let orphans = orphans.map(|(name, count)| (vec![("lattice", name.to_string())], count));
        let help = "Things of this installation whose Application isn't there";
        gauge(&mut encoder, "lattice_orphans", help, orphans)?;
        let graves = lattices.names().into_iter().map(|name| {
            let count = lattices.graves(&name).len();
            (vec![("lattice", name.to_string())], count)
        });
        let help = "Applications that went before all of theirs was gone";
        gauge(&mut encoder, "lattice_tombstones", help, graves)
    }
}

fn counters(encoder: &mut DescriptorEncoder<'_>, handles: &[Handle]) -> fmt::Result {
    let counters: [(&str, &str, Counter); 4] = [
        ("lattice_events", "Lattice events received", |m| m.events.load(Relaxed)),
        ("lattice_unread", "Messages that could not be read", |m| m.unread.load(Relaxed)),
        ("lattice_reconnects", "Connections made after the first", |m| {
            m.connections.load(Relaxed).saturating_sub(1)
        }),
        ("lattice_slow", "Times that messages were dropped", |m| m.slow.load(Relaxed)),
    ];
    for (name, help, read) in counters {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for handle in handles {
            let labels = [("lattice", handle.name().as_str())];
            ConstCounter::new(read(handle.metrics())).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn commands(encoder: &mut DescriptorEncoder<'_>, handles: &[Handle]) -> fmt::Result {
    let help = "Commands sent, by verb and by how the request ended";
    let mut family =
        encoder.encode_descriptor("lattice_commands", help, None, MetricType::Counter)?;
    for handle in handles {
        for ((verb, outcome), count) in handle.metrics().commands() {
            let labels =
                [("lattice", handle.name().as_str()), ("verb", verb), ("outcome", outcome)];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn failures(encoder: &mut DescriptorEncoder<'_>, handles: &[Handle]) -> fmt::Result {
    let help = "Commands that failed, or showed no outcome, after their request had got through";
    let kind = MetricType::Counter;
    let mut family = encoder.encode_descriptor("lattice_command_failures", help, None, kind)?;
    for handle in handles {
        for (verb, count) in handle.failed_commands() {
            let labels = [("lattice", handle.name().as_str()), ("verb", verb)];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl Iterator<Item = (Vec<(&'static str, String)>, usize)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in values {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

/// How many hosts are in each state; those that none is in are there too, so that a graph has no gaps.
fn by_state(observed: &Observed) -> [(&'static str, usize); 5] {
    let states = [
        ("ready", HostState::Ready),
        ("suspect", HostState::Suspect),
        ("mute", HostState::Mute),
        ("unreachable", HostState::Unreachable),
        ("held", HostState::Held),
    ];
    states.map(|(name, state)| {
        (name, observed.hosts.values().filter(|host| host.state == state).count())
    })
}
