//! Sentences with the words of others in them, and values in words.

use std::fmt;

use remit_journal::UndoResult;
use serde_json::{Map, Value};

/// The longest summary of a value, in characters. The records hold the rest.
const LONGEST: usize = 200;

/// A sentence that keeps the words of the host apart from the words of others, so that these can be quoted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Ours(String),
    Theirs(String),
}

impl Words {
    /// A sentence that begins with words of the host.
    pub(crate) fn ours(text: impl Into<String>) -> Self {
        Self::default().and(text)
    }

    /// Adds words of the host.
    pub(crate) fn and(mut self, text: impl Into<String>) -> Self {
        self.0.push(Part::Ours(text.into()));
        self
    }

    /// Adds words of somebody else: an action, a system, a person.
    pub(crate) fn theirs(mut self, text: impl Into<String>) -> Self {
        self.0.push(Part::Theirs(text.into()));
        self
    }

    /// Adds another sentence.
    pub(crate) fn then(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// The sentence as plain text, with the host's words passed through `change`.
    #[must_use]
    pub fn with_ours(&self, change: impl Fn(&str) -> String) -> String {
        let part = |part: &Part| match part {
            Part::Ours(text) => change(text),
            Part::Theirs(text) => text.clone(),
        };
        self.0.iter().map(part).collect()
    }

    /// The sentence as Markdown for a table's cell, with the words of others as code.
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
    /// Plain text, without escaping.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Ours(text) | Part::Theirs(text) => f.write_str(text),
        })
    }
}

