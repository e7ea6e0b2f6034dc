//! What we write on the things that we start, so that every inventory says whose they are.
use std::{fmt, str::FromStr, sync::Arc};

use super::{Annotations, ApplicationKey};

/// Who manages a thing; the value is `trellis` for us.
pub const MANAGED_BY: &str = "wasmcloud.dev/managed-by";
/// The Application's name, by which a host names it to secrets backends.
pub const APPSPEC: &str = "wasmcloud.dev/appspec";
/// Which Trellis: `spec.installation` of the Lattice.
pub const INSTALLATION: &str = "lattice.oam.dev/installation";
/// `namespace/name` of the Application.
pub const APPLICATION: &str = "lattice.oam.dev/application";
/// The component's name in the Application.
pub const COMPONENT: &str = "lattice.oam.dev/component";
/// [`AskHash`] of what was asked.
pub const HASH: &str = "lattice.oam.dev/hash";
/// The ApplicationRevision that asked; for people, it decides nothing.
pub const REVISION: &str = "lattice.oam.dev/revision";
/// The Application's uid; for people, it decides nothing.
pub const UID: &str = "lattice.oam.dev/uid";

/// On a Lattice: the lost hosts that will never return, separated by commas; nothing of them is
/// held any more.
pub const FORGET_HOST: &str = "lattice.oam.dev/forget-host";
/// On a Lattice: the token of the mass loss that is no mistake.
pub const CONFIRM_LOSS: &str = "lattice.oam.dev/confirm-loss";

/// Whose a thing is: which Trellis, and which Application of its.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner {
    pub installation: Arc<str>,
    pub application: ApplicationKey,
}

impl Owner {
    /// The owner that a thing's annotations name; `None` if they name none.
    #[must_use]
    pub fn of(annotations: &Annotations) -> Option<Self> {
        Some(Self {
            installation: annotations.get(INSTALLATION)?.into(),
            application: ApplicationKey::parse(annotations.get(APPLICATION)?)?,
        })
    }

    /// Whether `annotations` name this owner; allocates nothing.
    #[must_use]
    pub fn owns(&self, annotations: &Annotations) -> bool {
        annotations.get(INSTALLATION).is_some_and(|i| *i == *self.installation)
            && annotations.get(APPLICATION).and_then(|a| a.split_once('/')).is_some_and(
                |(namespace, name)| {
                    *namespace == *self.application.namespace && *name == *self.application.name
                },
            )
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (installation {})", self.application, self.installation)
    }
}

/// What a thing was asked with, in two parts, because a host can't tell it back.
///
/// In an annotation it reads `1.{start}.{config}`; the leading number is the version of the form,
/// so that an upgrade of Trellis restarts nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskHash {
    /// Over what only stop → start can change: image, limits, appspec, secret references.
    pub start: Arc<str>,
    /// Over the ordered list of config names, which one scale can change.
    pub config: Arc<str>,
}

impl fmt::Display for AskHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1.{}.{}", self.start, self.config)
    }
}

/// The text isn't the hash of a form that we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a hash of the form 1.START.CONFIG")]
pub struct NotAHash;

impl FromStr for AskHash {
    type Err = NotAHash;

    fn from_str(text: &str) -> Result<Self, NotAHash> {
        let mut parts = text.split('.');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some("1"), Some(start), Some(config), None)
                if !start.is_empty() && !config.is_empty() =>
            {
                Ok(Self { start: start.into(), config: config.into() })
            }
            _ => Err(NotAHash),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_reads_back_as_it_was_written() {
        let hash = AskHash { start: "ab12".into(), config: "cd34".into() };
        assert_eq!(hash.to_string().parse(), Ok(hash));
    }

    #[test]
    fn hashes_of_other_forms_are_not_taken_for_ours() {
        for text in ["", "1.a", "2.a.b", "1..b", "1.a.b.c"] {
            assert_eq!(text.parse::<AskHash>(), Err(NotAHash), "{text:?}");
        }
    }
}
