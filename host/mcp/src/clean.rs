//! What a manifest, a log or a person says is untrusted text, and a language model reads it: it is shown without
//! characters that steer a terminal, turn the order of others or cannot be seen.

use serde_json::Value;

/// A value in which such characters are written out, in names and texts alike.
pub(crate) fn clean(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(words(text)),
        Value::Array(items) => items.into_iter().map(clean).collect(),
        Value::Object(members) => {
            members.into_iter().map(|(name, value)| (words(name), clean(value))).collect()
        }
        other => other,
    }
}

/// The same for a text. Its lines stay.
pub(crate) fn words(text: String) -> String {
    if remit_text::has_hidden(&text) { remit_text::lines(&text).into_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_cannot_be_seen_is_written_out_wherever_it_is() {
        let dirty =
            json!({"a\u{202e}b": ["x\u{200b}y", {"z": "\u{1b}[2J\u{e0041}"}], "n": 1, "lines": "a\n\tb"});
        let cleaned =
            json!({"a\\u{202e}b": ["x\\u{200b}y", {"z": "\\u{1b}[2J\\u{e0041}"}], "n": 1, "lines": "a\n\tb"});
        assert_eq!(clean(dirty), cleaned);
    }
}
