//! The sandbox of a process: the engine, and the actions that it made ready.

use std::fs::File;
use std::path::Path;

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
    pub(crate) engine: Engine,
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
        Ok(Self { engine: Engine::new(cache)?, actions: Prepared::default() })
    }

    /// A component file. One that this host noted before, and that has not changed, is not read again.
    pub fn find(&self, path: &Path) -> Result<Candidate, AdmissionError> {
        Ok(self.engine.find(path)?)
    }

    /// Notes what was found out about a candidate for `copy`, a copy that this host has just written to its own folder.
    pub fn remember_copy(&self, candidate: &Candidate, copy: &File) {
        self.engine.remember_copy(candidate, copy);
    }
}
