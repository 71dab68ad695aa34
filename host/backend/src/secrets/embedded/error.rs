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
        /// The database.
        store: PathBuf,
        /// The key file.
        key: PathBuf,
    },
    /// The key beside the store is another store's.
    #[error("{} was not sealed under the key beside it", store.display())]
    #[diagnostic(
        code(integrity::backend_key),
        help("restore the database and its key file together, from the same backup")
    )]
    WrongKey {
        /// The database.
        store: PathBuf,
        /// The sealer's words.
        source: SealError,
    },
    /// The database refuses.
    #[error("the embedded store {} cannot be used: {source}", path.display())]
    #[diagnostic(
        code(failed::backend_database),
        help(
            "check that the disk is writable and not full; if the file is damaged, restore it with its key from a backup"
        )
    )]
    Database {
        /// The database.
        path: PathBuf,
        /// SQLite's words.
        source: rusqlite::Error,
    },
    /// A newer Remit wrote it.
    #[error("the embedded store {} has format {found}; this version knows up to {known}", path.display())]
    #[diagnostic(
        code(failed::backend_newer),
        help("use the newer `remit` that wrote it; nothing was changed")
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest known here.
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
        /// The secret's path.
        path: String,
    },
}

impl From<EmbeddedError> for BackendError {
    fn from(error: EmbeddedError) -> Self {
        Self::System(Box::new(error))
    }
}
