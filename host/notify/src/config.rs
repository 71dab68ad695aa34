//! `[[notify]]` in `remit.toml`.

use std::path::PathBuf;

use serde::Deserialize;

use crate::NotifyError;

/// One way to tell, as written. Exactly one of `webhook`, `command` and `file` is set.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotifyConfig {
    /// Its name: one no other has. What it was told is counted under it.
    pub name: String,
    /// Which kinds of events; every kind, if none is named.
    #[serde(default)]
    pub on: Vec<String>,
    /// An address that takes <https://www.standardwebhooks.com> messages.
    #[serde(default)]
    pub webhook: Option<String>,
    /// The file with the webhook's secret: `whsec_` and base64, mode 0600.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
    /// A program and its arguments; it reads the event as JSON. No shell.
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
