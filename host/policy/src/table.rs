//! Tables of cases: what the policies are meant to say, tried.

use jiff::Timestamp;
use serde::Deserialize;

use crate::{Matter, Policies, PolicyError, Verb, Who};

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
    let table: Table = toml::from_str(text).map_err(|error| PolicyError::Table {
        file: file.to_owned(),
        why: error.to_string().trim_end().to_owned(),
    })?;
    if table.case.is_empty() {
        return Err(PolicyError::Table { file: file.to_owned(), why: "it has no [[case]]".to_owned() });
    }
    Ok(table
        .case
        .into_iter()
        .map(|case| Checked { found: try_case(policies, &case), name: case.name })
        .collect())
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
