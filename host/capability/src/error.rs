//! How a host call fails.

use std::fmt::{Debug, Formatter};

use remit_gate::{Failure, Fault};
use wasmtime::component::ResourceTableError;

/// Why a host call has no answer of its own. `E` is the error type of its interface: [`Failure`], or one of WASI's.
///
/// A fault becomes a trap whose cause the session finds again by `downcast_ref::<Fault>()`.
pub enum CallError<E = Failure> {
    /// It is returned to the guest, which may handle it.
    Failure(E),
    /// It traps the guest and so ends the run.
    Trap(wasmtime::Error),
}

impl<E> CallError<E> {
    /// The failure; as an error, what traps the guest.
    pub fn failure(self) -> wasmtime::Result<E> {
        match self {
            Self::Failure(failure) => Ok(failure),
            Self::Trap(error) => Err(error),
        }
    }
}

/// Separates what is the guest's to handle from what ends its run.
pub fn answered<T, E>(answer: Result<T, CallError<E>>) -> wasmtime::Result<Result<T, E>> {
    match answer {
        Ok(value) => Ok(Ok(value)),
        Err(error) => error.failure().map(Err),
    }
}

impl From<Failure> for CallError {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl<E> From<Fault> for CallError<E> {
    fn from(fault: Fault) -> Self {
        Self::Trap(wasmtime::Error::new(fault))
    }
}

/// The guest used a handle that it does not have, or has too many.
impl<E> From<ResourceTableError> for CallError<E> {
    fn from(error: ResourceTableError) -> Self {
        Self::Trap(error.into())
    }
}

impl<E> From<wasmtime::Error> for CallError<E> {
    fn from(error: wasmtime::Error) -> Self {
        Self::Trap(error)
    }
}

/// Where a function has no failure in its WIT, one traps.
impl From<CallError> for wasmtime::Error {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Failure(failure) => Self::new(failure),
            CallError::Trap(error) => error,
        }
    }
}

impl<E: Debug> Debug for CallError<E> {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Failure(failure) => failure.fmt(f),
            Self::Trap(error) => Debug::fmt(error, f),
        }
    }
}
