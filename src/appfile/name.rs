//! Which names are allowed where.
use std::{str::FromStr, sync::Arc};

use super::{cursor::At, suggest::quote};
use crate::model::NameError;

/// Labels of Kubernetes, which carry these names, hold no more.
const MAX_NAME: usize = 63;

/// More than any name of ours on a lattice needs.
const MAX_TOKEN: usize = 255;

/// Any text that isn't longer than `most`.
fn text<'a>(at: &At<'a>, most: usize) -> Option<&'a str> {
    let text = at.text()?;
    if text.len() > most {
        at.problem(
            format!("{} has {} characters", quote(text), text.len()),
            format!("at most {most} are allowed"),
        );
        return None;
    }
    Some(text)
}

/// A name that stands on a lattice as part of another only.
pub(super) fn any(at: &At) -> Option<Arc<str>> {
    text(at, MAX_TOKEN).map(Into::into)
}

/// A name of a component, a policy or a spread entry: it becomes a step's name and a label.
pub(super) fn part(at: &At) -> Option<Arc<str>> {
    let text = text(at, MAX_NAME)?;
    let edge = |c: char| c.is_ascii_alphanumeric();
    let inner = |c: char| edge(c) || matches!(c, '-' | '_' | '.');
    if !text.starts_with(edge) || !text.ends_with(edge) || !text.chars().all(inner) {
        at.problem(
            format!("{} is not allowed as a name", quote(text)),
            "use letters, digits, - _ and . between them",
        );
        return None;
    }
    Some(text.into())
}

/// A name that hosts use as one token of a NATS subject.
pub(super) fn token<T: FromStr<Err = NameError>>(at: &At) -> Option<T> {
    let text = text(at, MAX_TOKEN)?;
    match text.parse() {
        Ok(token) => Some(token),
        Err(error) => {
            at.problem(format!("{} {error}", quote(text)), "use letters, digits, - and _");
            None
        }
    }
}

/// A namespace, package or interface of WIT: words of letters and digits, joined by dashes.
pub(super) fn wit(at: &At) -> Option<Arc<str>> {
    let text = at.text()?;
    if text.contains([':', '/', '@']) {
        at.problem(
            format!("{} is more than one name", quote(text)),
            "write wasi:http/incoming-handler@0.2.0 as namespace wasi, package http, \
             interfaces [incoming-handler], without a version",
        );
        return None;
    }
    let word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_alphabetic())
            && word.chars().all(|c| c.is_ascii_alphanumeric())
    };
    if !text.split('-').all(word) {
        at.problem(
            format!("{} is not a WIT name", quote(text)),
            "use words of letters and digits, joined by dashes",
        );
        return None;
    }
    Some(text.into())
}

/// Whether it is what Kubernetes calls a DNS label: `[a-z0-9]` and dashes between, at most 63.
pub(super) fn is_dns_label(text: &str) -> bool {
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.len() <= MAX_NAME
        && text.starts_with(edge)
        && text.ends_with(edge)
        && text.chars().all(|c| edge(c) || c == '-')
}

/// A Kubernetes namespace.
pub(super) fn namespace(at: &At) -> Option<Arc<str>> {
    let text = at.text()?;
    if !is_dns_label(text) {
        at.problem(
            format!("{} is not a name of a namespace", quote(text)),
            "use lower-case letters, digits and dashes, at most 63",
        );
        return None;
    }
    Some(text.into())
}
