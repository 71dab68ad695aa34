//! Why an action is not admitted.

use miette::Diagnostic;
use remit_engine::ComponentError;

use crate::import::NotOffered;

/// Why an action is not admitted. None of its code has run.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum AdmissionError {
    /// For a reason that holds for a component of any world.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Component(#[from] ComponentError),
    /// The component does not fulfil the contract of an action.
    #[error("{file} is not an action: {why}")]
    #[diagnostic(
        code(usage::contract),
        help("`remit inspect` shows what it exports; build it against the WIT of this Remit")
    )]
    NotAnAction {
        /// The component's path or name.
        file: String,
        /// What is missing, or has another type than in the contract.
        why: String,
    },
    /// The host does not offer an import.
    #[error("{file} imports what this host does not offer: {}", listed(imports))]
    #[diagnostic(code(refused::unknown_import), help("{}", import_help(imports)))]
    Unknown {
        /// The component's path or name.
        file: String,
        /// The imports that are not offered.
        imports: Vec<NotOffered>,
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
        /// The component's path or name.
        file: String,
        /// The names of the imports that are not covered.
        imports: Vec<String>,
    },
}

impl AdmissionError {
    /// An obstacle (see [`crate::Inspection::obstacles`]) in a few words, to follow "cannot run here: ".
    #[must_use]
    pub fn in_short(&self) -> String {
        match self {
            Self::Component(ComponentError::Feature { needs, .. }) => format!("needs {needs}"),
            Self::NotAnAction { .. } => "is not an action".to_owned(),
            Self::Unknown { imports, .. } => {
                format!("needs imports that are not offered: {}", listed(imports))
            }
            Self::Component(ComponentError::TooMuch { what, .. }) => format!("needs {what}"),
            Self::Component(ComponentError::Mismatch { why, .. }) => {
                format!("does not fit this host, {why}")
            }
            other => other.to_string(),
        }
    }
}

/// The most imports that one line names.
const MOST_LISTED: usize = 20;

fn listed(imports: &[NotOffered]) -> String {
    let mut names: Vec<_> = imports.iter().take(MOST_LISTED).map(NotOffered::to_string).collect();
    if let Some(more @ 1..) = imports.len().checked_sub(MOST_LISTED) {
        names.push(format!("and {more} more"));
    }
    names.join(", ")
}

/// What to do about imports that are not offered; it depends on which they are.
fn import_help(imports: &[NotOffered]) -> String {
    let has = |start: &str| imports.iter().any(|import| import.name.starts_with(start));
    let versions = imports.iter().any(|import| import.offered.is_some());
    let mut help = Vec::new();
    if versions {
        help.push("rebuild it against the versions that this host offers, which stand in brackets");
    }
    if has("wasi:sockets/") || has("wasi:http/") {
        help.push(
            "sockets and HTTP are never offered: an action reaches other systems through capabilities only",
        );
    }
    let others = |import: &&NotOffered| {
        import.offered.is_none()
            && !["wasi:sockets/", "wasi:http/"].iter().any(|start| import.name.starts_with(start))
    };
    if imports.iter().any(|import| others(&import)) {
        help.push(
            "build it without what this host does not have (docs/authoring.md says what an action can import), or serve it by a \
             connector: [[connector]] in remit.toml",
        );
    }
    help.join("; ")
}
