//! Reading a JSON value while knowing where one is in it.
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    problem::Findings,
    suggest::{closest, quote},
};

/// A value, where it stands, and where to say what is wrong with it.
#[derive(Debug, Clone)]
pub(super) struct At<'a> {
    pub(super) value: &'a Value,
    pub(super) path: String,
    pub(super) findings: &'a Findings,
}

/// Which fields an object may have.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) known: &'static [&'static str],
    /// Part of the model, but not of this version.
    pub(super) not_yet: &'static [&'static str],
    /// Known from elsewhere: the field, what is wrong with it here, and what to do instead.
    pub(super) elsewhere: &'static [(&'static str, &'static str, &'static str)],
}

/// An object whose unknown fields have been reported.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    map: &'a Map<String, Value>,
    /// Empty if somebody else checks its fields.
    known: &'static [&'static str],
    pub(super) at: At<'a>,
}

impl<'a> At<'a> {
    pub(super) fn root(value: &'a Value, path: &str, findings: &'a Findings) -> Self {
        Self { value, path: path.into(), findings }
    }

    pub(super) fn problem(&self, wrong: impl Into<String>, todo: impl Into<String>) {
        let path = if self.path.is_empty() { "document" } else { &self.path };
        self.findings.problem(path, wrong, todo);
    }

    pub(super) fn warning(&self, wrong: impl Into<String>, todo: impl Into<String>) {
        self.findings.warning(&self.path, wrong, todo);
    }

    /// The value of `key` of this object, present or not known to be.
    fn child(&self, key: &str, value: &'a Value) -> Self {
        Self { value, path: join(&self.path, key), findings: self.findings }
    }

    pub(super) fn object(&self, shape: &Shape) -> Option<Fields<'a>> {
        let fields = self.fields()?;
        for (key, value) in fields.map {
            self.check_field(key, value, shape);
        }
        Some(Fields { known: shape.known, ..fields })
    }

    /// An object whose fields somebody else checks.
    pub(super) fn fields(&self) -> Option<Fields<'a>> {
        let Value::Object(map) = self.value else {
            self.problem(
                format!("{}, not a map", is(self.value)),
                "write fields with their values below it",
            );
            return None;
        };
        Some(Fields { map, known: &[], at: self.clone() })
    }

    fn check_field(&self, key: &str, value: &'a Value, shape: &Shape) {
        let at = self.child(key, value);
        if shape.known.contains(&key) {
            return;
        }
        if shape.not_yet.contains(&key) {
            // Typed clients write empty lists and maps for what nobody asked for.
            if !is_empty(value) {
                at.problem("is not supported yet", "remove it");
            }
            return;
        }
        if let Some((_, wrong, todo)) = shape.elsewhere.iter().find(|(name, ..)| *name == key) {
            at.problem(*wrong, *todo);
            return;
        }
        match closest(key, shape.known) {
            Some(known) => at.problem("unknown field", format!("did you mean {known}?")),
            None => at.problem(
                "unknown field",
                format!("remove it (known here: {})", shape.known.join(", ")),
            ),
        }
    }

    pub(super) fn list(&self) -> Vec<At<'a>> {
        let Value::Array(items) = self.value else {
            self.problem(
                format!("{}, not a list", is(self.value)),
                "begin each entry below it with a dash",
            );
            return Vec::new();
        };
        let item = |(i, value)| Self {
            value,
            path: format!("{}[{i}]", self.path),
            findings: self.findings,
        };
        items.iter().enumerate().map(item).collect()
    }

    /// A string that isn't empty.
    pub(super) fn text(&self) -> Option<&'a str> {
        match self.value {
            Value::String(text) if text.is_empty() => {
                self.problem("is empty", "write a value");
                None
            }
            Value::String(text) => Some(text),
            Value::Number(_) | Value::Bool(_) => {
                self.problem(format!("{}, not a string", is(self.value)), "put it in quotes");
                None
            }
            Value::Null | Value::Array(_) | Value::Object(_) => {
                self.problem(format!("{}, not a string", is(self.value)), "write one value");
                None
            }
        }
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        if let Value::Bool(value) = self.value {
            return Some(*value);
        }
        self.problem(
            format!("{}, not a boolean", is(self.value)),
            "write true or false without quotes",
        );
        None
    }

    /// What the word that stands here stands for.
    fn choice<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let all = || words.iter().map(|(word, _)| *word).collect::<Vec<_>>();
        let Value::String(text) = self.value else {
            let todo = format!("write one of {}", all().join(", "));
            self.problem(format!("{}, not a string", is(self.value)), todo);
            return None;
        };
        let found = words.iter().find(|(word, _)| word == text);
        if found.is_none() {
            let todo = match closest(text, &all()) {
                Some(word) => format!("did you mean {word}?"),
                None => format!("write one of {}", all().join(", ")),
            };
            self.problem(format!("{} is unknown here", quote(text)), todo);
        }
        found.map(|(_, meaning)| *meaning)
    }

    /// A whole number from 0 to 4294967295.
    pub(super) fn count(&self) -> Option<u32> {
        let Value::Number(number) = self.value else {
            let todo = match self.value {
                Value::String(_) => "write a whole number without quotes",
                Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                    "write a whole number"
                }
                Value::Number(_) => "",
            };
            self.problem(format!("{}, not a whole number", is(self.value)), todo);
            return None;
        };
        let wrong = match number.as_u64().map(u32::try_from) {
            Some(Ok(count)) => return Some(count),
            None if number.as_f64().is_some_and(|n| n < 0.0) => "is negative",
            None if number.is_f64() => "is not a whole number",
            Some(Err(_)) | None => "is too large",
        };
        self.problem(
            format!("{number} {wrong}"),
            format!("write a whole number from 0 to {}", u32::MAX),
        );
        None
    }

    /// A map of strings; other values are refused.
    pub(super) fn strings(&self) -> BTreeMap<String, String> {
        let Some(fields) = self.fields() else { return BTreeMap::new() };
        let entry = |(key, at): (&str, At<'a>)| {
            let Value::String(text) = at.value else {
                at.text();
                return None;
            };
            Some((key.to_owned(), text.clone()))
        };
        fields.entries().filter_map(entry).collect()
    }
}

