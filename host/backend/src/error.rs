//! Why a backend cannot be set up. What goes wrong later is a [`remit_gate::Failure`].

use std::path::PathBuf;

use miette::Diagnostic;
use remit_file::FileError;
use remit_trust::{KeyError, SealError};

/// A configured backend cannot be used.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum BackendError {
    /// Plain HTTP to another machine.
    #[error("`{address}` would send the token over the network unencrypted")]
    #[diagnostic(
        code(usage::backend_plaintext),
        help(
            "use https:// (with `ca_file` for a private CA); http:// is accepted for loopback addresses only"
        )
    )]
    Plaintext {
        /// The address as configured.
        address: String,
    },
    /// A setting makes no sense.
    #[error("[[secrets]] `{setting}` is not usable: {why}")]
    #[diagnostic(
        code(usage::backend_setting),
        help("correct `{setting}` in remit.toml, then run `remit doctor`")
    )]
    Setting {
        /// The key in the configuration.
        setting: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A granted directory makes no sense.
    #[error("[[files]] `{setting}` is not usable: {why}")]
    #[diagnostic(
        code(usage::files_setting),
        help("correct `{setting}` in remit.toml, then run `remit doctor`")
    )]
    Directory {
        /// The key in the configuration.
        setting: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// Two entries claim the same paths.
    #[error("two [[secrets]] entries have the prefix `{prefix}`")]
    #[diagnostic(
        code(usage::backend_prefix),
        help("give each entry a prefix of its own; the longest that fits wins")
    )]
    DuplicatePrefix {
        /// The prefix.
        prefix: String,
    },
    /// A file that the configuration names cannot be used.
    #[error("{what} {} cannot be used: {}", source.shown(), source.why())]
    #[diagnostic(forward(source))]
    File {
        /// What the file is for.
        what: &'static str,
        /// Which file, and why.
        source: FileError,
    },
    /// The token can be read by everyone on the machine.
    #[error("the token file {} can be read by everyone (mode {mode:04o})", path.display())]
    #[diagnostic(code(usage::backend_token_mode), help("chmod 600 {}", path.display()))]
    TokenExposed {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// There is no token.
    #[error("no token for {address}: {why}")]
    #[diagnostic(
        code(usage::backend_token),
        help(
            "set `token_file` to a file that holds the token (mode 0600), or `token_env` to a variable's name"
        )
    )]
    NoToken {
        /// The server.
        address: String,
        /// Where it was looked for.
        why: String,
    },
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
    NotEmbedded {
        /// The secret's path.
        path: String,
    },
}
