//! Somebody who calls all the time, as users do while an Application changes.
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
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
    calls: Arc<Mutex<Calls>>,
    thread: JoinHandle<()>,
}

#[derive(Debug, Default)]
pub(super) struct Calls {
    /// How often each answer came.
    pub(super) answered: BTreeMap<String, usize>,
    /// Answered when tried again.
    pub(super) dropped: usize,
    pub(super) failed: usize,
}

impl Calls {
    fn add(&mut self, first: Option<String>, again: impl FnOnce() -> Option<String>) {
        let answer = first.or_else(|| again().inspect(|_| self.dropped += 1));
        match answer {
            Some(answer) => *self.answered.entry(answer).or_default() += 1,
            None => self.failed += 1,
        }
    }
}

impl Caller {
    pub(super) fn of(address: &str) -> Self {
        let (ended, calls) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Calls>>::default());
        let (until, into) = (Arc::clone(&ended), Arc::clone(&calls));
        let url = format!("http://{address}/");
        let call = move || match parts::http::get_within(&url, PATIENCE) {
            Some((200, answer)) => Some(answer),
            Some(_) | None => None,
        };
        let thread = std::thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                let first = call();
                into.lock().unwrap().add(first, &call);
                sleep(PAUSE);
            }
        });
        Self { ended, calls, thread }
    }

    /// Waits until this line was answered: a call that was dropped can outlast a whole change.
    pub(super) async fn hears(&self, line: &str) {
        let (calls, line) = (Arc::clone(&self.calls), format!("{line}\n"));
        let heard = move || {
            let heard = || calls.lock().unwrap().answered.contains_key(&line).then_some(());
            assert!(parts::poll(super::PATIENCE, heard).is_some(), "{line:?} was never answered");
        };
        spawn_blocking(heard).await.unwrap();
    }

    /// Ends the calls, and tells what came of them.
    pub(super) async fn end(self) -> Calls {
        self.ended.store(true, Ordering::Relaxed);
        spawn_blocking(|| self.thread.join().unwrap()).await.unwrap();
        std::mem::take(&mut *self.calls.lock().unwrap())
    }
}
