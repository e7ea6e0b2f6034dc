//! Child processes that never outlive this one.
//!
//! Every child leads a process group of its own, so that what it starts (a host's providers) ends
//! with it, and so that a Ctrl-C reaches only this process, which then ends its parts in order.
//!
//! ```text
//! spawn ─▶ a shell that waits ─▶ watchdog is told ─▶ "go" ─▶ the shell becomes the program
//! ```
//!
//! The wait closes the gap between fork and watchdog: when this process is killed in between, the
//! shell reads end-of-file and never starts the program.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::{self, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid,
};

use crate::{
    clock,
    watchdog::{self, Charge},
};

/// How long a part may take to end after SIGTERM. A host with providers takes 2 s.
const GRACE: Duration = Duration::from_secs(10);
/// How many lines of its log a part that failed is quoted with.
const TAIL: usize = 30;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not start {name}")]
    Spawn { name: String, source: io::Error },

    #[error("could not signal {name}")]
    Signal { name: String, source: io::Error },

    #[error("{name} ended ({status}) before {what}; the end of its log:\n{log}")]
    Ended { name: String, status: ExitStatus, what: String, log: String },

    #[error("{name}: {seconds} s passed before {what}; the end of its log:\n{log}")]
    NotReady { name: String, seconds: u64, what: String, log: String },
}

/// A program to start, its arguments and what its environment adds to ours.
#[derive(Clone, Debug)]
pub struct Program {
    name: String,
    path: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    /// Variables of ours that the program must not see.
    hidden: Vec<OsString>,
}

impl Program {
    /// `name` is what errors and logs call it.
    #[must_use]
    pub fn new(name: &str, path: impl Into<PathBuf>) -> Self {
        Self {
            name: name.to_owned(),
            path: path.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            hidden: Vec::new(),
        }
    }

    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    #[must_use]
    pub fn args<I: IntoIterator<Item: AsRef<OsStr>>>(mut self, arguments: I) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    #[must_use]
    pub fn envs<N: AsRef<OsStr>, V: AsRef<OsStr>>(
        self,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        variables.into_iter().fold(self, |program, (name, value)| program.env(name, value))
    }

    /// The same program, started by another that takes it and its arguments as its last ones.
    #[must_use]
    pub(crate) fn through(
        mut self,
        starter: PathBuf,
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Self {
        let program = std::mem::replace(&mut self.path, starter);
        let before = arguments.into_iter().map(Into::into).chain([program.into()]);
        self.arguments.splice(..0, before);
        self
    }

    #[must_use]
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.hidden.push(name.as_ref().to_owned());
        self
    }
}

/// A running child. Dropping it kills its whole group at once; [`Process::stop`] asks first.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    /// The child's id, which is its group's as well.
    pid: Pid,
    log: PathBuf,
    status: Option<ExitStatus>,
    /// Its id may belong to others by now; nothing must be signalled any more.
    buried: bool,
}

impl Process {
    /// Starts `program` with no standard input; both its outputs are appended to the file `log`.
    pub fn spawn(program: &Program, log: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Spawn { name: program.name.clone(), source };
        let out = File::options().create(true).append(true).open(log).map_err(failed)?;
        let err = out.try_clone().map_err(failed)?;
        Self::spawn_into(program, log, out.into(), err.into())
    }

    /// Starts `program` with no standard input; it prints where we print.
    pub fn spawn_attached(program: &Program) -> Result<Self, Error> {
        let nothing = Path::new("/dev/null");
        Self::spawn_into(program, nothing, Stdio::inherit(), Stdio::inherit())
    }

