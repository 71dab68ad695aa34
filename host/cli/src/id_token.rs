//! ID tokens of a platform, for contexts without a key: where one comes from, and the key that it was exchanged for.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use miette::Diagnostic;
use remit_file::{FileError, Kind};
use remit_lifecycle::Error;
use remit_text::env;
use remit_trust::{SecretText, SigningKey};
use serde::{Deserialize, Serialize};

use crate::commands::common::{Done, usage};

/// How long before its end a key is not used any more.
const MARGIN: SignedDuration = SignedDuration::from_secs(30);

/// Where an ID token comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) enum Source {
    /// An environment variable, as GitLab gives it.
    Env(String),
    /// A file.
    File(PathBuf),
    /// GitHub Actions, which is asked for one.
    Github,
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "github" => Ok(Self::Github),
            Some(("env", name)) if !name.is_empty() => Ok(Self::Env(name.to_owned())),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            _ => Err("write env:NAME, file:PATH or github".to_owned()),
        }
    }
}

impl TryFrom<String> for Source {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Source> for String {
    fn from(source: Source) -> Self {
        source.to_string()
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Github => f.write_str("github"),
        }
    }
}

impl Source {
    /// The token. `audience` is what it is for; only GitHub is asked for one, everywhere else the job's own file says so.
    pub(crate) fn token(&self, audience: &str) -> Done<SecretText> {
        let variable = |name: &str| -> Done<String> {
            let value = env::var(name).and_then(|value| value.into_string().ok());
            value.filter(|value| !value.is_empty()).ok_or_else(|| {
                let help = match self {
                    Self::Github => {
                        "this works in a job of GitHub Actions only, which needs `permissions: id-token: write`"
                    }
                    _ => "let the job's own file ask for an ID token (GitLab: `id_tokens:`): docs/ci.md",
                };
                usage(format!("there is no ID token: {name} {}", env::why_none(name)), help)
            })
        };
        match self {
            Self::Env(name) => Ok(SecretText::new(variable(name)?)),
            Self::File(path) => {
                let read = remit_file::given(path, Kind::Secret).map_err(Error::from)?;
                let text = read.into_text().map_err(Error::from)?;
                Ok(SecretText::new(text.trim().to_owned()))
            }
            Self::Github => {
                let url = variable("ACTIONS_ID_TOKEN_REQUEST_URL")?;
                let bearer = SecretText::new(variable("ACTIONS_ID_TOKEN_REQUEST_TOKEN")?);
                Ok(remit_client::github(&url, &bearer, audience)?)
            }
        }
    }
}

/// A key that an ID token was exchanged for, in a file of its own (mode 0600): a job has one token, and runs several commands.
pub(crate) struct Kept {
    path: PathBuf,
    /// Held while a token is exchanged, so that two commands at once do not both use it.
    _lock: std::fs::File,
}

impl Kept {
    /// The file of the context with this name, beside the contexts.
    pub(crate) fn of(contexts: &Path, name: &str) -> Done<Self> {
        let path = contexts.with_file_name(format!("id-token.{name}.key"));
        let locked = || {
            let lock = remit_file::lock(&path.with_extension("lock"))?;
            lock.lock().map(|()| lock)
        };
        let lock = locked().map_err(|error| written(&path, &error))?;
        Ok(Self { path, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the key in the file is certified for this server's journal, and counts for long enough.
    pub(crate) fn counts(&self, url: &str, log: &str) -> bool {
        let read = remit_file::trusted(&self.path, Kind::Key).and_then(remit_file::Content::into_text);
        let Ok(text) = read else { return false };
        let Some(until) = text.strip_prefix(&heading(url, log)).and_then(|rest| rest.lines().next()) else {
            return false;
        };
        until.parse::<Timestamp>().is_ok_and(|until| Timestamp::now() + MARGIN < until)
    }

    /// Removes the key and the lock beside it.
    pub(crate) fn forget(self) -> Done<()> {
        for path in [&self.path, &self.path.with_extension("lock")] {
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(written(path, &error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Keeps a key.
    pub(crate) fn keep(&self, key: &SigningKey, url: &str, log: &str, until: Timestamp) -> Done<()> {
        let text = zeroize(format!("{}{until}\n{}", heading(url, log), key.to_pem().as_str()));
        let kept = remit_file::replace(&self.path, text.expose().as_bytes());
        kept.map(drop).map_err(|error| written(&self.path, &error))
    }
}

/// Text with a private key in it, which is erased when it is dropped.
fn zeroize(text: String) -> SecretText {
    SecretText::new(text)
}

fn written(path: &Path, error: &std::io::Error) -> Box<dyn Diagnostic + Send + Sync> {
    Box::new(Error::from(FileError::writing(path, Kind::Key, error)))
}

/// What stands before the key, which readers of PEM skip.
fn heading(url: &str, log: &str) -> String {
    format!("Made by remit, for an ID token. Server: {url}\nJournal: {log}\nUntil: ")
}
