//! What a lattice is talked over: for the operator a connection to NATS, and for who simulates a whole
//! lattice in one process whatever keeps the same promises.
use std::{
    fmt::Debug,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use async_nats::{Event as Connection, Message, RequestErrorKind, ServerInfo, SubscribeError};
use bytes::Bytes;
use futures::{Stream, future::BoxFuture};
use tokio::sync::mpsc;

use super::{
    access::{Access, AccessError},
    client::Error,
};

/// What comes on a subject; it ends with the line.
pub type Messages = Pin<Box<dyn Stream<Item = Message> + Send + Sync>>;

/// One connection, or what stands for one.
pub trait Line: Debug + Send + Sync {
    /// Sends a request and waits for its answer, or for the server's word that nobody listens.
    fn request(&self, subject: String, payload: Bytes) -> BoxFuture<'_, Result<Message, Error>>;

    /// Sends a message; a line that fails says so itself.
    fn publish(&self, subject: String, reply: String, payload: Bytes) -> BoxFuture<'_, ()>;

    /// Everything that comes on `subject`, until the stream is dropped.
    fn subscribe(&self, subject: String) -> BoxFuture<'_, Result<Messages, SubscribeError>>;

    /// A subject that nobody else uses.
    fn inbox(&self) -> String;

    /// Waits until what was sent has left this process.
    fn flush(&self) -> BoxFuture<'_, ()>;

    /// What the server said of itself.
    fn server(&self) -> ServerInfo;
}

/// A line that has just been laid.
#[derive(Debug)]
pub struct Laid {
    pub line: Arc<dyn Line>,
    /// What it says of itself from now on.
    pub said: mpsc::Receiver<Connection>,
    /// Set when it had more to say than was taken.
    pub overflow: Arc<AtomicBool>,
}

/// Who lays lines.
pub trait Lines: Debug + Send + Sync {
    /// Connects once; attempts that follow are the caller's. A request on the line waits `request`.
    fn lay(
        &self,
        access: Access,
        request: Duration,
    ) -> BoxFuture<'static, Result<Laid, AccessError>>;
}

/// Connections to NATS.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nats;

/// How much a connection may say before we look.
const CONNECTION_EVENTS: usize = 256;
/// Whole lattices of thousands of hosts answer one ping at once.
const SUBSCRIPTION: usize = 64 * 1024;

impl Lines for Nats {
    fn lay(
        &self,
        access: Access,
        request: Duration,
    ) -> BoxFuture<'static, Result<Laid, AccessError>> {
        Box::pin(async move {
            let (tell, said) = mpsc::channel(CONNECTION_EVENTS);
            let overflow = Arc::new(AtomicBool::new(false));
            let options =
                access.options(request)?.subscription_capacity(SUBSCRIPTION).event_callback({
                    let overflow = overflow.clone();
                    move |event| {
                        let (tell, overflow) = (tell.clone(), overflow.clone());
                        async move {
                            if tell.try_send(event).is_err() {
                                overflow.store(true, Relaxed);
                            }
                        }
                    }
                });
            let line = Arc::new(access.connect(options).await?);
            Ok(Laid { line, said, overflow })
        })
    }
}

impl Line for async_nats::Client {
    fn request(&self, subject: String, payload: Bytes) -> BoxFuture<'_, Result<Message, Error>> {
        Box::pin(async move {
            let answered = async_nats::Client::request(self, subject, payload).await;
            answered.map_err(|error| match error.kind() {
                RequestErrorKind::NoResponders => Error::NoResponders,
                RequestErrorKind::TimedOut => Error::TimedOut,
                RequestErrorKind::MaxPayloadExceeded => Error::TooLarge,
                RequestErrorKind::InvalidSubject => Error::BadSubject,
                RequestErrorKind::Other => Error::Connection(error.into()),
            })
        })
    }

    fn publish(&self, subject: String, reply: String, payload: Bytes) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.publish_with_reply(subject, reply, payload).await.ok();
        })
    }

    fn subscribe(&self, subject: String) -> BoxFuture<'_, Result<Messages, SubscribeError>> {
        Box::pin(async move {
            let subscriber = async_nats::Client::subscribe(self, subject).await?;
            Ok(Box::pin(subscriber) as Messages)
        })
    }

    fn inbox(&self) -> String {
        self.new_inbox()
    }

    fn flush(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            async_nats::Client::flush(self).await.ok();
        })
    }

    fn server(&self) -> ServerInfo {
        self.server_info()
    }
}
