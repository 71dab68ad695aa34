//! Notifications: sends an event to a webhook, a command or a file, once per call. The caller decides which events to send,
//! and sends an event again until it is delivered.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make their own files"))]

mod config;
mod error;
mod notice;
mod sink;
pub mod webhook;

use std::path::Path;
use std::time::Duration;

pub use config::NotifyConfig;
pub use error::NotifyError;
pub use notice::Notice;
use sink::Sink;

/// The notifiers of the configuration, opened.
#[derive(Debug)]
pub struct Notifiers(Vec<Notifier>);

#[derive(Debug)]
struct Notifier {
    name: String,
    on: Vec<String>,
    sink: Sink,
}

impl Notifiers {
    /// Checks the configuration. Paths are relative to `home`; `kinds` are the kinds of events that there are. A delivery that
    /// takes longer than `time_limit` fails.
    pub fn open(
        configs: &[NotifyConfig],
        home: &Path,
        kinds: &[&str],
        time_limit: Duration,
    ) -> Result<Self, NotifyError> {
        let mut notifiers: Vec<Notifier> = Vec::new();
        for config in configs {
            if notifiers.iter().any(|other| other.name == config.name) {
                return Err(config.wrong("another notifier has the same name"));
            }
            if let Some(kind) = config.on.iter().find(|kind| !kinds.contains(&kind.as_str())) {
                let kind = kind.escape_debug();
                return Err(
                    config.wrong(format!("there are no events `{kind}`; the kinds are {}", kinds.join(", ")))
                );
            }
            let sink = Sink::open(config, home, time_limit)?;
            notifiers.push(Notifier { name: config.name.clone(), on: config.on.clone(), sink });
        }
        Ok(Self(notifiers))
    }

    /// The names of the notifiers, in the order of the configuration.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|notifier| &*notifier.name)
    }

    /// Whether the notifier `name` gets events of that kind.
    #[must_use]
    pub fn wants(&self, name: &str, kind: &str) -> bool {
        let wants = |on: &[String]| on.is_empty() || on.iter().any(|wanted| wanted == kind);
        self.0.iter().any(|notifier| notifier.name == name && wants(&notifier.on))
    }

    /// Sends an event to the notifier `name`, once. After an error it may or may not have arrived.
    pub async fn deliver(&self, name: &str, event: &Notice) -> Result<(), NotifyError> {
        let notifier = self.0.iter().find(|notifier| notifier.name == name);
        let notifier = notifier.ok_or_else(|| NotifyError::Failed {
            name: name.to_owned(),
            why: "it is not configured".to_owned(),
        })?;
        notifier.sink.send(event).await.map_err(|why| NotifyError::Failed { name: name.to_owned(), why })
    }
}
