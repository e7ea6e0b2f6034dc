use std::{fmt, sync::Arc};

use super::{Command, ConfigName, Few, HostId, LinkKey, Moment, Reach, WorkloadId, WorkloadKind};

/// What to do, what follows, and what can't be done: one value for the executor, the status and
/// `trellis plan`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use = "a plan that nobody carries out or reports changes nothing"]
pub struct Plan {
    /// What may be sent now, in order.
    pub now: Vec<Planned>,
    /// What follows, and what it waits for.
    pub later: Vec<Later>,
    pub blocked: Vec<Blocked>,
    /// How far each wanted workload is.
    pub progress: Few<WorkloadId, Progress>,
    /// The earliest moment at which time alone would change this plan: a retry, a deadline, a
    /// move to a new host, the end of what can't be seen. `None` if it waits for the lattice only.
    pub wake_at: Option<Moment>,
    /// Whether something that an earlier process asked for, and nobody wants any more, may still
    /// show up; then nothing may be taken for gone yet.
    pub unseen: bool,
    /// Which hosts that it says nothing of could change it.
    pub reach: Reach,
}

impl Plan {
    /// What keeps a workload from being as wanted: why it can't be, else what comes next, else what
    /// that waits for.
    #[must_use]
    pub fn obstacle(&self, id: &WorkloadId) -> Option<String> {
        let about = |command: &Command| match command {
            Command::PutLink { key, .. } | Command::DeleteLink { key } => key.source == *id,
            Command::StartProvider { id: of, .. }
            | Command::StopProvider { id: of, .. }
            | Command::ScaleComponent { id: of, .. } => of == id,
            Command::PutConfig { .. } | Command::DeleteConfig { .. } => false,
        };
        let blocked = self.blocked.iter().find(|blocked| blocked.subject.concerns(id));
        let now = || self.now.iter().find(|planned| about(&planned.command));
        let later = || self.later.iter().find(|later| about(&later.command));
        blocked
            .map(ToString::to_string)
            .or_else(|| now().map(|planned| planned.command.to_string()))
            .or_else(|| later().map(ToString::to_string))
    }

    /// Whether the lattice shows exactly what is wanted.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.now.is_empty() && self.later.is_empty() && self.blocked.is_empty() && !self.unseen
    }
}

/// One line each: what may be sent, what follows and after what, and what is blocked.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for planned in &self.now {
            writeln!(f, "{}", planned.command)?;
        }
        for later in &self.later {
            writeln!(f, "later: {later}")?;
        }
        for Blocked { subject, reason, message, .. } in &self.blocked {
            writeln!(f, "blocked: {subject}: {}: {message}", reason.as_str())?;
        }
        Ok(())
    }
}

/// A command, and the target's namespace that it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    pub namespace: Arc<str>,
    pub command: Command,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Later {
    pub namespace: Arc<str>,
    pub command: Command,
    /// Never empty.
    pub waits_for: Vec<WaitsFor>,
}

/// What follows, and after what: in a status as in `trellis plan`.
impl fmt::Display for Later {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waits: Vec<String> = self.waits_for.iter().map(ToString::to_string).collect();
        write!(f, "{} waits for {}", self.command, waits.join(" and "))
    }
}

/// What has to be observed before a command may be sent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum WaitsFor {
    /// The outcome of what was sent before in the same lane.
    InFlight {
        what: String,
    },
    /// A failed command's delay.
    Retry {
        error: Arc<str>,
        count: u32,
    },
    Config(ConfigName),
    Link(LinkKey),
    Started(WorkloadId),
    /// Something to be gone from a host.
    Stopped(HostId, WorkloadId),
    /// Everything that is newly wanted to be in place, before what is no longer wanted goes.
    Rollout,
    /// The lattice itself: see [`super::Gate`].
    Lattice {
        why: String,
    },
    /// A command that an earlier process may have sent to be seen, or ruled out.
    Unseen,
    /// A read of the links, or of a config.
    Read {
        what: String,
    },
    /// The quiet time before a move or a restart.
    Delay {
        why: String,
    },
}

