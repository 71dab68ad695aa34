//! What the `Host` impls of a run can reach: its gate, and nothing behind it.

use remit_gate::{Change, Gate, Observe, Operation, Resource};
use wasmtime::component::HasData;

use crate::CallError;
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

    /// The gate through which the run's calls go.
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

    /// Asks the gate for an operation that reads.
    pub(crate) async fn observe<O: Observe>(&mut self, operation: O) -> Result<O::Outcome, CallError> {
        self.last_words = None;
        Ok(self.gate.observe(operation).await??)
    }

    /// Asks the gate for an operation that changes something.
    pub(crate) async fn change<O: Change>(&mut self, operation: O) -> Result<O::Outcome, CallError> {
        self.last_words = None;
        Ok(self.gate.change(operation).await??)
    }

    /// A resource from the guest's `path`, or the journaled refusal of it.
    pub(crate) fn resource<O: Operation>(&self, kind: &str, path: &str) -> Result<Resource, CallError> {
        Resource::new(kind, path).map_err(|error| self.refuse::<O>(path, &error.to_string()))
    }

    /// Journals that an argument of `O` is refused.
    pub(crate) fn refuse<O: Operation>(&self, argument: &str, why: &str) -> CallError {
        self.gate.refuse(O::NAME, argument, why).map_or_else(CallError::from, CallError::Failure)
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
