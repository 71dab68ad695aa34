//! `[[notify]]` in `remit.toml`.

use std::path::PathBuf;

use serde::Deserialize;

use crate::error::NotifyError;

/// One notifier, as it is in the file. Exactly one of `webhook`, `command` and `file` is set.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotifyConfig {
    /// Its name, which no other notifier has. The journal has under this name what was delivered.
    pub name: String,
    /// The kinds of events that it gets; empty for every kind.
    #[serde(default)]
    pub on: Vec<String>,
    /// The address of a receiver of <https://www.standardwebhooks.com> messages.
    #[serde(default)]
    pub webhook: Option<String>,
    /// The file with the webhook's secret: `whsec_` and base64, mode 0600.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
    /// A program and its arguments, without a shell. It gets the event as JSON on its standard input.
    #[serde(default)]
    pub command: Vec<String>,
    /// A file that gets a line of JSON for each event.
    #[serde(default)]
    pub file: Option<PathBuf>,
}

impl NotifyConfig {
    pub(crate) fn wrong(&self, why: impl Into<String>) -> NotifyError {
        NotifyError::Config { name: self.name.clone(), why: why.into() }
    }
}
