//! The host's own token: in a file, which is read again for each request so that an agent may renew it, or in a
//! variable of the environment.

use std::path::{Path, PathBuf};

use remit_gate::Failure;
use remit_http::{SecretFileError, is_token};
use remit_trust::SecretText;

use crate::error::BackendError;

/// The source of the token.
pub(super) enum Token {
    File(PathBuf),
    Value(SecretText),
}

impl Token {
    /// Finds and reads it. `address` is the server's, for errors.
    pub(super) fn open(
        file: Option<&Path>,
        variable: Option<&str>,
        home: &Path,
        address: &str,
    ) -> Result<Self, BackendError> {
        let none = |why: String| BackendError::NoToken { address: address.to_owned(), why };
        match (file, variable) {
            (Some(_), Some(_)) => {
                Err(BackendError::setting("token_file", "`token_env` is set too; choose one"))
            }
            (None, None) => Err(none("neither `token_file` nor `token_env` is set".to_owned())),
            (Some(file), None) => {
                let file = home.join(file);
                read(&file)?;
                Ok(Self::File(file))
            }
            (None, Some(name)) => {
                let Some(value) = remit_text::env::var(name) else {
                    return Err(none(format!("the variable {}", remit_text::env::why_none(name))));
                };
                let value = SecretText::new(value.into_string().unwrap_or_default());
                if !is_token(value.expose().trim()) {
                    return Err(none(format!("the variable {name} does not hold a token")));
                }
                Ok(Self::Value(SecretText::new(value.expose().trim().to_owned())))
            }
        }
    }

    /// The token as it is now.
    pub(super) fn get(&self) -> Result<SecretText, Failure> {
        match self {
            Self::Value(value) => Ok(value.clone()),
            Self::File(file) => {
                read(file).map_err(|error| Failure::Denied(format!("the host has no token: {error}")))
            }
        }
    }

    /// The source of the token, for a person.
    pub(super) fn name(&self) -> String {
        match self {
            Self::File(file) => format!("the token in {}", file.display()),
            Self::Value(_) => "the host's token".to_owned(),
        }
    }
}

fn read(file: &Path) -> Result<SecretText, BackendError> {
    remit_http::token(file).map_err(|error| match error {
        SecretFileError::File(source) => BackendError::File { what: "the token file", source },
        SecretFileError::Exposed { path, mode } => BackendError::TokenExposed { path, mode },
    })
}
