//! The principals, groups and kinds in policies. A policy with a name that nobody has never applies; if it is a `forbid`, it
//! forbids nothing. So such a name is an error.

use std::collections::BTreeSet;

use remit_trust::issuers::Proof;
use serde_json::Value;

use crate::request::KINDS;
use crate::{Need, PolicyError, Subject};

/// A place in a policy file, as an error shows it.
#[derive(Clone, Debug)]
pub(crate) struct Spot {
    place: String,
    /// The line, with a caret below the place.
    shown: String,
}

impl Spot {
    pub(crate) fn at(file: &str, text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or_default();
        let line = before.matches('\n').count();
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count();
        let shown = text.lines().nth(line).unwrap_or_default();
        Self {
            place: format!("{file}:{}:{}", line + 1, column + 1),
            shown: format!("\n  | {shown}\n  | {}^", " ".repeat(column)),
        }
    }

    /// The place of a policy, where the line is not known.
    pub(crate) fn of(file: &str, policy: &str) -> Self {
        Self { place: format!("{file}, policy `{policy}`"), shown: String::new() }
    }

    pub(crate) fn wrong(&self, why: &str) -> PolicyError {
        PolicyError::Wrong { place: self.place.clone(), why: format!("{why}{}", self.shown) }
    }
}

/// A name of a principal or group in a policy.
#[derive(Debug)]
pub(crate) struct Named {
    /// The entity type of the name: `Principal` or `Group`.
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    pub(crate) spot: Spot,
}

/// Checks that each name is one of a principal or group.
pub(crate) fn check(named: &[Named], all: &[Subject]) -> Result<(), PolicyError> {
    let names: BTreeSet<&str> = all.iter().map(|who| who.name.as_str()).collect();
    let groups: BTreeSet<&str> = all.iter().flat_map(|who| &who.groups).map(String::as_str).collect();
    for Named { kind, name, spot } in named {
        let (there, what, they) = match *kind {
            "Group" => (&groups, "no principal is in the group", "groups"),
            _ => (&names, "there is no principal", "principals"),
        };
        if there.contains(name.as_str()) {
            continue;
        }
        let name = name.escape_debug();
        let are = match there.len() {
            0 => format!("there are no {they}"),
            _ => {
                let shown: Vec<&str> = there.iter().copied().take(20).collect();
                let more = if there.len() > shown.len() { ", …" } else { "" };
                format!("the {they} are {}{more}", shown.join(", "))
            }
        };
        return Err(
            spot.wrong(&format!("{what} `{name}`, so this policy never applies; {are} (principals.toml)"))
        );
    }
    Ok(())
}

/// The needs that could not be met even if all principals approved, in words.
pub(crate) fn unmet<'a>(needs: impl IntoIterator<Item = &'a Need>, all: &[Subject]) -> Vec<String> {
    let mut unmet = Vec::new();
    for need in needs {
        let missing = need.missing(all);
        if missing > 0 {
            let there = need.count - missing;
            let are = if there == 1 { "is" } else { "are" };
            unmet.push(format!(
                "policy `{}` asks for {need}, and there {are} {there}: what it is about cannot be approved",
                need.policy
            ));
        }
    }
    unmet
}

/// The attributes that are one of few words, each with its name in errors and its words.
const WORDS: [(&str, &str, &[&str]); 3] = [
    ("kind", "kind of principal", &KINDS),
    ("proof", "proof of who somebody is", &Proof::NAMES),
    ("requesterProof", "proof of who somebody is", &Proof::NAMES),
];

/// What is wrong with a value that a policy compares with such an attribute, and the value: nothing ever has it. `policy` is its JSON.
pub(crate) fn no_word(policy: &Value) -> Option<(String, String)> {
    fn values(node: &Value) -> impl Iterator<Item = &str> {
        let set = node.get("Set").and_then(Value::as_array).into_iter().flatten();
        std::iter::once(node).chain(set).filter_map(|node| node.get("Value")?.as_str())
    }
    let of = |side: &Value| {
        let attribute = side.pointer("/./attr")?.as_str()?.to_owned();
        WORDS.iter().find(|(name, ..)| *name == attribute)
    };
    let wrong = |node: &Value| {
        let (left, right) = (node.get("left")?, node.get("right")?);
        let ((_, what, words), other) =
            of(left).map(|of| (of, right)).or_else(|| Some((of(right)?, left)))?;
        let word = values(other).find(|word| !words.contains(word))?;
        Some((format!("`{}` is no {what} ({})", word.escape_debug(), words.join(", ")), word.to_owned()))
    };
    let mut nodes = vec![policy];
    while let Some(node) = nodes.pop() {
        if let Some(found) = wrong(node) {
            return Some(found);
        }
        match node {
            Value::Array(inside) => nodes.extend(inside),
            Value::Object(inside) => nodes.extend(inside.values()),
            _ => {}
        }
    }
    None
}
