//! Who gets in. Every check happens before any code of the guest, in one order, on the bytes of one digest.

use std::collections::BTreeMap;
use std::sync::Arc;

use miette::Diagnostic;
use remit_capability::Ctx;
use remit_capability::bindings::ActionPre;
use remit_gate::Scope;
use remit_trust::{Digest, KeyId, SignatureError, VerifyingKey};
use wasmtime::component::{Component, Linker};

use crate::confined::{self, Job};
use crate::engine::{CORE_INSTANCES, MEMORIES, TABLES};
use crate::examine::Flaw;
use crate::session::Guest;
use crate::warm::Ready;
use crate::{Candidate, Import, Inspection, Sandbox, cache};

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
    /// Damaged, or not of a form that is known.
    #[error("{file} is not a valid component: {why}")]
    #[diagnostic(
        code(usage::malformed),
        help(
            "build it or fetch it again: the file is damaged or cut off, or made by a tool for another version of the component model than Remit knows"
        )
    )]
    Malformed {
        /// Which file.
        file: String,
        /// The validator's words.
        why: String,
    },
    /// It is built so that nobody could look at it in reasonable time.
    #[error("{file} is too complex: {why}")]
    #[diagnostic(
        code(usage::too_complex),
        help(
            "nothing of it ran; ask whoever made it why, since what tools usually make comes nowhere near this limit"
        )
    )]
    TooComplex {
        /// Which file.
        file: String,
        /// Which limit it met.
        why: String,
    },
    /// It needs what the engine does not run.
    #[error("{file} cannot run here: it needs {needs}, which Remit does not run")]
    #[diagnostic(
        code(refused::feature),
        help("build it without that: most compilers have an option that turns a WebAssembly feature off")
    )]
    Feature {
        /// Which file.
        file: String,
        /// The features.
        needs: String,
    },
    /// What it says of itself cannot be read.
    #[error("the manifest that {file} carries is not one: {why}")]
    #[diagnostic(
        code(usage::manifest),
        help("build it again: `remit build` checks action.toml, and puts one manifest into the component")
    )]
    Manifest {
        /// Which file.
        file: String,
        /// Where and why.
        why: String,
    },
    /// Not an action.
    #[error("{file} is not an action: {why}")]
    #[diagnostic(
        code(usage::contract),
        help("`remit inspect` shows what it exports; build it against the WIT of this Remit")
    )]
    NotAnAction {
        /// Which file.
        file: String,
        /// What is missing, or is otherwise than the contract has it.
        why: String,
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
    #[error("{file} imports what this host does not offer: {}", listed(imports))]
    #[diagnostic(code(refused::unknown_import), help("{}", import_help(imports)))]
    Unknown {
        /// Which file.
        file: String,
        /// The imports.
        imports: Vec<Import>,
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
    /// The component has more in it than an action may have.
    #[error("{file} cannot run here: it needs {what}")]
    #[diagnostic(code(refused::too_much), help("build it of fewer or smaller parts"))]
    TooMuch {
        /// Which file.
        file: String,
        /// Of what, how much it has, and the most that it may have.
        what: String,
    },
    /// The compiler does not take it, though it is valid.
    #[error("{file} cannot be made ready to run: {why}")]
    #[diagnostic(
        code(refused::compile),
        help(
            "it is valid, and the engine has a limit or lacks a part that the reason names; an action may have {CORE_INSTANCES} core instances, {MEMORIES} memories and {TABLES} tables"
        )
    )]
    NotReady {
        /// Which file.
        file: String,
        /// Wasmtime's words.
        why: String,
    },
    /// The host could not look at it.
    #[error("{file} could not be looked at: {why}")]
    #[diagnostic(
        code(failed::inspect),
        help(
            "nothing is said about the file; look for a limit of processes or memory, and whether /proc is mounted"
        )
    )]
    NotLookedAt {
        /// Which file.
        file: String,
        /// The system's words.
        why: String,
    },
    /// The engine could not be made.
    #[error("the WebAssembly engine could not start: {0}")]
    #[diagnostic(code(failed::engine), help("the machine is short of memory or threads"))]
    Engine(String),
}

