//! Words: ours, and those of others quoted among them.

use std::fmt;

use jiff::{Timestamp, Unit};
use remit_journal::UndoResult;
use serde_json::{Map, Value};

/// The longest summary of a value, in characters. The records hold the rest.
const LONGEST: usize = 200;

/// A sentence in which our own words and those of others are kept apart, so that each rendering can quote
/// what it must.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Ours(String),
    Theirs(String),
}

impl Words {
    /// Begins with words of the host.
    pub(crate) fn ours(text: impl Into<String>) -> Self {
        Self::default().and(text)
    }

    /// Goes on with words of the host.
    pub(crate) fn and(mut self, text: impl Into<String>) -> Self {
        self.0.push(Part::Ours(text.into()));
        self
    }

    /// Goes on with words of someone else: an action, a system, a person.
    pub(crate) fn theirs(mut self, text: impl Into<String>) -> Self {
        self.0.push(Part::Theirs(text.into()));
        self
    }

    /// Goes on with another sentence.
    pub(crate) fn then(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// As Markdown for a table's cell, the words of others as code.
    #[must_use]
    pub fn markdown(&self) -> String {
        let part = |part: &Part| match part {
            Part::Ours(text) => text.clone(),
            Part::Theirs(text) => code(text),
        };
        self.0.iter().map(part).collect()
    }
}

impl fmt::Display for Words {
    /// As plain text, for whoever escapes it afterwards.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Ours(text) | Part::Theirs(text) => f.write_str(text),
        })
    }
}

/// Text of others as a code span that fits into a table's cell. In code nothing is a link, a mention, HTML
/// or emphasis; what is left is the line, the cell and the span itself.
pub(crate) fn code(text: &str) -> String {
    let mut inner = String::with_capacity(text.len());
    let (mut ticks, mut longest) = (0, 0);
    for c in text.chars() {
        ticks = if c == '`' { ticks + 1 } else { 0 };
        longest = longest.max(ticks);
        match c {
            '\n' => inner.push_str("\\n"),
            // After a backslash it would be read as escaped already.
            '|' if inner.ends_with('\\') => inner.extend('|'.escape_unicode()),
            '|' => inner.push_str("\\|"),
            c if remit_text::hides(c) => inner.extend(c.escape_unicode()),
            c => inner.push(c),
        }
    }
    if inner.trim().is_empty() {
        return "(empty)".to_owned();
    }
    let fence = "`".repeat(longest + 1);
    let room = if inner.starts_with(['`', ' ']) || inner.ends_with(['`', ' ']) { " " } else { "" };
    format!("{fence}{room}{inner}{room}{fence}")
}

/// An undo's result in words.
#[must_use]
pub fn undo_words(result: &UndoResult) -> Words {
    match result {
        UndoResult::Undone => Words::ours("undone"),
        UndoResult::AlreadyUndone => Words::ours("already as it was before; nothing touched"),
        UndoResult::Conflict { live } => Words::ours("NOT undone, nothing touched: ").theirs(live.clone()),
        UndoResult::Failed { message } => Words::ours("FAILED: ").theirs(message.clone()),
        UndoResult::InDoubt { live } => Words::ours("in doubt, nothing touched: ").theirs(live),
        UndoResult::NotReversible { why } => Words::ours("cannot be undone: ").theirs(why.clone()),
    }
}

/// An operation without its package, with its arguments: `disable.disable (version 1)`.
pub(super) fn operation(name: &str, arguments: &Value) -> Words {
    let short = name.rsplit_once('/').map_or(name, |(_, short)| short);
    let words = value_words(arguments);
    let named = Words::default().theirs(short);
    match arguments.as_object() {
        Some(map) if !map.is_empty() => named.and(" (").theirs(words).and(")"),
        _ => named,
    }
}

