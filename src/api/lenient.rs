//! Reading a status that other tools may have written in shapes of their own.
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;

/// The value, or its default where it isn't of the expected shape.
///
/// One object whose status some tool spoiled must not end the watch on all of them; the next
/// status that we write mends it.
pub(super) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned + Default,
{
    let value = Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}
