//! The inputs of actions.

use remit_sandbox::{Inspection, Unchecked};
use remit_text::json;
use remit_trust::Digest;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::Error;

/// A JSON value in its canonical form. What is approved, journaled and given to the action are the same bytes.
#[derive(Clone, Debug)]
pub struct Input {
    json: String,
    digest: Digest,
}

fn read(text: &str, shown: &str) -> Result<Value, Error> {
    json::parse(text).map_err(|mistake| Error::Document {
        file: shown.to_owned(),
        wanted: if json::is_json(text) { "JSON that every parser reads alike" } else { "valid JSON" },
        why: mistake.to_string(),
        help: "correct the input, for example --input '{\"path\": \"prod/payments/stripe\"}'".to_owned(),
    })
}

impl Input {
    /// Reads JSON; `shown` names it in errors.
    pub fn parse(text: &str, shown: &str) -> Result<Self, Error> {
        Self::of(&read(text, shown)?)
    }

    /// Makes an input from a JSON value.
    pub fn of(value: &serde_json::Value) -> Result<Self, Error> {
        let bytes = remit_trust::canonical(value).map_err(|error| Error::Document {
            file: "the input".to_owned(),
            wanted: "JSON with one canonical form (RFC 8785)",
            why: error.to_string(),
            help: "pass numbers beyond ±(2^53-1) as strings".to_owned(),
        })?;
        let digest = Digest::of(&bytes);
        // Canonical JSON is UTF-8, so nothing is replaced.
        Ok(Self { json: String::from_utf8_lossy(&bytes).into_owned(), digest })
    }

    /// Makes an object from `KEY=VALUE` pairs. A value is a string if the action's schema says so, or if it is not JSON;
    /// otherwise it is parsed as JSON.
    pub fn of_pairs(pairs: &[String], action: &Inspection) -> Result<Self, Error> {
        let schema = action.manifest.as_ref().and_then(|manifest| manifest.input.as_ref());
        let mut object = Map::new();
        for pair in pairs {
            let (key, text) = pair.split_once('=').unwrap_or((pair, ""));
            let is_text = schema.is_some_and(|schema| schema["properties"][key]["type"] == "string");
            // JSON that cannot be kept as it is, such as a number that is too large, is an error and does not become a string.
            let value = if is_text || !json::is_json(text) {
                text.into()
            } else {
                read(text, &format!("`{key}` of --input"))?
            };
            if object.insert(key.to_owned(), value).is_some() {
                return Err(Error::Document {
                    file: "--input".to_owned(),
                    wanted: "an object",
                    why: format!("`{key}` is given twice"),
                    help: "give each key once".to_owned(),
                });
            }
        }
        Self::of(&Value::Object(object))
    }

    /// Checks the input with the schema of the action, if it has one.
    pub fn check(&self, action: &Inspection) -> Result<(), Error> {
        let Some(schema) = action.manifest.as_ref().and_then(|manifest| manifest.input.as_ref()) else {
            return Ok(());
        };
        let wrong = remit_sandbox::check(schema, &self.value()?).map_err(|unchecked| {
            let action = action.name.clone();
            match unchecked {
                Unchecked::Schema(why) => Error::Schema { action, why },
                Unchecked::Host(why) => Error::Unchecked { action, why },
            }
        })?;
        if wrong.is_empty() {
            return Ok(());
        }
        let place = |place: &str| if place.is_empty() { "the input".to_owned() } else { place.to_owned() };
        let lines: Vec<_> = wrong.iter().map(|w| format!("  {}: {}", place(&w.place), w.why)).collect();
        Err(Error::Input { action: action.name.clone(), why: lines.join("\n") })
    }

    /// The input as canonical JSON.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The digest of the canonical JSON.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    pub(crate) fn raw(&self) -> Result<Box<RawValue>, Error> {
        Ok(RawValue::from_string(self.json.clone())?)
    }

    /// The input as JSON.
    pub fn value(&self) -> Result<serde_json::Value, Error> {
        Ok(serde_json::from_str(&self.json)?)
    }
}
