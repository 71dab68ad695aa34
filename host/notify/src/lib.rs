//! Telling people: a webhook, a command or a file is given an event, once per call. What is to be told, and telling it
//! again until it is delivered, is the caller's.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make their own files"))]

mod config;
mod error;
mod ways;
pub mod webhook;

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

pub use config::NotifyConfig;
pub use error::NotifyError;
use ways::Way;

/// Something that people want to know.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// The same event always has the same: whoever is told twice can tell.
    pub id: String,
    /// `run-reverted`, `request-made`, …
    pub kind: String,
    /// When it happened.
    pub at: Timestamp,
    /// What it is about: a run, a request, or `host`.
    pub subject: String,
    /// One sentence for a person.
    pub summary: String,
}

/// Every configured way to tell.
#[derive(Debug)]
pub struct Notifiers(Vec<Notifier>);

#[derive(Debug)]
struct Notifier {
    name: String,
    on: Vec<String>,
    way: Way,
}

impl Notifiers {
    /// Checks the configuration; files lie relative to `home`. Kinds are those that the caller tells of. Who does not
    /// answer within `patience` was not told.
    pub fn open(
        configs: &[NotifyConfig],
        home: &Path,
        kinds: &[&str],
        patience: Duration,
    ) -> Result<Self, NotifyError> {
        let mut notifiers: Vec<Notifier> = Vec::new();
        for config in configs {
            if notifiers.iter().any(|other| other.name == config.name) {
                return Err(config.wrong("another has the same name"));
            }
            if let Some(kind) = config.on.iter().find(|kind| !kinds.contains(&kind.as_str())) {
                let kind = kind.escape_debug();
                return Err(config.wrong(format!("there are no events `{kind}`, only {}", kinds.join(", "))));
            }
            let way = Way::open(config, home, patience)?;
            notifiers.push(Notifier { name: config.name.clone(), on: config.on.clone(), way });
        }
        Ok(Self(notifiers))
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|notifier| &*notifier.name)
    }

    /// Whether one wants to be told of events of that kind.
    #[must_use]
    pub fn wants(&self, name: &str, kind: &str) -> bool {
        let wants = |on: &[String]| on.is_empty() || on.iter().any(|wanted| wanted == kind);
        self.0.iter().any(|notifier| notifier.name == name && wants(&notifier.on))
    }

    /// Tells one of an event, once. An error means that it may not have been told.
    pub fn deliver(&self, name: &str, event: &Event) -> Result<(), NotifyError> {
        let notifier = self.0.iter().find(|notifier| notifier.name == name);
        let notifier = notifier.ok_or_else(|| NotifyError::Failed {
            name: name.to_owned(),
            why: "it is not configured".to_owned(),
        })?;
        notifier.way.tell(event).map_err(|why| NotifyError::Failed { name: name.to_owned(), why })
    }
}
