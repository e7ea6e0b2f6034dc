//! Cleans up after this process, whichever way it ends.
//!
//! Drop does not run after `kill -9`, `std::process::exit`, an abort or for statics, and a part that
//! outlives its test holds ports, memory and a temporary folder. One shell, in a process group of
//! its own, therefore holds the read end of a pipe whose only write end is here. The kernel closes
//! that end on every exit path; the shell then ends the groups and removes the folders it was told of.
//!
//! The write end is close-on-exec, as all pipes of the standard library are, so no other child
//! keeps it open. `PR_SET_PDEATHSIG` would be simpler but follows the *thread* that spawned the
//! child, which in a thread pool ends long before the process does.

use std::{
    io::{self, Write},
    os::unix::process::CommandExt,
    path::Path,
    process::{ChildStdin, Command, Stdio},
    sync::Mutex,
};

/// `None` until the first part is started.
static WATCHDOG: Mutex<Option<ChildStdin>> = Mutex::new(None);

/// What the watchdog ends or removes; see `watchdog.sh` for the lines.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Charge<'a> {
    /// The id of a process group.
    Group(u32),
    Folder(&'a Path),
    /// A folder in which the kernel shows a control group; those below it go as well.
    Cgroup(&'a Path),
}

/// Has `charge` cleaned up if this process ends before [`release`].
pub(crate) fn guard(charge: Charge<'_>) -> io::Result<()> {
    tell('+', charge)
}

/// Takes `charge` back: its owner has cleaned it up.
pub(crate) fn release(charge: Charge<'_>) -> io::Result<()> {
    tell('-', charge)
}

fn tell(verb: char, charge: Charge<'_>) -> io::Result<()> {
    let line = match charge {
        Charge::Group(id) => format!("{verb}group {id}\n"),
        Charge::Folder(path) => format!("{verb}folder {}\n", path.display()),
        Charge::Cgroup(path) => format!("{verb}cgroup {}\n", path.display()),
    };
    let mut watchdog = WATCHDOG.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let pipe = match watchdog.take() {
        Some(pipe) => watchdog.insert(pipe),
        None => watchdog.insert(start()?),
    };
    pipe.write_all(line.as_bytes())
}

fn start() -> io::Result<ChildStdin> {
    Command::new("sh")
        .args(["-c", include_str!("watchdog.sh"), "parts-watchdog"])
        // A Ctrl-C at the terminal goes to the whole foreground group, and must not end this one.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?
        .stdin
        .take()
        .ok_or_else(|| io::Error::other("the watchdog has no stdin"))
}
