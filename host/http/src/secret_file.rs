//! Credentials of the host in files, which are read again for each request so that an agent may renew them.

use std::path::{Path, PathBuf};

use remit_file::{FileError, Kind};
use remit_trust::SecretText;

/// Why a file with a credential cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// It cannot be read, or does not hold what it should.
    #[error("{0}")]
    File(#[from] FileError),
    /// Everyone on the machine can read it.
    #[error("{} can be read by everyone (mode {mode:04o}): chmod 600 {}", path.display(), path.display())]
    Exposed {
        /// The path of the file.
        path: PathBuf,
        /// The permission bits of the file.
        mode: u32,
    },
}

/// Whether a text can be a token.
#[must_use]
pub fn is_token(text: &str) -> bool {
    !text.is_empty() && text.len() <= 8192 && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A token from a file that is not for everyone.
pub fn token(file: &Path) -> Result<SecretText, SecretFileError> {
    let text = secret(file)?;
    if is_token(text.expose()) {
        return Ok(text);
    }
    let help = "put the token into it, on a line by itself";
    Err(FileError::unusable(file, Kind::Secret, "it does not hold a token", help).into())
}

/// The text of a file that is not for everyone, without white space at its ends.
pub fn secret(file: &Path) -> Result<SecretText, SecretFileError> {
    let read = remit_file::plain(file, Kind::Secret)?;
    // Group access is common: an agent writes the file, Remit reads it.
    if let Some(mode) = read.exposed().filter(|mode| mode & 0o007 != 0) {
        return Err(SecretFileError::Exposed { path: file.to_owned(), mode });
    }
    Ok(SecretText::new(read.text()?.trim().to_owned()))
}
