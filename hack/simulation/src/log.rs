//! What happened, in order, in lines that a person reads.
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::time::Instant;

/// Clones are the same log.
#[derive(Clone)]
pub struct Log(Arc<Inner>);

struct Inner {
    begun: Instant,
    lines: Mutex<Vec<String>>,
}

impl Log {
    #[must_use]
    pub fn begin() -> Self {
        Self(Arc::new(Inner { begun: Instant::now(), lines: Mutex::default() }))
    }

    pub fn say(&self, what: impl fmt::Display) {
        let at = self.0.begun.elapsed().as_secs_f64();
        let line = format!("{at:9.3} {what}");
        self.0.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.0.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
