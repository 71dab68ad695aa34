//! Input schemas.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The only supported draft.
const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The maximum number of mistakes in one error. A document with more is probably of another kind.
const MOST_PLACES: usize = 20;
/// The maximum length in bytes of the text about one mistake, because it quotes the input and the schema.
const LONGEST_WORDS: usize = 500;

/// Keywords whose value is a schema.
const ONE: [&str; 11] = [
    "items",
    "contains",
    "additionalProperties",
    "propertyNames",
    "if",
    "then",
    "else",
    "not",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contentSchema",
];
/// Keywords whose value is a list of schemas.
const LIST: [&str; 4] = ["prefixItems", "allOf", "anyOf", "oneOf"];
/// Keywords whose value is an object of schemas. `definitions` is the older name of `$defs` and still in use.
const NAMED: [&str; 5] = ["properties", "patternProperties", "dependentSchemas", "$defs", "definitions"];
/// Every other keyword of the draft.
const OTHERS: [&str; 38] = [
    "$schema",
    "$id",
    "$ref",
    "$anchor",
    "$dynamicRef",
    "$dynamicAnchor",
    "$vocabulary",
    "$comment",
    "type",
    "const",
    "enum",
    "multipleOf",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "uniqueItems",
    "maxContains",
    "minContains",
    "maxProperties",
    "minProperties",
    "required",
    "dependentRequired",
    "title",
    "description",
    "default",
    "deprecated",
    "readOnly",
    "writeOnly",
    "examples",
    "format",
    "contentEncoding",
    "contentMediaType",
];

/// A compiled JSON Schema (draft 2020-12). It has no references to other documents.
pub struct Schema(jsonschema::Validator);

/// The error for text that is not a schema.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SchemaError(String);

/// One place where an input does not match its schema.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mismatch {
    /// The place as a JSON Pointer (RFC 6901); empty for the whole input.
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
    /// Reads a schema. A keyword that the draft does not have is an error: it would be ignored without notice.
    pub fn new(schema: &Value) -> Result<Self, SchemaError> {
        let foreign = foreign(schema);
        if !foreign.is_empty() {
            return Err(SchemaError(foreign.join("; ")));
        }
        jsonschema::draft202012::new(schema).map(Self).map_err(|error| SchemaError(short(error.to_string())))
    }

    /// Checks an input. The error has the places that are wrong; if they are many, the first ones.
    ///
    /// The schema decides how long this takes. Check with a foreign schema only where time and memory are limited.
    pub fn check(&self, input: &Value) -> Result<(), Vec<Mismatch>> {
        let mut errors = self.0.iter_errors(input);
        let mut wrong: Vec<Mismatch> = errors
            .by_ref()
            .take(MOST_PLACES)
            .map(|error| Mismatch {
                place: short(error.instance_path().to_string()),
                why: short(error.to_string()),
            })
            .collect();
        if errors.next().is_some() {
            wrong.push(Mismatch {
                place: String::new(),
                why: format!("and more than {MOST_PLACES} places in all"),
            });
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }
}

/// Keywords that may need more than one pass over each part of the input, or read other text than the input.
const COSTLY: [&str; 9] = [
    "$ref",
    "$dynamicRef",
    "$recursiveRef",
    "pattern",
    "patternProperties",
    "format",
    "uniqueItems",
    "unevaluatedItems",
    "unevaluatedProperties",
];
/// The maximum number of comparisons (parts of the schema times parts of the input) that take only milliseconds.
const QUICK: usize = 100_000;

/// Whether a check certainly takes only a few milliseconds: schema and input are small, and no keyword compares a part of the
/// schema with a part of the input more than once.
#[must_use]
pub fn is_quick(schema: &Value, input: &Value) -> bool {
    let (parts, costly) = weigh(schema);
    !costly && parts.saturating_mul(weigh(input).0) <= QUICK
}

/// The number of parts of a document, where long texts count by their length; and whether it has a costly keyword.
fn weigh(document: &Value) -> (usize, bool) {
    let (mut parts, mut costly) = (0_usize, false);
    let mut open = vec![document];
    while let Some(value) = open.pop() {
        parts = parts.saturating_add(1);
        match value {
            Value::String(text) => parts = parts.saturating_add(text.len() / 64),
            Value::Array(items) => open.extend(items),
            Value::Object(items) => {
                for (key, item) in items {
                    costly |= COSTLY.contains(&&**key);
                    parts = parts.saturating_add(1 + key.len() / 64);
                    open.push(item);
                }
            }
            _ => {}
        }
    }
    (parts, costly)
}

/// The keywords of a schema that the draft does not have, each with its place.
fn foreign(schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![(String::new(), schema)];
    while let Some((place, schema)) = open.pop() {
        let Some(keywords) = schema.as_object() else { continue };
        for (keyword, value) in keywords {
            let below = format!("{place}/{keyword}");
            if keyword == "$schema" && value.as_str().is_none_or(|draft| draft.trim_end_matches('#') != DRAFT)
            {
                found.push(short(format!("$schema is {value}; only {DRAFT} is read")));
            } else if ONE.contains(&&**keyword) {
                open.push((below, value));
            } else if LIST.contains(&&**keyword) {
                let each = value.as_array().into_iter().flatten().enumerate();
                open.extend(each.map(|(at, schema)| (format!("{below}/{at}"), schema)));
            } else if NAMED.contains(&&**keyword) {
                let each = value.as_object().into_iter().flatten();
                open.extend(each.map(|(name, schema)| (format!("{below}/{name}"), schema)));
            } else if !OTHERS.contains(&&**keyword) && !keyword.starts_with("x-") {
                found.push(short(format!("`{below}` is no keyword of the draft")));
            }
            if found.len() >= MOST_PLACES {
                return found;
            }
        }
    }
    found
}

/// The text, cut to [`LONGEST_WORDS`] with its full length noted.
fn short(text: String) -> String {
    if text.len() <= LONGEST_WORDS {
        return text;
    }
    let end = (0..=LONGEST_WORDS).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}… ({} bytes)", &text[..end], text.len())
}
