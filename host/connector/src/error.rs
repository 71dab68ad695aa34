//! Why an entry of `remit.toml` cannot be used. What goes wrong later is a [`remit_gate::Failure`].

use miette::Diagnostic;
use remit_file::FileError;

/// A `[[connector]]` of `remit.toml` cannot be used.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ConnectorError {
    /// A setting makes no sense.
    #[error("[[connector]] {name}: `{setting}` is not usable: {why}")]
    #[diagnostic(
        code(usage::connector_setting),
        help("correct `{setting}` in remit.toml, then run `remit doctor`")
    )]
    Setting {
        /// The name of the entry.
        name: String,
        /// The key in the configuration.
        setting: &'static str,
        /// What is wrong with the setting.
        why: String,
    },
    /// A file that the entry names cannot be used.
    #[error("[[connector]] {name}: {what} {} cannot be used: {}", source.shown(), source.why())]
    #[diagnostic(forward(source))]
    File {
        /// The name of the entry.
        name: String,
        /// What the file is for: `the token file`.
        what: &'static str,
        /// The path of the file, and why it cannot be used.
        source: FileError,
    },
}
