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
        /// The path of the file.
        file: String,
        /// The error message of the system.
        why: String,
    },
    /// The project's `action.toml` is not valid.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Manifest(#[from] ManifestError),
    /// The folder to make is there already.
    #[error("{dir} exists already; nothing was written")]
    #[diagnostic(code(usage::exists), help("choose another name, or remove it first"))]
    Exists {
        /// The path of the folder.
        dir: String,
    },
    /// The name cannot be the name of an action.
    #[error("`{name}` cannot name an action")]
    #[diagnostic(
        code(usage::name),
        help("use lower-case words joined by hyphens, each starting with a letter: rotate-secret")
    )]
    Name {
        /// The name that was given.
        name: String,
    },
    /// A name that would never build.
    #[error("`{name}` cannot name an action in {language}: {why}")]
    #[diagnostic(code(usage::name), help("say what it repairs too: fix-{name}; nothing was written"))]
    Reserved {
        /// The name that was given.
        name: String,
        /// The language in which the name has another meaning.
        language: &'static str,
        /// What the name already means in that language.
        why: String,
    },
    /// A capability that no host offers.
    #[error("there is no capability `{name}`{}", nearest.as_ref().map(|n| format!("; did you mean `{n}`?")).unwrap_or_default())]
    #[diagnostic(code(usage::capability), help("the capabilities are: {all}"))]
    Capability {
        /// The name that was given.
        name: String,
        /// A capability whose last part is the given name's; none if there is none.
        nearest: Option<String>,
        /// The names of all capabilities, separated by commas.
        all: String,
    },
    /// Nothing in the folder tells its language.
    #[error("{dir} is not the project of an action: {why}")]
    #[diagnostic(code(usage::project), help("`remit new NAME --lang LANGUAGE` makes one to compare with"))]
    NotAProject {
        /// The path of the folder.
        dir: String,
        /// What an action's project has and this folder lacks.
        why: String,
    },
    /// The file is not a valid `connector.toml`.
    #[error("{file} is not a connector's description:\n{why}")]
    #[diagnostic(code(usage::connector), help("docs/connectors.md lists every key of connector.toml"))]
    Connector {
        /// The name of the file.
        file: String,
        /// The line and what is wrong there.
        why: String,
    },
    /// There is no template for this in the language.
    #[error("there is no template for {} {what} in {language}", if *what == "action" { "an" } else { "a" })]
    #[diagnostic(
        code(usage::language),
        help("{what}s are written in {names}: choose one with --lang; nothing was written")
    )]
    NoTemplate {
        /// `action` or `connector`.
        what: &'static str,
        /// The language, as a person writes it.
        language: &'static str,
        /// The languages that there are templates in, as `--lang` takes them.
        names: String,
    },
    /// A program the build needs is not there.
    #[error("`{tool}` is not installed; {language} is built with it")]
    #[diagnostic(code(usage::tool), help("install it:\n{install}"))]
    ToolMissing {
        /// The name of the program.
        tool: String,
        /// The language whose actions need the program.
        language: &'static str,
        /// The commands that install the program.
        install: String,
    },
    /// The language's own tool failed.
    #[error("{output}\n\n`{command}` failed ({status})")]
    #[diagnostic(
        code(build::tool),
        help("the message above is the tool's own; correct what it names and build again")
    )]
    ToolFailed {
        /// The output of the tool.
        output: String,
        /// The command that was run.
        command: String,
        /// The exit status of the tool.
        status: String,
    },
    /// The world in `wit/` is wrong.
    #[error("{dir}: {why}")]
    #[diagnostic(code(build::wit), help("correct the WIT; `remit new` shows a world that is right"))]
    Wit {
        /// The path of the folder that holds the WIT.
        dir: String,
        /// The error message of the WIT parser.
        why: String,
    },
    /// What was compiled is not a component that the world allows.
    #[error("what was built is not the action that {dir} describes: {why}")]
    #[diagnostic(code(build::world), help("{help}"))]
    World {
        /// The folder of the world.
        dir: String,
        /// How the component differs from the world.
        why: String,
        /// How to correct it.
        help: String,
    },
    /// The component imports what `action.toml` does not explain.
    #[error("the action uses {}, and {file} does not say why", names.join(", "))]
    #[diagnostic(
        code(build::undeclared),
        help("whoever grants it wants to know; add to [capabilities]:\n{}", lines(names))
    )]
    Undeclared {
        /// The names of the interfaces that the component imports.
        names: Vec<String>,
        /// The path of the manifest.
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
