//! Every command that arrived, in the order of arrival.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::verb::Verb;

/// One request as it arrived, whatever came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// When it arrived, counted from the start of the lattice.
    pub at: Duration,
    /// What it asks for.
    pub verb: Verb,
    /// The last token of its subject: a host id or the name of a config.
    pub target: Option<String>,
    /// The host that took it. None for what goes to all hosts.
    pub host: Option<String>,
    /// The body; `Null` if empty, a string if it isn't JSON.
    pub body: Value,
}

impl Command {
    /// A field of the body that holds text, `""` if it isn't there.
    #[must_use]
    pub fn text(&self, field: &str) -> &str {
        self.body.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    /// The id of the component or provider it is about, or the source of the link.
    #[must_use]
    pub fn id(&self) -> &str {
        ["component_id", "provider_id", "source_id"]
            .into_iter()
            .map(|field| self.text(field))
            .find(|id| !id.is_empty())
            .unwrap_or_default()
    }

    /// The `count` of a scale.
    #[must_use]
    pub fn count(&self) -> Option<u64> {
        self.body.get("count").and_then(Value::as_u64)
    }
}

/// A selection of commands, still in the order of arrival.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Commands(pub Vec<Command>);

impl Commands {
    /// Those that ask for `verb`.
    #[must_use]
    pub fn of(self, verb: Verb) -> Self {
        self.only(|command| command.verb == verb)
    }

    /// Those that one host took.
    #[must_use]
    pub fn to(self, host: &str) -> Self {
        self.only(|command| command.host.as_deref() == Some(host))
    }

    /// Those about one component, provider, or source of links.
    #[must_use]
    pub fn about(self, id: &str) -> Self {
        self.only(|command| command.id() == id)
    }

    /// Those that change something.
    #[must_use]
    pub fn writes(self) -> Self {
        self.only(|command| !command.verb.only_reads())
    }

    /// Those that arrived after `at`.
    #[must_use]
    pub fn since(self, at: Duration) -> Self {
        self.only(|command| command.at > at)
    }

    /// Those for which `keep` holds.
    #[must_use]
    pub fn only(mut self, keep: impl Fn(&Command) -> bool) -> Self {
        self.0.retain(|command| keep(command));
        self
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are of each verb.
    #[must_use]
    pub fn by_verb(&self) -> BTreeMap<Verb, usize> {
        self.0.iter().fold(BTreeMap::new(), |mut counts, command| {
            *counts.entry(command.verb).or_default() += 1;
            counts
        })
    }
}
