use super::convergence::{Cause, Converged, Repaired};
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

/// What the controller counts. Labels come from closed sets only.
#[derive(Debug, Clone)]
pub struct Metrics {
    pub reconciles: Family<Outcome, Counter>,
    pub seconds: Histogram,
    pub status_writes: Counter,
    /// 1 while this process acts, 0 while it stands by.
    pub leader: Gauge,
    /// Of those to be watched, how many may not be.
    pub unseen_namespaces: Gauge,
    /// From a lattice's change being known to the pass over an Application that it touches.
    pub event_lag: Histogram,
    failures: Family<FailedAt, Counter>,
    convergence: Family<ByCause, Histogram>,
    repaired: Family<ByKind, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByCause {
    cause: Cause,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByKind {
    kind: Repaired,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailedAt {
    step: FailedStep,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Outcome {
    pub result: ReconcileResult,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum ReconcileResult {
    /// Nothing was sent or written.
    Quiet,
    Acted,
    Failed,
}

/// The step that a pass failed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum FailedStep {
    Revision,
    Status,
    Secret,
    Finalizer,
    Stale,
}

impl FailedStep {
    const ALL: [Self; 5] =
        [Self::Revision, Self::Status, Self::Secret, Self::Finalizer, Self::Stale];
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            reconciles: Family::default(),
            // 100 µs to 3.3 s: a quiet pass to one that waits for the API server.
            seconds: Histogram::new(exponential_buckets(0.0001, 2.0, 16)),
            status_writes: Counter::default(),
            leader: Gauge::default(),
            unseen_namespaces: Gauge::default(),
            // 100 µs to 6.6 s: at once, to what waits behind thousands of others.
            event_lag: Histogram::new(exponential_buckets(0.0001, 2.0, 17)),
            failures: Family::default(),
            // 10 ms to 1.5 h: one command, to an image that isn't there yet.
            convergence: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.01, 2.0, 20))
            }),
            repaired: Family::default(),
        }
    }
}

impl Metrics {
    pub fn register(&self, registry: &mut Registry) {
        // A series that begins with its first failure hides that failure from `rate()`.
        for step in FailedStep::ALL {
            drop(self.failures.get_or_create(&FailedAt { step }));
        }
        for cause in Cause::ALL {
            drop(self.convergence.get_or_create(&ByCause { cause }));
        }
        for kind in Repaired::ALL {
            drop(self.repaired.get_or_create(&ByKind { kind }));
        }
        registry.register("reconciles", "Passes over an Application", self.reconciles.clone());
        registry.register_with_unit(
            "reconcile",
            "Time of one pass over an Application",
            Unit::Seconds,
            self.seconds.clone(),
        );
        registry.register(
            "reconcile_failures",
            "Passes that failed, by step",
            self.failures.clone(),
        );
        registry.register_with_unit(
            "convergence",
            "Time from when something is to be done to when all is as wanted",
            Unit::Seconds,
            self.convergence.clone(),
        );
        registry.register_with_unit(
            "event_lag",
            "Time from a lattice's change being known to the pass that looks at it",
            Unit::Seconds,
            self.event_lag.clone(),
        );
        registry.register(
            "drift_repaired",
            "Things that were as wanted, were changed by something else, and are as wanted again",
            self.repaired.clone(),
        );
        registry.register("status_writes", "Statuses written", self.status_writes.clone());
        registry.register(
            "leader",
            "Whether this process acts (1) or stands by (0)",
            self.leader.clone(),
        );
        registry.register(
            "unseen_namespaces",
            "Namespaces that are to be watched and may not be",
            self.unseen_namespaces.clone(),
        );
    }

    pub(super) fn converged(&self, converged: &Converged) {
        let Converged { cause, took, repaired } = converged;
        self.convergence.get_or_create(&ByCause { cause: *cause }).observe(took.as_secs_f64());
        for (kind, count) in repaired {
            self.repaired.get_or_create(&ByKind { kind: *kind }).inc_by(*count);
        }
    }

    pub fn failed(&self, step: FailedStep) {
        self.failures.get_or_create(&FailedAt { step }).inc();
    }

    /// Notes the time from now until the value is dropped.
    #[must_use]
    pub fn timer(&self) -> Timer {
        Timer { seconds: self.seconds.clone(), start: tokio::time::Instant::now() }
    }

    pub fn count(&self, result: ReconcileResult) {
        self.reconciles.get_or_create(&Outcome { result }).inc();
    }
}

#[derive(Debug)]
pub struct Timer {
    seconds: Histogram,
    start: tokio::time::Instant,
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.seconds.observe(self.start.elapsed().as_secs_f64());
    }
}
