//! Which component may be a connector.

use miette::Diagnostic;
use remit_engine::ComponentError;

/// Why a component may not serve as a connector. None of its code has run.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum AdmissionError {
    /// For a reason that holds for a component of any world.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Component(#[from] ComponentError),
    /// It is no connector, or does not fit this host.
    #[error("the connector {instance} cannot be used: {file}: {why}")]
    #[diagnostic(
        code(refused::connector),
        help(
            "`remit inspect` shows what it is; correct [[connector]] in remit.toml, or build it against this Remit"
        )
    )]
    NotAConnector {
        /// The name of its instance.
        instance: String,
        /// The component's path.
        file: String,
        /// Why not.
        why: String,
    },
}
