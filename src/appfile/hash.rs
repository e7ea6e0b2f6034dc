//! Hashes that stay the same for the same content, whatever order it was written in.
use std::fmt::Write as _;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::model::Adopt;

/// SHA-256, as 64 hexadecimal digits, of the canonical JSON of a spec: objects sorted by key, no
/// spaces. Two specs have the same hash exactly if they say the same.
#[must_use]
pub fn revision_hash(spec: &Value) -> String {
    sha256(canonical(spec).as_bytes())
}

/// The hash of all that makes one release another: the spec, what of the Application's annotations
/// decides what is its own, and the ids that its references mean.
#[must_use]
pub fn release_hash(spec: &Value, adopt: Adopt, shared: &Value) -> String {
    let adopt = match adopt {
        Adopt::Nothing => Value::Null,
        Adopt::Wadm => "wadm".into(),
        Adopt::Any => "true".into(),
        Adopt::Restamp => "restamp".into(),
    };
    if adopt.is_null() && shared.as_array().is_none_or(Vec::is_empty) {
        return revision_hash(spec);
    }
    revision_hash(&json!({ "spec": spec, "adopt": adopt, "shared": shared }))
}

/// The first 16 of the 64 digits: enough to tell changes of one thing apart.
pub(super) fn short(value: &Value) -> String {
    let mut hash = revision_hash(value);
    hash.truncate(16);
    hash
}

fn sha256(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        // Writing to a string can't fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// JSON with objects sorted by key, and no spaces.
pub(super) fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write_canonical(value, &mut text);
    text
}

fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            write_all(out, ('{', '}'), entries, |out, (key, value)| {
                let _ = write!(out, "{}:", Value::from(key.as_str()));
                write_canonical(value, out);
            });
        }
        Value::Array(items) => write_all(out, ('[', ']'), items, |out, item| {
            write_canonical(item, out);
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            let _ = write!(out, "{value}");
        }
    }
}

fn write_all<T>(
    out: &mut String,
    (open, close): (char, char),
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut String, T),
) {
    out.push(open);
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        write(out, item);
    }
    out.push(close);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_order_of_keys_doesn_t_matter_and_that_of_lists_does() {
        let a: Value = serde_json::from_str(r#"{"a":[1,{"x":1,"y":2}],"b":null}"#).unwrap();
        let b: Value = serde_json::from_str(r#"{"b":null, "a":[1,{"y":2,"x":1}]}"#).unwrap();
        assert_eq!(revision_hash(&a), revision_hash(&b));
        assert_ne!(revision_hash(&json!([1, 2])), revision_hash(&json!([2, 1])));
    }

    #[test]
    fn the_hash_is_that_of_the_text_without_spaces() {
        assert_eq!(canonical(&json!({"b": "x\n", "a": [1, true]})), r#"{"a":[1,true],"b":"x\n"}"#);
        assert_eq!(
            revision_hash(&json!({})),
            "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
        );
    }
}
