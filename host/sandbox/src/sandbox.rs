//! The sandbox of a process: the engine, and the actions that it made ready.

use std::path::Path;
use std::sync::Arc;

use remit_capability::Ctx;
use remit_capability::bindings::ActionPre;
use remit_engine::{Cache, Engine, Metered, Prepared};

use crate::error::AdmissionError;
use crate::inspection::{Candidate, Inspection};

/// The data in the store of an action.
pub(crate) type Guest = Metered<Ctx>;

/// The engine and the actions that it made ready. One per process.
#[derive(Debug)]
pub struct Sandbox {
    pub(crate) engine: Arc<Engine>,
    pub(crate) actions: Prepared<Ready>,
}

/// An action, compiled and linked to what it imports and to nothing else.
pub(crate) struct Ready {
    pub(crate) pre: ActionPre<Guest>,
    pub(crate) inspection: Inspection,
}

impl Sandbox {
    /// Makes the engine. Without a cache, each component is compiled every time.
    pub fn new(cache: Option<Cache>) -> Result<Self, AdmissionError> {
        Ok(Self { engine: Arc::new(Engine::new(cache)?), actions: Prepared::default() })
    }

    /// The engine, for components of other worlds.
    #[must_use]
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// A component file. One that this host noted before, and that has not changed, is not read again.
    pub fn find(&self, path: &Path) -> Result<Candidate, AdmissionError> {
        Ok(self.engine.find(path)?)
    }
}
