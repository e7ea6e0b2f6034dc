//! Somebody who calls all the time, as users do while an Application changes.
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{JoinHandle, sleep},
    time::Duration,
};

use tokio::task::spawn_blocking;

/// How long a caller waits for an answer: far longer than one takes.
const PATIENCE: Duration = Duration::from_secs(1);

/// Between two calls.
const PAUSE: Duration = Duration::from_millis(10);

/// Calls one after the other, each at most twice: hosts drop what they are at when they stop a
/// component, as every proxy knows that stands before servers which come and go.
pub(super) struct Caller {
    ended: Arc<AtomicBool>,
    calls: JoinHandle<Calls>,
}

#[derive(Debug, Default)]
pub(super) struct Calls {
    /// How often each answer came.
    pub(super) answered: BTreeMap<String, usize>,
    /// Answered when tried again.
    pub(super) dropped: usize,
    pub(super) failed: usize,
}

impl Caller {
    pub(super) fn of(address: &str) -> Self {
        let (ended, url) = (Arc::new(AtomicBool::new(false)), format!("http://{address}/"));
        let until = Arc::clone(&ended);
        let calls = std::thread::spawn(move || {
            let call = || match parts::http::get_within(&url, PATIENCE) {
                Some((200, answer)) => Some(answer),
                Some(_) | None => None,
            };
            let mut calls = Calls::default();
            while !until.load(Ordering::Relaxed) {
                let (first, again) = match call() {
                    Some(answer) => (Some(answer), None),
                    None => (None, call()),
                };
                calls.dropped += usize::from(again.is_some());
                match first.or(again) {
                    Some(answer) => *calls.answered.entry(answer).or_default() += 1,
                    None => calls.failed += 1,
                }
                sleep(PAUSE);
            }
            calls
        });
        Self { ended, calls }
    }

    /// Ends the calls, and tells what came of them.
    pub(super) async fn end(self) -> Calls {
        self.ended.store(true, Ordering::Relaxed);
        spawn_blocking(|| self.calls.join().unwrap()).await.unwrap()
    }
}
