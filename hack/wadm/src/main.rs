//! wadm 0.21.1 with its defaults, on one NATS server, until it is told to end.

use anyhow::{Context as _, bail};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use wadm::config::WadmConfig;

#[derive(Debug, Parser)]
struct Arguments {
    /// HOST:PORT of a NATS server with JetStream.
    #[arg(long)]
    nats: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { nats } = Arguments::parse();
    let mut ended = signal(SignalKind::terminate()).context("no SIGTERM")?;
    let config = WadmConfig { nats_server: nats, ..WadmConfig::default() };
    let mut tasks = wadm::start_wadm(config).await.context("wadm didn't start")?;
    println!("wadm is ready");
    tokio::select! {
        _ = ended.recv() => Ok(()),
        ended = tasks.join_next() => bail!("wadm ended by itself: {ended:?}"),
    }
}
