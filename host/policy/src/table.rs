//! Tables of cases: tests for policies.

use jiff::Timestamp;
use serde::Deserialize;

use crate::{Policies, PolicyAction, PolicyError, PolicyRequest, Subject, paths};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(default)]
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(default)]
    who: Subject,
    #[serde(default)]
    verb: Option<PolicyAction>,
    #[serde(default)]
    matter: Option<PolicyRequest>,
    #[serde(default)]
    approvals: Vec<Subject>,
    #[serde(default)]
    at: Option<Timestamp>,
    expect: Expect,
    /// The policies that must decide.
    #[serde(default)]
    because: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Expect {
    Word(Answer),
    /// The expected needs, in the form of `@needs`.
    Needs(Vec<String>),
}

#[derive(Deserialize, PartialEq, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Allow,
    Deny,
}

/// The result of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The name of the case.
    pub name: String,
    /// What differs from the expected result; none if nothing does.
    pub found: Option<String>,
}

/// Runs every case of a table. `file` is its name in errors.
pub fn test(policies: &Policies, text: &str, file: &str) -> Result<Vec<Checked>, PolicyError> {
    let wrong = |why: String| PolicyError::Table { file: file.to_owned(), why };
    let mut table: Table =
        remit_text::toml::read_exact(text).map_err(|mistake| match case_at(text, mistake.at()) {
            Some(name) => wrong(format!("case `{name}`: {mistake}")),
            None => wrong(mistake.to_string()),
        })?;
    if table.case.is_empty() {
        return Err(wrong("it has no [[case]]".to_owned()));
    }
    for case in &mut table.case {
        let Some(matter) = &mut case.matter else { continue };
        complete(matter, policies).map_err(|why| wrong(format!("case `{}`: {why}", case.name)))?;
    }
    Ok(table
        .case
        .into_iter()
        .map(|case| Checked { found: try_case(policies, &case), name: case.name })
        .collect())
}

/// The name of the case at this place of the text.
fn case_at(text: &str, at: usize) -> Option<String> {
    let before = text.get(..at)?.matches("[[case]]").count();
    let table: toml::Table = text.parse().ok()?;
    Some(table.get("case")?.get(before.checked_sub(1)?)?.get("name")?.as_str()?.to_owned())
}

/// Completes a case: a request that may do something to a resource has a count of at least one, so a missing count is set.
/// A case with a text that cannot be a resource is refused.
fn complete(matter: &mut PolicyRequest, policies: &Policies) -> Result<(), String> {
    for (patterns, count, changes) in [
        (&matter.may_observe, &mut matter.observe, false),
        (&matter.may_read, &mut matter.content, false),
        (&matter.may_change, &mut matter.change, true),
        (&matter.may_destroy, &mut matter.irrevocable, true),
        (&matter.may_disclose, &mut matter.disclose, false),
    ] {
        for pattern in patterns {
            paths::check_kind(pattern, policies.kinds())?;
        }
        if !patterns.is_empty() {
            *count = (*count).max(1);
            if changes {
                matter.changes = matter.changes.max(1);
            }
        }
    }
    Ok(())
}

fn try_case(policies: &Policies, case: &Case) -> Option<String> {
    let now = case.at.unwrap_or_else(Timestamp::now);
    match &case.expect {
        Expect::Needs(expected) => {
            let matter = case.matter.clone().unwrap_or_default();
            let mut found: Vec<String> = match policies.requirements(&matter, now) {
                Ok(needs) => needs.iter().map(ToString::to_string).collect(),
                Err(error) => return Some(error.to_string()),
            };
            found.sort();
            let mut wanted: Vec<String> = Vec::new();
            for text in expected {
                match crate::Need::parse("", text) {
                    Ok(need) => wanted.push(need.to_string()),
                    Err(why) => return Some(why),
                }
            }
            wanted.sort();
            (found != wanted).then(|| format!("it needs {found:?}, expected {wanted:?}"))
        }
        Expect::Word(answer) => {
            let Some(verb) = case.verb else {
                return Some("the case names no verb".to_owned());
            };
            let verdict = policies.may(&case.who, verb, case.matter.as_ref(), now, &case.approvals);
            let wrong = verdict.allowed != (*answer == Answer::Allow)
                || case.because.as_ref().is_some_and(|because| *because != verdict.because);
            wrong.then(|| format!("{}: {}", if verdict.allowed { "allow" } else { "deny" }, verdict.words()))
        }
    }
}