    fn spawn_into(program: &Program, log: &Path, out: Stdio, err: Stdio) -> Result<Self, Error> {
        let failed = |source| Error::Spawn { name: program.name.clone(), source };
        let mut command = Command::new("sh");
        command
            .args(["-c", r#"read -r go || exit 0; exec "$@" </dev/null"#, "parts-gate"])
            .arg(&program.path)
            .args(&program.arguments)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(out)
            .stderr(err);
        for name in &program.hidden {
            command.env_remove(name);
        }
        command.envs(program.environment.iter().map(|(name, value)| (name, value)));

        let mut child = command.spawn().map_err(failed)?;
        let pid = Pid::from_child(&child);
        let gate = child.stdin.take();
        let process = Self {
            name: program.name.clone(),
            child,
            pid,
            log: log.to_owned(),
            status: None,
            buried: false,
        };
        watchdog::guard(Charge::Group(process.id())).map_err(failed)?;
        if let Some(mut gate) = gate {
            gate.write_all(b"go\n").map_err(failed)?;
        }
        Ok(process)
    }

    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    #[must_use]
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// Everything the program has printed so far; bytes that are no text are replaced.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// How the program ended; `None` while it runs.
    pub fn status(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().ok().flatten();
        }
        self.status
    }

    /// Asks `probe` until it answers; an error as soon as the program ends or `limit` is over.
    ///
    /// `what` completes the sentence "it ended before …", such as "it listened".
    pub fn wait_for<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut probe: impl FnMut(&mut Self) -> Option<T>,
    ) -> Result<T, Error> {
        let outcome = clock::poll(limit, || {
            // Asked in this order: a program that has just printed its answer and ended is ready.
            let ended = self.status();
            probe(self).map(Ok).or_else(|| ended.map(Err))
        });
        match outcome {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(status)) => Err(Error::Ended {
                name: self.name.clone(),
                status,
                what: what.to_owned(),
                log: self.log_tail(),
            }),
            None => Err(Error::NotReady {
                name: self.name.clone(),
                seconds: limit.as_secs(),
                what: what.to_owned(),
                log: self.log_tail(),
            }),
        }
    }

    /// Waits until the program ends by itself, `None` if it still runs after `limit`.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        clock::poll(limit, || self.status())
    }

    /// Waits until the program ends by itself, however long that takes; the rest of its group is
    /// killed then.
    pub fn wait_for_end(&mut self) -> ExitStatus {
        self.reap();
        self.kill()
    }

    /// Stops the whole group from running until [`Process::resume`]: a peer that hangs. Waits until
    /// all threads of the program have stopped, which takes a busy machine a while.
    pub fn pause(&self) -> Result<(), Error> {
        self.signal_group(Signal::STOP)?;
        let stopped = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        clock::poll(GRACE, || match waitid(WaitId::Pid(self.pid), stopped) {
            Ok(None) => None,
            // An error: it has ended, and nothing is more stopped than that.
            Ok(Some(_)) | Err(_) => Some(()),
        });
        Ok(())
    }

    pub fn resume(&self) -> Result<(), Error> {
        self.signal_group(Signal::CONT)
    }

    /// SIGHUP to the program: most read their configuration again.
    pub fn hang_up(&self) -> Result<(), Error> {
        kill_process(self.pid, Signal::HUP).map_err(|errno| self.signal_error(errno))
    }

    /// SIGTERM to the program, then SIGKILL to what is left of its group.
    pub fn stop(&mut self) -> Result<ExitStatus, Error> {
        if self.status().is_none() {
            kill_process(self.pid, Signal::TERM).map_err(|errno| self.signal_error(errno))?;
            // A stopped process gets its SIGTERM when it goes on.
            self.resume()?;
            self.wait(GRACE);
        }
        Ok(self.kill())
    }

    /// SIGKILL to the program alone, as `kill -9 PID` does: what it started becomes an orphan,
    /// which [`Process::kill`] or a drop ends.
    pub fn kill_leader(&mut self) {
        self.child.kill().ok();
        self.reap();
    }

    /// SIGKILL to the whole group. Returns how the program ended.
    pub fn kill(&mut self) -> ExitStatus {
        if !self.buried {
            // Fails only when the group is empty.
            self.signal_group(Signal::KILL).ok();
            watchdog::release(Charge::Group(self.id())).ok();
            self.buried = true;
        }
        self.reap()
    }

    fn reap(&mut self) -> ExitStatus {
        let status = self
            .status
            .or_else(|| self.child.wait().ok())
            .unwrap_or_else(|| ExitStatus::from_raw(Signal::KILL.as_raw()));
        *self.status.insert(status)
    }

    fn signal_group(&self, signal: Signal) -> Result<(), Error> {
        kill_process_group(self.pid, signal).map_err(|errno| self.signal_error(errno))
    }

    fn signal_error(&self, errno: rustix::io::Errno) -> Error {
        Error::Signal { name: self.name.clone(), source: errno.into() }
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
