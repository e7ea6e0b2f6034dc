//! Work in a task of its own, as if it were done in place: what it takes holds up nobody else.
use tokio::task::JoinError;
use tokio_util::task::AbortOnDropHandle;

/// Does `work` in a task of its own, which ends where nobody waits for it any more.
pub async fn aside<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    match came(AbortOnDropHandle::new(tokio::spawn(work)).await) {
        Some(done) => done,
        None => std::future::pending().await,
    }
}

/// What a task came to; its panic is this one's. `None` if it was ended, as it is with its runtime.
pub fn came<T>(ended: Result<T, JoinError>) -> Option<T> {
    match ended.map_err(JoinError::try_into_panic) {
        Ok(done) => Some(done),
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        Err(Err(_)) => None,
    }
}
