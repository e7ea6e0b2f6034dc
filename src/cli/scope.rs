//! Which objects an installation acts on.

use crate::{controller::Scope, preflight};

#[derive(Debug, clap::Args)]
pub(super) struct ScopeArgs {
    /// The only namespaces whose Applications are acted on, separated by commas; without them, all
    #[arg(
        long,
        env = "TRELLIS_WATCH_NAMESPACES",
        value_name = "NAMES",
        value_delimiter = ',',
        value_parser = namespace
    )]
    watch_namespaces: Vec<Option<String>>,

    /// Act only on objects whose annotation lattice.oam.dev/controller-class has this value;
    /// without it, on those that have no such annotation
    #[arg(long, env = "TRELLIS_CONTROLLER_CLASS", value_parser = class)]
    pub(super) controller_class: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct ReplicaArgs {
    /// Let only one of several replicas act: the one that has the Lease `trellis` (or
    /// `trellis-CLASS`) in --namespace; the others stand by
    #[arg(
        long,
        env = "TRELLIS_LEADER_ELECT",
        default_value_t = false,
        action = clap::ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    pub(super) leader_elect: bool,
}

impl ScopeArgs {
    pub(super) fn namespaces(&self) -> Scope {
        self.watch_namespaces.iter().flatten().cloned().collect()
    }

    /// The Lease that replicas share: each installation has its own.
    pub(super) fn lease(&self) -> String {
        match &self.controller_class {
            Some(class) => format!("trellis-{class}"),
            None => "trellis".to_owned(),
        }
    }

    /// What an operator in the namespace `own` needs, `elected` from several replicas or alone.
    pub(super) fn of_check(&self, own: &str, elected: bool) -> preflight::Scope {
        let watched = match self.namespaces() {
            Scope::All => Vec::new(),
            Scope::Only(names) => names.into_iter().collect(),
        };
        preflight::Scope {
            watched,
            own: own.to_owned(),
            class: self.controller_class.clone(),
            lease: elected.then(|| self.lease()),
        }
    }
}

/// Part of the name of a Lease, with room for what goes before and after it.
fn class(text: &str) -> Result<String, String> {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let fits = (1..=50).contains(&text.len()) && text.chars().all(inner);
    if fits && !text.starts_with('-') && !text.ends_with('-') {
        Ok(text.to_owned())
    } else {
        Err("a class is 1 to 50 of a-z, 0-9 and -, with no - at either end".to_owned())
    }
}

/// A namespace's name, or none: an empty list has one empty part.
fn namespace(text: &str) -> Result<Option<String>, String> {
    let text = text.trim();
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if text.is_empty() {
        return Ok(None);
    }
    if text.len() > 63 || !text.chars().all(inner) || text.starts_with('-') || text.ends_with('-') {
        return Err("no namespace can be called that".to_owned());
    }
    Ok(Some(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        scope: ScopeArgs,
    }

    fn named(text: &str) -> Result<Scope, String> {
        let parsed =
            Command::try_parse_from(["it".to_owned(), format!("--watch-namespaces={text}")]);
        parsed.map(|it| it.scope.namespaces()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_class_has_room_in_the_name_of_a_lease() {
        for good in ["a", "edge-1", "x".repeat(50).as_str()] {
            assert_eq!(class(good).as_deref(), Ok(good));
        }
        for bad in ["", "-a", "a-", "a b", "Grün", "x.begun", "x".repeat(51).as_str()] {
            assert!(class(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn namespaces_are_named_between_commas_and_none_means_all() {
        let only = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Scope>();
        assert_eq!(named("a,b-2"), Ok(only(&["a", "b-2"])));
        assert_eq!(named("a, b,a"), Ok(only(&["a", "b"])));
        assert_eq!(named(""), Ok(Scope::All));
        for wrong in ["A", "a/b", "-a", "a,b_c"] {
            assert!(named(wrong).unwrap_err().contains("--watch-namespaces"), "{wrong}");
        }
    }
}
