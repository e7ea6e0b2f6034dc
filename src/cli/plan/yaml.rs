//! YAML as `kubectl` reads it before the API server sees any of it, which is version 1.1 at heart:
//! `yes` and `on` are booleans, `010` is 8. What is read otherwise here would be planned otherwise
//! than it is run.
use serde_json::{Number, Value};

use super::documents::MAX_FILE;

/// Deeper than any Application may be, so that it is `appfile` that says so with its path.
const MAX_DEPTH: usize = 100;

/// More than fit into [`MAX_FILE`], with an Application in each.
const MAX_DOCUMENTS: usize = 50_000;
/// Eight bytes a value: more than any file of that size has that somebody wrote.
const MAX_VALUES: usize = 1_000_000;

/// What can't be read, and what to do.
#[derive(Debug)]
pub(super) struct NotYaml {
    /// Such as `line 3, column 7`.
    pub(super) at: String,
    pub(super) wrong: String,
    pub(super) todo: &'static str,
}

/// All documents of a file that hold anything.
pub(super) fn read(text: &str) -> Result<Vec<Value>, NotYaml> {
    let mut documents: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options())
        .map_err(|error| {
            let at = match error.location() {
                Some(at) => format!("line {}, column {}", at.line(), at.column()),
                None => "file".into(),
            };
            let (wrong, todo) = why(&error);
            NotYaml { at, wrong, todo }
        })?;
    documents.retain(|document| !document.is_null());
    documents.iter_mut().for_each(whole_numbers);
    Ok(documents)
}

/// `1.0` and `1e3` are whole numbers once they have been written as JSON.
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(float) = number.as_f64().filter(|_| number.is_f64())
                && let Ok(whole) = format!("{float:.0}").parse::<i64>()
                && float.fract() == 0.0
            {
                *number = Number::from(whole);
            }
        }
        Value::Array(values) => values.iter_mut().for_each(whole_numbers),
        Value::Object(fields) => fields.values_mut().for_each(whole_numbers),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// What is wrong with the YAML, without the library's own terms, and what to do.
fn why(error: &serde_saphyr::Error) -> (String, &'static str) {
    use serde_saphyr::{Error, budget::BudgetBreach};
    match error {
        Error::WithSnippet { error, .. } | Error::AliasError { error, .. } => why(error),
        Error::Budget { breach: BudgetBreach::Depth { .. }, .. } => {
            ("is nested too deeply to be read".into(), "write it flatter")
        }
        Error::Budget { breach: BudgetBreach::Documents { .. }, .. } => {
            (format!("has more than {MAX_DOCUMENTS} documents"), "split it into several files")
        }
        Error::Budget {
            breach: BudgetBreach::Nodes { .. } | BudgetBreach::Events { .. }, ..
        } => (format!("has more than {MAX_VALUES} values"), "split it into several files"),
        Error::Budget { .. } => (
            "repeats values with anchors, aliases and merge keys too often to be read".into(),
            "write what they stand for, or split it into several files",
        ),
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            (format!("has the key {key} twice"), "remove one")
        }
        other => {
            let text = other.to_string();
            let text = text.split(" at line ").next().unwrap_or_default();
            let text = text.lines().next().unwrap_or_default();
            (format!("is not YAML: {text}"), "check indentation, quotes and brackets there")
        }
    }
}

fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        strict_booleans: false,
        legacy_octal_numbers: true,
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            max_documents: MAX_DOCUMENTS,
            max_nodes: MAX_VALUES,
            // A mapping or a list has an end besides, and a document two of each.
            max_events: 3 * MAX_VALUES,
            max_total_scalar_bytes: MAX_FILE,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_documents_as_a_cluster_has_applications_are_read() {
        assert_eq!(read(&"a: 1\n---\n".repeat(20_000)).unwrap().len(), 20_000);
    }

    #[test]
    fn what_there_is_too_much_of_is_named() {
        let refused = |text: String| read(&text).unwrap_err().wrong;
        assert_eq!(refused("a: 1\n---\n".repeat(50_001)), "has more than 50000 documents");
        assert_eq!(refused("- 1\n".repeat(1_000_001)), "has more than 1000000 values");
        let aliases = format!("a: &a 1\nb:\n{}", "  - *a\n".repeat(200));
        assert!(refused(aliases).starts_with("repeats values with anchors, aliases"));
    }
}
