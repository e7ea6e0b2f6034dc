//! Every operation of the control interface, over one connection.
mod stored;

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use futures::StreamExt;

use super::{
    line::Line,
    wire::{
        self, Answer, Ask, Auction, DecodeError, HostBrief, HostInventory, Read, Request, Subjects,
    },
};
use crate::model::{Command, ConfigName, HostId, LinkMap};

/// Why an operation has no result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens: the host is gone, or cut off; for links and config, there is no host.
    #[error("nobody listens")]
    NoResponders,
    /// It may have been carried out.
    #[error("no answer in time")]
    TimedOut,
    /// In the host's own words.
    #[error("{0}")]
    Refused(String),
    #[error("the answer cannot be read")]
    BadReply(#[source] DecodeError),
    #[error("the message is larger than the NATS server takes")]
    TooLarge,
    #[error("the subject is not valid")]
    BadSubject,
    #[error("the connection failed")]
    Connection(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// Whether it is certain that nothing was delivered.
    #[must_use]
    pub fn not_delivered(&self) -> bool {
        match self {
            Self::NoResponders | Self::TooLarge | Self::BadSubject => true,
            Self::TimedOut | Self::Refused(_) | Self::BadReply(_) | Self::Connection(_) => false,
        }
    }
}

/// All links, and how large the answer was: beyond one message there is none.
#[derive(Debug)]
pub struct LinkList {
    pub links: LinkMap,
    pub bytes: usize,
}

/// One lattice's control interface. Clones share the connection.
#[derive(Debug, Clone)]
pub struct Client {
    line: Arc<dyn Line>,
    subjects: Subjects,
    /// The hosts' bucket may not be read.
    bucket_refused: Arc<AtomicBool>,
}

impl Client {
    #[must_use]
    pub fn new(line: impl Line + 'static, subjects: Subjects) -> Self {
        Self::over(Arc::new(line), subjects)
    }

    #[must_use]
    pub fn over(line: Arc<dyn Line>, subjects: Subjects) -> Self {
        Self { line, subjects, bucket_refused: Arc::default() }
    }

    #[must_use]
    pub fn line(&self) -> &dyn Line {
        &*self.line
    }

    #[must_use]
    pub fn subjects(&self) -> &Subjects {
        &self.subjects
    }

    async fn request(&self, request: Request) -> Result<bytes::Bytes, Error> {
        self.message(request).await.map(|message| message.payload)
    }

    async fn message(&self, request: Request) -> Result<async_nats::Message, Error> {
        let Request { subject, payload } = request;
        self.line.request(subject, payload.into()).await
    }

    /// All hosts that answer within `window`; fewer if `enough` have.
    pub async fn ping(&self, window: Duration, enough: usize) -> Result<Vec<HostBrief>, Error> {
        let replies = self.gather(self.subjects.read(&Read::Ping), window, enough).await?;
        replies
            .iter()
            .filter_map(|payload| accepted(wire::decode_ping(payload)).transpose())
            .collect()
    }

    pub async fn inventory(&self, host: &HostId) -> Result<HostInventory, Error> {
        let payload = self.request(self.subjects.read(&Read::Inventory(host.clone()))).await?;
        needed(wire::decode_inventory(&payload))
    }

    pub async fn links(&self) -> Result<LinkList, Error> {
        let payload = self.request(self.subjects.read(&Read::Links)).await?;
        let links = needed(wire::decode_links(&payload))?;
        Ok(LinkList { links, bytes: payload.len() })
    }

    /// A config's values; `None` if there is none of that name.
    pub async fn config(
        &self,
        name: &ConfigName,
    ) -> Result<Option<BTreeMap<String, String>>, Error> {
        let payload = self.request(self.subjects.read(&Read::Config(name.clone()))).await?;
        accepted(wire::decode_config(&payload))
    }

    pub async fn claims(&self) -> Result<Vec<BTreeMap<String, String>>, Error> {
        let payload = self.request(self.subjects.read(&Read::Claims)).await?;
        Ok(accepted(wire::decode_claims(&payload))?.unwrap_or_default())
    }

    /// Sends a command. Being accepted says nothing of the outcome: hosts work afterwards.
    pub async fn command(&self, command: &Command) -> Result<(), Error> {
        let payload = self.request(self.subjects.command(command)).await?;
        accepted(wire::decode_done(&payload)).map(|_| ())
    }

    /// Stops a host, or changes a label of it.
    pub async fn ask(&self, ask: &Ask) -> Result<(), Error> {
        let payload = self.request(self.subjects.ask(ask)).await?;
        accepted(wire::decode_done(&payload)).map(|_| ())
    }

    /// The hosts that could run the component, of those that take part in auctions.
    pub async fn component_auction(
        &self,
        auction: &Auction,
        window: Duration,
    ) -> Result<Vec<HostId>, Error> {
        self.bids(self.subjects.component_auction(auction), window).await
    }

    /// The hosts that could run the provider, of those that take part in auctions.
    pub async fn provider_auction(
        &self,
        auction: &Auction,
        window: Duration,
    ) -> Result<Vec<HostId>, Error> {
        self.bids(self.subjects.provider_auction(auction), window).await
    }

    async fn bids(&self, request: Request, window: Duration) -> Result<Vec<HostId>, Error> {
        let replies = self.gather(request, window, usize::MAX).await?;
        let bids =
            replies.iter().filter_map(|payload| accepted(wire::decode_bid(payload)).transpose());
        bids.map(|bid| bid.map(|bid| bid.host_id)).collect()
    }

    /// Sends one message and collects the answers of whoever answers.
    async fn gather(
        &self,
        request: Request,
        window: Duration,
        enough: usize,
    ) -> Result<Vec<bytes::Bytes>, Error> {
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| Error::Connection(error);
        let inbox = self.line.inbox();
        let mut replies =
            self.line.subscribe(inbox.clone()).await.map_err(|error| failed(error.into()))?;
        self.line.publish(request.subject, inbox, request.payload.into()).await;
        let mut gathered = Vec::new();
        let deadline = tokio::time::Instant::now() + window;
        while gathered.len() < enough {
            match tokio::time::timeout_at(deadline, replies.next()).await {
                Ok(Some(message)) if is_nobody(&message) => return Ok(gathered),
                Ok(Some(message)) => gathered.push(message.payload),
                Ok(None) | Err(_) => break,
            }
        }
        Ok(gathered)
    }
}

/// Whether a message is the server's word that nobody listens. Newer servers name the subject in a
/// header.
pub(super) fn is_nobody(message: &async_nats::Message) -> bool {
    message.status == Some(async_nats::StatusCode::NO_RESPONDERS) && message.payload.is_empty()
}

fn accepted<T>(answer: Result<Answer<T>, DecodeError>) -> Result<Option<T>, Error> {
    match answer.map_err(Error::BadReply)? {
        Answer::Accepted(response) => Ok(response),
        Answer::Refused(text) => Err(Error::Refused(text)),
    }
}

fn needed<T>(answer: Result<Answer<T>, DecodeError>) -> Result<T, Error> {
    accepted(answer)?.ok_or_else(|| {
        let reason = "is missing though the answer is a success".to_owned();
        Error::BadReply(DecodeError { path: "response".to_owned(), reason })
    })
}
