//! What can be wrong with policies.

use miette::Diagnostic;

/// Policies that cannot be used, or give no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Diagnostic)]
pub enum PolicyError {
    /// The folder or a file cannot be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Disk(#[from] remit_file::FileError),
    /// The folder holds what it should not, or not what it should.
    #[error("{file}: {why}")]
    #[diagnostic(
        code(usage::policy),
        help("policies are the files policies/*.cedar of the home; docs/policy.md has the words")
    )]
    File {
        /// Which.
        file: String,
        /// What is wrong.
        why: String,
    },
    /// A file does not hold policies, or not ones about requests.
    #[error("{place}: {why}")]
    #[diagnostic(
        code(usage::policy),
        help("correct it, then `remit policy check`; docs/policy.md has the words")
    )]
    Wrong {
        /// File and line.
        place: String,
        /// What is wrong, with the line and a caret.
        why: String,
    },
    /// No answer, so the answer is no.
    #[error("{0}")]
    #[diagnostic(
        code(refused::policy),
        help("`remit policy explain` tells more; an administrator changes the policies")
    )]
    Refused(String),
    /// A table of cases that is none.
    #[error("{file} is not a table of cases:\n{why}")]
    #[diagnostic(code(usage::policy), help("docs/policy.md has the form"))]
    Table {
        /// Which file.
        file: String,
        /// The parser's words.
        why: String,
    },
}
