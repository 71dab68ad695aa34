//! What can go wrong with telling.

use miette::Diagnostic;

/// Why somebody is not told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Diagnostic)]
pub enum NotifyError {
    /// A setting that cannot be.
    #[error("[[notify]] `{name}`: {why}")]
    #[diagnostic(code(usage::notify), help("correct it in remit.toml; docs/configuration.md has the form"))]
    Config {
        /// Of which.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// It could not be delivered this time.
    #[error("`{name}` could not be told: {why}")]
    #[diagnostic(code(failed::notify), help("nothing is lost: `remit notify` tries again"))]
    Failed {
        /// Who.
        name: String,
        /// Why; never a secret.
        why: String,
    },
}
