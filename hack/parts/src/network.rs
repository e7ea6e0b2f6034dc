//! A network of its own, in which well-known ports are free.
//!
//! ```text
//!   inside                        outside
//!   program ──▶ 127.0.0.1:4222 ══▶ 127.0.0.1:41873   a server on whatever port it got
//! ```
//!
//! A socket stays in the namespace it was made in, so a listener made inside and answered from
//! outside is a door between the two.

use std::{
    fs::File,
    io,
    net::{Ipv4Addr, Shutdown, SocketAddrV4, TcpListener, TcpStream},
    os::fd::AsFd,
    path::PathBuf,
    thread,
    time::Duration,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::{Process, Program, Scratch, process, programs, toolchain};

/// An idle machine takes 10 ms.
const START: Duration = Duration::from_secs(20);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not get what sets up a network")]
    Programs(#[from] programs::Error),

    #[error(transparent)]
    Tool(#[from] toolchain::Error),

    #[error("could not make a network namespace: this needs root, or `unshare --map-root-user`")]
    Process(#[from] process::Error),

    #[error("could not write a network's files")]
    Files(#[from] io::Error),

    #[error("could not enter the network namespace {}", .path.display())]
    Enter { path: PathBuf, source: io::Error },

    #[error("could not listen at {address} inside a network namespace")]
    Listen { address: SocketAddrV4, source: io::Error },
}

/// Where a door is inside, and where it leads to outside: ports of the two loopback interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Door {
    pub inside: u16,
    pub outside: u16,
}

/// A network namespace with nothing in it but its loopback interface and doors to ours.
#[derive(Debug)]
pub struct Network {
    doors: Vec<TcpListener>,
    /// Keeps the namespace while nothing else is in it.
    keeper: Process,
    _scratch: Scratch,
}

impl Network {
    /// Makes a network with these doors.
    pub fn start(doors: &[Door]) -> Result<Self, Error> {
        let scratch = Scratch::new("network")?;
        let keep = r#""$0" link set lo up && echo up && exec sleep infinity"#;
        let ip = programs::ip()?;
        let program = Program::new("network", toolchain::UNSHARE.find()?)
            .args(["--net", "sh", "-c", keep])
            .arg(ip.path("ip"))
            .envs(ip.environment());
        let mut keeper = Process::spawn(&program, &scratch.path().join("network.log"))?;
        keeper.wait_for("its loopback interface was up", START, |keeper| {
            keeper.log().lines().any(|line| line == "up").then_some(())
        })?;
        let mut network = Self { doors: Vec::new(), keeper, _scratch: scratch };
        for door in doors {
            let listener = network.listen(door.inside)?;
            network.doors.push(listener.try_clone()?);
            let outside = loopback(door.outside);
            thread::spawn(move || {
                // Ends when the listener is shut down.
                while let Ok((inside, _)) = listener.accept() {
                    connect(inside, outside);
                }
            });
        }
        Ok(network)
    }

    /// `program`, to be started inside.
    pub(crate) fn admit(&self, program: Program) -> Result<Program, Error> {
        let namespace = format!("--net={}", self.path().display());
        Ok(program.through(toolchain::NSENTER.find()?, [namespace]))
    }

    fn path(&self) -> PathBuf {
        format!("/proc/{}/ns/net", self.keeper.id()).into()
    }

    fn listen(&self, port: u16) -> Result<TcpListener, Error> {
        let (path, address) = (self.path(), loopback(port));
        // Only the thread that enters is inside, and it ends.
        let inside = thread::spawn(move || {
            let enter = || {
                let namespace = File::open(&path)?;
                let only = Some(LinkNameSpaceType::Network);
                Ok(move_into_link_name_space(namespace.as_fd(), only)?)
            };
            enter().map_err(|source| Error::Enter { path: path.clone(), source })?;
            TcpListener::bind(address).map_err(|source| Error::Listen { address, source })
        });
        inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for door in &self.doors {
            // Wakes the thread that accepts; its connections end with the programs inside.
            let _ = rustix::net::shutdown(door, rustix::net::Shutdown::Both);
        }
    }
}

fn loopback(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)
}

/// Passes on what either says until both have ended. When nobody listens outside, it is hung up.
fn connect(inside: TcpStream, outside: SocketAddrV4) {
    let Ok(outside) = TcpStream::connect(outside) else { return };
    let (Ok(from_inside), Ok(from_outside)) = (inside.try_clone(), outside.try_clone()) else {
        return;
    };
    thread::spawn(move || pass_on(&from_inside, &outside));
    thread::spawn(move || pass_on(&from_outside, &inside));
}

fn pass_on(mut from: &TcpStream, mut to: &TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
