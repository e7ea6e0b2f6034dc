//! Calls to the API server, each with an end.
use std::{future::Future, time::Duration};

use kube::{
    api::{PatchParams, PostParams},
    core::Status,
};

use super::{Error, fenced};

/// kube sets no read time-out of its own, because a watch has none: a call that hangs would hang
/// for ever.
const LONGEST: Duration = Duration::from_secs(15);
/// A pass that makes a few calls takes no longer.
const LONGEST_PASS: Duration = Duration::from_mins(2);

/// Why a call to the API server came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error("{}", .0.message)]
    Refused(Box<Status>),
    #[error("the API server did not answer within {} s", .after.as_secs_f64())]
    TimedOut { after: Duration },
    #[error("the API server can't be reached")]
    Failed(#[source] Box<kube::Error>),
}

impl CallError {
    fn status(&self) -> Option<&Status> {
        match self {
            Self::Refused(status) => Some(status),
            Self::TimedOut { .. } | Self::Failed(_) => None,
        }
    }

    /// Whether it was not made, because this process doesn't lead.
    #[must_use]
    pub fn is_not_leading(&self) -> bool {
        match self {
            Self::Failed(error) => fenced::is_not_leading(error),
            Self::Refused(_) | Self::TimedOut { .. } => false,
        }
    }

    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.status().is_some_and(Status::is_not_found)
    }

    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        self.status().is_some_and(Status::is_forbidden)
    }

    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.status().is_some_and(Status::is_conflict)
    }

    #[must_use]
    pub fn is_invalid(&self) -> bool {
        self.status().is_some_and(Status::is_invalid)
    }

    #[must_use]
    pub fn is_already_exists(&self) -> bool {
        self.status().is_some_and(Status::is_already_exists)
    }
}

/// Who writes, as it stands in `metadata.managedFields`.
const MANAGER: &str = "trellis";

/// How objects are created and replaced.
#[must_use]
pub(super) fn written() -> PostParams {
    PostParams { field_manager: Some(MANAGER.into()), ..PostParams::default() }
}

/// How objects are patched.
#[must_use]
pub(super) fn patched() -> PatchParams {
    PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() }
}

/// Waits for `call`, but not for ever.
pub(super) async fn within<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
    within_time(LONGEST, call).await
}

/// Waits for `call` up to `after`.
pub(super) async fn within_time<T>(
    after: Duration,
    call: impl Future<Output = kube::Result<T>>,
) -> Result<T, CallError> {
    match tokio::time::timeout(after, call).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(kube::Error::Api(status))) => Err(CallError::Refused(status)),
        Ok(Err(error)) => Err(CallError::Failed(Box::new(error))),
        Err(_) => Err(CallError::TimedOut { after }),
    }
}

/// Waits for a pass, but not for ever.
pub(super) async fn passed<T>(pass: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    passed_within(LONGEST_PASS, pass).await
}

async fn passed_within<T>(
    after: Duration,
    pass: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::time::timeout(after, pass).await.map_err(|_| Error::TimedOut)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_the_api_server_never_answers_ends() {
        let soon = Duration::from_millis(1);
        let ended = passed_within(soon, std::future::pending::<Result<(), _>>()).await;
        assert!(matches!(ended, Err(Error::TimedOut)));
        let ended = within_time(soon, std::future::pending::<kube::Result<()>>()).await;
        assert!(matches!(ended, Err(CallError::TimedOut { .. })));
    }
}
