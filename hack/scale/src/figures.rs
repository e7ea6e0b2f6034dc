//! What was measured, a line each.

use std::time::Duration;

use parts::Stopwatch;

/// Prints each figure as soon as there is one: a run takes minutes.
pub(crate) struct Figures(Stopwatch);

impl Default for Figures {
    fn default() -> Self {
        Self(Stopwatch::start())
    }
}

impl Figures {
    pub(crate) fn note(&self, what: &str, value: impl Into<String>) {
        self.print(what, &value.into(), "");
    }

    /// A figure that is to stay within `bar`.
    pub(crate) fn bar(&self, what: &str, value: impl Into<String>, bar: &str) {
        self.print(what, &value.into(), bar);
    }

    fn print(&self, what: &str, value: &str, bar: &str) {
        println!("{:>6.1} s  {what:<42} {value:>20}  {bar}", self.0.elapsed().as_secs_f64());
    }
}

/// The value that `percent` of `sorted` are at most; zero if there are none.
pub(crate) fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(rank).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_nearest_rank() {
        let times: Vec<_> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&times, 50), Duration::from_millis(100));
        assert_eq!(percentile(&times, 99), Duration::from_millis(198));
        assert_eq!(percentile(&times[..1], 99), Duration::from_millis(1));
        assert_eq!(percentile(&[], 99), Duration::ZERO);
    }
}
