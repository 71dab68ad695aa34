//! Fixtures: `tests/*.toml`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use remit_capability::fixture::{Misstated, State, Things};
use remit_capability::systems;
use remit_gate::{Failure, Scope};
use remit_journal::RunState;
use remit_text::Mistake;
use remit_text::Table;
use remit_trust::{Handle, Opening};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use toml_edit::{Document, Item};

use crate::{Answer, OfflineError};

/// A fixture: what there is before, an input, and the expected result; then the same with calls that fail.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fixture {
    /// The input of the action.
    pub input: Value,
    /// The values of sealed inputs, by name: the input of the action gets their handles.
    #[serde(default)]
    pub sealed: BTreeMap<String, String>,
    /// The scope to run in; without one, the least scope of the plan.
    pub scope: Option<Scope>,
    /// What connectors answer.
    #[serde(default, rename = "call")]
    pub answers: Vec<Answer>,
    /// What there is, of each domain in the order of the registry.
    #[serde(skip)]
    pub things: Vec<Arc<dyn Things>>,
    /// The expected result; none if it is not written yet.
    #[serde(skip)]
    pub expect: Option<Expect>,
    /// The same with a call that fails, once for each.
    #[serde(skip)]
    pub faults: Vec<FailAt>,
}

/// A call that fails.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FailAt {
    /// The number of the call, counted from 1 over all calls but logging and asking about the run itself.
    pub at: u64,
    /// The kind of failure that the call returns.
    pub failure: FailureKind,
    /// Whether the call takes effect all the same.
    #[serde(default)]
    pub answer_lost: bool,
    /// The expected result; none if it is not written yet.
    #[serde(skip)]
    pub expect: Option<Expect>,
    /// The line of the file at which it begins, counted from 1.
    #[serde(skip)]
    pub line: usize,
}

/// The name in reports and in `--filter`, after the file's.
impl std::fmt::Display for FailAt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let lost = if self.answer_lost { ", answer lost" } else { "" };
        write!(f, "call {} fails: {}{lost} (line {})", self.at, self.failure.code(), self.line)
    }
}

/// The failures that a call can return.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The real system refuses the access.
    Denied,
    /// The resource does not exist.
    NotFound,
    /// The resource was changed meanwhile.
    Conflict,
    /// The arguments are not valid.
    Invalid,
    /// The system does not answer.
    Unavailable,
}

impl FailureKind {
    /// The name in fixtures.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::NotFound => "not-found",
            Self::Conflict => "conflict",
            Self::Invalid => "invalid",
            Self::Unavailable => "unavailable",
        }
    }

    /// The kind of a failure.
    #[must_use]
    pub fn of(failure: &Failure) -> Self {
        match failure {
            Failure::Denied(_) => Self::Denied,
            Failure::NotFound(_) => Self::NotFound,
            Failure::Conflict(_) => Self::Conflict,
            Failure::Invalid(_) => Self::Invalid,
            Failure::Unavailable(_) => Self::Unavailable,
        }
    }

    pub(crate) fn failure(self) -> Failure {
        let why = "the test asks for it".to_owned();
        match self {
            Self::Denied => Failure::Denied(why),
            Self::NotFound => Failure::NotFound(why),
            Self::Conflict => Failure::Conflict(why),
            Self::Invalid => Failure::Invalid(why),
            Self::Unavailable => Failure::Unavailable(why),
        }
    }
}

/// An expected result. What is left out is not compared.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// How the run ends; a rehearsal that does not come to its end is `refused` or `failed`.
    pub outcome: Option<RunState>,
    /// Words of the reason, where it does not succeed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// What the action asks for, in order, as its plan has it: a line each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operations: Option<Vec<String>>,
    /// The output of the action.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// What there is after the run, by the name of the table in fixtures.
    #[serde(skip)]
    pub after: Vec<(&'static str, Vec<State>)>,
}

impl Expect {
    /// What there is after the run, in one table.
    #[must_use]
    pub fn states(&self, table: &str) -> &[State] {
        self.after.iter().find(|(name, _)| *name == table).map_or(&[], |(_, states)| states)
    }

    fn read(mut parts: Table<'_>) -> Result<Self, Mistake> {
        let mut after = Vec::new();
        for domain in systems() {
            after.push((domain.table(), domain.after(&mut parts)?));
        }
        Ok(Self { after, ..parts.rest("expect")? })
    }
}

impl FailAt {
    fn read(mut parts: Table<'_>) -> Result<Self, Mistake> {
        let expect = parts.table("expect")?.map(Expect::read).transpose()?;
        Ok(Self { expect, ..parts.rest("a fault")? })
    }
}

impl Fixture {
    /// Reads a file; each mistake is named by its line and key.
    pub fn load(path: &Path) -> Result<Self, OfflineError> {
        let text = remit_file::given(path, remit_file::Kind::Fixture)?.into_text()?;
        Self::parse(&text).map_err(|why| OfflineError::Fixture { file: path.display().to_string(), why })
    }

    /// The same of its text.
    fn parse(text: &str) -> Result<Self, String> {
        let mut fixture = Self::read(text).map_err(|mistake| mistake.to_string())?;
        let document = Document::parse(text).map_err(|error| error.to_string().trim_end().to_owned())?;
        let places = Places { text, root: document.as_item() };
        let mistakes = fixture.mistakes(&places);
        if !mistakes.is_empty() {
            return Err(mistakes.join("\n"));
        }
        for (n, fault) in fixture.faults.iter_mut().enumerate() {
            fault.line = places.line(&[Key("fault"), At(n)]);
        }
        Ok(fixture)
    }

