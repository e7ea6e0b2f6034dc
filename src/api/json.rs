//! JSON that is looked at once and kept for long.
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// A value, kept as its text: read into a [`Value`], a manifest takes about ten times as much, and
/// whoever needs it keeps what it was read into.
///
/// Equal values have equal texts, because the fields of an object are in order.
#[derive(Clone, PartialEq, Eq)]
pub struct Json(Box<str>);

impl Json {
    /// The value, read anew.
    #[must_use]
    pub fn read(&self) -> Value {
        // The text was written from a value, so it can be read.
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

impl From<&Value> for Json {
    fn from(value: &Value) -> Self {
        Self(value.to_string().into())
    }
}

impl Default for Json {
    fn default() -> Self {
        Self::from(&Value::Null)
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.read().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(|value| Self::from(&value))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_written_is_read_whatever_the_order_of_its_fields() {
        let texts =
            [r#"{"b":[1,2.5,null],"a":{"é":"\"x\""}}"#, r#"{"a":{"é":"\"x\""},"b":[1,2.5,null]}"#];
        let [one, other] = texts.map(|text| serde_json::from_str::<Json>(text).unwrap());
        assert_eq!(one, other);
        assert_eq!(one.read(), json!({ "a": { "é": "\"x\"" }, "b": [1, 2.5, null] }));
        assert_eq!(serde_json::to_string(&one).unwrap(), texts[1]);
        assert_eq!(Json::default().read(), Value::Null);
    }
}
