//! What a process has used, as Linux tells it.

use std::{fs, time::Duration};

/// `CLK_TCK` of every Linux that a measurement runs on.
const TICKS_A_SECOND: f64 = 100.0;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// Seconds of a core, in user and kernel mode, since the process began.
    pub(crate) cpu: f64,
    /// Bytes that are resident now, and at most so far.
    pub(crate) resident: u64,
    pub(crate) peak: u64,
}

impl Usage {
    /// `None` once the process has ended.
    pub(crate) fn of(process: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        // The name, in parentheses, may hold spaces; user and kernel time are the 12th and 13th after it.
        let (_, after) = stat.rsplit_once(')')?;
        let mut times = after.split_whitespace().skip(11);
        let mut ticks = || times.next()?.parse::<f64>().ok();
        let cpu = (ticks()? + ticks()?) / TICKS_A_SECOND;
        let kilobytes = |key: &str| {
            let line = status.lines().find(|line| line.starts_with(key))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        };
        Some(Self { cpu, resident: kilobytes("VmRSS:")? * 1024, peak: kilobytes("VmHWM:")? * 1024 })
    }
}

/// Which part of one core was used between two looks, in percent.
pub(crate) fn percent(before: Usage, after: Usage, time: Duration) -> f64 {
    (after.cpu - before.cpu) / time.as_secs_f64() * 100.0
}
