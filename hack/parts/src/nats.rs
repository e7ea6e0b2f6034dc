//! A NATS server, in any of the ways it can ask who connects, and with or without JetStream.

mod auth;
mod jwt;

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::json;

pub use auth::{Auth, Client, User};

use crate::{Process, Program, Scratch, pki, process, programs};

/// An idle machine takes 20 ms.
const START: Duration = Duration::from_secs(20);

/// What the server logs then.
const RELOADED: &str = "Reloaded server configuration";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not get nats-server")]
    Program(#[from] programs::Error),

    #[error("could not write the server's files")]
    Files(#[from] io::Error),

    #[error("could not make the server's certificates")]
    Pki(#[from] pki::Error),

    #[error("could not make the server's keys")]
    Keys(#[from] nkeys::error::Error),

    #[error(transparent)]
    Process(#[from] process::Error),
}

#[derive(Clone, Debug, Default)]
pub struct NatsOptions {
    pub auth: Auth,
    /// Users who may do less than everybody, who needs no password as long as there are any;
    /// for [`Auth::None`].
    pub users: Vec<User>,
    /// Further lines of the server's configuration, in its own format.
    pub config: String,
    pub without_jetstream: bool,
    /// The longest message in bytes; the server's own default is 1 MiB.
    pub max_payload: Option<u32>,
}

/// A running server. Its port and its store stay the same over [`Nats::restart`].
#[derive(Debug)]
pub struct Nats {
    process: Process,
    program: PathBuf,
    config: PathBuf,
    port: u16,
    client: Client,
    scratch: Scratch,
    /// All but the users, and further lines.
    settings: (serde_json::Value, String),
}

impl Nats {
    /// Starts a server on a free port of the loopback interface and waits until it listens.
    pub fn start(options: NatsOptions) -> Result<Self, Error> {
        let program = programs::nats_server()?;
        let scratch = Scratch::new("nats")?;
        let NatsOptions { auth, users, config: further, without_jetstream, max_payload } = options;
        let (mut config, client) = auth.set_up(&scratch)?;
        if !without_jetstream {
            config["jetstream"] = json!({ "store_dir": scratch.folder("jetstream")? });
        }
        if let Some(bytes) = max_payload {
            config["max_payload"] = json!(bytes);
        }
        let settings = (config.clone(), further.clone());
        if !users.is_empty() {
            auth::limit(&mut config, &users);
        }
        let config = scratch.write("nats.conf", text(&config) + &further)?;
        // -1 lets the server choose.
        let (process, port) = launch(&program, &config, &scratch, "-1")?;
        let client = Client { url: format!("nats://127.0.0.1:{port}"), ..client };
        Ok(Self { process, program, config, port, client, scratch, settings })
    }

    /// Where the server is, without anything that proves who connects.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.client.url
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What a client needs to be let in.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// What the server has logged, refused permissions included, over all restarts.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Ends the server; its store and its port are kept for [`Nats::restart`].
    pub fn stop(&mut self) -> Result<(), Error> {
        self.process.stop()?;
        Ok(())
    }

    /// Starts the server again on its port and store, after ending it if it still runs.
    pub fn restart(&mut self) -> Result<(), Error> {
        self.stop()?;
        let port = self.port.to_string();
        (self.process, _) = launch(&self.program, &self.config, &self.scratch, &port)?;
        Ok(())
    }

    /// Has the running server read other permissions of `users`, as an administrator would who grants
    /// something: connections stay.
    pub fn grant(&mut self, users: &[User]) -> Result<(), Error> {
        let (mut config, further) = self.settings.clone();
        auth::limit(&mut config, users);
        self.config = self.scratch.write("nats.conf", text(&config) + &further)?;
        let reloads = |process: &Process| process.log().matches(RELOADED).count();
        let before = reloads(&self.process);
        self.process.hang_up()?;
        let reloaded = |process: &mut Process| (reloads(process) > before).then_some(());
        Ok(self.process.wait_for("it read its configuration again", START, reloaded)?)
    }

    /// The server hangs: connections stay open and nothing arrives, until [`Nats::resume`].
    pub fn pause(&self) -> Result<(), Error> {
        Ok(self.process.pause()?)
    }

    pub fn resume(&self) -> Result<(), Error> {
        Ok(self.process.resume()?)
    }

    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }
}

/// The configuration, a line for each of its parts; the server's own format takes JSON values.
fn text(config: &serde_json::Value) -> String {
    let parts = config.as_object().into_iter().flatten();
    parts.fold(String::new(), |text, (key, value)| text + &format!("{key}: {value}\n"))
}

fn launch(
    program: &Path,
    config: &Path,
    scratch: &Scratch,
    port: &str,
) -> Result<(Process, u16), Error> {
    let ports = scratch.folder("ports")?;
    let program = Program::new("nats-server", program)
        .arg("--config")
        .arg(config)
        .args(["--addr", "127.0.0.1", "--port", port])
        .arg("--ports_file_dir")
        .arg(&ports);
    let mut process = Process::spawn(&program, &scratch.path().join("nats.log"))?;
    let file = ports.join(format!("nats-server_{}.ports", process.id()));
    let port = process.wait_for("it listened", START, |_| {
        let text = fs::read_to_string(&file).ok()?;
        let ports: serde_json::Value = serde_json::from_str(&text).ok()?;
        ports["nats"][0].as_str()?.rsplit(':').next()?.parse().ok()
    })?;
    Ok((process, port))
}
