//! Why a spec was not released.
use crate::appfile::Problems;

/// How far a spec got, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Parse,
    Revision,
    Policy,
}

/// What has to be mended in an Application before it can be released.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub stage: Stage,
    pub problems: Problems,
}

impl Refusal {
    /// The reason of the conditions and of the event.
    #[must_use]
    pub(super) fn reason(&self) -> &'static str {
        match self.stage {
            Stage::Parse => "FailedParse",
            Stage::Revision => "FailedRevision",
            Stage::Policy => "FailedPolicy",
        }
    }

    /// Each problem on its own line.
    #[must_use]
    pub(super) fn message(&self) -> String {
        self.problems.to_string()
    }
}
