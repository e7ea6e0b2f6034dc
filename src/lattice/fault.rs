//! What keeps a lattice's NATS from being used, told apart by what there is to do about it. Pure.
use std::{fmt, sync::Arc};

/// Why there is no connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Fault {
    /// None: the first attempt has still to end.
    #[default]
    Untried,
    /// The address's name doesn't resolve.
    NameUnknown,
    /// Nobody answers at the address.
    Unreachable,
    /// Who answers there speaks something else.
    NotNats,
    /// The server's certificate isn't one that we trust, or not one for this name.
    Untrusted,
    /// We ask for TLS, and the server has none.
    NoTls,
    /// The server asks for a client certificate that it knows.
    ClientCertificate,
    /// The server doesn't know us by what we show it, or we show nothing.
    Refused,
    /// Whatever else; the connection's own words tell.
    Other,
}

impl Fault {
    /// Whether it may pass by itself, as when a server is started again.
    #[must_use]
    pub fn may_pass(self) -> bool {
        match self {
            Self::Untried | Self::NameUnknown | Self::Unreachable | Self::NotNats | Self::Other => {
                true
            }
            Self::Untrusted | Self::NoTls | Self::ClientCertificate | Self::Refused => false,
        }
    }
}

/// What a NATS user may do with a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    Publish,
    Subscribe,
}

/// A permission that the NATS server refused us, in the form in which its configuration grants it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Permission {
    pub verb: Verb,
    pub subject: Arc<str>,
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.verb {
            Verb::Publish => "publish",
            Verb::Subscribe => "subscribe",
        };
        write!(f, "{verb} {}", self.subject)
    }
}

impl Permission {
    /// Reads a NATS server's complaint, such as `Permissions Violation for Publish to "a.b"`.
    #[must_use]
    pub fn refused(complaint: &str) -> Option<(Verb, &str)> {
        let rest = complaint.strip_prefix("Permissions Violation for ")?;
        let (verb, rest) = if let Some(rest) = rest.strip_prefix("Publish to ") {
            (Verb::Publish, rest)
        } else {
            (Verb::Subscribe, rest.strip_prefix("Subscription to ")?)
        };
        Some((verb, rest.strip_prefix('"')?.split('"').next()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_complaint_names_what_it_refuses() {
        let cases = [
            ("Permissions Violation for Publish to \"a.b\"", Some((Verb::Publish, "a.b"))),
            ("Permissions Violation for Subscription to \"a.*\"", Some((Verb::Subscribe, "a.*"))),
            (
                "Permissions Violation for Subscription to \"a\" using queue \"q\"",
                Some((Verb::Subscribe, "a")),
            ),
            ("maximum subscriptions exceeded", None),
        ];
        for (complaint, refused) in cases {
            assert_eq!(Permission::refused(complaint), refused, "{complaint}");
        }
    }
}
