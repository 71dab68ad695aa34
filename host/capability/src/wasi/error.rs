//! How a guest's use of WASI fails, or ends its run.

use remit_gate::{Failure, Resource};

use crate::CallError;
use crate::bindings::wasi::filesystem::types::ErrorCode;
use crate::bindings::{FileError, StreamError, wasi};

/// The action called `wasi:cli/exit`: it ends like a trap, and the session tells it from one by
/// `downcast_ref::<Exit>()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the action called exit({}) instead of returning", if *ok { "success" } else { "failure" })]
pub struct Exit {
    /// Whether the action reported success.
    pub ok: bool,
}

/// A guest broke the rules of a WASI interface: it asked for more than was offered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{call}: {why}")]
pub struct Misuse {
    /// The WASI function that the guest called.
    pub call: &'static str,
    /// Which rule the guest broke.
    pub why: String,
}

pub(super) fn misuse(call: &'static str, why: impl Into<String>) -> wasmtime::Error {
    wasmtime::Error::new(Misuse { call, why: why.into() })
}

/// What an action wrote could not be kept. The action has closed the file, so that no call can tell it any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what was written to {resource} could not be kept when it was closed: {failure}")]
pub struct Unwritten {
    /// The file that was not written.
    pub resource: Resource,
    /// Why it was not written.
    pub failure: Failure,
}

impl From<ErrorCode> for FileError {
    fn from(code: ErrorCode) -> Self {
        Self::Failure(code)
    }
}

impl From<wasi::io::streams::StreamError> for StreamError {
    fn from(error: wasi::io::streams::StreamError) -> Self {
        Self::Failure(error)
    }
}

/// As the error of a function of `wasi:filesystem`; `conflict` is what a conflict means to the caller.
pub(super) fn code(conflict: ErrorCode) -> impl FnOnce(CallError) -> FileError {
    move |error| match error {
        CallError::Failure(failure) => CallError::Failure(match failure {
            Failure::Denied(_) => ErrorCode::Access,
            Failure::NotFound(_) => ErrorCode::NoEntry,
            Failure::Conflict(_) => conflict,
            Failure::Invalid(_) => ErrorCode::Invalid,
            Failure::Unavailable(_) => ErrorCode::Io,
        }),
        CallError::Trap(error) => CallError::Trap(error),
    }
}