/// Text of others as a code span in a table's cell. In a code span nothing is a link, a mention, HTML or emphasis. What can
/// end the line, the cell or the span is escaped.
pub(crate) fn code(text: &str) -> String {
    let mut inner = String::with_capacity(text.len());
    let (mut ticks, mut longest) = (0, 0);
    for c in text.chars() {
        ticks = if c == '`' { ticks + 1 } else { 0 };
        longest = longest.max(ticks);
        match c {
            '\n' => inner.push_str("\\n"),
            // After a backslash, the backslash that escapes `|` would itself be escaped.
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

/// The result of an undo in words.
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
#[must_use]
pub fn operation_words(name: &str, arguments: &Value) -> Words {
    called(name.rsplit_once('/').map_or(name, |(_, short)| short), arguments)
}

/// An operation with its arguments in words. Calls that differ have different words.
pub(crate) fn called(name: &str, arguments: &Value) -> Words {
    let named = Words::default().theirs(name);
    match argument_words(arguments) {
        Some(words) => named.and(" (").theirs(words).and(")"),
        None => named,
    }
}

/// The arguments of an operation, without the resource, which is shown beside them, and without those that are not set.
pub(crate) fn own_arguments(arguments: Value) -> Value {
    match arguments {
        Value::Object(mut map) => {
            map.retain(|name, value| name != "resource" && !value.is_null());
            Value::Object(map)
        }
        other => other,
    }
}

/// Each argument with its value. If that is too long, its beginning and its digest.
fn argument_words(arguments: &Value) -> Option<String> {
    let arguments = own_arguments(arguments.clone());
    let map = arguments.as_object().filter(|map| !map.is_empty())?;
    let entry = |(name, value): (&String, &Value)| match value {
        Value::String(text) => format!("{name} {text}"),
        other => format!("{name} {other}"),
    };
    let words = map.iter().map(entry).collect::<Vec<_>>().join(", ");
    let short = shorten(words.clone());
    Some(if short == words {
        words
    } else {
        format!("{short} {}", remit_trust::Digest::of(words.as_bytes()).short())
    })
}

/// The state before a change, in a few words, without identities, objects and lists.
pub(crate) fn found_words(before: &Value) -> Option<String> {
    let shown: Map<String, Value> = before
        .as_object()?
        .iter()
        .filter(|(name, value)| {
            !["identity", "rendered", "reload"].contains(&name.as_str())
                && !value.is_object()
                && !value.is_array()
        })
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    (!shown.is_empty()).then(|| value_words(&Value::Object(shown)))
}

/// The commands that are run after a change of a file, as a change of it records that.
pub(super) fn reload_words(before: &Value) -> Option<&str> {
    before.get("reload").and_then(Value::as_str)
}

/// The state before a change, and of the outcome what differs from it. `unchanged` is set if the change had no effect.
pub(super) fn transition(before: Option<&Value>, after: Option<&Value>, unchanged: bool) -> String {
    let Some(before) = before else { return "nothing was attempted".to_owned() };
    let answered = after.is_some();
    let after = match (before, after) {
        (_, None) if unchanged => "unchanged".to_owned(),
        (_, None) => "no answer".to_owned(),
        (Value::Object(old), Some(Value::Object(new))) => {
            let changed: Map<String, Value> = new
                .iter()
                .filter(|(key, value)| old.get(*key) != Some(value))
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect();
            value_words(&Value::Object(changed))
        }
        // The size on record is that of the template.
        (_, Some(_)) if before["rendered"] == true => "rendered from the template".to_owned(),
        (_, Some(after)) => before.get("becomes").and_then(file_words).unwrap_or_else(|| value_words(after)),
    };
    if let Some(was) = before.get("was").and_then(file_words) {
        let reload = reload_words(before).filter(|_| answered);
        let reload = reload.map(|command| format!("; reloaded by {command}")).unwrap_or_default();
        return format!("{was} → {after}{reload}");
    }
    // The identity by which the host recognises the resource tells a person nothing.
    let mut shown = before.clone();
    if let Some(map) = shown.as_object_mut() {
        map.remove("identity");
    }
    format!("{} → {after}", value_words(&shown))
}

/// What is at the path of a file, as a change of it records that.
fn file_words(like: &Value) -> Option<String> {
    let mode = || like.get("mode").and_then(Value::as_u64).map(|mode| format!("mode {mode:04o}"));
    match like.get("is")?.as_str()? {
        "file" => Some(format!("file of {}, {}", count(like.get("size")?.as_u64()?, "byte"), mode()?)),
        "directory" => Some(format!("directory, {}", mode()?)),
        "absent" => Some("absent".to_owned()),
        _ => None,
    }
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

/// A number with its noun: `1 run`, `2 runs`.
pub(super) fn count(n: u64, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// The beginning of a key's id, as it is shown to people.
pub(super) fn short(key: &str) -> String {
    key.chars().take(12).collect()
}

/// A duration in words: `1.5 s`.
pub(super) fn duration(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        _ => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1_000),
    }
}

/// How much of its limits a run used, in words.
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
    fn calls_that_differ_are_different_lines() {
        let call =
            |arguments: Value| operation_words("remit:secrets/disable.disable", &arguments).to_string();
        assert_eq!(call(json!({"resource": "secret:a", "version": 2})), "disable.disable (version 2)");
        assert_eq!(call(json!({"resource": "secret:a", "field": null})), "disable.disable");
        let lists =
            [json!({"to": ["a"]}), json!({"to": ["b"]}), json!({"to": {"a": 1}}), json!({"to": {"a": 2}})];
        let mut told: Vec<String> = lists.into_iter().map(call).collect();
        let long = |end: &str| json!({"text": "x".repeat(500) + end});
        told.extend([call(long("1")), call(long("2"))]);
        assert!(told.iter().all(|line| line.chars().count() < 260), "{told:?}");
        told.sort();
        told.dedup();
        assert_eq!(told.len(), 6);
    }

    #[test]
    fn values_in_a_few_words() {
        assert_eq!(value_words(&json!({"current": 2, "versions": [1, 2]})), "current 2, versions: 2 entries");
        assert_eq!(value_words(&json!(null)), "done");
        let (before, after) = (json!({"previous": 1, "field": "k"}), json!({"previous": 1, "current": 2}));
        let words = transition(Some(&before), Some(&after), false);
        assert!(words.ends_with("→ current 2") && words.contains("previous 1"), "{words}");
        assert_eq!(
            transition(Some(&json!({"state": "enabled"})), Some(&json!(null)), false),
            "state enabled → done"
        );
        let file = json!({
            "was": {"is": "absent"}, "becomes": {"is": "file", "size": 3, "mode": 0o600, "sha256": "sha256:0"},
        });
        assert_eq!(transition(Some(&file), Some(&json!(null)), false), "absent → file of 3 bytes, mode 0600");
        assert_eq!(transition(Some(&file), None, true), "absent → unchanged");
        let mut rendered = file.clone();
        rendered["rendered"] = json!(true);
        let words = transition(Some(&rendered), Some(&json!(null)), false);
        assert_eq!(words, "absent → rendered from the template");
        // A change that did not happen has no missing answer.
        assert_eq!(transition(Some(&json!({"state": "enabled"})), None, true), "state enabled → unchanged");
        assert_eq!(transition(Some(&json!({"state": "enabled"})), None, false), "state enabled → no answer");
        assert_eq!(value_words(&json!("x".repeat(500))).chars().count(), LONGEST + 1);
    }
}
