use std::sync::Arc;

use imbl::OrdMap;

use super::{Command, Lane, Moment, WorkloadId};

/// Commands that were sent and whose outcome hasn't been seen, and what the last ones failed with.
///
/// At most one command a lane is unresolved. Who resolves them is the lattice's task; who asks
/// is the planner.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InFlight {
    pub pending: OrdMap<Lane, Pending>,
    pub failures: OrdMap<Lane, Failure>,
}

impl InFlight {
    /// What is under way about `id`: its links, and itself on any host.
    pub fn pending_of(&self, id: &WorkloadId) -> impl Iterator<Item = (&Lane, &Pending)> {
        about(&self.pending, id)
    }

    /// What failed last about `id`: its links, and itself on any host.
    pub fn failures_of(&self, id: &WorkloadId) -> impl Iterator<Item = (&Lane, &Failure)> {
        about(&self.failures, id)
    }
}

fn about<'a, T>(
    lanes: &'a OrdMap<Lane, T>,
    id: &WorkloadId,
) -> impl Iterator<Item = (&'a Lane, &'a T)> {
    let first = Lane::Links(id.clone());
    lanes.range(first..).take_while({
        let id = id.clone();
        move |(lane, _)| lane.workload() == Some(&id)
    })
}

/// A command without an outcome yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    pub command: Command,
    /// When it was sent last.
    pub sent: Moment,
    /// When the host accepted it; only what is received after that can show the outcome.
    pub acknowledged: Option<Moment>,
    /// Until then nothing is sent in its lane; afterwards only the same command again.
    pub deadline: Moment,
    /// How often it has been sent.
    pub tries: u32,
}

/// What the last commands in a lane failed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The command that failed, without which nobody could tell whether a change mends it.
    pub command: Command,
    /// The host's own words.
    pub error: Arc<str>,
    /// Whether these tell that it is the image that can't be run, wherever it is tried.
    pub of_image: bool,
    /// How many times in a row.
    pub count: u32,
    /// Nothing is tried again in this lane before.
    pub retry_at: Moment,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_goes_on_about_an_id_is_found_together() {
        let failure = |id: &str| {
            let (id, host) = (id.parse().unwrap(), "h".parse().unwrap());
            let command = Command::StopProvider { host, id };
            let error = "no".into();
            Failure { command, error, of_image: false, count: 1, retry_at: Moment::default() }
        };
        let lane =
            |host: &str, id: &str| Lane::Workload(host.parse().unwrap(), id.parse().unwrap());
        let links = |id: &str| Lane::Links(id.parse().unwrap());
        let config = Lane::Config("b".parse().unwrap());
        let lanes = [lane("y", "b"), lane("x", "c"), lane("x", "b"), lane("z", "a"), links("b")];
        let failures = lanes.into_iter().chain([config]).map(|lane| (lane, failure("b"))).collect();
        let in_flight = InFlight { failures, ..InFlight::default() };
        let found: Vec<_> =
            in_flight.failures_of(&"b".parse().unwrap()).map(|(lane, _)| lane.clone()).collect();
        assert_eq!(found, [links("b"), lane("x", "b"), lane("y", "b")]);
    }
}
