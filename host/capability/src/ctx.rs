//! What the `Host` impls of a run can reach: its gate, and nothing behind it.

use std::sync::Arc;

use remit_gate::{Change, Gate, Observe, Operation, Resource};
use wasmtime::component::HasData;

use crate::connected::Served;
use crate::wasi::State;
use crate::{CallError, Registry};

/// The host's side of one run, kept in the wasmtime store.
pub struct Ctx {
    gate: Gate,
    registry: Registry,
    pub(crate) wasi: State,
    /// The error that the guest logged by its last call, if that is what it did.
    pub(crate) last_words: Option<String>,
}

impl Ctx {
    /// For a run through `gate`, whose guest-visible randomness grows from `seed`
    /// ([`remit_gate::Facts::seed`]). `registry` is what the run was admitted with.
    #[must_use]
    pub fn new(gate: Gate, seed: [u8; 32], registry: Registry) -> Self {
        Self { gate, registry, wasi: State::new(seed), last_words: None }
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
        self.refuse_named(O::NAME, argument, why)
    }

    /// The same, of an operation by its name.
    pub(crate) fn refuse_named(&self, operation: &str, argument: &str, why: &str) -> CallError {
        self.gate.refuse(operation, argument, why).map_or_else(CallError::from, CallError::Failure)
    }

    /// What serves an interface of connectors.
    pub(crate) fn served(&self, import: &str) -> Option<Arc<Served>> {
        self.registry.find(import)?.served.clone()
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
