//! Why a fixture cannot be tried. That an action does something else than expected is no error.

use miette::Diagnostic;
use remit_backend::BackendError;
use remit_file::{FileError, Kind};
use remit_gate::ResourceError;
use remit_lifecycle::Error;
use remit_sandbox::AdmissionError;
use remit_trust::KeyError;

/// A test that cannot be carried out.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum OfflineError {
    /// A file cannot be read or written.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Disk(#[from] FileError),
    /// A fixture is not one.
    #[error("{file} is not a test of an action:\n{why}")]
    #[diagnostic(code(usage::fixture), help("docs/authoring.md lists every key of a fixture"))]
    Fixture {
        /// The path of the fixture.
        file: String,
        /// The line and what is wrong there.
        why: String,
    },
    /// A fixture of a connector is not one.
    #[error("{file} is not a test of a connector:\n{why}")]
    #[diagnostic(code(usage::fixture), help("docs/connectors.md lists every key of a fixture"))]
    Story {
        /// The path of the fixture.
        file: String,
        /// The line and what is wrong there.
        why: String,
    },
    /// The component cannot serve as a connector.
    #[error(transparent)]
    #[diagnostic(transparent)]
    NoConnector(#[from] remit_connector::component::AdmissionError),
    /// The entry of the real system cannot be used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Entry(#[from] remit_connector::ConnectorError),
    /// The component is none, or not an action.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Action(#[from] AdmissionError),
    /// The host failed during the test.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Host(#[from] Error),
    /// The embedded backend failed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Backend(#[from] BackendError),
    /// No key could be generated.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Key(#[from] KeyError),
    /// A secret's path is not one.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Resource(#[from] ResourceError),
}

impl From<remit_engine::ComponentError> for OfflineError {
    fn from(error: remit_engine::ComponentError) -> Self {
        AdmissionError::from(error).into()
    }
}

impl OfflineError {
    pub(crate) fn file(path: &std::path::Path, error: &std::io::Error) -> Self {
        FileError::writing(path, Kind::Fixture, error).into()
    }
}
