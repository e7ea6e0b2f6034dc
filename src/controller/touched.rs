//! Applications to look at again: each once, so that they can't outgrow their number and a storm of
//! changes on one costs one pass.
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::timeout};

use crate::model::{ApplicationKey, Moment};

#[derive(Debug, Default)]
pub struct Touched {
    queue: Mutex<Queue>,
    /// When what they are to be looked at for was known, until the pass over them begins.
    since: Mutex<BTreeMap<ApplicationKey, Moment>>,
    some: Notify,
    few: Notify,
}

/// When more than this wait, each call to the API server that could come later holds them up.
const MANY: usize = 64;
/// What could come later doesn't wait for longer.
const LONGEST: Duration = Duration::from_secs(5);

/// In the order in which they came.
#[derive(Debug, Default)]
struct Queue {
    waiting: BTreeMap<ApplicationKey, Turn>,
    /// These may name some that are there no more, or by now have the other turn.
    soon: VecDeque<ApplicationKey>,
    last: VecDeque<ApplicationKey>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Something happened to it.
    Soon,
    /// All are looked at.
    Last,
}

impl Queue {
    /// Whether that is news.
    fn add(&mut self, application: &ApplicationKey, turn: Turn) -> bool {
        match (self.waiting.get(application), turn) {
            (Some(Turn::Soon), _) | (Some(Turn::Last), Turn::Last) => return false,
            (None, _) | (Some(Turn::Last), Turn::Soon) => {}
        }
        self.waiting.insert(application.clone(), turn);
        match turn {
            Turn::Soon => self.soon.push_back(application.clone()),
            Turn::Last => self.last.push_back(application.clone()),
        }
        true
    }

    fn take(&mut self) -> Option<ApplicationKey> {
        for (turn, line) in [(Turn::Soon, &mut self.soon), (Turn::Last, &mut self.last)] {
            while let Some(application) = line.pop_front() {
                if self.waiting.get(&application) == Some(&turn) {
                    self.waiting.remove(&application);
                    return Some(application);
                }
            }
        }
        None
    }
}

impl Touched {
    /// Has an Application looked at again.
    pub fn add(&self, application: &ApplicationKey) {
        if self.queue().add(application, Turn::Soon) {
            self.some.notify_one();
        }
    }

    /// Has an Application looked at again because all are, after those to which something happened.
    pub fn add_last(&self, application: &ApplicationKey) {
        if self.queue().add(application, Turn::Last) {
            self.some.notify_one();
        }
    }

    /// Has an Application looked at for a change of a lattice that was known at `since`.
    pub fn tell(&self, application: &ApplicationKey, since: Option<Moment>) {
        if let Some(since) = since {
            let mut known = self.since.lock().unwrap_or_else(PoisonError::into_inner);
            known.entry(application.clone()).or_insert(since);
        }
        self.add(application);
    }

    /// A pass over an Application begins: when what it looks at first was known.
    pub fn begun(&self, application: &ApplicationKey) -> Option<Moment> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner).remove(application)
    }

    /// The next one.
    pub fn take(&self) -> Option<ApplicationKey> {
        let mut queue = self.queue();
        let next = queue.take();
        if queue.waiting.len() <= MANY {
            self.few.notify_waiters();
        }
        next
    }

    /// Waits while many wait, but not for long: for what nobody is waiting for itself.
    pub async fn calm(&self) {
        let few = self.few.notified();
        if self.queue().waiting.len() > MANY {
            timeout(LONGEST, few).await.ok();
        }
    }

    /// Waits for one that was added since this was last waited for.
    pub async fn some(&self) {
        self.some.notified().await;
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_one_turn_and_who_was_touched_comes_before_those_that_wait_for_all() {
        let touched = Touched::default();
        let key = |name: &str| ApplicationKey::new("n", name);
        for name in ["c", "b", "a"] {
            touched.add_last(&key(name));
        }
        for name in ["z", "b", "z"] {
            touched.add(&key(name));
        }
        touched.add_last(&key("z"));
        let order: Vec<_> = std::iter::from_fn(|| touched.take()).collect();
        assert_eq!(order, ["z", "b", "c", "a"].map(key));
        touched.add(&key("b"));
        assert_eq!(touched.take(), Some(key("b")));
        assert_eq!(touched.take(), None);
    }
}
