//! The chart's values → the table that tells users about them. Pure.
use serde_json::{Map, Value};

const BEGIN: &str = "<!-- values: written by make generate -->\n";
const END: &str = "<!-- end of values -->";

#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("values.schema.json is no JSON")]
    Schema(#[source] serde_json::Error),
    #[error("values.yaml is no YAML")]
    Values(#[source] Box<serde_saphyr::Error>),
    #[error("values.schema.json does not describe {0}")]
    Undescribed(String),
    #[error("docs/install.md has no place for the table: {BEGIN}…{END}")]
    NoPlace,
}

/// One row for each value, in the order of their names.
pub(super) fn table(schema: &str, values: &str) -> Result<String, Error> {
    let schema: Value = serde_json::from_str(schema).map_err(Error::Schema)?;
    let values: Value =
        serde_saphyr::from_str(values).map_err(|error| Error::Values(Box::new(error)))?;
    let mut table = "| value | default | meaning |\n|---|---|---|\n".to_owned();
    rows(&schema, values.as_object().unwrap_or(&Map::new()), "", &mut table)?;
    Ok(table)
}

fn rows(
    schema: &Value,
    values: &Map<String, Value>,
    prefix: &str,
    table: &mut String,
) -> Result<(), Error> {
    for (name, default) in values {
        let path = format!("{prefix}{name}");
        let about = &schema["properties"][name];
        match (about["description"].as_str(), default) {
            (Some(meaning), default) => {
                table.extend([
                    "| `",
                    &path,
                    "` | `",
                    &default.to_string(),
                    "` | ",
                    meaning,
                    " |\n",
                ]);
            }
            (None, Value::Object(inner)) => rows(about, inner, &format!("{path}."), table)?,
            (None, _) => return Err(Error::Undescribed(path)),
        }
    }
    Ok(())
}

/// `text` with the table in its place.
pub(super) fn put_table(text: &str, table: &str) -> Result<String, Error> {
    let (before, rest) = text.split_once(BEGIN).ok_or(Error::NoPlace)?;
    let (_, after) = rest.split_once(END).ok_or(Error::NoPlace)?;
    Ok(format!("{before}{BEGIN}{table}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_is_a_row_and_one_without_a_meaning_is_refused() {
        let schema = r#"{ "properties": {
            "a": { "description": "the first" },
            "b": { "properties": { "c": { "description": "the second" } } } } }"#;
        let wanted = "| value | default | meaning |\n|---|---|---|\n\
                      | `a` | `[1]` | the first |\n| `b.c` | `\"x\"` | the second |\n";
        assert_eq!(table(schema, "a: [1]\nb: {c: x}").unwrap(), wanted);
        let refused = table(schema, "b: {d: x}").unwrap_err();
        assert_eq!(refused.to_string(), "values.schema.json does not describe b.d");
    }
}
