//! Input schemas.

use serde_json::Value;

/// A JSON Schema (draft 2020-12), ready to check with. It refers to nothing outside itself.
pub struct Schema(jsonschema::Validator);

/// Text that is no schema.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SchemaError(String);

/// One place where an input is not as its schema says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Where, as a JSON Pointer (RFC 6901); empty for the whole.
    pub place: String,
    /// What is wrong there.
    pub why: String,
}

impl std::fmt::Debug for Schema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Schema")
    }
}

impl Schema {
    /// Reads one.
    pub fn new(schema: &Value) -> Result<Self, SchemaError> {
        jsonschema::draft202012::new(schema).map(Self).map_err(|error| SchemaError(error.to_string()))
    }

    /// Holds an input to it; an error names every place that is wrong.
    pub fn check(&self, input: &Value) -> Result<(), Vec<Mismatch>> {
        let wrong: Vec<Mismatch> = self
            .0
            .iter_errors(input)
            .map(|error| Mismatch { place: error.instance_path().to_string(), why: error.to_string() })
            .collect();
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }
}
