//! How instances are laid out over the hosts that may run them, and how a change goes from host to
//! host.
use std::time::Duration;

/// Where instances go, what becomes of a share without a host, and when work moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    pub fill: Fill,
    pub unsatisfiable: Unsatisfiable,
    pub rebalance: Rebalance,
}

/// How a share fills the hosts that meet its entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    /// Evenly over all of them.
    Spread,
    /// All on one.
    Pack,
}

/// What becomes of a share that finds no host, or not enough of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsatisfiable {
    /// It waits.
    Wait,
    /// Other entries take it over, by their weights, until it has a host.
    Redistribute,
}

/// When work that runs moves to a host that has less of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rebalance {
    Never,
    /// Once that host has been there for so long: hosts are often restarted one after the other,
    /// and the first that is back must not get everything.
    After(Duration),
}

/// How long a host must be there before work moves to it, where nothing else is said.
pub const REBALANCE_DELAY: Duration = Duration::from_mins(1);

impl Default for Layout {
    fn default() -> Self {
        Self {
            fill: Fill::Spread,
            unsatisfiable: Unsatisfiable::Wait,
            rebalance: Rebalance::After(REBALANCE_DELAY),
        }
    }
}

/// How what runs is replaced where only stop → start can change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rollout {
    pub strategy: Strategy,
    /// Hosts that may be without it at a time.
    pub max_unavailable: Bound,
    /// Hosts on which the new may start before the old stops, where only one host runs the old.
    pub max_surge: u32,
    /// As many hosts as this on which the image fails end the change. At least 1.
    pub max_failed_hosts: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// Host by host.
    RollingUpdate,
    /// All of the old stops, and then the new starts.
    Recreate,
}

/// A number of hosts. At least 1 of either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    Hosts(u32),
    /// Of those that should run it.
    Percent(u32),
}

impl Bound {
    /// How many that is of `hosts`: rounded down, and at least one, or nothing could ever change.
    #[must_use]
    pub fn of(self, hosts: usize) -> usize {
        match self {
            Self::Hosts(hosts) => as_length(hosts),
            Self::Percent(percent) => hosts.saturating_mul(as_length(percent)) / 100,
        }
        .max(1)
    }
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            strategy: Strategy::RollingUpdate,
            max_unavailable: Bound::Hosts(1),
            max_surge: 1,
            max_failed_hosts: 1,
        }
    }
}

fn as_length(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_rounds_down_and_is_at_least_one() {
        let cases = [
            (Bound::Hosts(2), 1, 2),
            (Bound::Percent(25), 10, 2),
            (Bound::Percent(25), 3, 1),
            (Bound::Percent(100), 7, 7),
            (Bound::Percent(50), 0, 1),
        ];
        for (bound, hosts, expected) in cases {
            assert_eq!(bound.of(hosts), expected, "{bound:?} of {hosts}");
        }
    }
}
