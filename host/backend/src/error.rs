//! Why a backend cannot be set up. What goes wrong later is a [`remit_gate::Failure`].

use std::path::PathBuf;

use miette::Diagnostic;
use remit_file::FileError;

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
    #[error("`{setting}` is not usable: {why}")]
    #[diagnostic(
        code(usage::backend_setting),
        help("correct `{setting}` in remit.toml, then run `remit doctor`")
    )]
    Setting {
        /// The key in the configuration.
        setting: &'static str,
        /// What is wrong with the setting.
        why: String,
    },
    /// Something is wrong with the system of an entry.
    #[error("[[{section}]] {entry}: {problem}")]
    #[diagnostic(forward(problem))]
    Entry {
        /// The section of `remit.toml`.
        section: &'static str,
        /// What tells the entry from others: its backend and its prefix, or its name.
        entry: String,
        /// The problem with that system.
        problem: Box<Self>,
    },
    /// Two entries of one section claim the same paths.
    #[error("two entries have the prefix `{prefix}`")]
    #[diagnostic(
        code(usage::backend_prefix),
        help("give each {kind} store a prefix of its own; the longest that fits wins")
    )]
    DuplicatePrefix {
        /// The kind of resource that is served.
        kind: &'static str,
        /// The path prefix that both entries have.
        prefix: String,
    },
    /// A file that the configuration names cannot be used.
    #[error("{what} {} cannot be used: {}", source.shown(), source.why())]
    #[diagnostic(forward(source))]
    File {
        /// What the file is for: `the token file`.
        what: &'static str,
        /// The path of the file, and why it cannot be used.
        source: FileError,
    },
    /// The token can be read by everyone on the machine.
    #[error("the token file {} can be read by everyone (mode {mode:04o})", path.display())]
    #[diagnostic(code(usage::backend_token_mode), help("chmod 600 {}", path.display()))]
    TokenExposed {
        /// The path of the token file.
        path: PathBuf,
        /// The permission bits of the file.
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
        /// The address of the server.
        address: String,
        /// Where a token was looked for, and why none was found.
        why: String,
    },
    /// An error that only this kind of system has.
    #[error("{0}")]
    #[diagnostic(forward(0))]
    System(Box<dyn Diagnostic + Send + Sync>),
}

impl BackendError {
    /// A setting that makes no sense.
    pub(crate) fn setting(setting: &'static str, why: impl Into<String>) -> Self {
        Self::Setting { setting, why: why.into() }
    }

    /// Adds the entry of `remit.toml` that the error is about.
    pub(crate) fn of(self, section: &'static str, entry: impl Into<String>) -> Self {
        Self::Entry { section, entry: entry.into(), problem: Box::new(self) }
    }
}
