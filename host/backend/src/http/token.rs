//! The host's own token: in a file, which is read again for each request so that an agent may renew it, or in a
//! variable of the environment.

use std::path::{Path, PathBuf};

use remit_file::{FileError, Kind};
use remit_gate::Failure;
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

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.len() <= 8192 && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn read(file: &Path) -> Result<SecretText, BackendError> {
    let unusable = |source| BackendError::File { what: "the token file", source };
    let read = remit_file::plain(file, Kind::Secret).map_err(unusable)?;
    // Group access is common: an agent writes the file, Remit reads it.
    if let Some(mode) = read.exposed().filter(|mode| mode & 0o007 != 0) {
        return Err(BackendError::TokenExposed { path: file.to_owned(), mode });
    }
    let text = read.text().map_err(unusable)?.trim();
    if is_token(text) {
        return Ok(SecretText::new(text.to_owned()));
    }
    let help = "put the token into it, on a line by itself";
    Err(unusable(FileError::unusable(file, Kind::Secret, "it does not hold a token", help)))
}
