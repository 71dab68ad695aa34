//! Why an action could not do its work, in words for the operator.

use std::fmt;

use crate::Failure;

/// Why an action failed. Its text goes to the operator and into the journal: put no secret in it.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The action's own reason.
    Message(String),
    /// The host did not do what was asked; nothing was changed, unless it is
    /// [`Failure::Unavailable`].
    Host {
        /// What was asked, such as "rotate app/db".
        doing: String,
        /// Why the host did not do it.
        failure: Failure,
    },
    /// JSON that does not have the shape of the action's type.
    Json {
        /// `input` or `output`.
        what: &'static str,
        /// Where and how it differs.
        error: serde_json::Error,
    },
}

impl Error {
    /// An error with this message.
    pub fn new(message: impl Into<String>) -> Self {
        Self::Message(message.into())
    }

    /// Why the host did not do what was asked, if that is what went wrong.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Host { failure, .. } => Some(failure),
            Self::Message(_) | Self::Json { .. } => None,
        }
    }

    /// The code of [`Self::failure`], spelt as in the WIT, in tests and in the other languages: `not-found`.
    #[must_use]
    pub fn code(&self) -> Option<&'static str> {
        self.failure().map(|failure| parts(failure).0)
    }

    pub(crate) fn json(what: &'static str, error: serde_json::Error) -> Self {
        Self::Json { what, error }
    }
}

/// The error for a failure of the host; `doing` says what was asked.
pub(crate) fn because(doing: impl FnOnce() -> String) -> impl FnOnce(Failure) -> Error {
    move |failure| Error::Host { doing: doing(), failure }
}

/// A failure's code, and the host's words.
fn parts(failure: &Failure) -> (&'static str, &str) {
    match failure {
        Failure::Denied(detail) => ("denied", detail),
        Failure::NotFound(detail) => ("not-found", detail),
        Failure::Conflict(detail) => ("conflict", detail),
        Failure::Invalid(detail) => ("invalid", detail),
        Failure::Unavailable(detail) => ("unavailable", detail),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(message) => f.write_str(message),
            Self::Host { doing, failure } => {
                let (code, detail) = parts(failure);
                write!(f, "could not {doing}: {}: {detail}", code.replace('-', " "))
            }
            Self::Json { what, error } => write!(f, "the action's {what}: {error}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Message(_) => None,
            Self::Host { failure, .. } => Some(failure),
            Self::Json { error, .. } => Some(error),
        }
    }
}

impl From<String> for Error {
    fn from(message: String) -> Self {
        Self::Message(message)
    }
}

impl From<&str> for Error {
    fn from(message: &str) -> Self {
        Self::Message(message.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_reads_as_a_sentence() {
        let failure = Failure::NotFound("no such secret".to_owned());
        let error = Error::Host { doing: "rotate app/db".to_owned(), failure };
        assert_eq!(error.to_string(), "could not rotate app/db: not found: no such secret");
        assert_eq!(error.code(), Some("not-found"));
        assert_eq!(Error::new("no such secret").code(), None);
    }
}
