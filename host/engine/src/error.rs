//! Why a component of any world does not run here.

use miette::Diagnostic;
use remit_trust::SignatureError;

use crate::flaw::Flaw;
use crate::quota::{CORE_INSTANCES, MEMORIES, TABLES};

/// Why a component is not let in. None of its code has run. `file` names the component to people.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ComponentError {
    /// The component, or the signature beside it, cannot be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(#[from] remit_file::FileError),
    /// The file's bytes are not those that this host found there before, though its times and size are the same.
    #[error("{file} was changed while Remit looked at it")]
    #[diagnostic(
        code(refused::changed),
        help(
            "nothing of it ran; run the command again, and Remit looks at the file as it is now: find out who writes to it"
        )
    )]
    Changed {
        /// The component's path or name.
        file: String,
    },
    /// The bytes are not WebAssembly.
    #[error("{file} is not a WebAssembly file")]
    #[diagnostic(code(usage::not_wasm), help("pass the component your build made, usually NAME.wasm"))]
    NotWasm {
        /// The component's path or name.
        file: String,
    },
    /// The file is a core module, not a component.
    #[error("{file} is a core WebAssembly module, not a component")]
    #[diagnostic(
        code(usage::core_module),
        help("componentise it: `wasm-tools component new`, or `cargo xtask plugins` in Remit's own tree")
    )]
    CoreModule {
        /// The component's path or name.
        file: String,
    },
    /// It is damaged, or of a form that the validator does not know.
    #[error("{file} is not a valid component: {why}")]
    #[diagnostic(
        code(usage::malformed),
        help(
            "build it or fetch it again: the file is damaged or cut off, or made by a tool for another version of the component model than Remit knows"
        )
    )]
    Malformed {
        /// The component's path or name.
        file: String,
        /// The error message of the validator.
        why: String,
    },
    /// A limit of the examination was reached.
    #[error("{file} is too complex: {why}")]
    #[diagnostic(
        code(usage::too_complex),
        help(
            "nothing of it ran; ask whoever made it why, since what tools usually make comes nowhere near this limit"
        )
    )]
    TooComplex {
        /// The component's path or name.
        file: String,
        /// Which limit was reached.
        why: String,
    },
    /// It needs WebAssembly features that the engine does not run.
    #[error("{file} cannot run here: it needs {needs}, which Remit does not run")]
    #[diagnostic(
        code(refused::feature),
        help("build it without that: most compilers have an option that turns a WebAssembly feature off")
    )]
    Feature {
        /// The component's path or name.
        file: String,
        /// The features' names, separated by commas.
        needs: String,
    },
    /// The custom section that describes it cannot be read.
    #[error("the manifest that {file} carries is not one: {why}")]
    #[diagnostic(
        code(usage::manifest),
        help("build it again: `remit build` checks action.toml, and puts one manifest into the component")
    )]
    Manifest {
        /// The component's path or name.
        file: String,
        /// The place in the section and what is wrong there.
        why: String,
    },
    /// The signature is missing, malformed, or by no trusted key.
    #[error("{file} is not signed by a trusted publisher: {source}")]
    #[diagnostic(code(refused::publisher), help("{}", signature_help(source)))]
    Publisher {
        /// The component's path or name.
        file: String,
        /// Why the signature does not count.
        source: SignatureError,
    },
    /// The component does not fit the interfaces that it names.
    #[error("{file} uses its imports or exports in a way this host does not offer: {why}")]
    #[diagnostic(
        code(refused::mismatch),
        help(
            "rebuild it against the WIT of this Remit, so that it exports functions of its own and no component"
        )
    )]
    Mismatch {
        /// The component's path or name.
        file: String,
        /// The validator's or wasmtime's message.
        why: String,
    },
    /// It has more parts than the engine has room for.
    #[error("{file} cannot run here: it needs {what}")]
    #[diagnostic(code(refused::too_much), help("build it of fewer or smaller parts"))]
    TooMuch {
        /// The component's path or name.
        file: String,
        /// Which parts, how many it has, and the most that it may have.
        what: String,
    },
    /// The compiler does not take it, though it is valid.
    #[error("{file} cannot be made ready to run: {why}")]
    #[diagnostic(
        code(refused::compile),
        help(
            "it is valid, and the engine has a limit or lacks a part that the reason names; a component may have {CORE_INSTANCES} core instances, {MEMORIES} memories and {TABLES} tables"
        )
    )]
    NotCompiled {
        /// The component's path or name.
        file: String,
        /// The error message of wasmtime.
        why: String,
    },
    /// The host could not examine it.
    #[error("{file} could not be looked at: {why}")]
    #[diagnostic(
        code(failed::inspect),
        help(
            "nothing is said about the file; if this is an error of Remit's own, report it with the file, otherwise look for a limit of processes or memory, and whether /proc is mounted"
        )
    )]
    NotExamined {
        /// The component's path or name.
        file: String,
        /// The error message of the system.
        why: String,
    },
    /// The engine could not be made: wasmtime's or the system's message.
    #[error("the WebAssembly engine could not start: {0}")]
    #[diagnostic(code(failed::engine), help("the machine is short of memory or threads"))]
    Engine(String),
}

impl ComponentError {
    /// What a flaw in the bytes of `file` means for the component.
    pub(crate) fn of(flaw: Flaw, file: &str) -> Self {
        let file = file.to_owned();
        match flaw {
            Flaw::NotWasm => Self::NotWasm { file },
            Flaw::CoreModule => Self::CoreModule { file },
            Flaw::Malformed(why) => Self::Malformed { file, why },
            Flaw::TooComplex(why) => Self::TooComplex { file, why },
            Flaw::Section(why) => Self::Manifest { file, why },
            Flaw::NotCompiled(why) => Self::NotCompiled { file, why },
            Flaw::Host(why) => Self::NotExamined { file, why },
        }
    }
}

fn signature_help(error: &SignatureError) -> String {
    error.help().map_or_else(String::new, |help| help.to_string())
}
