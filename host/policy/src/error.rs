//! What can be wrong with policies.

use miette::Diagnostic;

/// Why policies cannot be used, or gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Diagnostic)]
pub enum PolicyError {
    /// The folder or a file cannot be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Disk(#[from] remit_file::FileError),
    /// The folder has a file that it must not have, or lacks one that it needs.
    #[error("{file}: {why}")]
    #[diagnostic(
        code(usage::policy),
        help("policies are the files policies/*.cedar of the home; docs/policy.md describes them")
    )]
    File {
        /// The path of the file or folder.
        file: String,
        /// Why the file must not be there, or which one is missing.
        why: String,
    },
    /// A file has no valid policies about requests.
    #[error("{place}: {why}")]
    #[diagnostic(
        code(usage::policy),
        help("correct it, then run `remit policy check`; docs/policy.md describes the language")
    )]
    Wrong {
        /// The file with line and column, or with the name of the policy.
        place: String,
        /// What is wrong, with the line and a caret.
        why: String,
    },
    /// The policies cannot be evaluated, so nothing is allowed.
    #[error("{0}")]
    #[diagnostic(
        code(refused::policy),
        help("`remit policy explain` says more; an administrator can change the policies")
    )]
    Refused(String),
    /// A file is not a valid table of cases.
    #[error("{file} is not a valid table of cases:\n{why}")]
    #[diagnostic(code(usage::policy), help("docs/policy.md has the form"))]
    Table {
        /// The path of the file.
        file: String,
        /// The error message of the parser.
        why: String,
    },
}