impl fmt::Display for WaitsFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InFlight { what } => write!(f, "the outcome of: {what}"),
            Self::Retry { error, count } => {
                write!(f, "the delay after {count} failures, the last: {error}")
            }
            Self::Config(name) => write!(f, "config {name}"),
            Self::Link(key) => write!(f, "link {key}->"),
            Self::Started(id) => write!(f, "{id} to be running"),
            Self::Stopped(host, id) => write!(f, "{id} to be gone from {host}"),
            Self::Rollout => f.write_str("what is newly wanted to be in place"),
            Self::Lattice { why } => write!(f, "the lattice: {why}"),
            Self::Unseen => f.write_str("what an earlier process may have sent to show"),
            Self::Read { what } => write!(f, "a read of {what}"),
            Self::Delay { why } => f.write_str(why),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    pub namespace: Arc<str>,
    pub subject: Subject,
    pub reason: Reason,
    /// What is wrong, and what to do.
    pub message: String,
}

/// Why it can't be done: in a status as in `trellis plan`.
impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason.as_str(), self.message)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    Workload(WorkloadId),
    Link(LinkKey),
    Config(ConfigName),
}

impl Subject {
    /// Whether it is this workload, or a link from it.
    #[must_use]
    pub fn concerns(&self, id: &WorkloadId) -> bool {
        match self {
            Self::Workload(blocked) => blocked == id,
            Self::Link(key) => key.source == *id,
            Self::Config(_) => false,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Workload(id) => write!(f, "{id}"),
            Self::Link(key) => write!(f, "link {key}->"),
            Self::Config(name) => write!(f, "config {name}"),
        }
    }
}

/// Why something can't be done; these are reasons of the Application's `Ready` condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// No host meets a spread's requirements.
    NoEligibleHosts,
    /// Fewer hosts than providers asked, at one a host.
    TooFewHosts,
    /// A builtin provider reaches only components on its own host.
    NotColocated,
    /// The only host that may run it has to stop it for a change.
    UnavoidableGap,
    /// Another Application has the id, the config name or the link.
    IdConflict,
    /// It runs, and isn't ours.
    NotOwned,
    /// Somebody else changes it back.
    Contended,
    /// A config that must exist doesn't.
    ConfigMissing,
    /// A host refused, or failed, with its own words in the message.
    Failing,
    /// A host that should run it doesn't answer.
    HostUnreachable,
    /// A provider runs and isn't well.
    Unhealthy,
}

impl Reason {
    /// As it stands in conditions and events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoEligibleHosts => "NoEligibleHosts",
            Self::TooFewHosts => "TooFewHosts",
            Self::NotColocated => "NotColocated",
            Self::UnavoidableGap => "UnavoidableGap",
            Self::IdConflict => "IdConflict",
            Self::NotOwned => "NotOwned",
            Self::Contended => "Contended",
            Self::ConfigMissing => "ConfigMissing",
            Self::Failing => "Failing",
            Self::HostUnreachable => "HostUnreachable",
            Self::Unhealthy => "Unhealthy",
        }
    }

    /// Whether only the user can mend it, so that waiting is in vain.
    #[must_use]
    pub fn is_stalled(self) -> bool {
        match self {
            Self::IdConflict | Self::NotOwned | Self::Contended => true,
            Self::NoEligibleHosts
            | Self::TooFewHosts
            | Self::NotColocated
            | Self::UnavoidableGap
            | Self::ConfigMissing
            | Self::Failing
            | Self::HostUnreachable
            | Self::Unhealthy => false,
        }
    }
}

/// How far one workload is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    pub kind: WorkloadKind,
    pub component: Arc<str>,
    pub namespace: Arc<str>,
    /// Instances wanted in all; for a daemon that follows the number of its hosts.
    pub wanted: u32,
    /// Instances observed as wanted: ours, with the wanted hash.
    pub ready: u32,
    /// Whether what runs is somebody else's start, taken up as it is.
    pub adopted: bool,
    /// Where it runs or should run, by host id.
    pub hosts: Vec<(HostId, HostProgress)>,
}

impl Progress {
    /// Whether as many run as are wanted, and as they are wanted.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.ready >= self.wanted
    }
}

/// How many of those that are wanted are there.
impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} instances ready", self.ready, self.wanted)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostProgress {
    pub wanted: u32,
    /// Observed there, whatever their hash.
    pub running: u32,
}