    fn read(text: &str) -> Result<Self, Mistake> {
        let mut parts = Table::parse_exact(text)?;
        let things = systems().map(|domain| domain.before(&mut parts)).collect::<Result<_, _>>()?;
        let expect = parts.table("expect")?.map(Expect::read).transpose()?;
        let faults = parts.entries("fault")?.into_iter().map(FailAt::read).collect::<Result<_, _>>()?;
        Ok(Self { things, expect, faults, ..parts.rest("the fixture")? })
    }

    /// What is well-formed and cannot be: nothing of it is found out only when it is tried.
    fn mistakes(&self, places: &Places<'_>) -> Vec<String> {
        let mut found = Vec::new();
        let mut wrong = |keys: &[Step], why: String| found.push(places.mistake(keys, &why));
        for (domain, things) in systems().zip(&self.things) {
            for Misstated { at, key, why } in things.mistakes() {
                wrong(&[Key(domain.table()), At(at), Key(key)], why);
            }
        }
        for (name, value) in &self.sealed {
            if !Handle::is_name(name) {
                wrong(&[Key("sealed")], format!("`{}` is no name of a sealed input", name.escape_debug()));
            }
            if value.len() > Opening::MAX {
                wrong(&[Key("sealed")], format!("the value of `{name}` is longer than 64 KiB"));
            }
        }
        for (n, fault) in self.faults.iter().enumerate() {
            if fault.at == 0 {
                wrong(&[Key("fault"), At(n), Key("at")], "calls count from 1".to_owned());
            }
        }
        let of_faults = self.faults.iter().enumerate();
        let of_faults = of_faults.map(|(n, fault)| (vec![Key("fault"), At(n)], &fault.expect));
        for (within, expect) in std::iter::once((Vec::new(), &self.expect)).chain(of_faults) {
            let Some(expect) = expect else { continue };
            for domain in systems() {
                let table = domain.table();
                for (n, state) in expect.states(table).iter().enumerate() {
                    if let Some(why) = domain.no_path(&state.path) {
                        let path = [Key("expect"), Key(table), At(n), Key("path")];
                        wrong(&[&within[..], &path].concat(), why);
                    }
                }
            }
        }
        found
    }
}

/// A step on the way to a value.
#[derive(Clone, Copy)]
enum Step {
    Key(&'static str),
    At(usize),
}
use Step::{At, Key};

/// Where in the text values are.
struct Places<'a> {
    text: &'a str,
    root: &'a Item,
}

impl Places<'_> {
    /// The line of a value, or of the nearest one around it that is written down.
    fn line(&self, steps: &[Step]) -> usize {
        let (mut item, mut at) = (self.root, 0);
        for step in steps {
            let next = match step {
                Key(key) => item.get(key),
                At(n) => item.get(n),
            };
            let Some(next) = next else { break };
            item = next;
            at = item.span().map_or(at, |span| span.start);
        }
        self.text[..at].matches('\n').count() + 1
    }

    fn mistake(&self, steps: &[Step], why: &str) -> String {
        let mut key = String::new();
        for step in steps {
            match step {
                Key(name) if key.is_empty() => key.push_str(name),
                Key(name) => key = format!("{key}.{name}"),
                // The line says which.
                At(_) => {}
            }
        }
        format!("line {}, {key}: {why}", self.line(steps))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn each_mistake_is_named_by_line_and_key() {
        let text = r#"[input]
[[secret]]
path = "app/db"
versions = 2
disabled = [1, 3]
[[secret]]
path = "/app"
fields = []
[[secret]]
path = "app/db"
destroyed = [0]
[[file]]
path = "app.conf"
content = ""
[[file]]
path = "etc/a"
content = ""
[[file]]
path = "etc/a"
content = ""
[[fault]]
at = 0
failure = "conflict"
expect.secret = [
  { path = "app/db", current = 1 },
  { path = "app//db", current = 1 },
]
[[fault]]
at = 1
failure = "denied"
[expect]
[[expect.file]]
path = "../app.conf"
"#;
        let said = Fixture::parse(text).unwrap_err();
        let named: Vec<_> = said.lines().filter_map(|line| line.split(": ").next()).collect();
        let expected = [
            "line 5, secret.disabled",
            "line 7, secret.path",
            "line 8, secret.fields",
            "line 10, secret.path",
            "line 11, secret.destroyed",
            "line 13, file.path",
            "line 19, file.path",
            "line 22, fault.at",
            "line 33, expect.file.path",
            "line 26, fault.expect.secret.path",
        ];
        assert_eq!(named, expected, "{said}");
    }

    #[test]
    fn each_fault_has_a_name_of_its_own() {
        let fault = "[[fault]]\nat = 2\nfailure = \"not-found\"\n";
        let text = format!("[input]\n{fault}{fault}answer-lost = true\n");
        let names: Vec<_> = Fixture::parse(&text).unwrap().faults.iter().map(ToString::to_string).collect();
        assert_eq!(
            names,
            ["call 2 fails: not-found (line 2)", "call 2 fails: not-found, answer lost (line 5)"]
        );
        for kind in ["denied", "not-found", "conflict", "invalid", "unavailable"] {
            let fixture = Fixture::parse(&text.replace("not-found", kind)).unwrap();
            assert_eq!(fixture.faults[0].failure.code(), kind);
        }
    }

    #[test]
    fn a_fixture_says_what_its_file_says() {
        for (input, why) in [
            ("n = 9007199254740993", "cannot be signed exactly"),
            ("n = nan", "no number in JSON"),
            ("when = 2026-01-01", "a date is no JSON"),
            ("n = 1\nn = 2", "duplicate key"),
        ] {
            let told = Fixture::parse(&format!("[input]\n{input}\n")).unwrap_err();
            assert!(told.contains(why) && told.contains("| ^") | told.contains("  ^"), "{told}");
        }
    }
}
