//! Pieces of schema that the derive can't express.
use schemars::{Schema, SchemaGenerator, json_schema};

/// An object of any shape, or null: the API server keeps what it doesn't know, so that our own
/// parser refuses it by path instead of it being dropped without a word.
pub(super) fn free_form(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "nullable": true,
        "x-kubernetes-preserve-unknown-fields": true
    })
}
