//! Who gets in. Every check happens before any code of the guest, in one order, on the bytes of one digest.

use std::sync::Arc;

use miette::Diagnostic;
use remit_capability::Ctx;
use remit_capability::bindings::ActionPre;
use remit_gate::Scope;
use remit_trust::{Digest, KeyId, SignatureError, VerifyingKey};
use wasmtime::component::{Component, Linker};

use crate::engine::{CORE_INSTANCES, MEMORIES, TABLES};
use crate::inspection::CONTRACT;
use crate::session::Guest;
use crate::warm::Ready;
use crate::{Candidate, Inspection, Sandbox};

/// Why a component is not let in. None of its code has run.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum AdmissionError {
    /// The component, or the signature beside it, cannot be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(#[from] remit_file::FileError),
    /// The file is not what this host found there before, though nothing else tells.
    #[error("{file} was changed while Remit looked at it")]
    #[diagnostic(
        code(refused::changed),
        help(
            "nothing of it ran; run the command again, and Remit looks at the file as it is now: find out who writes to it"
        )
    )]
    Changed {
        /// Which file.
        file: String,
    },
    /// Not WebAssembly.
    #[error("{file} is not a WebAssembly file")]
    #[diagnostic(code(usage::not_wasm), help("pass the component your build made, usually NAME.wasm"))]
    NotWasm {
        /// Which file.
        file: String,
    },
    /// A module, not a component.
    #[error("{file} is a core WebAssembly module, not a component")]
    #[diagnostic(
        code(usage::core_module),
        help("componentise it: `wasm-tools component new`, or `cargo xtask plugins` in Remit's own tree")
    )]
    CoreModule {
        /// Which file.
        file: String,
    },
    /// Damaged or unsupported.
    #[error("{file} is not a valid component: {why}")]
    #[diagnostic(
        code(usage::malformed),
        help(
            "the file is damaged or truncated, or needs a WebAssembly feature Remit does not run; build or download it again"
        )
    )]
    Malformed {
        /// Which file.
        file: String,
        /// The validator's words.
        why: String,
    },
    /// What it says of itself cannot be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Manifest(#[from] remit_manifest::ManifestError),
    /// Not an action.
    #[error("{file} does not export {CONTRACT}, so it is not an action")]
    #[diagnostic(
        code(usage::contract),
        help("`remit inspect` shows what it exports; build it against the WIT of this Remit")
    )]
    NotAnAction {
        /// Which file.
        file: String,
    },
    /// The signature is missing, bad, or by nobody trusted.
    #[error("{file} is not signed by a trusted publisher: {source}")]
    #[diagnostic(code(refused::publisher), help("{}", signature_help(source)))]
    Publisher {
        /// Which file.
        file: String,
        /// What is wrong.
        source: SignatureError,
    },
    /// The host does not offer an import.
    #[error("{file} imports what this host does not offer: {}", imports.join(", "))]
    #[diagnostic(
        code(refused::unknown_import),
        help(
            "sockets are never offered; for another version of a remit: interface, rebuild against the WIT of this Remit"
        )
    )]
    Unknown {
        /// Which file.
        file: String,
        /// The imports.
        imports: Vec<String>,
    },
    /// The grant does not cover an import.
    #[error("{file} needs what the scope does not allow: {}", imports.join(", "))]
    #[diagnostic(
        code(refused::import),
        help(
            "if the action should have this power, ask with a scope that has it under [[allow]]: `remit request --scope`"
        )
    )]
    NotGranted {
        /// Which file.
        file: String,
        /// The imports.
        imports: Vec<String>,
    },
    /// The component does not fit the interfaces it names.
    #[error("{file} uses its imports or exports in a way this host does not offer: {why}")]
    #[diagnostic(code(refused::mismatch), help("rebuild it against the WIT of this Remit"))]
    Mismatch {
        /// Which file.
        file: String,
        /// Wasmtime's words.
        why: String,
    },
    /// The component has more in it than one may, or needs what is not compiled here.
    #[error("{file} cannot be made ready to run: {why}")]
    #[diagnostic(
        code(refused::compile),
        help(
            "an action may have {CORE_INSTANCES} core instances, {MEMORIES} memories and {TABLES} tables: build it of fewer parts, or without the WebAssembly feature that is named here"
        )
    )]
    NotReady {
        /// Which file.
        file: String,
        /// Wasmtime's words.
        why: String,
    },
    /// The engine could not be made.
    #[error("the WebAssembly engine could not start: {0}")]
    #[diagnostic(code(failed::engine), help("the machine is short of memory or threads"))]
    Engine(String),
}

fn signature_help(error: &SignatureError) -> String {
    error.help().map_or_else(String::new, |help| help.to_string())
}

impl Candidate {
    /// Whether a scope covers every import that needs one.
    fn is_granted(&self, inspection: &Inspection, scope: Option<&Scope>) -> Result<(), AdmissionError> {
        let Some(scope) = scope else { return Ok(()) };
        let imports = inspection.imports.iter().filter_map(|import| import.interface);
        let missing: Vec<String> = imports
            .filter(|i| i.granted_by_scope() && !scope.covers_import(i.name, i.version))
            .map(remit_capability::Interface::import_name)
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(AdmissionError::NotGranted { file: self.shown().to_owned(), imports: missing })
    }
}

