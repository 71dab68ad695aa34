//! The inputs of actions.

use remit_sandbox::{Inspection, Unchecked};
use remit_text::json;
use remit_trust::{Digest, Handle};
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

/// The keyword by which a schema marks a property that is given sealed.
const MARK: &str = "x-remit-secret";

/// How often a schema has the mark, at any depth. `false` is none.
fn marks(schema: &Value) -> usize {
    match schema {
        Value::Object(keywords) => {
            let own = usize::from(keywords.get(MARK).is_some_and(|mark| *mark != false));
            own + keywords.values().map(marks).sum::<usize>()
        }
        Value::Array(all) => all.iter().map(marks).sum(),
        _ => 0,
    }
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

    /// The same input with these sealed inputs, each under its name.
    pub fn with_sealed<'a>(&self, handles: impl IntoIterator<Item = &'a Handle>) -> Result<Self, Error> {
        let mut value = self.value()?;
        for handle in handles {
            let name = handle.name();
            let wrong = |wanted, why| Error::Document {
                file: "the input".to_owned(),
                wanted,
                why,
                help: "give each key once: in --input, or sealed with --secret-input".to_owned(),
            };
            let Some(object) = value.as_object_mut() else {
                return Err(wrong("an object", format!("`{name}` is given sealed, and has no place in it")));
            };
            if object.insert(name.to_owned(), handle.to_string().into()).is_some() {
                return Err(wrong("unambiguous", format!("`{name}` is given twice")));
            }
        }
        Self::of(&value)
    }

    /// The handles of the sealed inputs in it: each is the value of the key that is its name.
    pub fn sealed(&self) -> Result<Vec<Handle>, Error> {
        let value = self.value()?;
        let object = value.as_object().into_iter().flatten();
        let handle = |(key, value): (&String, &Value)| {
            let handle: Handle = value.as_str()?.parse().ok()?;
            if handle.name() == key {
                return Some(Ok(handle));
            }
            let why = format!("is given as `{}`: a value is committed to with its name", key.escape_debug());
            Some(Err(Error::SealedInput { name: handle.name().to_owned(), why }))
        };
        object.filter_map(handle).collect()
    }

    /// Checks that what the schema marks as secret is given sealed, and nothing else. The value is not quoted: it may be the
    /// secret.
    fn check_sealed(&self, action: &Inspection, schema: &Value) -> Result<(), Error> {
        let properties = schema["properties"].as_object();
        let is_marked =
            |key: &str| properties.is_some_and(|all| all.get(key).is_some_and(|of| of[MARK] == true));
        let marked = properties.into_iter().flatten().filter(|(key, _)| is_marked(key)).count();
        if marks(schema) != marked {
            let why = format!("`{MARK}` is not `true` at one of the input's own properties");
            return Err(Error::Schema { action: action.name.clone(), why });
        }
        let (value, sealed) = (self.value()?, self.sealed()?);
        let is_sealed = |key: &str| sealed.iter().any(|handle| handle.name() == key);
        let wrong = |(key, _): (&String, &Value)| match (is_marked(key), is_sealed(key)) {
            (true, false) => {
                Some(format!("  /{key}: is a secret, so give it sealed: --secret-input {key}=@FILE"))
            }
            (false, true) => Some(format!("  /{key}: is given sealed, and the action does not take it so")),
            _ => None,
        };
        let wrong: Vec<_> = value.as_object().into_iter().flatten().filter_map(wrong).collect();
        if wrong.is_empty() {
            return Ok(());
        }
        Err(Error::Input { action: action.name.clone(), why: wrong.join("\n") })
    }

    /// Checks the input with the schema of the action, if it has one.
    pub fn check(&self, action: &Inspection) -> Result<(), Error> {
        let Some(schema) = action.manifest.as_ref().and_then(|manifest| manifest.input.as_ref()) else {
            return Ok(());
        };
        self.check_sealed(action, schema)?;
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
