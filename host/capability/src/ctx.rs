//! What the `Host` impls of a run can reach: its gate, and nothing behind it.

use remit_gate::{Failure, Fault, Gate, Operation, Resource};
use wasmtime::component::HasData;

use crate::wasi::State;

/// The host's side of one run, kept in the wasmtime store.
pub struct Ctx {
    gate: Gate,
    pub(crate) wasi: State,
    /// The error that the guest logged by its last call, if that is what it did.
    pub(crate) last_words: Option<String>,
}

impl Ctx {
    /// For a run through `gate`, whose guest-visible randomness grows from `seed`
    /// ([`remit_gate::Facts::seed`]).
    #[must_use]
    pub fn new(gate: Gate, seed: [u8; 32]) -> Self {
        Self { gate, wasi: State::new(seed), last_words: None }
    }

    /// The run's gate.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// What the guest logged as an error before it ended: for one that crashed, its message and place (the SDKs log them).
    /// None if it called anything else since.
    #[must_use]
    pub fn last_words(&self) -> Option<&str> {
        self.last_words.as_deref()
    }

    /// Ends the run's standard streams: a last line without its line feed still goes to the log. Called
    /// after each export of the guest has returned or trapped.
    pub async fn finish(&mut self) -> Result<(), Fault> {
        self.wasi.flush(&self.gate).await
    }

    /// The only call out of this crate: a fault becomes a trap, whose cause the session finds again by
    /// `downcast_ref::<Fault>()`.
    pub(crate) async fn call<O: Operation>(
        &mut self,
        operation: O,
    ) -> wasmtime::Result<Result<O::Outcome, Failure>> {
        self.last_words = None;
        self.gate.call(operation).await.map_err(wasmtime::Error::new)
    }

    /// A resource from the guest's `path`, or the journaled refusal of it.
    pub(crate) fn resource(
        &self,
        operation: &str,
        kind: &str,
        path: &str,
    ) -> wasmtime::Result<Result<Resource, Failure>> {
        match Resource::new(kind, path) {
            Ok(resource) => Ok(Ok(resource)),
            Err(error) => {
                self.gate.refuse(operation, path, &error.to_string()).map(Err).map_err(wasmtime::Error::new)
            }
        }
    }
}

impl std::fmt::Debug for Ctx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ctx(..)")
    }
}

impl AsMut<Self> for Ctx {
    fn as_mut(&mut self) -> &mut Self {
        self
    }
}

/// Tells wasmtime that the `Host` impls work on a [`Ctx`].
pub(crate) struct Run;

impl HasData for Run {
    type Data<'a> = &'a mut Ctx;
}