impl<'a> Fields<'a> {
    /// The value of a field; `None` if it is missing or null.
    pub(super) fn get(&self, key: &str) -> Option<At<'a>> {
        self.map.get(key).filter(|value| !value.is_null()).map(|value| self.at.child(key, value))
    }

    /// The value of a field that must be there.
    pub(super) fn need(&self, key: &str, todo: &str) -> Option<At<'a>> {
        let found = self.get(key);
        if found.is_none() && !self.is_misspelt(key) {
            self.at.findings.problem(&join(&self.at.path, key), "is missing", todo);
        }
        found
    }

    /// Whether an unknown field was reported as this one's misspelling.
    fn is_misspelt(&self, key: &str) -> bool {
        self.map
            .keys()
            .filter(|written| !self.known.contains(&written.as_str()))
            .any(|written| closest(written, self.known) == Some(key))
    }

    /// What the word in a field stands for, which is `default` if it is missing or null; `None` if
    /// it is none of `words`.
    pub(super) fn choice<T: Copy>(&self, key: &str, words: &[(&str, T)], default: T) -> Option<T> {
        self.get(key).map_or(Some(default), |at| at.choice(words))
    }

    /// The entries of a list; none if it is missing or null.
    pub(super) fn list(&self, key: &str) -> Vec<At<'a>> {
        self.get(key).map(|at| at.list()).unwrap_or_default()
    }

    /// A field that has a second name; both at once are refused.
    pub(super) fn either(&self, key: &str, alias: &str) -> Option<At<'a>> {
        match (self.get(key), self.get(alias)) {
            (Some(_), Some(other)) => {
                other.problem(format!("is the other name of {key}"), "keep one of them");
                None
            }
            (found, None) | (None, found) => found,
        }
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (&'a str, At<'a>)> {
        self.map.iter().map(|(key, value)| (key.as_str(), self.at.child(key, value)))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.map.is_empty()
    }
}

/// `path.key`, or `path[key]` where the key has characters that would be misread.
pub(super) fn join(path: &str, key: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if !key.is_empty() && key.len() <= 64 && key.chars().all(plain) {
        let dot = if path.is_empty() { "" } else { "." };
        return format!("{path}{dot}{key}");
    }
    format!("{path}[{}]", quote(key).trim_matches('"'))
}

/// `is a number` and so on.
pub(super) fn is(value: &Value) -> &'static str {
    match value {
        Value::Null => "is empty",
        Value::Bool(_) => "is a boolean",
        Value::Number(_) => "is a number",
        Value::String(_) => "is a string",
        Value::Array(_) => "is a list",
        Value::Object(_) => "is a map",
    }
}

pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}
