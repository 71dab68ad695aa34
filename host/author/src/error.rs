//! Why a project cannot be made or built.

use miette::Diagnostic;
use remit_file::{FileError, Kind};
use remit_manifest::ManifestError;

/// A project cannot be made or built. Nothing is left half-made.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum AuthorError {
    /// A file cannot be read or written.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Disk(#[from] FileError),
    /// A file is not what it should be.
    #[error("{file}: {why}")]
    #[diagnostic(code(usage::file), help("this is a defect of Remit; please report it"))]
    File {
        /// Which.
        file: String,
        /// The system's words.
        why: String,
    },
    /// Its `action.toml` says something it must not.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Manifest(#[from] ManifestError),
    /// The folder to make is there already.
    #[error("{dir} exists already; nothing was written")]
    #[diagnostic(code(usage::exists), help("choose another name, or remove it first"))]
    Exists {
        /// Which.
        dir: String,
    },
    /// Not a name an action can have.
    #[error("`{name}` cannot name an action")]
    #[diagnostic(
        code(usage::name),
        help("use lower-case words joined by hyphens, each starting with a letter: rotate-secret")
    )]
    Name {
        /// As given.
        name: String,
    },
    /// A name that would never build.
    #[error("`{name}` cannot name an action in {language}: {why}")]
    #[diagnostic(code(usage::name), help("say what it repairs too: fix-{name}; nothing was written"))]
    Reserved {
        /// As given.
        name: String,
        /// In which language.
        language: &'static str,
        /// What the name is already.
        why: String,
    },
    /// A capability that no host offers.
    #[error("there is no capability `{name}`{}", nearest.as_ref().map(|n| format!("; did you mean `{n}`?")).unwrap_or_default())]
    #[diagnostic(code(usage::capability), help("the capabilities are: {all}"))]
    Capability {
        /// As given.
        name: String,
        /// One that looks like it.
        nearest: Option<String>,
        /// Every one there is.
        all: String,
    },
    /// Nothing in the folder tells its language.
    #[error("{dir} is not the project of an action: {why}")]
    #[diagnostic(code(usage::project), help("`remit new NAME --lang LANGUAGE` makes one to compare with"))]
    NotAProject {
        /// Which.
        dir: String,
        /// What is missing.
        why: String,
    },
    /// A program the build needs is not there.
    #[error("`{tool}` is not installed; {language} actions are built with it")]
    #[diagnostic(code(usage::tool), help("install it:\n{install}"))]
    ToolMissing {
        /// The program.
        tool: String,
        /// For which language.
        language: &'static str,
        /// The exact command.
        install: String,
    },
    /// The language's own tool failed.
    #[error("{output}\n\n`{command}` failed ({status})")]
    #[diagnostic(
        code(build::tool),
        help("the message above is the tool's own; correct what it names and build again")
    )]
    ToolFailed {
        /// What it printed.
        output: String,
        /// What was run.
        command: String,
        /// How it ended.
        status: String,
    },
    /// The world in `wit/` is wrong.
    #[error("{dir}: {why}")]
    #[diagnostic(code(build::wit), help("correct the WIT; `remit new` shows a world that is right"))]
    Wit {
        /// Which folder.
        dir: String,
        /// What the parser says.
        why: String,
    },
    /// What was compiled is not a component that the world allows.
    #[error("what was built is not the action that {dir} describes: {why}")]
    #[diagnostic(code(build::world), help("{help}"))]
    World {
        /// The folder of the world.
        dir: String,
        /// What differs.
        why: String,
        /// What to do.
        help: String,
    },
    /// The component imports what `action.toml` does not explain.
    #[error("the action uses {}, and {file} does not say why", names.join(", "))]
    #[diagnostic(
        code(build::undeclared),
        help("whoever grants it wants to know; add to [capabilities]:\n{}", lines(names))
    )]
    Undeclared {
        /// The interfaces.
        names: Vec<String>,
        /// The manifest.
        file: String,
    },
}

fn lines(names: &[String]) -> String {
    names.iter().map(|name| format!("\"{name}\" = \"what it is used for\"")).collect::<Vec<_>>().join("\n")
}

impl AuthorError {
    pub(crate) fn file(path: &std::path::Path, error: &std::io::Error) -> Self {
        FileError::writing(path, Kind::Source, error).into()
    }
}
