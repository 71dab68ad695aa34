//! Fixtures: `tests/*.toml`.

use std::path::Path;

use remit_gate::{Failure, Scope};
use remit_journal::RunState;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::OfflineError;

/// One file: an estate, an input, and what is to come of it; then the same with a call that fails.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fixture {
    /// What the action is given.
    pub input: Value,
    /// The scope to run in; without one, the least scope of the plan.
    pub scope: Option<Scope>,
    /// The secrets there are.
    #[serde(default, rename = "secret")]
    pub secrets: Vec<SecretBefore>,
    /// The files there are: the first segment of each path is a granted directory's name.
    #[serde(default, rename = "file")]
    pub files: Vec<FileBefore>,
    /// What is to come of it.
    pub expect: Option<Expect>,
    /// The same with a call that fails, once for each.
    #[serde(default, rename = "fault")]
    pub faults: Vec<FailAt>,
}

/// A secret of the embedded store.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretBefore {
    /// Its path.
    pub path: String,
    /// Its fields; the host makes the values.
    #[serde(default = "one_field")]
    pub fields: Vec<String>,
    /// How many versions it has.
    #[serde(default = "one")]
    pub versions: u64,
    /// Those that cannot be read.
    #[serde(default)]
    pub disabled: Vec<u64>,
    /// Those that are gone for good.
    #[serde(default)]
    pub destroyed: Vec<u64>,
}

/// A file of a directory that is made for the test.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileBefore {
    /// As in a resource: `etc/app.conf`, which actions find at `/etc/app.conf`.
    pub path: String,
    /// What is in it.
    pub content: String,
}

/// A file afterwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileAfter {
    /// As in a resource.
    pub path: String,
    /// What is in it; left out where there is no such file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

fn one_field() -> Vec<String> {
    vec!["value".to_owned()]
}

fn one() -> u64 {
    1
}

/// A call that fails.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FailAt {
    /// Which: counted from 1 over all calls but logging and asking about the run itself.
    pub at: u64,
    /// How.
    pub failure: FailureKind,
    /// Whether it took effect all the same.
    #[serde(default)]
    pub answer_lost: bool,
    /// What is to come of it.
    pub expect: Option<Expect>,
}

/// Which of the failures that an action can meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The real system refuses.
    Denied,
    /// There is no such thing.
    NotFound,
    /// Someone else changed it.
    Conflict,
    /// The arguments make no sense to it.
    Invalid,
    /// It does not answer.
    Unavailable,
}

impl FailureKind {
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

/// What is to come of it. What is left out is not looked at.
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
    /// What the action returns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// The secrets afterwards.
    #[serde(default, rename = "secret", skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretAfter>,
    /// The files afterwards.
    #[serde(default, rename = "file", skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileAfter>,
}

/// A secret afterwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretAfter {
    /// Its path.
    pub path: String,
    /// The newest version; 0 where there is no such secret.
    pub current: u64,
    /// Those that cannot be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disabled: Vec<u64>,
    /// Those that are gone for good.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub destroyed: Vec<u64>,
}

impl Fixture {
    /// Reads a file; a mistake is shown at its line.
    pub fn load(path: &Path) -> Result<Self, OfflineError> {
        let text = remit_file::given(path, remit_file::Kind::Fixture)?.into_text()?;
        let wrong = |why: String| OfflineError::Fixture { file: path.display().to_string(), why };
        let fixture: Self =
            toml::from_str(&text).map_err(|error| wrong(error.to_string().trim_end().to_owned()))?;
        if let Some(fault) = fixture.faults.iter().find(|fault| fault.at == 0) {
            return Err(wrong(format!("[[fault]] at = {}: calls count from 1", fault.at)));
        }
        Ok(fixture)
    }
}
