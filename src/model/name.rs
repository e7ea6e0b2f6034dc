use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// Why a text can't be a name on a lattice.
///
/// Every name ends up as one token of a NATS subject
/// (<https://docs.nats.io/nats-concepts/subjects>), hence the rules.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("is empty")]
    Empty,
    #[error("contains {0:?}, which cannot stand in one token of a NATS subject")]
    Forbidden(char),
}

fn check(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    let forbidden = |c: char| matches!(c, '.' | '*' | '>') || c.is_whitespace() || c.is_control();
    text.chars().find(|c| forbidden(*c)).map_or(Ok(()), |c| Err(NameError::Forbidden(c)))
}

/// `text` as one part of a generated name: in lower case, with everything outside `[a-z0-9]` turned
/// into `_`; never empty.
#[must_use]
pub fn id_part(text: &str) -> String {
    let plain = |c: char| {
        let c = c.to_ascii_lowercase();
        if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '_' }
    };
    if text.is_empty() { "_".into() } else { text.chars().map(plain).collect() }
}

macro_rules! token {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// A name made of `parts`, each as [`id_part`], joined by dashes, which no part
            /// contains: so other parts give another name.
            #[must_use]
            pub fn generated(parts: &[&str]) -> Self {
                let parts: Vec<String> = parts.iter().map(|part| id_part(part)).collect();
                Self(parts.join("-").into())
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                check(text).map(|()| Self(text.into()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                check(&text).map(|()| Self(text.into()))
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

token!(
    /// A host: a new public nkey (`N…`) at each of its starts unless it was given a seed.
    HostId
);
token!(
    /// A component or a provider on a lattice; both share one namespace of ids.
    WorkloadId
);
token!(
    /// A named string map that the hosts of a lattice keep.
    ConfigName
);
token!(
    /// A lattice's name: its `Lattice` object's, which users write in their manifests. The name on
    /// the wire is the object's `spec.lattice`.
    LatticeName
);

impl WorkloadId {
    /// Before all others; no thing has it.
    #[must_use]
    pub fn first() -> Self {
        Self("".into())
    }
}

impl ConfigName {
    const SECRET: &str = "SECRET";

    /// Whether hosts take it for the name of a reference to a secret.
    #[must_use]
    pub fn is_of_secret(&self) -> bool {
        self.0.starts_with(Self::SECRET)
    }

    /// The name of a secret reference, made of `parts` as [`ConfigName::generated`] does.
    #[must_use]
    pub fn of_secret(parts: &[&str]) -> Self {
        Self(format!("{}_{}", Self::SECRET, Self::generated(parts)).into())
    }
}

/// `namespace/name` of an Application.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApplicationKey {
    pub namespace: Arc<str>,
    pub name: Arc<str>,
}

impl ApplicationKey {
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// Reads `namespace/name`; `None` if it isn't that.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (namespace, name) = text.split_once('/')?;
        (!namespace.is_empty() && !name.is_empty()).then(|| Self::new(namespace, name))
    }
}

impl fmt::Display for ApplicationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_token_of_a_nats_subject() {
        let cases = [
            ("hello_world-http", Ok(())),
            ("", Err(NameError::Empty)),
            ("a.b", Err(NameError::Forbidden('.'))),
            ("a b", Err(NameError::Forbidden(' '))),
            (">", Err(NameError::Forbidden('>'))),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<WorkloadId>().map(|_| ()), expected, "{text:?}");
        }
    }
}
