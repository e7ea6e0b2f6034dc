//! The only place in this crate that reads a clock.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Short enough that nobody waits for a part that is ready, long enough to leave it the processor.
const PROBE_EVERY: Duration = Duration::from_millis(20);

/// Measures from when it was made.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "waiting for real processes needs the real time")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Asks `probe` until it answers, for at most `limit`. `None` when it never did.
pub fn poll<T>(limit: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let watch = Stopwatch::start();
    loop {
        if let Some(answer) = probe() {
            return Some(answer);
        }
        if watch.elapsed() >= limit {
            return None;
        }
        thread::sleep(PROBE_EVERY);
    }
}
