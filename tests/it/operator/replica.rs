//! One of several operators on a stage.
use std::{net::SocketAddr, process::ExitStatus, sync::Arc};

use parts::Process;
use serde_json::{Value, json};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

use super::stage::{CLUSTER, PATIENCE, READY, Stage};

/// The shortest lease that an operator takes.
pub(crate) const LEASE: [&str; 3] = ["--leader-elect", "--lease-duration", "6s"];

pub(crate) struct Replica {
    process: Process,
}

impl Replica {
    /// Starts one that takes part in the election, and waits until it is ready.
    pub(crate) async fn start(stage: &Stage, name: &str) -> Self {
        Self::start_with(stage, name, None).await
    }

    /// Starts one that reaches the API server through `line`.
    pub(crate) async fn start_behind(stage: &Stage, name: &str, line: &Line) -> Self {
        Self::start_with(stage, name, Some(line)).await
    }

    async fn start_with(stage: &Stage, name: &str, line: Option<&Line>) -> Self {
        let mut program = stage.program().await.args(LEASE).args(["--instance", name]);
        if let Some(line) = line {
            let kubeconfig = std::fs::read_to_string(stage.file("kubeconfig")).unwrap();
            let mut kubeconfig: Value = serde_json::from_str(&kubeconfig).unwrap();
            kubeconfig["clusters"][0]["cluster"]["server"] = json!(line.url());
            let path = stage.file(&format!("{name}.kubeconfig"));
            std::fs::write(&path, kubeconfig.to_string()).unwrap();
            program = program.env("KUBECONFIG", path);
        }
        let log = stage.file(&format!("{name}.log"));
        let spawn = move || Process::spawn(&program, &log).unwrap();
        let mut replica = Self { process: tokio::task::spawn_blocking(spawn).await.unwrap() };
        replica.says(READY);
        replica
    }

    /// Waits until it has logged `text`.
    pub(crate) fn says(&mut self, text: &str) {
        self.says_again(text, 0);
    }

    /// Waits until it has logged `text` more than `before` times.
    pub(crate) fn says_again(&mut self, text: &str, before: usize) {
        let what = format!("it said {text:?}");
        let said =
            |replica: &mut Process| (replica.log().matches(text).count() > before).then_some(());
        tokio::task::block_in_place(|| self.process.wait_for(&what, PATIENCE, said)).unwrap();
    }

    /// How often it has logged `text`.
    pub(crate) fn count(&self, text: &str) -> usize {
        self.log().matches(text).count()
    }

    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// When it logged `text` first.
    pub(crate) fn said_at(&self, text: &str) -> jiff::Timestamp {
        let log = self.log();
        let line = log.lines().find(|line| line.contains(text)).expect(text);
        line.split(' ').next().unwrap().parse().unwrap()
    }

    /// What it answers on this path of its own server.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let log = self.log();
        let line = log.lines().find(|line| line.contains("serving health")).unwrap();
        let address = line.split("address=").nth(1).unwrap().split(' ').next().unwrap();
        let url = format!("http://{address}{path}");
        tokio::task::block_in_place(|| parts::http::get(&url)).expect(&url)
    }

    /// The value of one of its metrics.
    pub(crate) fn metric(&self, name: &str) -> String {
        let (_, metrics) = self.get("/metrics");
        let line = metrics.lines().find(|line| line.split(' ').next() == Some(name));
        line.unwrap_or_else(|| panic!("{name} in {metrics}")).split(' ').nth(1).unwrap().to_owned()
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.process.kill();
    }

    /// SIGTERM, and its end.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        tokio::task::block_in_place(|| self.process.stop()).unwrap()
    }

    pub(crate) fn pause(&self) {
        self.process.pause().unwrap();
    }

    pub(crate) fn resume(&self) {
        self.process.resume().unwrap();
    }
}

/// A line to the API server that can be cut.
pub(crate) struct Line {
    address: SocketAddr,
    whole: Arc<watch::Sender<bool>>,
}

impl Line {
    pub(crate) async fn to_the_api_server() -> Self {
        let server = CLUSTER.url().strip_prefix("https://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let whole = Arc::new(watch::Sender::new(true));
        let watched = Arc::clone(&whole);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, server.clone(), watched.subscribe()));
            }
        });
        Self { address, whole }
    }

    fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// What is sent from now on arrives nowhere, and nobody is told.
    pub(crate) fn cut(&self) {
        self.whole.send_replace(false);
    }

    pub(crate) fn mend(&self) {
        self.whole.send_replace(true);
    }
}

async fn carry(mut client: TcpStream, server: String, mut whole: watch::Receiver<bool>) {
    let cut = |whole: watch::Receiver<bool>| async move {
        let mut whole = whole;
        whole.wait_for(|whole| !whole).await.map(drop)
    };
    if *whole.borrow() {
        let mut server = TcpStream::connect(server).await.unwrap();
        tokio::select! {
            _ = copy_bidirectional(&mut client, &mut server) => return,
            _ = cut(whole.clone()) => {}
        }
        // Open on both sides, and dead.
        let _ = whole.wait_for(|whole| *whole).await;
    } else {
        let _ = whole.wait_for(|whole| *whole).await;
    }
}
