//! What the process tells of itself: logs, health and metrics.

mod http;
mod logs;

pub use http::{Health, router};
pub use logs::{LogFormat, init};
