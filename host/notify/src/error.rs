//! What can go wrong with a notification.

use miette::Diagnostic;

/// Why an event was not delivered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Diagnostic)]
pub enum NotifyError {
    /// A setting in `remit.toml` is wrong.
    #[error("[[notify]] `{name}`: {why}")]
    #[diagnostic(code(usage::notify), help("correct it in remit.toml; docs/configuration.md has the form"))]
    Config {
        /// The name of the notifier.
        name: String,
        /// What is wrong with the setting.
        why: String,
    },
    /// The notifier failed to deliver an event.
    #[error("the notifier `{name}` failed: {why}")]
    #[diagnostic(
        code(failed::notify),
        help("nothing is lost: the event waits, and `remit notify` sends it again")
    )]
    Failed {
        /// The name of the notifier.
        name: String,
        /// The reason, without any secret.
        why: String,
    },
}
