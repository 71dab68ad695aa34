//! Random texts that stand for secrets of an origin. A connector can move them, and the host puts the secrets back where a
//! template says so; they are of no use anywhere else.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use remit_gate::Failure;
use remit_trust::SecretBytes;
use serde_json::Value;
use zeroize::Zeroizing;

/// What every placeholder begins with.
pub const PREFIX: &str = "remit-secret-";
/// How many secrets one call may see.
const MOST: usize = 256;

/// The secrets of one call that its connector knows by placeholders only.
#[derive(Default)]
pub struct Placeholders(Mutex<BTreeMap<String, Zeroizing<String>>>);

impl fmt::Debug for Placeholders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Placeholders({})", self.known().len())
    }
}

impl Placeholders {
    /// What a phase of the same call in another process needs, of the placeholders that `text` (the connector's `secret`) contains.
    /// It is to be sealed. None if it contains none.
    #[must_use]
    pub fn keep(&self, text: &str) -> Option<SecretBytes> {
        let known = self.known();
        let wanted: BTreeMap<&str, &str> = known
            .iter()
            .filter(|(placeholder, _)| text.contains(*placeholder))
            .map(|(placeholder, secret)| (placeholder.as_str(), secret.as_str()))
            .collect();
        if wanted.is_empty() {
            return None;
        }
        // Made as large as it gets, so that no part of a secret is left behind where it was before it grew.
        let room = wanted.iter().map(|(name, secret)| name.len() + secret.len() * 6 + 8).sum();
        let mut bytes = Vec::with_capacity(room);
        serde_json::to_writer(&mut bytes, &wanted).ok()?;
        Some(SecretBytes::new(bytes))
    }

    /// What [`Self::keep`] kept. None if it is not that.
    #[must_use]
    pub fn restore(kept: &[u8]) -> Option<Self> {
        let known: BTreeMap<String, String> = serde_json::from_slice(kept).ok()?;
        let known: BTreeMap<_, _> =
            known.into_iter().map(|(name, secret)| (name, Zeroizing::new(secret))).collect();
        let sound = known.iter().all(|(name, secret)| {
            name.starts_with(PREFIX) && serde_json::from_str::<Value>(secret).is_ok_and(|v| is_secret(&v))
        });
        sound.then(|| Self(Mutex::new(known)))
    }

    /// Puts a placeholder in place of each text and number in `value`.
    pub(crate) fn hide(&self, value: &mut Value) -> Result<(), Failure> {
        match value {
            Value::Array(items) => items.iter_mut().try_for_each(|item| self.hide(item)),
            Value::Object(members) => members.values_mut().try_for_each(|member| self.hide(member)),
            Value::String(text) if text.is_empty() => Ok(()),
            Value::String(_) | Value::Number(_) => {
                *value = Value::String(self.stand_in(value)?);
                Ok(())
            }
            Value::Null | Value::Bool(_) => Ok(()),
        }
    }

    /// The placeholder of a secret; the same secret has the same one within a call.
    fn stand_in(&self, secret: &Value) -> Result<String, Failure> {
        let secret = Zeroizing::new(secret.to_string());
        let mut known = self.known();
        if let Some((placeholder, _)) = known.iter().find(|(_, known)| **known == secret) {
            return Ok(placeholder.clone());
        }
        if known.len() >= MOST {
            return Err(Failure::Unavailable(format!(
                "there are more than {MOST} secrets in the answers of one call: ask for less at a time"
            )));
        }
        let random = remit_trust::random().map_err(|error| Failure::Unavailable(error.to_string()))?;
        let placeholder = format!("{PREFIX}{}", hex::encode(&random[..16]));
        known.insert(placeholder.clone(), secret);
        Ok(placeholder)
    }

    /// The JSON text that a placeholder stands for.
    pub(crate) fn value(&self, placeholder: &str) -> Option<Zeroizing<String>> {
        self.known().get(placeholder).cloned()
    }

    /// Each secret as a text, with its placeholder.
    pub(crate) fn texts(&self) -> Vec<(String, Zeroizing<String>)> {
        let text = |(placeholder, json): (&String, &Zeroizing<String>)| {
            let text = match serde_json::from_str(json) {
                Ok(Value::String(text)) => Zeroizing::new(text),
                _ => json.clone(),
            };
            (placeholder.clone(), text)
        };
        self.known().iter().map(text).collect()
    }

    fn known(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Zeroizing<String>>> {
        // A map is whole after each of its methods.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_secret(value: &Value) -> bool {
    value.is_string() || value.is_number()
}

/// Whether a text has a placeholder in it, of this call or of another.
pub(crate) fn is_in(text: &str) -> bool {
    text.to_ascii_lowercase().contains(PREFIX)
}

pub(crate) fn is_in_json(value: &Value) -> bool {
    match value {
        Value::String(text) => is_in(text),
        Value::Array(items) => items.iter().any(is_in_json),
        Value::Object(members) => members.iter().any(|(name, value)| is_in(name) || is_in_json(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The text without placeholders: each is shown as `…`.
pub(crate) fn without(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = 0;
    // Lower case changes the length of no letter of ASCII.
    for (at, prefix) in text.to_ascii_lowercase().match_indices(PREFIX) {
        shown.push_str(&text[rest..at]);
        shown.push('…');
        let after = &text[at + prefix.len()..];
        let digits = after.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(after.len());
        rest = at + prefix.len() + digits;
    }
    shown.push_str(&text[rest..]);
    shown
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_kept_is_restored_and_nothing_else_is() {
        let placeholders = Placeholders::default();
        let mut value = json!(["one \"secret\"", 7, {"deep": "one \"secret\""}, true, null, ""]);
        placeholders.hide(&mut value).unwrap();
        assert_eq!(
            (&value[0], &value[3], &value[4], &value[5]),
            (&value[2]["deep"], &json!(true), &json!(null), &json!(""))
        );
        let (one, seven) = (value[0].as_str().unwrap(), value[1].as_str().unwrap());
        let restored =
            Placeholders::restore(placeholders.keep(&format!("x {one} y")).unwrap().expose()).unwrap();
        assert_eq!(restored.value(one).unwrap().as_str(), "\"one \\\"secret\\\"\"");
        assert!(restored.value(seven).is_none() && restored.value("remit-secret-").is_none());
        for wrong in ["", "[]", "{\"x\":\"1\"}", "{\"remit-secret-00\":\"{}\"}", "{\"remit-secret-00\":1}"] {
            assert!(Placeholders::restore(wrong.as_bytes()).is_none(), "{wrong}");
        }
        assert_eq!(without(&format!("a{one}. REMIT-SECRET-0Ag é{seven}")), "a…. …g é…");
    }
}
