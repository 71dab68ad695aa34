//! What the engine does with a component file: find it, compile it, note what was found.

use std::fs::File;
use std::path::Path;

use wasmtime::component::Component;

use crate::cache;
use crate::candidate::{Candidate, Inspect};
use crate::config::COMPILE;
use crate::confined::perform;
use crate::engine::Engine;
use crate::error::ComponentError;
use crate::flaw::Flaw;
use crate::identity::FileIdentity;

impl Engine {
    /// A component file. One that this host noted before, and that has not changed, is not read again.
    pub fn find<I: Inspect>(&self, path: &Path) -> Result<Candidate<I>, ComponentError> {
        Candidate::find(path, self.cache.as_ref())
    }

    /// The candidate's compiled code: from the cache, or compiled now.
    pub fn compile<I: Inspect>(&self, candidate: &Candidate<I>) -> Result<Component, ComponentError> {
        let digest = candidate.digest();
        let failed = |why| ComponentError::NotCompiled { file: candidate.shown().to_owned(), why };
        if let Some(kept) = self.cache.as_ref().and_then(|cache| cache.load(&self.wasmtime, digest)) {
            return Ok(kept);
        }
        let flaw = |flaw| match flaw {
            Flaw::NotCompiled(why) | Flaw::Malformed(why) => failed(why),
            flaw => ComponentError::of(flaw, candidate.shown()),
        };
        let compiled = perform(&COMPILE, candidate.bytes()?, candidate.shown()).map_err(flaw)?;
        let kept = self.cache.as_ref().and_then(|cache| {
            cache.keep(&self.wasmtime, digest, &compiled);
            cache.load(&self.wasmtime, digest)
        });
        // Without a cache, or where it cannot be written, the code lies in memory.
        kept.map_or_else(|| cache::load_from_memory(&self.wasmtime, &compiled).map_err(failed), Ok)
    }

    /// Notes what was found out about a candidate, if that is new and the file's identity is unique.
    pub fn remember<I: Inspect>(&self, candidate: &Candidate<I>) {
        let (Some(cache), Some(file)) = (&self.cache, candidate.unnoted()) else { return };
        if let Some(known) = candidate.known() {
            cache.note(I::TASK.name, file, &known);
        }
    }

    /// Notes the same for `copy`, a copy that this host has just written to its own folder. Nobody else writes there, so
    /// the note need not wait until the file's times have settled.
    pub fn remember_copy<I: Inspect>(&self, candidate: &Candidate<I>, copy: &File) {
        let (Some(cache), Some(known)) = (&self.cache, candidate.known()) else { return };
        if let Ok(file) = FileIdentity::of(copy) {
            cache.note(I::TASK.name, &file, &known);
        }
    }
}
