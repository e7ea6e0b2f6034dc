//! Time as the simulated machines tell it: tokio's clock, counted from a fixed day.

use std::time::Duration;

use tokio::time::Instant;

/// 2026-01-01T00:00:00Z. Events carry a time nobody may rely on, so a fixed start is as good as
/// the true one and makes runs repeat.
const EPOCH_DAY: u64 = 20_454;

/// When a lattice started; everything is told relative to it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }

    /// The time `elapsed` plus `skew` after the start, as in `2026-01-01T00:00:05.000000000Z`.
    pub(crate) fn rfc3339(self, skew: Duration) -> String {
        rfc3339(self.elapsed() + skew)
    }
}

fn rfc3339(since: Duration) -> String {
    let (seconds, nanos) = (since.as_secs(), since.subsec_nanos());
    let (year, month, day) = civil(EPOCH_DAY + seconds / 86_400);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
}

/// Days since 1970 as year, month and day: Howard Hinnant's `civil_from_days`.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

/// Seconds in the words of the host: `2m 58s`, `4m`, `0s`.
pub(crate) fn human(uptime: Duration) -> String {
    let seconds = uptime.as_secs();
    let parts = [
        (seconds / 86_400, if seconds / 86_400 == 1 { "day" } else { "days" }),
        (seconds / 3_600 % 24, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
    ];
    let told: Vec<String> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect();
    if told.is_empty() { "0s".to_owned() } else { told.join(" ") }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{human, rfc3339};

    #[test]
    fn times_count_from_the_fixed_day() {
        assert_eq!(rfc3339(Duration::from_millis(5_250)), "2026-01-01T00:00:05.250000000Z");
        let leap = Duration::from_hours(24 * (365 + 365 + 31 + 28));
        assert_eq!(rfc3339(leap), "2028-02-29T00:00:00.000000000Z");
    }

    #[test]
    fn uptime_reads_as_on_the_real_host() {
        let cases =
            [(0, "0s"), (28, "28s"), (178, "2m 58s"), (240, "4m"), (90_061, "1day 1h 1m 1s")];
        for (seconds, told) in cases {
            assert_eq!(human(Duration::from_secs(seconds)), told);
        }
    }
}
