//! Which component is admitted. Every check comes before any code of the guest runs, in one order, on the bytes of one
//! digest.

use std::collections::BTreeMap;
use std::sync::Arc;

use remit_capability::Interface;
use remit_capability::bindings::ActionPre;
use remit_engine::{ComponentError, Publishers};
use remit_gate::Scope;
use remit_trust::{Digest, KeyId};
use wasmtime::component::Linker;

use crate::error::AdmissionError;
use crate::inspection::{Candidate, Inspection};
use crate::sandbox::{Guest, Ready, Sandbox};

/// A component that passed every check, linked to what its grant covers and nothing else.
pub struct Admitted {
    pub(crate) ready: Arc<Ready>,
    /// The digest of the bytes that were compiled.
    pub digest: Digest,
    /// The key that signed it; none if it was admitted for a replay, which can touch nothing.
    pub publisher: Option<KeyId>,
}

impl std::fmt::Debug for Admitted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Inspection { name, version, .. } = self.inspection();
        write!(f, "Admitted({name} {version}, {})", self.digest)
    }
}

impl Admitted {
    /// What it says it is and imports.
    #[must_use]
    pub fn inspection(&self) -> &Inspection {
        &self.ready.inspection
    }
}

impl Sandbox {
    /// Admits a component: signed by a publisher → a component with the contract → imports known → imports covered by the
    /// scope → compiled and linked. Without a scope the imports need not be covered: that is for a rehearsal, which
    /// changes nothing.
    pub fn admit(
        &self,
        candidate: &Candidate,
        publishers: &Publishers,
        scope: Option<&Scope>,
    ) -> Result<Admitted, AdmissionError> {
        let publisher = self.actions.publisher(candidate, publishers)?;
        self.load(candidate, Some(publisher), scope)
    }

    /// Admits a component for a replay, where no policy is consulted and the gate answers from the record.
    pub fn readmit(&self, candidate: &Candidate) -> Result<Admitted, AdmissionError> {
        self.load(candidate, None, None)
    }

    fn load(
        &self,
        candidate: &Candidate,
        publisher: Option<KeyId>,
        scope: Option<&Scope>,
    ) -> Result<Admitted, AdmissionError> {
        let ready = self.actions.get(candidate.digest(), || self.make_ready(candidate, scope))?;
        is_granted(&ready.inspection, scope, candidate.shown())?;
        candidate.learn(&ready.inspection, publisher.as_ref());
        self.engine.remember(candidate);
        Ok(Admitted { ready, digest: candidate.digest(), publisher })
    }

    /// An action, its imports known and granted, compiled and linked.
    fn make_ready(&self, candidate: &Candidate, scope: Option<&Scope>) -> Result<Ready, AdmissionError> {
        let inspection = Inspection::of(candidate)?;
        if let Some(obstacle) = inspection.obstacles(candidate.shown()).into_iter().next() {
            return Err(obstacle);
        }
        is_granted(&inspection, scope, candidate.shown())?;
        let component = self.engine.compile(candidate)?;
        let mut linker = Linker::<Guest>::new(self.engine.wasmtime());
        // Several versions of one interface are served by the same one, see `remit_capability::find`.
        let interfaces: BTreeMap<_, _> =
            inspection.imports.iter().filter_map(|import| import.interface).map(|i| (i.name, i)).collect();
        let mut link = || {
            interfaces.values().try_for_each(|interface| interface.link(&mut linker))?;
            linker.instantiate_pre(&component).and_then(ActionPre::new)
        };
        let pre = link().map_err(|error| ComponentError::Mismatch {
            file: candidate.shown().to_owned(),
            why: format!("{error:#}"),
        })?;
        Ok(Ready { pre, inspection })
    }
}

/// Whether a scope covers every import that needs one.
fn is_granted(inspection: &Inspection, scope: Option<&Scope>, file: &str) -> Result<(), AdmissionError> {
    let Some(scope) = scope else { return Ok(()) };
    let imports = inspection.imports.iter().filter_map(|import| import.interface);
    let missing: Vec<String> = imports
        .filter(|i| i.granted_by_scope() && !scope.covers_import(i.name, i.version))
        .map(Interface::import_name)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(AdmissionError::NotGranted { file: file.to_owned(), imports: missing })
}
