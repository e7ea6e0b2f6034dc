//! The one place where the lattice's time is read.
use std::sync::OnceLock;

use tokio::time::Instant;

use crate::model::Moment;

/// Now, as the time since this process first asked. It follows tokio's clock, so that a test may
/// stop it.
#[must_use]
pub fn now() -> Moment {
    static START: OnceLock<Instant> = OnceLock::new();
    Moment(START.get_or_init(Instant::now).elapsed())
}
