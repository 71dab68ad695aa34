//! Classes of errors.

use miette::Diagnostic;
use serde::Serialize;

/// The class of an error: what has to be done about it. It is the first word of the error's code, as in `refused::policy`,
/// and determines the exit code of a command and the status of an HTTP answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// The action, a system or a limit failed: look there.
    Failed,
    /// Wrong input: an option, a file, the configuration.
    Usage,
    /// Identity, policy, approval, scope or plan do not allow it.
    Refused,
    /// The journal or sealed data is not what was written.
    Integrity,
    /// In doubt or held: a person must decide.
    Doubt,
}

impl Class {
    /// The class of any error of the host, by its code.
    #[must_use]
    pub fn of(error: &dyn Diagnostic) -> Self {
        Self::of_code(&error.code().map(|code| code.to_string()).unwrap_or_default())
    }

    /// The class of the errors with this code.
    #[must_use]
    pub fn of_code(code: &str) -> Self {
        match code.split("::").next() {
            Some("usage") => Self::Usage,
            Some("refused") => Self::Refused,
            Some("integrity") => Self::Integrity,
            Some("doubt") => Self::Doubt,
            _ => Self::Failed,
        }
    }

    /// The exit code of a command that ends with it.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::Integrity => 4,
            Self::Doubt => 5,
        }
    }

    /// The status code of an HTTP answer with such an error.
    #[must_use]
    pub fn http_status(self) -> u16 {
        match self {
            Self::Failed => 502,
            Self::Usage => 400,
            Self::Refused => 403,
            Self::Integrity => 500,
            Self::Doubt => 409,
        }
    }
}
