//! Tables of cases: what the policies are meant to say, tried.

use jiff::Timestamp;
use serde::Deserialize;

use crate::{Matter, Policies, PolicyError, Verb, Who, paths};

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
    who: Who,
    #[serde(default)]
    verb: Option<Verb>,
    #[serde(default)]
    matter: Option<Matter>,
    #[serde(default)]
    approvals: Vec<Who>,
    #[serde(default)]
    at: Option<Timestamp>,
    expect: Expect,
    /// The policies that must have decided.
    #[serde(default)]
    because: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Expect {
    Word(Answer),
    /// What is needed, in the words of `@needs`.
    Needs(Vec<String>),
}

#[derive(Deserialize, PartialEq, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Allow,
    Deny,
}

/// A case that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Its name.
    pub name: String,
    /// What was found instead of what it expects; none if that is what was found.
    pub found: Option<String>,
}

/// Tries every case of a table; `file` names it in errors.
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

/// The name of the case that the text at this place belongs to.
fn case_at(text: &str, at: usize) -> Option<String> {
    let before = text.get(..at)?.matches("[[case]]").count();
    let table: toml::Table = text.parse().ok()?;
    Some(table.get("case")?.get(before.checked_sub(1)?)?.get("name")?.as_str()?.to_owned())
}

/// A request that may do something to a resource does it at least once: a case that leaves out the count would try the
/// policies with a request that cannot be. One that names what no resource can be is refused.
fn complete(matter: &mut Matter, policies: &Policies) -> Result<(), String> {
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
