//! What was found, in the form in which it is told.
use std::fmt;

use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// It could not be looked at.
    Unknown,
    /// It may go on like that.
    Warning,
    /// Something doesn't work: `check` says no, and an operator that runs goes on with the rest.
    Fault,
    /// The operator would be of no use, or do harm: it doesn't start.
    Fatal,
}

impl Severity {
    /// Whether it is a reason to say no.
    #[must_use]
    pub fn blocks(self) -> bool {
        match self {
            Self::Unknown | Self::Warning => false,
            Self::Fault | Self::Fatal => true,
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "unknown",
            Self::Warning => "warning",
            Self::Fault => "fault",
            Self::Fatal => "fatal",
        })
    }
}

/// One thing that stands in the way, or that could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    pub severity: Severity,
    /// What is so, and of which object.
    pub what: String,
    /// What follows from it.
    pub why: String,
    /// What to do: a command, or what comes before one.
    pub fix: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { severity, what, why, fix } = self;
        write!(f, "{severity}: {what}: {why}; {fix}")
    }
}
