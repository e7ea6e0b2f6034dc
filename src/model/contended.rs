use super::{Command, ConfigName, HostId, LinkKey, Moment, WorkloadId};

/// The one thing that a command is about, which somebody else may want otherwise.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Thing {
    Workload(HostId, WorkloadId),
    /// Boxed, because most things are workloads.
    Link(Box<LinkKey>),
    Config(ConfigName),
}

impl Command {
    #[must_use]
    pub fn thing(&self) -> Thing {
        match self {
            Self::PutConfig { name, .. } | Self::DeleteConfig { name } => {
                Thing::Config(name.clone())
            }
            Self::PutLink { key, .. } | Self::DeleteLink { key } => {
                Thing::Link(Box::new(key.clone()))
            }
            Self::StartProvider { host, id, .. }
            | Self::StopProvider { host, id }
            | Self::ScaleComponent { host, id, .. } => Thing::Workload(host.clone(), id.clone()),
        }
    }
}

/// What somebody else has changed back too often: whoever wants it as it was made leaves it alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contended {
    /// What was asked of it last.
    pub made: Command,
    /// How often that was undone.
    pub times: usize,
    /// Until then it is to be left alone, if nobody touches it before.
    pub until: Moment,
}
