//! A NATS server inside this process, for simulations that must repeat: what travels takes time of
//! tokio's clock, in an order that one seed decides, and nothing else has a part in it.
//!
//! Like the real one it keeps the order between two connections, says "no responders", hands a message
//! for a queue group to one member, and forgets a connection that is cut with all that was on its way
//! there. What it hands over and what it loses is up to whoever [watches](Bus::watch).

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use async_nats::{Message, StatusCode, Subject};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until, timeout};

use crate::lock;
use crate::rng::Rng;

/// The server. Clones are the same one.
#[derive(Clone)]
pub struct Bus(Arc<Shared>);

/// One connection.
#[derive(Clone)]
pub struct Port {
    bus: Bus,
    id: u64,
    inboxes: Arc<AtomicU64>,
}

/// What a connection receives on one subject, until it is cut or this is dropped.
pub struct Subscription {
    id: u64,
    bus: Weak<Shared>,
    messages: mpsc::UnboundedReceiver<Message>,
}

/// A message that has reached the server.
#[derive(Debug)]
pub struct Passing<'a> {
    pub from: u64,
    pub subject: &'a str,
    pub payload: &'a [u8],
}

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Pass,
    Lose,
    /// It arrives as much later than it would, and so does all that follows on the same way.
    Late(Duration),
}

/// Why a request has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    #[error("nobody listens")]
    NoResponders,
    #[error("no answer in time")]
    TimedOut,
}

type Watcher = Box<dyn FnMut(&Passing<'_>) -> Fate + Send>;

struct Shared {
    state: Mutex<State>,
    sooner: Notify,
}

struct State {
    ports: BTreeSet<u64>,
    subscriptions: BTreeMap<u64, Interest>,
    /// What is on its way, by when it arrives and in which order it was sent.
    on_its_way: BTreeMap<(Instant, u64), (u64, Message)>,
    /// When the last message on each way arrives.
    last: BTreeMap<(u64, u64), Instant>,
    watcher: Option<Watcher>,
    rng: Rng,
    next: u64,
}

struct Interest {
    port: u64,
    subject: String,
    group: Option<String>,
    sender: mpsc::UnboundedSender<Message>,
}

/// The most a message takes on its way, in milliseconds; the least is one.
const SLOWEST: usize = 3;
/// How long a request of a host waits.
const PATIENCE: Duration = Duration::from_secs(2);

impl Bus {
    /// Starts a server; it ends with the runtime.
    #[must_use]
    pub fn start(seed: u64) -> Self {
        let state = State {
            ports: BTreeSet::new(),
            subscriptions: BTreeMap::new(),
            on_its_way: BTreeMap::new(),
            last: BTreeMap::new(),
            watcher: None,
            rng: Rng::fork(seed, "bus"),
            next: 0,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), sooner: Notify::new() });
        tokio::spawn(deliver(Arc::downgrade(&shared)));
        Self(shared)
    }

    /// A new connection.
    #[must_use]
    pub fn connect(&self) -> Port {
        let mut state = lock(&self.0.state);
        let id = state.number();
        state.ports.insert(id);
        Port { bus: self.clone(), id, inboxes: Arc::default() }
    }

    /// Has every message that reaches the server looked at, and judged.
    pub fn watch(&self, watcher: impl FnMut(&Passing<'_>) -> Fate + Send + 'static) {
        lock(&self.0.state).watcher = Some(Box::new(watcher));
    }
}

impl State {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn accept(&mut self, from: u64, message: &Message) {
        if !self.ports.contains(&from) {
            return;
        }
        let passing =
            Passing { from, subject: message.subject.as_str(), payload: &message.payload };
        let fate = self.watcher.as_mut().map_or(Fate::Pass, |watcher| watcher(&passing));
        let late = match fate {
            Fate::Pass => Duration::ZERO,
            Fate::Lose => return,
            Fate::Late(by) => by,
        };
        let to = self.receivers(&message.subject);
        if let (true, Some(reply)) = (to.is_empty(), &message.reply) {
            let nobody = Message {
                subject: reply.clone(),
                reply: None,
                payload: Bytes::new(),
                headers: None,
                status: Some(StatusCode::NO_RESPONDERS),
                description: None,
                length: 0,
            };
            for receiver in self.receivers(reply) {
                self.send(from, receiver, late, nobody.clone());
            }
        }
        for receiver in to {
            self.send(from, receiver, late, message.clone());
        }
    }

    /// The subscriptions that a message goes to: all, and one of each group.
    fn receivers(&mut self, subject: &str) -> Vec<u64> {
        let mut to = Vec::new();
        let mut groups: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        for (id, interest) in &self.subscriptions {
            if matches(&interest.subject, subject) {
                match &interest.group {
                    None => to.push(*id),
                    Some(group) => groups.entry(group).or_default().push(*id),
                }
            }
        }
        for members in groups.into_values() {
            to.extend(members.get(self.rng.below(members.len())));
        }
        to
    }

    fn send(&mut self, from: u64, to: u64, late: Duration, message: Message) {
        let Some(port) = self.subscriptions.get(&to).map(|interest| interest.port) else { return };
        let takes = u64::try_from(1 + self.rng.below(SLOWEST)).unwrap_or(1);
        let at = Instant::now() + Duration::from_millis(takes) + late;
        let last = self.last.entry((from, port)).or_insert(at);
        let at = at.max(*last);
        *last = at;
        let number = self.number();
        self.on_its_way.insert((at, number), (to, message));
    }
}

