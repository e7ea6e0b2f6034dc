use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use async_nats::{Event as Connection, Message};
use futures::StreamExt;
use tokio::{sync::mpsc, time::sleep};

use super::Settings;
use crate::lattice::{
    access::AccessError,
    client::Client,
    line::{Laid, Lines, Messages},
    wire::{Read, Subjects},
};

/// One connection with what is subscribed on it.
pub(super) struct Session {
    pub(super) client: Client,
    events: Messages,
    pongs: Messages,
    inbox: String,
    connection: mpsc::Receiver<Connection>,
    /// The connection had more to tell than we took.
    overflow: Arc<AtomicBool>,
}

/// What comes over a connection.
#[derive(Debug)]
pub(super) enum Arrival {
    Event(Message),
    Pong(Message),
    Connection(Connection),
    /// It won't bring anything any more.
    Ended,
}

impl Session {
    pub(super) async fn open(
        settings: Settings,
        lines: Arc<dyn Lines>,
    ) -> Result<Self, AccessError> {
        let url = || settings.access.urls.join(",");
        let subjects =
            Subjects::new(&settings.control_prefix, &settings.event_prefix, &settings.wire_name)
                .map_err(AccessError::Subject)?;
        let laid = lines.lay(settings.access.clone(), settings.request_timeout).await?;
        let Laid { line, said: connection, overflow } = laid;
        let failed = |source| AccessError::Subscribe { url: url(), source };
        let events = line.subscribe(subjects.events().to_owned()).await.map_err(failed)?;
        let inbox = line.inbox();
        let pongs = line.subscribe(format!("{inbox}.*")).await.map_err(failed)?;
        // The first ping must find the subscriptions at the server; if this fails, so will it.
        line.flush().await;
        let client = Client::over(line, subjects);
        Ok(Self { client, events, pongs, inbox, connection, overflow })
    }

    /// A connection on which nothing is refused that is subscribed to; `None` if there is none.
    pub(super) async fn allowed(settings: Settings, lines: Arc<dyn Lines>) -> Option<Self> {
        let patience = settings.request_timeout;
        let mut session = Self::open(settings, lines).await.ok()?;
        // A server that allows something doesn't say so.
        sleep(patience).await;
        while let Ok(said) = session.connection.try_recv() {
            match said {
                Connection::Connected => {}
                Connection::ServerError(_)
                | Connection::Disconnected
                | Connection::SlowConsumer(_)
                | Connection::ClientError(_)
                | Connection::LameDuckMode
                | Connection::Draining
                | Connection::Closed => return None,
            }
        }
        Some(session)
    }

    /// The next thing that arrives. What the connection says of itself comes first, so that no
    /// event is taken for one of a connection that is gone.
    pub(super) async fn next(&mut self) -> Arrival {
        tokio::select! {
            biased;
            said = self.connection.recv() => said.map_or(Arrival::Ended, Arrival::Connection),
            event = self.events.next() => event.map_or(Arrival::Ended, Arrival::Event),
            pong = self.pongs.next() => pong.map_or(Arrival::Ended, Arrival::Pong),
        }
    }

    /// Whether the connection said something that was lost; asking forgets it.
    pub(super) fn take_overflow(&self) -> bool {
        self.overflow.swap(false, Relaxed)
    }

    /// What a server's configuration has to grant for `subject`: the same for every host and every
    /// answer.
    pub(super) fn permission(&self, subject: &str) -> String {
        // `_INBOX.trellis.…`, or without a prefix of its own `_INBOX.…`.
        match self.inbox.rsplit_once('.') {
            Some((prefix, _)) if subject.starts_with(prefix) => format!("{prefix}.>"),
            Some(_) | None => self.client.subjects().permission(subject),
        }
    }

    /// Sends a ping whose answers name their round.
    pub(super) async fn ping(&self, round: u64) {
        let request = self.client.subjects().read(&Read::Ping);
        let reply = format!("{}.{round}", self.inbox);
        self.client.line().publish(request.subject, reply, request.payload.into()).await;
    }
}

/// The round in the subject of a pong.
pub(super) fn round_of(message: &Message) -> Option<u64> {
    message.subject.rsplit('.').next()?.parse().ok()
}
