//! The operator as it runs, on a simulated API server and a simulated NATS server.
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use async_nats::{ConnectErrorKind, Event, Message, ServerInfo, SubscribeError};
use bytes::Bytes;
use futures::future::BoxFuture;
use simhost::{Bus, Port, RequestError};
use tokio::{
    sync::{mpsc, watch},
    task::AbortHandle,
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use trellis::{
    controller::{self, Metrics, Options, Scope},
    lattice::{
        access::{Access, AccessError},
        client::Error,
        line::{Laid, Line, Lines, Messages},
    },
};

use crate::cluster::Cluster;

/// One process of the operator.
pub struct Operator {
    lives: watch::Sender<bool>,
    task: AbortHandle,
    network: Network,
}

/// How long a start may take here.
pub const START_DEADLINE: Duration = Duration::from_secs(20);
/// What it takes to find out that a server can't be reached.
const UNREACHED: Duration = Duration::from_millis(100);
const MAX_PAYLOAD: usize = 1024 * 1024;

impl Operator {
    /// Starts one, that knows nothing but what is stored.
    #[must_use]
    pub fn start(cluster: &Cluster, network: &Network) -> Self {
        let (lives, alive) = watch::channel(true);
        let (lattices, changes) = controller::lattices(true, Arc::new(network.clone()));
        let (ready, _) = watch::channel(false);
        let options = Options {
            kube: cluster.client(alive),
            metrics: Metrics::default(),
            namespace: "trellis-system".to_owned(),
            scope: Scope::All,
            class: None,
            lattices,
            changes,
            start_deadline: START_DEADLINE,
            instance: None,
            election: None,
            ready,
            stop: CancellationToken::new(),
        };
        let task = tokio::spawn(controller::run(options)).abort_handle();
        Self { lives, task, network: network.clone() }
    }

    /// Ends it between two of its instructions: nothing that it hasn't sent is sent any more.
    pub fn kill(&self) {
        self.lives.send_replace(false);
        self.network.cut();
        self.task.abort();
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The way from the operator to the NATS server. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Network {
    bus: Bus,
    open: Arc<AtomicBool>,
    connection: Arc<Mutex<Option<Connection>>>,
}

#[derive(Debug)]
struct Connection {
    port: Port,
    say: mpsc::Sender<Event>,
}

impl Network {
    #[must_use]
    pub fn new(bus: &Bus) -> Self {
        Self { bus: bus.clone(), open: Arc::new(AtomicBool::new(true)), connection: Arc::default() }
    }

    /// The server can't be reached until it is opened again.
    pub fn close(&self) {
        self.open.store(false, Relaxed);
        self.cut();
    }

    pub fn open(&self) {
        self.open.store(true, Relaxed);
    }

    /// Whether this is the operator's present connection.
    #[must_use]
    pub fn is_from(&self, port: u64) -> bool {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        connection.as_ref().is_some_and(|connection| connection.port.id() == port)
    }

    /// Ends the connection that there is.
    fn cut(&self) {
        let cut = self.connection.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Connection { port, say }) = cut {
            port.cut();
            // Nobody may listen any more.
            say.try_send(Event::Disconnected).ok();
            say.try_send(Event::Closed).ok();
        }
    }
}

impl Lines for Network {
    fn lay(
        &self,
        access: Access,
        request: Duration,
    ) -> BoxFuture<'static, Result<Laid, AccessError>> {
        let network = self.clone();
        Box::pin(async move {
            sleep(UNREACHED).await;
            if !network.open.load(Relaxed) {
                let url = access.urls.join(",");
                return Err(AccessError::Connect { url, error: ConnectErrorKind::TimedOut.into() });
            }
            let port = network.bus.connect();
            let (say, said) = mpsc::channel(16);
            let connection = Connection { port: port.clone(), say };
            let mut known = network.connection.lock().unwrap_or_else(PoisonError::into_inner);
            *known = Some(connection);
            let line = Arc::new(Way { port, patience: request });
            Ok(Laid { line, said, overflow: Arc::default() })
        })
    }
}

/// One connection of the operator.
#[derive(Debug)]
struct Way {
    port: Port,
    patience: Duration,
}

impl Line for Way {
    fn request(&self, subject: String, payload: Bytes) -> BoxFuture<'_, Result<Message, Error>> {
        Box::pin(async move {
            let answer = self.port.request(&subject, payload, self.patience).await;
            answer.map_err(|error| match error {
                RequestError::NoResponders => Error::NoResponders,
                RequestError::TimedOut => Error::TimedOut,
            })
        })
    }

    fn publish(&self, subject: String, reply: String, payload: Bytes) -> BoxFuture<'_, ()> {
        Box::pin(async move { self.port.publish(&subject, Some(reply), payload) })
    }

    fn subscribe(&self, subject: String) -> BoxFuture<'_, Result<Messages, SubscribeError>> {
        Box::pin(async move { Ok(Box::pin(self.port.subscribe(&subject, None)) as Messages) })
    }

    fn inbox(&self) -> String {
        self.port.inbox()
    }

    fn flush(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn server(&self) -> ServerInfo {
        ServerInfo {
            version: "2.10.0".to_owned(),
            max_payload: MAX_PAYLOAD,
            jetstream: true,
            ..ServerInfo::default()
        }
    }
}
