//! An OCI registry on the loopback interface, over plain HTTP.

use std::{io, time::Duration};

use serde_json::json;

use crate::{
    Process, Program, Scratch, http,
    images::{self, Compression, Image},
    oci::{self, CONFIG, MANIFEST},
    process, programs,
};

const START: Duration = Duration::from_secs(20);

/// The types of layer under which hosts look for what they run.
const COMPONENT: &str = "application/wasm";
const PROVIDER: &str = "application/vnd.wasmcloud.provider.archive.layer.v1+par";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not get the registry")]
    Program(#[from] programs::Error),

    #[error("could not write the registry's files")]
    Files(#[from] io::Error),

    #[error(transparent)]
    Process(#[from] process::Error),

    #[error("could not store the image")]
    Image(#[from] Box<images::Error>),

    #[error("could not reach the registry")]
    Http(#[from] Box<ureq::Error>),

    #[error("the registry answered {status} to {request}")]
    Refused { request: String, status: u16 },

    #[error("{0:?} is no NAME:TAG")]
    Name(String),
}

impl From<ureq::Error> for Error {
    fn from(error: ureq::Error) -> Self {
        Self::Http(Box::new(error))
    }
}

impl From<images::Error> for Error {
    fn from(error: images::Error) -> Self {
        Self::Image(Box::new(error))
    }
}

/// A running registry, empty at first.
#[derive(Debug)]
pub struct Registry {
    process: Process,
    authority: String,
    // Dropped last.
    _scratch: Scratch,
}

impl Registry {
    /// Starts a registry on a free port and waits until it listens.
    pub fn start() -> Result<Self, Error> {
        let scratch = Scratch::new("registry")?;
        let config = scratch.write(
            "registry.yaml",
            json!({
                "version": "0.1",
                "log": { "formatter": "text", "accesslog": { "disabled": true } },
                "storage": { "filesystem": { "rootdirectory": scratch.folder("images")? } },
                // 0 lets the server choose.
                "http": { "addr": "127.0.0.1:0" },
            })
            .to_string(),
        )?;
        let program = Program::new("registry", programs::registry()?)
            .arg("serve")
            .arg(config)
            // It would export traces to a collector that isn't there.
            .env("OTEL_TRACES_EXPORTER", "none");
        let mut process = Process::spawn(&program, &scratch.path().join("registry.log"))?;
        let authority = process.wait_for("it listened", START, |process| {
            let log = process.log();
            let (_, rest) = log.split_once("listening on ")?;
            let end = rest.find(|c: char| !(c.is_ascii_digit() || ".:".contains(c)))?;
            Some(rest[..end].to_owned())
        })?;
        Ok(Self { process, authority, _scratch: scratch })
    }

    /// `127.0.0.1:PORT`, as hosts want to be told which registries may be insecure.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Stores a component as `name` (`hello:0.1.0`); returns the reference to start it by.
    pub fn push_component(&self, name: &str, wasm: &[u8]) -> Result<String, Error> {
        self.push(name, COMPONENT, wasm)
    }

    /// Stores a provider archive as `name`; returns the reference to start it by.
    pub fn push_provider(&self, name: &str, archive: &[u8]) -> Result<String, Error> {
        self.push(name, PROVIDER, archive)
    }

    /// Stores a container image as `name`; returns the reference to start it by.
    pub fn push_image(&self, name: &str, image: &Image) -> Result<String, Error> {
        let reference = format!("{}/{name}", self.authority);
        let scratch = Scratch::new("image")?;
        let folder = scratch.path().join("oci");
        image.layout(&folder, &reference, Compression::None)?.push(&reference)?;
        Ok(reference)
    }

    /// The registry hangs: hosts that pull wait, until [`Registry::resume`].
    pub fn pause(&self) -> Result<(), Error> {
        Ok(self.process.pause()?)
    }

    pub fn resume(&self) -> Result<(), Error> {
        Ok(self.process.resume()?)
    }

    fn push(&self, name: &str, layer_type: &str, layer: &[u8]) -> Result<String, Error> {
        let (repository, tag) =
            name.rsplit_once(':').ok_or_else(|| Error::Name(name.to_owned()))?;
        let config = b"{}";
        self.push_blob(repository, config)?;
        self.push_blob(repository, layer)?;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": oci::descriptor(CONFIG, config),
            "layers": [oci::descriptor(layer_type, layer)],
        });
        let url = format!("http://{}/v2/{repository}/manifests/{tag}", self.authority);
        let response =
            http::agent().put(&url).header("content-type", MANIFEST).send(manifest.to_string())?;
        created(&url, response.status().as_u16())?;
        Ok(format!("{}/{name}", self.authority))
    }

    fn push_blob(&self, repository: &str, bytes: &[u8]) -> Result<(), Error> {
        let agent = http::agent();
        let url = format!("http://{}/v2/{repository}/blobs/uploads/", self.authority);
        let response = agent.post(&url).send_empty()?;
        let status = response.status().as_u16();
        let Some(upload) = response.headers().get("location").and_then(|l| l.to_str().ok()) else {
            return Err(Error::Refused { request: url, status });
        };
        let separator = if upload.contains('?') { '&' } else { '?' };
        let url = format!("{upload}{separator}digest={}", oci::digest(bytes));
        let response =
            agent.put(&url).header("content-type", "application/octet-stream").send(bytes)?;
        created(&url, response.status().as_u16())
    }
}

fn created(request: &str, status: u16) -> Result<(), Error> {
    match status {
        201 => Ok(()),
        status => Err(Error::Refused { request: request.to_owned(), status }),
    }
}
