//! Network, processes and mounts of one's own.
//!
//! ```text
//! this program ─▶ unshare ─▶ init.sh, PID 1 ─▶ this program again, with a node and all its Pods
//!      │                        └─ whose end is the end of everything in there
//!      └─ holds the folder and the control groups, which are outside
//! ```

use std::{env, io, net::Ipv4Addr, path::PathBuf, process::ExitStatus};

use super::cgroup::{self, Cgroup};
use crate::{Process, Program, Scratch, process, programs, toolchain};

/// Where the node is, in its own network.
pub(super) const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 89, 0, 1);
/// Names the control group for the Pods, and so tells that this is the run inside.
const INSIDE: &str = "TRELLIS_NODE_CGROUP";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not get what a node runs on")]
    Programs(#[from] programs::Error),

    #[error(transparent)]
    Cgroup(#[from] cgroup::Error),

    #[error("could not make the node's folder")]
    Files(#[from] io::Error),

    #[error("could not tell which program this is")]
    Myself(#[source] io::Error),

    #[error(transparent)]
    Process(#[from] process::Error),
}

/// What became of [`enter`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entered {
    /// This is the run inside.
    Inside,
    /// This is the run outside, and the one inside has ended.
    Outside(ExitStatus),
    /// There can be no node on this machine, for this reason.
    Impossible(String),
}

fn obstacle() -> Option<String> {
    if !cfg!(target_os = "linux") {
        return Some("a node needs Linux".to_owned());
    }
    if !rustix::process::geteuid().is_root() {
        return Some("a node needs to be started by root".to_owned());
    }
    let mut unshare = std::process::Command::new("unshare");
    unshare.args(UNSHARE).args(["mount", "-t", "tmpfs", "node"]).arg(env::temp_dir());
    toolchain::run(&mut unshare)
        .err()
        .map(|error| format!("this machine gives out no namespaces: {}", crate::chain(&error)))
        .or_else(|| cgroup::obstacle().map(|error| crate::chain(&error)))
}

const UNSHARE: [&str; 6] = ["--net", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc"];

/// Runs this program once more, with the same arguments, in namespaces of its own, and waits until
/// it ends. Nothing of what it started is left then, or when this process is killed.
///
/// There is no network but the node's own in there: `fetch` is called before, if there can be a
/// node here at all.
pub fn enter(fetch: impl FnOnce() -> Result<(), programs::Error>) -> Result<Entered, Error> {
    if env::var_os(INSIDE).is_some() {
        return Ok(Entered::Inside);
    }
    if let Some(obstacle) = obstacle() {
        return Ok(Entered::Impossible(obstacle));
    }
    fetch()?;
    let scratch = Scratch::new("node")?;
    let cgroup = Cgroup::new()?;
    let program = Program::new("unshare", "unshare")
        .args(UNSHARE)
        .args(["sh", "-c", include_str!("init.sh"), "parts-init"])
        .arg(scratch.folder("writes")?)
        .arg(ADDRESS.to_string())
        .arg(env::current_exe().map_err(Error::Myself)?)
        .args(env::args_os().skip(1))
        .envs(programs::node_tools()?.environment())
        .env(INSIDE, cgroup.name())
        // Whatever is left there goes when this run ends.
        .env("TMPDIR", scratch.folder("tmp")?);
    Ok(Entered::Outside(Process::spawn_attached(&program)?.wait_for_end()))
}

/// The name of the control group for Pods, in the run inside.
pub(super) fn cgroup() -> Option<PathBuf> {
    env::var_os(INSIDE).map(|name| PathBuf::from("/").join(name))
}
