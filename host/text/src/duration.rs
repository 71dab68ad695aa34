//! Durations, in one grammar for options and files.

use jiff::{SignedDuration, Span, SpanRelativeTo};
use serde::{Deserialize as _, Deserializer};

/// The error for text that is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{shown}` is not a duration: {why}")]
pub struct DurationError {
    shown: String,
    why: &'static str,
}

const FORMS: &str = "write it like 90s, 1h30m, 1.5h, 7d, 2w, PT1H or P7D";

/// Reads `90s`, `1h30m`, `1.5h`, `7d`, `2w`, `1 minute`, or ISO 8601's `PT1H` and `P7D`. A day has 24 hours, a week 7 days.
pub fn parse(text: &str) -> Result<SignedDuration, DurationError> {
    let duration = signed(text)?;
    if duration.is_negative() { Err(refuse(text, "it is negative")) } else { Ok(duration) }
}

fn refuse(text: &str, why: &'static str) -> DurationError {
    DurationError { shown: text.escape_debug().take(60).collect(), why }
}

fn signed(text: &str) -> Result<SignedDuration, DurationError> {
    let refuse = |why| refuse(text, why);
    let bare = text.trim();
    if bare.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return Err(refuse(if bare.is_empty() {
            FORMS
        } else {
            "it has no unit: write s, m, h, d or w behind it"
        }));
    }
    let span: Span = bare.parse().map_err(|_| refuse(FORMS))?;
    if span.get_years() != 0 || span.get_months() != 0 {
        return Err(refuse("months and years are not all of one length: write days"));
    }
    span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| refuse("it is too long"))
}

/// For a field of a file: `#[serde(deserialize_with = "remit_text::duration::deserialize")]`. Negative
/// durations are accepted; the caller checks the bounds, because it can name the field in its error.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SignedDuration, D::Error> {
    signed(&String::deserialize(from)?).map_err(serde::de::Error::custom)
}

/// The same for an optional field, which also needs `#[serde(default)]`.
pub fn deserialize_optional<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SignedDuration>, D::Error> {
    deserialize(from).map(Some)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn one_grammar_for_all() {
        for (text, seconds) in [
            ("0s", 0),
            ("90s", 90),
            ("90m", 5_400),
            ("1h30m", 5_400),
            ("1h 30m", 5_400),
            ("1.5h", 5_400),
            ("PT1H", 3_600),
            ("PT90M", 5_400),
            ("7d", 604_800),
            ("1w", 604_800),
            ("1 week", 604_800),
            ("P7D", 604_800),
            ("P1W", 604_800),
            ("P1DT1H", 90_000),
            ("1d 1h", 90_000),
            ("168h", 604_800),
            ("30 days", 2_592_000),
            ("1 minute", 60),
            (" 1 hour ", 3_600),
        ] {
            assert_eq!(parse(text), Ok(SignedDuration::from_secs(seconds)), "{text}");
        }
        assert_eq!(parse("250ms"), Ok(SignedDuration::from_millis(250)));
    }

    #[test]
    fn what_is_none_is_told_in_our_words() {
        for (text, why) in [
            ("", "write it like"),
            (" ", "write it like"),
            ("3600", "has no unit"),
            ("1.5", "has no unit"),
            ("7x", "write it like"),
            ("soon", "write it like"),
            ("1.5d", "write it like"),
            ("7D", "write it like"),
            ("-1h", "it is negative"),
            ("1h ago", "it is negative"),
            ("-P7D", "it is negative"),
            ("1month", "write days"),
            ("1y", "write days"),
            ("P1M", "write days"),
            ("999999999999h", "write it like"),
        ] {
            let told = parse(text).unwrap_err().to_string();
            assert!(
                told.contains(why) && told.starts_with(&format!("`{text}` is not a duration: ")),
                "{text}: {told}"
            );
            assert!(!told.contains("jiff") && !told.contains("Span"), "{told}");
        }
    }
}