/// Whether a subject is one that `pattern` means.
fn matches(pattern: &str, subject: &str) -> bool {
    let (mut pattern, mut subject) = (pattern.split('.'), subject.split('.'));
    loop {
        match (pattern.next(), subject.next()) {
            (Some(">"), Some(_)) | (None, None) => return true,
            (Some("*"), Some(_)) => {}
            (Some(wanted), Some(is)) if wanted == is => {}
            (Some(_) | None, Some(_) | None) => return false,
        }
    }
}

async fn deliver(bus: Weak<Shared>) {
    loop {
        let Some(shared) = bus.upgrade() else { return };
        let next = {
            let mut state = lock(&shared.state);
            while let Some(entry) = state.on_its_way.first_entry() {
                if entry.key().0 > Instant::now() {
                    break;
                }
                let (to, message) = entry.remove();
                if let Some(interest) = state.subscriptions.get(&to) {
                    // Who doesn't listen any more misses it.
                    let _ = interest.sender.send(message);
                }
            }
            state.on_its_way.first_key_value().map(|((at, _), _)| *at)
        };
        let due = async {
            match next {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = shared.sooner.notified() => {}
            () = due => {}
        }
    }
}

impl Port {
    /// Tells this connection from others.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Ends the connection, with all that was on its way to it.
    pub fn cut(&self) {
        let mut state = lock(&self.bus.0.state);
        state.ports.remove(&self.id);
        state.subscriptions.retain(|_, interest| interest.port != self.id);
    }

    /// A subject that nobody else uses.
    #[must_use]
    pub fn inbox(&self) -> String {
        format!("_INBOX.{}.{}", self.id, self.inboxes.fetch_add(1, Relaxed))
    }

    /// Sends a message; one on a connection that was cut is lost.
    pub fn publish(&self, subject: &str, reply: Option<String>, payload: Bytes) {
        let length = payload.len();
        let message = Message {
            subject: Subject::from(subject),
            reply: reply.map(Subject::from),
            payload,
            headers: None,
            status: None,
            description: None,
            length,
        };
        lock(&self.bus.0.state).accept(self.id, &message);
        self.bus.0.sooner.notify_one();
    }

    /// Everything on `subject` from now on, or a share of it with the other members of `group`.
    #[must_use]
    pub fn subscribe(&self, subject: &str, group: Option<&str>) -> Subscription {
        let (sender, messages) = mpsc::unbounded_channel();
        let mut state = lock(&self.bus.0.state);
        let id = state.number();
        if state.ports.contains(&self.id) {
            let (subject, group) = (subject.to_owned(), group.map(str::to_owned));
            let interest = Interest { port: self.id, subject, group, sender };
            state.subscriptions.insert(id, interest);
        }
        Subscription { id, bus: Arc::downgrade(&self.bus.0), messages }
    }

    /// Sends a request and waits for the first answer.
    pub async fn request(
        &self,
        subject: &str,
        payload: Bytes,
        patience: Duration,
    ) -> Result<Message, RequestError> {
        let inbox = self.inbox();
        let mut answers = self.subscribe(&inbox, None);
        self.publish(subject, Some(inbox), payload);
        match timeout(patience, answers.next()).await {
            Ok(Some(answer)) if answer.status == Some(StatusCode::NO_RESPONDERS) => {
                Err(RequestError::NoResponders)
            }
            Ok(Some(answer)) => Ok(answer),
            Ok(None) | Err(_) => Err(RequestError::TimedOut),
        }
    }

    pub(crate) async fn round_trip(&self) {
        // Whatever the error is, there is nothing more to wait for.
        let _ = self.request(&self.inbox(), Bytes::new(), PATIENCE).await;
    }
}

impl Stream for Subscription {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.messages.poll_recv(cx)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(shared) = self.bus.upgrade() {
            lock(&shared.state).subscriptions.remove(&self.id);
        }
    }
}

impl std::fmt::Debug for Bus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bus")
    }
}

impl std::fmt::Debug for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Port({})", self.id)
    }
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Subscription({})", self.id)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn text(message: &Message) -> &str {
        std::str::from_utf8(&message.payload).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn it_keeps_the_order_between_two_and_says_when_nobody_listens() {
        let bus = Bus::start(1);
        let (one, other) = (bus.connect(), bus.connect());
        let mut heard = other.subscribe("a.*.c", None);
        for n in 0..50 {
            one.publish("a.b.c", None, n.to_string().into());
        }
        one.publish("a.b.d", None, "not heard".into());
        for n in 0..50 {
            assert_eq!(text(&heard.next().await.unwrap()), n.to_string());
        }
        let nobody = one.request("x.y", Bytes::new(), PATIENCE).await;
        assert_eq!(nobody.unwrap_err(), RequestError::NoResponders);
        let silent = one.request("a.b.c", Bytes::new(), PATIENCE).await;
        assert_eq!(silent.unwrap_err(), RequestError::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn of_a_group_one_gets_each_message_and_who_is_cut_gets_none() {
        let bus = Bus::start(1);
        let (one, other) = (bus.connect(), bus.connect());
        let mut members = [other.subscribe("a.>", Some("g")), other.subscribe("a.>", Some("g"))];
        for _ in 0..10 {
            one.publish("a.b", None, Bytes::new());
        }
        one.round_trip().await;
        let mut got = 0;
        for member in &mut members {
            while member.next().now_or_never().is_some() {
                got += 1;
            }
        }
        assert_eq!(got, 10);
        other.cut();
        let nobody = one.request("a.b", Bytes::new(), PATIENCE).await;
        assert_eq!(nobody.unwrap_err(), RequestError::NoResponders);
        assert!(members[0].next().await.is_none(), "it has ended");
    }
}