/// The keys whose actions may run here.
#[derive(Clone, Debug, Default)]
pub struct Publishers(pub Vec<VerifyingKey>);

/// A component that passed every check, linked to what its grant covers and nothing else.
pub struct Admitted {
    pub(crate) ready: Arc<Ready>,
    /// Of the very bytes that were compiled.
    pub digest: Digest,
    /// Who signed it; none if it was loaded for a replay, which can touch nothing.
    pub publisher: Option<KeyId>,
}

impl std::fmt::Debug for Admitted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Inspection { name, version, .. } = self.inspection();
        write!(f, "Admitted({name} {version}, {})", self.digest)
    }
}

impl Admitted {
    /// What it says it is.
    #[must_use]
    pub fn inspection(&self) -> &Inspection {
        &self.ready.inspection
    }
}

impl Sandbox {
    /// Lets a component in: publisher → a component with the contract → imports known → imports covered
    /// by the scope → compiled and linked. No scope leaves the covering to the plan that is being
    /// made: a rehearsal changes nothing.
    pub fn admit(
        &self,
        candidate: &Candidate,
        publishers: &Publishers,
        scope: Option<&Scope>,
    ) -> Result<Admitted, AdmissionError> {
        let signed = self
            .warm
            .signer(candidate.digest(), candidate.signature(), || candidate.publisher(publishers))?;
        // Verified before, by a key that may not be trusted any more: then it is looked at anew.
        let trusted = publishers.0.iter().any(|key| key.id() == signed);
        let publisher = if trusted { signed } else { candidate.publisher(publishers)? };
        self.load(candidate, Some(publisher), scope)
    }

    /// Lets a component in again that ran before, for a replay: there no policy is consulted, and the gate
    /// answers from the record.
    pub fn readmit(&self, candidate: &Candidate) -> Result<Admitted, AdmissionError> {
        self.load(candidate, None, None)
    }

    fn load(
        &self,
        candidate: &Candidate,
        publisher: Option<KeyId>,
        scope: Option<&Scope>,
    ) -> Result<Admitted, AdmissionError> {
        let ready = self.warm.ready(candidate.digest(), || self.make_ready(candidate, scope))?;
        candidate.is_granted(&ready.inspection, scope)?;
        candidate.learn(&ready.inspection, publisher.as_ref());
        self.remember(candidate);
        Ok(Admitted { ready, digest: candidate.digest(), publisher })
    }

    /// An action, its imports known and granted, compiled and linked.
    fn make_ready(&self, candidate: &Candidate, scope: Option<&Scope>) -> Result<Ready, AdmissionError> {
        let file = || candidate.shown().to_owned();
        let inspection = Inspection::of(candidate)?;
        if !inspection.is_action() {
            return Err(AdmissionError::NotAnAction { file: file() });
        }
        let unknown: Vec<String> =
            inspection.imports.iter().filter(|i| i.interface.is_none()).map(|i| unknown(&i.name)).collect();
        if !unknown.is_empty() {
            return Err(AdmissionError::Unknown { file: file(), imports: unknown });
        }
        candidate.is_granted(&inspection, scope)?;
        let mismatch =
            |error: wasmtime::Error| AdmissionError::Mismatch { file: file(), why: format!("{error:#}") };
        let component = self.compiled(candidate)?;
        let mut linker = Linker::<Guest>::new(&self.engine);
        for interface in inspection.imports.iter().filter_map(|import| import.interface) {
            interface.link(&mut linker).map_err(mismatch)?;
        }
        let pre = linker.instantiate_pre(&component).and_then(ActionPre::new).map_err(mismatch)?;
        Ok(Ready { pre, inspection })
    }
}

/// An import that is not offered, and the version of it that is.
fn unknown(import: &str) -> String {
    let name = import.split('@').next().unwrap_or_default();
    match remit_capability::interfaces().iter().find(|interface| interface.name == name) {
        Some(ours) => format!("{import} (it offers {})", ours.version),
        None => import.to_owned(),
    }
}

impl Sandbox {
    /// The compiled component: as it was kept, or now.
    fn compiled(&self, candidate: &Candidate) -> Result<Component, AdmissionError> {
        let digest = candidate.digest();
        if let Some(kept) = self.cache.as_ref().and_then(|cache| cache.load(&self.engine, digest)) {
            return Ok(kept);
        }
        let compiled = Component::new(&self.engine, candidate.bytes()?).map_err(|error| {
            AdmissionError::NotReady { file: candidate.shown().to_owned(), why: format!("{error:#}") }
        })?;
        if let Some(cache) = &self.cache {
            cache.keep(&self.engine, digest, &compiled);
        }
        Ok(compiled)
    }
}

impl AsMut<Ctx> for Guest {
    fn as_mut(&mut self) -> &mut Ctx {
        &mut self.ctx
    }
}
