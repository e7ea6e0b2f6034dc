//! Container images, made without Docker: one layer with a program and just what it needs.
//!
//! ```text
//! program ─▶ libraries ─▶ Root ─┬▶ write: a folder, for the Dockerfile
//!       users, certificates ────┘▶ layer ─▶ Layout (OCI) ─▶ push: crane, with Docker's logins
//! ```
//!
//! Times, owners and order are fixed, so that the same inputs give the same digest.

mod base;
mod layout;
mod libraries;
mod root;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{programs, toolchain};

pub use layout::{Compression, Layout};
pub use root::{Entry, Root};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Program(#[from] programs::Error),

    #[error(transparent)]
    Tool(#[from] toolchain::Error),

    #[error("could not use {path}")]
    Io { path: PathBuf, source: io::Error },

    #[error("{0} is no Linux program for amd64 or arm64: make images on Linux")]
    NotLinux(PathBuf),

    #[error("{program} is for {architecture}: its libraries can only be found on such a machine")]
    OtherMachine { program: PathBuf, architecture: &'static str },

    #[error("{program} needs {library}, which this machine doesn't have")]
    NoLibrary { program: PathBuf, library: String },

    #[error(
        "no CA certificates on this machine: install ca-certificates, or name a file of them in \
         SSL_CERT_FILE"
    )]
    NoCertificates,

    #[error("{program} doesn't say its version but {said:?}")]
    NoVersion { program: PathBuf, said: String },
}

impl Error {
    fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}

/// Nobody's on any machine, and the one that other images without root use.
const USER: &str = "65532:65532";
/// Programs lie at the root, and can be called by their names in a running container.
const PATH: &str = "PATH=/";

/// The label that says which version of the program it is.
const VERSION: &str = "org.opencontainers.image.version";

/// An image of one program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    pub root: Root,
    /// As images name them: `amd64`, `arm64`.
    pub architecture: &'static str,
    pub entrypoint: String,
    /// What the program is told unless the user says something else.
    pub arguments: Vec<String>,
    /// The TCP ports that it listens on.
    pub ports: Vec<u16>,
    pub labels: BTreeMap<&'static str, String>,
}

/// The operator. `program` is a `trellis` of any profile.
pub fn trellis(program: &Path) -> Result<Image, Error> {
    let version = version(program)?;
    let mut image = Image::of(program, "trellis")?;
    image.root = image.root.and_file(base::CERTIFICATES, 0o644, base::certificates()?);
    image.arguments = vec!["run".to_owned()];
    image.ports = vec![8080];
    image.labels = [
        ("org.opencontainers.image.title", "Trellis"),
        (
            "org.opencontainers.image.description",
            "Runs Open Application Model Applications on wasmCloud lattices",
        ),
        ("org.opencontainers.image.licenses", "Apache-2.0"),
        (VERSION, version.as_str()),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .into();
    Ok(image)
}

/// A wasmCloud host, `hack/host`.
pub fn host() -> Result<Image, Error> {
    let mut image = Image::of(&programs::host()?, "trellis-test-host")?;
    image.root = image
        .root
        .and_file(base::CERTIFICATES, 0o644, base::certificates()?)
        // Where it unpacks providers.
        .and_folder("tmp", 0o1777);
    Ok(image)
}

/// NATS; JetStream may keep its files in `/tmp`.
pub fn nats_server() -> Result<Image, Error> {
    let mut image = Image::of(&programs::nats_server()?, "nats-server")?;
    image.root = image.root.and_folder("tmp", 0o1777);
    image.ports = vec![4222];
    Ok(image)
}

/// Sleeps until it is told to end: what a container runtime holds a Pod's namespaces with.
pub fn pause() -> Result<Image, Error> {
    Image::of(&programs::pause()?, "pause")
}

impl Image {
    /// The version of its program, where that is known.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.labels.get(VERSION).map(String::as_str)
    }

    /// The program at `path` as `/NAME`, its libraries, and who and where it is.
    fn of(path: &Path, name: &str) -> Result<Self, Error> {
        let program = fs::read(path).map_err(Error::at(path))?;
        let architecture = libraries::architecture(path, &program)?;
        let mut root = base::root().and_file(name, 0o755, program);
        for library in libraries::of(path, architecture)? {
            let contents = fs::read(&library).map_err(Error::at(&library))?;
            // The loader is a program too, and looks where the building machine's would.
            root = root.and_file(&library.to_string_lossy(), 0o755, contents);
        }
        Ok(Self {
            root,
            architecture,
            entrypoint: format!("/{name}"),
            arguments: Vec::new(),
            ports: Vec::new(),
            labels: BTreeMap::new(),
        })
    }
}

/// `0.1.0` of the program that says `trellis 0.1.0`.
fn version(program: &Path) -> Result<String, Error> {
    let said = toolchain::run(Command::new(program).arg("version"))?;
    match said.trim().strip_prefix("trellis ") {
        Some(version) => Ok(version.to_owned()),
        None => Err(Error::NoVersion { program: program.to_owned(), said }),
    }
}
