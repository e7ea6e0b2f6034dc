use std::fmt;

use super::Moment;

/// A provider that runs, and whose process isn't well as far as its host can tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unhealthy {
    pub sign: Sign,
    /// How often it was stopped for that, with less than ten minutes of health in between.
    pub restarts: u32,
    /// From then on it may be started anew.
    pub due: Moment,
}

/// How it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// It answered its host's question, and not well.
    Failed,
    /// It used to answer and doesn't any more.
    Silent,
    /// Its host was out of reach when links of it changed: it goes by what they were.
    MissedLinks,
}

impl fmt::Display for Sign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Failed => "says that it is unhealthy",
            Self::Silent => "doesn't answer health checks any more",
            Self::MissedLinks => "missed a change of its links while its host was out of reach",
        })
    }
}
