//! What the `Host` impls of a run can reach: its gate, and nothing behind it.

use remit_gate::{Failure, Fault, Gate, Operation, Resource};
use wasmtime::component::HasData;

use crate::wasi::State;

/// The host's side of one run, kept in the wasmtime store.
pub struct Ctx {
    gate: Gate,
    pub(crate) wasi: State,
}

impl Ctx {
    /// For a run through `gate`, whose guest-visible randomness grows from `seed`
    /// ([`remit_gate::Facts::seed`]).
    #[must_use]
    pub fn new(gate: Gate, seed: [u8; 32]) -> Self {
        Self { gate, wasi: State::new(seed) }
    }

    /// The run's gate.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.gate
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
