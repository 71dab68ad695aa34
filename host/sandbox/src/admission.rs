//! Which component is admitted. Every check comes before any code of the guest runs, in one order, on the bytes of one
//! digest.

use std::collections::BTreeMap;
use std::sync::Arc;

use remit_capability::bindings::ActionPre;
use remit_capability::{BUILT_IN, Interface, Registry, connected};
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
    /// What it was admitted with: its calls reach the connectors in it, whatever is configured later.
    pub registry: Registry,
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
        registry: &Registry,
    ) -> Result<Admitted, AdmissionError> {
        let publisher = self.actions.publisher(candidate, publishers)?;
        let ready = self.load(candidate, Some(&publisher), |inspection| {
            let obstacle = inspection.obstacles(candidate.shown(), registry).into_iter().next();
            obstacle.map_or_else(|| is_granted(inspection, scope, candidate.shown(), registry), Err)
        })?;
        Ok(Admitted {
            ready,
            digest: candidate.digest(),
            publisher: Some(publisher),
            registry: registry.clone(),
        })
    }

    /// Admits a component for a replay, where no policy is consulted and the gate answers from the record. `registry` is that of
    /// the recorded run.
    pub fn readmit(&self, candidate: &Candidate, registry: &Registry) -> Result<Admitted, AdmissionError> {
        let ready = self.load(candidate, None, |inspection| {
            // What served its imports then is not there any more, and is not asked.
            let recorded = |obstacle: &AdmissionError| !matches!(obstacle, AdmissionError::Unknown { .. });
            let all = inspection.obstacles(candidate.shown(), &BUILT_IN);
            let known = inspection.imports.iter().all(|import| import.is_offered(registry));
            let obstacle = all.into_iter().find(|obstacle| !known || recorded(obstacle));
            obstacle.map_or(Ok(()), Err)
        })?;
        Ok(Admitted { ready, digest: candidate.digest(), publisher: None, registry: registry.clone() })
    }

    /// An action made ready. `check` is made before it is compiled, and again each time: what a home offers can change.
    fn load(
        &self,
        candidate: &Candidate,
        publisher: Option<&KeyId>,
        check: impl Fn(&Inspection) -> Result<(), AdmissionError>,
    ) -> Result<Arc<Ready>, AdmissionError> {
        let ready = self.actions.get(candidate.digest(), || self.make_ready(candidate, &check))?;
        check(&ready.inspection)?;
        candidate.learn(&ready.inspection, publisher);
        self.engine.remember(candidate);
        Ok(ready)
    }

    /// An action, checked, compiled and linked.
    fn make_ready(
        &self,
        candidate: &Candidate,
        check: impl Fn(&Inspection) -> Result<(), AdmissionError>,
    ) -> Result<Ready, AdmissionError> {
        let inspection = Inspection::of(candidate)?;
        check(&inspection)?;
        let component = self.engine.compile(candidate)?;
        let mut linker = Linker::<Guest>::new(self.engine.wasmtime());
        // Several versions of one interface are served by the same one, see `Registry::find`.
        let interfaces: BTreeMap<_, _> = inspection.offered(&BUILT_IN).map(|i| (&*i.name, i)).collect();
        let mut link = || {
            interfaces.values().try_for_each(|interface| interface.link(&mut linker))?;
            for import in &inspection.imports {
                if let Some(functions) = import.connected() {
                    connected::link(&mut linker, &import.name, functions)?;
                }
            }
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
fn is_granted(
    inspection: &Inspection,
    scope: Option<&Scope>,
    file: &str,
    registry: &Registry,
) -> Result<(), AdmissionError> {
    let Some(scope) = scope else { return Ok(()) };
    let missing: Vec<String> = inspection
        .offered(registry)
        .filter(|i| i.granted_by_scope() && !scope.covers_import(&i.name, &i.version))
        .map(Interface::import_name)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(AdmissionError::NotGranted { file: file.to_owned(), imports: missing })
}
