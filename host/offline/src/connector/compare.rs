//! What was expected of a connector beside what came of it.

use std::fmt::Display;

use remit_connector::Description;
use remit_gate::Effect;
use serde_json::Value;

use super::bench::Seen;
use super::fixture::{Came, Scene, Story};
use crate::FailureKind;

/// Each difference of a fixture, as lines: `-` was expected, `+` was seen. Empty if all is as expected.
#[must_use]
pub fn story_differences(scenes: &[Scene], seen: &[Seen]) -> Vec<String> {
    if scenes.is_empty() {
        return vec![
            "it has no phases: `remit test --record --entry FILE` writes down what a real system does"
                .to_owned(),
        ];
    }
    let mut lines = Vec::new();
    for (scene, seen) in scenes.iter().zip(seen) {
        let mut differs = Vec::new();
        if let Some(how) = &seen.otherwise {
            differs.extend(how.lines().map(ToOwned::to_owned));
        }
        match &scene.expect {
            None => {
                differs.push("it expects nothing: `remit test --record` writes down what happens".to_owned());
            }
            Some(expect) => compare(&mut differs, expect.get_ref(), &seen.came),
        }
        if !differs.is_empty() {
            lines.push(format!("{}:", seen.run.name()));
            lines.extend(differs.into_iter().map(|line| format!("  {line}")));
        }
    }
    lines
}

/// The functions that change something and that no test takes back, each with what is said of it. What cannot be shown to be undone is
/// not a change that Remit promises to take back.
#[must_use]
pub fn undone(description: &Description, passed: &[&Story]) -> Vec<(String, String)> {
    let changes = description.functions().filter(|(_, of)| of.effect() == Effect::Change);
    let missing =
        changes.filter(|(name, _)| !passed.iter().any(|story| story.function == *name && story.undoes()));
    missing
        .map(|(name, _)| {
            let why = "no test that passes has a `perform` of it and an `undo` that goes well: its effect is `change`";
            (name.to_owned(), why.to_owned())
        })
        .collect()
}

fn compare(lines: &mut Vec<String>, wanted: &Came, seen: &Came) {
    if let Some(kind) = wanted.fails.map(FailureKind::code)
        && wanted.fails != seen.fails
    {
        return pair(lines, "what comes of it", format!("fails = {kind}"), seen);
    }
    if seen.fails.is_some() && wanted.fails.is_none() {
        return pair(lines, "what comes of it", wanted, seen);
    }
    if wanted.state != seen.state || wanted.done != seen.done {
        return pair(lines, "what comes of it", wanted, seen);
    }
    for (what, wanted, seen) in [
        ("returns", &wanted.returns, &seen.returns),
        ("undo", &wanted.undo, &seen.undo),
        ("would_return", &wanted.would_return, &seen.would_return),
    ] {
        let (wanted, seen) = (wanted.as_ref().map(plain), seen.as_ref().map(plain));
        // What is returned and decided is compared whole.
        if wanted != seen && (wanted.is_some() || what != "would_return") {
            let words =
                |value: Option<Value>| value.map_or_else(|| "nothing".to_owned(), |value| value.to_string());
            pair(lines, what, words(wanted), words(seen));
        }
    }
    for (what, wanted, seen) in [
        ("describe", &wanted.describe, &seen.describe),
        ("irrevocable", &wanted.irrevocable, &seen.irrevocable),
    ] {
        if let Some(wanted) = wanted.as_ref().filter(|_| wanted != seen) {
            pair(lines, what, wanted, seen.as_deref().unwrap_or("nothing"));
        }
    }
    if let Some(words) = &wanted.because {
        let why = seen.because.as_deref().unwrap_or("nothing");
        if !why.contains(words.as_str()) {
            pair(lines, "because", format!("… {words} …"), why);
        }
    }
}

fn pair(lines: &mut Vec<String>, what: &str, wanted: impl Display, seen: impl Display) {
    lines.extend([what.to_owned(), format!("- {wanted}"), format!("+ {seen}")]);
}

impl Display for Came {
    /// In one line, the reason last.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let because = self.because.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        match self {
            Self { fails: Some(kind), .. } => write!(f, "fails = {}{because}", kind.code()),
            Self { state: Some(state), .. } => write!(f, "state = {}{because}", state.word()),
            Self { returns: Some(value), .. } => write!(f, "returns = {value}"),
            Self { undo: Some(value), .. } => write!(f, "undo = {value}"),
            _ => f.write_str("done"),
        }
    }
}

/// The value without what TOML cannot write.
pub(super) fn plain(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().filter(|item| !item.is_null()).map(plain).collect(),
        Value::Object(members) => members
            .iter()
            .filter(|(_, member)| !member.is_null())
            .map(|(name, member)| (name.clone(), plain(member)))
            .collect(),
        other => other.clone(),
    }
}
