//! What stands between one host and its NATS server, and keeps some of what the host says.

use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What may be done with one message of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Pass,
    /// It and all that follows it on that connection wait.
    Hold,
    Drop,
}

/// A host behind it is one that nobody asks about links, and that is slow to write one record of them.
#[derive(Debug)]
pub(crate) struct Proxy {
    url: String,
    held: watch::Receiver<bool>,
    open: watch::Sender<bool>,
}

impl Proxy {
    /// Holds what a host writes to `record` until it is let go.
    pub(crate) async fn start(nats: &str, record: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("nats://{}", listener.local_addr().unwrap());
        let server = nats.trim_start_matches("nats://").to_owned();
        let (tell, held) = watch::channel(false);
        let (open, opened) = watch::channel(false);
        let (tell, record) = (Arc::new(tell), format!("$KV.LATTICEDATA_default.{record} "));
        tokio::spawn(async move {
            while let Ok((host, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.unwrap();
                let (from_host, mut to_host) = host.into_split();
                let (mut from_server, to_server) = server.into_split();
                tokio::spawn(async move {
                    tokio::io::copy(&mut from_server, &mut to_host).await.ok();
                });
                let (record, tell, opened) = (record.clone(), Arc::clone(&tell), opened.clone());
                tokio::spawn(forward(from_host, to_server, record, tell, opened));
            }
        });
        Self { url, held, open }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Until the host has tried to write its record.
    pub(crate) async fn until_held(&mut self) {
        self.held.wait_for(|held| *held).await.unwrap();
    }

    pub(crate) fn let_go(&self) {
        self.open.send_replace(true);
    }
}

async fn forward(
    from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    record: String,
    tell: Arc<watch::Sender<bool>>,
    mut opened: watch::Receiver<bool>,
) {
    let mut from = BufReader::new(from);
    while let Some((line, message)) = next(&mut from).await {
        match fate(&line, &record) {
            Fate::Pass => {}
            Fate::Drop => continue,
            Fate::Hold => {
                tell.send_replace(true);
                // Who started the proxy is gone: so is what it was for.
                if opened.wait_for(|open| *open).await.is_err() {
                    return;
                }
            }
        }
        if to.write_all(&message).await.is_err() {
            return;
        }
    }
}

fn fate(line: &str, record: &str) -> Fate {
    match line.split_once(' ') {
        Some(("SUB", what)) if what.starts_with("wasmbus.ctl.v1.default.link.") => Fate::Drop,
        Some(("PUB" | "HPUB", what)) if what.starts_with(record) => Fate::Hold,
        _ => Fate::Pass,
    }
}

/// One message of the NATS protocol: its first line, and the whole of it.
async fn next(from: &mut BufReader<OwnedReadHalf>) -> Option<(String, Vec<u8>)> {
    let mut message = Vec::new();
    if from.read_until(b'\n', &mut message).await.ok()? == 0 {
        return None;
    }
    let line = String::from_utf8(message.clone()).ok()?.trim_end().to_owned();
    if line.starts_with("PUB ") || line.starts_with("HPUB ") {
        let size: usize = line.rsplit(' ').next()?.parse().ok()?;
        let start = message.len();
        message.resize(start + size + b"\r\n".len(), 0);
        from.read_exact(&mut message[start..]).await.ok()?;
    }
    Some((line, message))
}
