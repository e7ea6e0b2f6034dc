//! The subjects of the control interface.

use std::fmt;

/// What a request asks for: the part of its subject after `{prefix}.v1.{lattice}.`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// `host.ping`
    HostPing,
    /// `host.get.{host}`
    HostGet,
    /// `host.stop.{host}`
    HostStop,
    /// `label.put.{host}`
    LabelPut,
    /// `label.del.{host}`
    LabelDel,
    /// `component.scale.{host}`
    ComponentScale,
    /// `component.update.{host}`
    ComponentUpdate,
    /// `component.auction`
    ComponentAuction,
    /// `provider.start.{host}`
    ProviderStart,
    /// `provider.stop.{host}`
    ProviderStop,
    /// `provider.auction`
    ProviderAuction,
    /// `link.put`
    LinkPut,
    /// `link.get`
    LinkGet,
    /// `link.del`
    LinkDel,
    /// `config.put.{name}`
    ConfigPut,
    /// `config.get.{name}`
    ConfigGet,
    /// `config.del.{name}`
    ConfigDel,
    /// `registry.put`
    RegistryPut,
    /// `claims.get`
    ClaimsGet,
    /// Anything else that a host is subscribed to.
    Unsupported,
}

impl Verb {
    /// Every verb a host knows, with the first two tokens of its subject and whether a third follows.
    const TABLE: [(Self, &'static str, bool); 19] = [
        (Self::HostPing, "host.ping", false),
        (Self::HostGet, "host.get", true),
        (Self::HostStop, "host.stop", true),
        (Self::LabelPut, "label.put", true),
        (Self::LabelDel, "label.del", true),
        (Self::ComponentScale, "component.scale", true),
        (Self::ComponentUpdate, "component.update", true),
        (Self::ComponentAuction, "component.auction", false),
        (Self::ProviderStart, "provider.start", true),
        (Self::ProviderStop, "provider.stop", true),
        (Self::ProviderAuction, "provider.auction", false),
        (Self::LinkPut, "link.put", false),
        (Self::LinkGet, "link.get", false),
        (Self::LinkDel, "link.del", false),
        (Self::ConfigPut, "config.put", true),
        (Self::ConfigGet, "config.get", true),
        (Self::ConfigDel, "config.del", true),
        (Self::RegistryPut, "registry.put", false),
        (Self::ClaimsGet, "claims.get", false),
    ];

    /// The first two tokens, as in `component.scale`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::TABLE
            .iter()
            .find(|(verb, ..)| *verb == self)
            .map_or("unsupported", |(_, text, _)| text)
    }

    /// True for requests that only ask: ping, get and the auctions.
    #[must_use]
    pub fn only_reads(self) -> bool {
        matches!(
            self,
            Self::HostPing
                | Self::HostGet
                | Self::ComponentAuction
                | Self::ProviderAuction
                | Self::LinkGet
                | Self::ConfigGet
                | Self::ClaimsGet
        )
    }

    /// Splits what follows the lattice's name into the verb and its last token, if it takes one.
    pub(crate) fn parse(rest: &str) -> (Self, Option<&str>) {
        let mut tokens = rest.splitn(3, '.');
        let (noun, action, target) = (tokens.next(), tokens.next(), tokens.next());
        let head = format!("{}.{}", noun.unwrap_or_default(), action.unwrap_or_default());
        let found = Self::TABLE.iter().find(|(_, text, takes)| {
            *text == head && *takes == target.is_some_and(|token| !token.contains('.'))
        });
        match found {
            Some((_, _, false)) if target.is_some() => (Self::Unsupported, target),
            Some((verb, ..)) => (*verb, target),
            None => (Self::Unsupported, target),
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Verb;

    #[test]
    fn a_subject_is_read_only_with_as_many_tokens_as_the_verb_takes() {
        let cases = [
            ("host.ping", Verb::HostPing, None),
            ("host.get.N1", Verb::HostGet, Some("N1")),
            ("config.put.a", Verb::ConfigPut, Some("a")),
            ("config.put.a.b", Verb::Unsupported, Some("a.b")),
            ("config.put", Verb::Unsupported, None),
            ("host.dance.N1", Verb::Unsupported, Some("N1")),
            ("link.put.x", Verb::Unsupported, Some("x")),
        ];
        for (rest, verb, target) in cases {
            assert_eq!(Verb::parse(rest), (verb, target), "{rest}");
        }
    }
}
