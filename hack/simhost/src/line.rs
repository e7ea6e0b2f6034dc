//! What the hosts talk over: a connection to a real NATS server, or one inside this process.

use std::pin::Pin;
use std::task::{Context, Poll};

use async_nats::{Client, Message, Subject};
use futures::Stream;

use crate::bus::{Port, Subscription};
use crate::sim::SimError;

#[derive(Debug, Clone)]
pub(crate) enum Line {
    Nats(Client),
    Bus(Port),
}

/// What comes on a subject.
#[derive(Debug)]
pub(crate) enum Subscriber {
    Nats(async_nats::Subscriber),
    Bus(Subscription),
}

/// The most that one message may be where no server says it.
const MAX_PAYLOAD: usize = 1024 * 1024;

impl Line {
    pub(crate) async fn subscribe(&self, subject: String) -> Result<Subscriber, SimError> {
        Ok(match self {
            Self::Nats(nats) => {
                Subscriber::Nats(nats.subscribe(subject).await.map_err(SimError::Subscribe)?)
            }
            Self::Bus(port) => Subscriber::Bus(port.subscribe(&subject, None)),
        })
    }

    /// Shares what comes with all others of `group`.
    pub(crate) async fn queue_subscribe(
        &self,
        subject: String,
        group: String,
    ) -> Result<Subscriber, SimError> {
        Ok(match self {
            Self::Nats(nats) => Subscriber::Nats(
                nats.queue_subscribe(subject, group).await.map_err(SimError::Subscribe)?,
            ),
            Self::Bus(port) => Subscriber::Bus(port.subscribe(&subject, Some(&group))),
        })
    }

    /// Publishes; a connection that is gone loses what is said, as it does for a host.
    pub(crate) async fn publish(&self, subject: Subject, payload: Vec<u8>) {
        match self {
            Self::Nats(nats) => drop(nats.publish(subject, payload.into()).await),
            Self::Bus(port) => port.publish(&subject, None, payload.into()),
        }
    }

    /// Sends a request whose answer tells nothing but that it has come.
    pub(crate) async fn ask(&self, subject: String, payload: String) {
        match self {
            Self::Nats(nats) => drop(nats.request(subject, payload.into()).await),
            Self::Bus(_) => {}
        }
    }

    /// Returns once the server has done all that was sent on this connection before.
    pub(crate) async fn round_trip(&self) {
        match self {
            Self::Nats(nats) => crate::dispatch::round_trip(nats).await,
            Self::Bus(port) => port.round_trip().await,
        }
    }

    pub(crate) fn max_payload(&self) -> usize {
        match self {
            Self::Nats(nats) => nats.server_info().max_payload,
            Self::Bus(_) => MAX_PAYLOAD,
        }
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::Nats(nats) => {
                let info = nats.server_info();
                format!("nats://{}:{}", info.host, info.port)
            }
            Self::Bus(_) => "nats://simulated:4222".to_owned(),
        }
    }
}

impl Subscriber {
    /// Withdraws the interest; fails only on a connection that is gone, and the interest with it.
    pub(crate) async fn unsubscribe(self) {
        match self {
            Self::Nats(mut subscriber) => drop(subscriber.unsubscribe().await),
            Self::Bus(subscription) => drop(subscription),
        }
    }
}

impl Stream for Subscriber {
    type Item = Message;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        match self.get_mut() {
            Self::Nats(subscriber) => Pin::new(subscriber).poll_next(cx),
            Self::Bus(subscription) => Pin::new(subscription).poll_next(cx),
        }
    }
}