/// From a prior state to an outcome; what both say is said once.
pub(super) fn transition(before: Option<&Value>, after: Option<&Value>) -> String {
    let Some(before) = before else { return "nothing was attempted".to_owned() };
    let after = match (before, after) {
        (_, None) => "no answer".to_owned(),
        (Value::Object(old), Some(Value::Object(new))) => {
            let changed: Map<String, Value> = new
                .iter()
                .filter(|(key, value)| old.get(*key) != Some(value))
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect();
            value_words(&Value::Object(changed))
        }
        (_, Some(after)) => value_words(after),
    };
    // What the host recognises a thing by tells a person nothing.
    let mut told = before.clone();
    if let Some(map) = told.as_object_mut() {
        map.remove("identity");
    }
    format!("{} → {after}", value_words(&told))
}

/// A value in a few words: `current 2, versions: 2 entries`.
pub(crate) fn value_words(value: &Value) -> String {
    let entry = |(key, value): (&String, &Value)| match value {
        Value::Array(list) => format!("{key}: {}", entries(list)),
        Value::Object(map) => format!("{key}: {}", count(map.len() as u64, "field")),
        scalar => format!("{key} {}", scalar_words(scalar)),
    };
    let words = match value {
        Value::Object(map) if map.is_empty() => "done".to_owned(),
        Value::Object(map) => {
            map.iter().filter(|(_, value)| !value.is_null()).map(entry).collect::<Vec<_>>().join(", ")
        }
        Value::Array(list) => entries(list),
        scalar => scalar_words(scalar),
    };
    shorten(words)
}

fn scalar_words(value: &Value) -> String {
    match value {
        Value::Null => "done".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn entries(list: &[Value]) -> String {
    match list.len() {
        1 => "1 entry".to_owned(),
        n => format!("{n} entries"),
    }
}

fn shorten(text: String) -> String {
    if text.chars().count() <= LONGEST {
        return text;
    }
    text.chars().take(LONGEST).chain(['…']).collect()
}

/// `1 run`, `2 runs`.
pub(super) fn count(n: u64, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// The beginning of a key's id, as everywhere on a screen.
pub(super) fn short(key: &str) -> String {
    key.chars().take(12).collect()
}

/// A moment, to the second.
pub(super) fn second(at: Timestamp) -> Timestamp {
    at.round(Unit::Second).unwrap_or(at)
}

/// A duration a person can grasp.
pub(super) fn duration(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        _ => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1_000),
    }
}

/// What a run used, in words.
pub(super) fn consumed(used: &Value) -> Option<String> {
    let number = |name: &str| used[name].as_u64();
    Some(format!(
        "{} ms, {} fuel, {} KiB memory, {}, {}",
        number("wall_time")?,
        number("fuel")?,
        number("memory")? / 1024,
        count(number("host_calls")?, "host call"),
        count(number("changes")?, "change"),
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn code_stays_in_its_cell_and_span() {
        assert_eq!(code("plain"), "`plain`");
        assert_eq!(code("a`b"), "``a`b``");
        assert_eq!(code("`"), "`` ` ``");
        assert_eq!(code("``` ` |"), "```` ``` ` \\| ````");
        assert_eq!(code("a|b\\|c\nd\r"), "`a\\|b\\\\u{7c}c\\nd\\u{d}`");
        assert_eq!(code("\u{202e}x\u{e0041}"), "`\\u{202e}x\\u{e0041}`");
        assert_eq!(code(" "), "(empty)");
        assert_eq!(code("@all [x](y) <b>"), "`@all [x](y) <b>`");
    }

    #[test]
    fn values_in_a_few_words() {
        assert_eq!(value_words(&json!({"current": 2, "versions": [1, 2]})), "current 2, versions: 2 entries");
        assert_eq!(value_words(&json!(null)), "done");
        let (before, after) = (json!({"previous": 1, "field": "k"}), json!({"previous": 1, "current": 2}));
        let words = transition(Some(&before), Some(&after));
        assert!(words.ends_with("→ current 2") && words.contains("previous 1"), "{words}");
        assert_eq!(
            transition(Some(&json!({"state": "enabled"})), Some(&json!(null))),
            "state enabled → done"
        );
        assert_eq!(value_words(&json!("x".repeat(500))).chars().count(), LONGEST + 1);
    }
}
