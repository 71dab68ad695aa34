//! Why the embedded store cannot be used.

use std::path::PathBuf;

use miette::Diagnostic;
use remit_trust::{KeyError, SealError};

use crate::error::BackendError;

/// The embedded store cannot be used.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum EmbeddedError {
    /// The key file of the embedded store cannot be used.
    #[error("the embedded store's key cannot be used")]
    #[diagnostic(transparent)]
    Key(#[from] KeyError),
    /// The store is there, its key is not.
    #[error("{} holds secrets, but its key {} is missing", store.display(), key.display())]
    #[diagnostic(
        code(failed::backend_key_missing),
        help("restore the key file from your backup; without it the values cannot be read")
    )]
    KeyMissing {
        /// The path of the store's database.
        store: PathBuf,
        /// The path of the missing key file.
        key: PathBuf,
    },
    /// The key beside the store is another store's.
    #[error("{} was not sealed under the key beside it", store.display())]
    #[diagnostic(
        code(integrity::backend_key),
        help("restore the database and its key file together, from the same backup")
    )]
    WrongKey {
        /// The path of the store's database.
        store: PathBuf,
        /// The error of opening what was sealed.
        source: SealError,
    },
    /// SQLite returned an error.
    #[error("the embedded store {} cannot be used: {source}", path.display())]
    #[diagnostic(
        code(failed::backend_database),
        help(
            "check that the disk is writable and not full; if the file is damaged, restore it with its key from a backup"
        )
    )]
    Database {
        /// The path of the store's database.
        path: PathBuf,
        /// The error that SQLite returned.
        source: rusqlite::Error,
    },
    /// A newer Remit wrote it.
    #[error("the embedded store {} has format {found}; this version knows up to {known}", path.display())]
    #[diagnostic(
        code(failed::backend_newer),
        help("use the newer `remit` that wrote it; nothing was changed")
    )]
    Newer {
        /// The path of the store's database.
        path: PathBuf,
        /// The format number of the database.
        found: i64,
        /// The newest format number that this version can read.
        known: i64,
    },
    /// The path is served by another system.
    #[error("`{path}` is not served by an embedded store")]
    #[diagnostic(
        code(usage::backend_not_embedded),
        help(
            "write it with the system's own tool (for OpenBao: `bao kv put`), or add an embedded [[secrets]] entry for its prefix"
        )
    )]
    Elsewhere {
        /// The path of the secret that was asked for.
        path: String,
    },
}

impl From<EmbeddedError> for BackendError {
    fn from(error: EmbeddedError) -> Self {
        Self::System(Box::new(error))
    }
}
