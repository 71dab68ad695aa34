//! Reading TOML: configuration, scopes, manifests, fixtures. Writing is done with the `toml` crate directly.

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Error};

use crate::{Mistake, number};

/// Reads a file into a type.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, Mistake> {
    toml::from_str(text).map_err(|error| wrong(text, &error))
}

/// Reads a file that becomes canonical JSON. Dates and numbers that JSON would change are refused.
pub fn read_exact<T: DeserializeOwned>(text: &str) -> Result<T, Mistake> {
    let table = DeTable::parse(text).map_err(|error| wrong(text, &error))?;
    table.get_ref().values().try_for_each(|value| check(text, value))?;
    read(text)
}

/// A value in TOML syntax, with quotes.
#[must_use]
pub fn value(value: impl Into<toml::Value>) -> String {
    value.into().to_string()
}

pub(crate) fn wrong(text: &str, error: &Error) -> Mistake {
    let at = error.span().unwrap_or_default();
    Mistake::new(text, at, error.message().trim_end())
}

pub(crate) fn check(text: &str, value: &Spanned<DeValue<'_>>) -> Result<(), Mistake> {
    let why = match value.get_ref() {
        DeValue::Table(table) => return table.values().try_for_each(|value| check(text, value)),
        DeValue::Array(items) => return items.iter().try_for_each(|value| check(text, value)),
        DeValue::String(_) | DeValue::Boolean(_) => None,
        DeValue::Datetime(_) => Some("a date is no JSON: write it in quotes".to_owned()),
        DeValue::Float(float) if float.as_str().ends_with("nan") || float.as_str().ends_with("inf") => {
            Some(format!("`{}` is no number in JSON: leave it out, or write it as a string", float.as_str()))
        }
        DeValue::Float(float) => number::refusal(float.as_str()),
        DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(integer) => number::refusal(&integer.to_string()),
            Err(_) => Some(format!("`{integer}` is too large for a number: write it as a string")),
        },
    };
    why.map_or(Ok(()), |why| Err(Mistake::new(text, value.span(), why)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn what_json_cannot_say_is_refused_at_its_place() {
        let told = |text: &str| read_exact::<Value>(text).unwrap_err().to_string();
        assert_eq!(
            told("a = 1\n[b.c]\nmaximum = 9007199254740993"),
            "line 3, column 11\n  |\n3 | maximum = 9007199254740993\n  |           ^^^^^^^^^^^^^^^^\nthe integer `9007199254740993` cannot be signed exactly: beyond 9007199254740991, write it as a string"
        );
        for (wrong, why) in [
            ("nan", "no number in JSON"),
            ("-nan", "no number in JSON"),
            ("inf", "no number in JSON"),
            ("-inf", "no number in JSON"),
            ("1e400", "line 1"),
            ("9223372036854775807", "beyond"),
            ("-9_007_199_254_740_993", "beyond"),
            ("0x20_0000_0000_0001", "beyond"),
            ("9007199254740993.0", "beyond"),
            ("99999999999999999999", "too large"),
            ("0.1000000000000000055", "more digits"),
            ("2026-01-01", "in quotes"),
            ("2026-01-01T00:00:00Z", "in quotes"),
            ("07:32:00", "in quotes"),
            ("[{ x = [nan] }]", "no number in JSON"),
            ("{ x.y = 2026-01-01 }", "in quotes"),
        ] {
            let told = told(&format!("a = {wrong}"));
            assert!(told.contains(why) && told.contains('^'), "{wrong}: {told}");
        }
        let kept: Value =
            read_exact("a = [0xff, 1_000, -0.0, 1.50, 1e21, 1_0.5]\nb = \"2026-01-01\"").unwrap();
        assert_eq!(kept.to_string(), r#"{"a":[255,1000,-0.0,1.5,1e+21,10.5],"b":"2026-01-01"}"#);
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let told = read::<toml::Table>("a = 1\na = 2").unwrap_err().to_string();
        assert!(
            told.starts_with("line 2, column 1\n  |\n2 | a = 2\n  | ^\n") && told.contains("duplicate key"),
            "{told}"
        );
        assert!(read_exact::<Value>("a = [").unwrap_err().to_string().starts_with("line 1"));
    }

    #[test]
    fn a_value_is_read_back_as_it_was() {
        for text in [
            "",
            "a\"b'c\\",
            "\t\n\r",
            "cafe\u{301}",
            "กุญแจ",
            "कुंजी",
            "x\u{a0}y",
            "\u{202e}",
            "x\u{200b}y",
            "a\u{7f}b",
            "\u{1b}",
            "'''\"\"\"",
        ] {
            let table: toml::Table = read(&format!("a = {}", value(text))).unwrap();
            assert_eq!(table["a"].as_str(), Some(text), "{text:?}");
            let table: toml::Table = read(&format!("a = {}", value(vec![text, "b"]))).unwrap();
            assert_eq!(table["a"][0].as_str(), Some(text), "{text:?}");
        }
    }
}