impl AdmissionError {
    /// What a look at the bytes of `file` came to.
    pub(crate) fn of(flaw: Flaw, file: &str) -> Self {
        let file = file.to_owned();
        match flaw {
            Flaw::NotWasm => Self::NotWasm { file },
            Flaw::CoreModule => Self::CoreModule { file },
            Flaw::Malformed(why) => Self::Malformed { file, why },
            Flaw::TooComplex(why) => Self::TooComplex { file, why },
            Flaw::Manifest(why) => Self::Manifest { file, why },
            Flaw::Schema(why) => Self::Manifest { file, why: format!("[input] is not a JSON Schema: {why}") },
            Flaw::NotReady(why) => Self::NotReady { file, why },
            Flaw::Host(why) => Self::NotLookedAt { file, why },
        }
    }

    /// An obstacle (see [`Inspection::obstacles`]) in a few words, to follow "cannot run here: ".
    #[must_use]
    pub fn in_short(&self) -> String {
        match self {
            Self::Feature { needs, .. } => format!("needs {needs}"),
            Self::NotAnAction { .. } => "is not an action".to_owned(),
            Self::Unknown { imports, .. } => {
                format!("needs imports that are not offered: {}", listed(imports))
            }
            Self::TooMuch { what, .. } => format!("needs {what}"),
            Self::Mismatch { why, .. } => format!("does not fit this host, {why}"),
            other => other.to_string(),
        }
    }
}

/// The most imports that one line names.
const MOST_LISTED: usize = 20;

fn listed(imports: &[Import]) -> String {
    let mut names: Vec<_> = imports.iter().take(MOST_LISTED).map(Import::not_offered).collect();
    if let Some(more @ 1..) = imports.len().checked_sub(MOST_LISTED) {
        names.push(format!("and {more} more"));
    }
    names.join(", ")
}

/// What to do about imports that are not offered: it depends on which they are.
fn import_help(imports: &[Import]) -> String {
    let has = |start: &str| imports.iter().any(|import| import.name.starts_with(start));
    let versions = imports.iter().any(|import| import.other_version().is_some());
    let mut help = Vec::new();
    if versions {
        help.push("rebuild it against the versions that this host offers, which stand in brackets");
    }
    if has("wasi:sockets/") || has("wasi:http/") {
        help.push(
            "sockets and HTTP are never offered: an action reaches other systems through capabilities only",
        );
    }
    let others = |import: &&Import| {
        import.other_version().is_none()
            && !["wasi:sockets/", "wasi:http/"].iter().any(|start| import.name.starts_with(start))
    };
    if imports.iter().any(|import| others(&import)) {
        help.push(
            "build it without what this host does not have: docs/authoring.md says what an action can import",
        );
    }
    help.join("; ")
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
        if let Some(obstacle) = inspection.obstacles(candidate.shown()).into_iter().next() {
            return Err(obstacle);
        }
        candidate.is_granted(&inspection, scope)?;
        let mismatch =
            |error: wasmtime::Error| AdmissionError::Mismatch { file: file(), why: format!("{error:#}") };
        let component = self.compiled(candidate)?;
        let mut linker = Linker::<Guest>::new(&self.engine);
        // Several versions of one interface are the same one here, see `remit_capability::find`.
        let interfaces: BTreeMap<_, _> =
            inspection.imports.iter().filter_map(|import| import.interface).map(|i| (i.name, i)).collect();
        for interface in interfaces.values() {
            interface.link(&mut linker).map_err(mismatch)?;
        }
        let pre = linker.instantiate_pre(&component).and_then(ActionPre::new).map_err(mismatch)?;
        Ok(Ready { pre, inspection })
    }
}

impl Sandbox {
    /// The compiled component: as it was kept, or now.
    fn compiled(&self, candidate: &Candidate) -> Result<Component, AdmissionError> {
        let digest = candidate.digest();
        let not_ready = |why| AdmissionError::NotReady { file: candidate.shown().to_owned(), why };
        if let Some(kept) = self.cache.as_ref().and_then(|cache| cache.load(&self.engine, digest)) {
            return Ok(kept);
        }
        let flaw = |flaw| match flaw {
            Flaw::NotReady(why) | Flaw::Malformed(why) => not_ready(why),
            flaw => AdmissionError::of(flaw, candidate.shown()),
        };
        let compiled = confined::done(Job::Compile, candidate.bytes()?, candidate.shown()).map_err(flaw)?;
        let kept = self.cache.as_ref().and_then(|cache| {
            cache.keep(&self.engine, digest, &compiled);
            cache.load(&self.engine, digest)
        });
        // Where it cannot be kept, it lies in memory.
        kept.map_or_else(|| cache::load_from_memory(&self.engine, &compiled).map_err(not_ready), Ok)
    }
}

impl AsMut<Ctx> for Guest {
    fn as_mut(&mut self) -> &mut Ctx {
        &mut self.ctx
    }
}
