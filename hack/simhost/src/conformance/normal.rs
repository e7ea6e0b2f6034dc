//! Takes out of a transcript what may differ between two hosts, and nothing else.

use serde_json::{Map, Value};

use super::Refs;

/// Replaces what is this host's own by names for it.
#[derive(Debug)]
pub(super) struct Normal {
    /// Longest first, since a ref may contain a path that is replaced as well.
    names: Vec<(String, String)>,
}

/// Fields that tell of a process rather than of the interface.
const OWN: [&str; 6] =
    ["uptime_seconds", "uptime_human", "friendly_name", "rpc_host", "ctl_host", "issuer"];

impl Normal {
    pub(super) fn new(host: &str, refs: &Refs) -> Self {
        let mut names = vec![(host.to_owned(), "$HOST".to_owned())];
        for (name, image) in refs.named() {
            names.push((image.to_owned(), format!("${name}")));
            if let Some(path) = image.strip_prefix("file://") {
                names.push((path.to_owned(), format!("$path_of_{name}")));
            }
        }
        names.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        Self { names }
    }

    pub(super) fn value(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(&text)),
            Value::Array(items) => {
                let mut items: Vec<Value> = items.into_iter().map(|it| self.value(it)).collect();
                // Lists come in no stable order, except those of one letter or word a piece, which
                // hold what was sent.
                if items.iter().any(Value::is_object) {
                    items.sort_by_key(Value::to_string);
                }
                Value::Array(items)
            }
            Value::Object(fields) => Value::Object(self.object(fields)),
            other @ (Value::Null | Value::Bool(_) | Value::Number(_)) => other,
        }
    }

    /// A whole CloudEvent.
    pub(super) fn event(&self, mut event: Value) -> Value {
        for own in ["id", "time"] {
            if event[own].is_string() {
                event[own] = Value::String(format!("${own}"));
            }
        }
        // Kept apart, since an `id` in the data is no event's.
        let data = self.value(event["data"].take());
        let mut event = self.value(event);
        event["data"] = data;
        event
    }

    fn object(&self, fields: Map<String, Value>) -> Map<String, Value> {
        let is_claims = ["iss", "not_before_human"].iter().any(|field| fields.contains_key(*field));
        let is_provider = fields.contains_key("revision") && !fields.contains_key("max_instances");
        let named_by_archive = is_claims || is_provider;
        fields
            .into_iter()
            .map(|(key, value)| {
                let own = OWN.contains(&key.as_str())
                    || (named_by_archive && ["name", "version"].contains(&key.as_str()))
                    || (is_claims && ["iss", "sub", "subject"].contains(&key.as_str()));
                let told = if own { Value::String(format!("${key}")) } else { self.value(value) };
                (key, told)
            })
            .collect()
    }

    fn text(&self, text: &str) -> String {
        let named = self
            .names
            .iter()
            .fold(text.to_owned(), |text, (own, name)| text.replace(own.as_str(), name));
        // The first bytes of what isn't WebAssembly.
        match named.split_once("actual=[") {
            Some((before, _)) => format!("{before}actual=[…"),
            None => named,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Normal, Refs};

    #[test]
    fn ids_paths_and_times_are_taken_out_and_the_rest_is_kept() {
        let refs = Refs {
            tiny_v1: "file:///x/one.wasm".to_owned(),
            tiny_v2: "two:1".to_owned(),
            missing: "file:///none".to_owned(),
            garbage: "garbage:1".to_owned(),
            provider: "file:///x/p.par".to_owned(),
            missing_provider: "none:1".to_owned(),
        };
        let told = json!({
            "host_id": "N1", "uptime_seconds": 3, "max_instances": 2,
            "error": "no N1 in file:///x/one.wasm or /x/p.par",
        });
        let normal = json!({
            "host_id": "$HOST", "uptime_seconds": "$uptime_seconds", "max_instances": 2,
            "error": "no $HOST in $tiny_v1 or $path_of_provider",
        });
        assert_eq!(Normal::new("N1", &refs).value(told), normal);
    }
}
