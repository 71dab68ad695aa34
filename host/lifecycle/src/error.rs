//! What can go wrong between a person and a run.

use miette::Diagnostic;

/// An error of the lifecycle. Its code's first word says whose matter it is: `usage`, `refused`, `failed`,
/// `integrity` or `doubt`.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum Error {
    /// A file could not be read or written.
    #[error("{file}: {why}")]
    #[diagnostic(code(usage::file), help("check the path and its permissions"))]
    File {
        /// Which.
        file: String,
        /// The system's words.
        why: String,
    },
    /// A file that Remit keeps in its home could not be read or written.
    #[error("{file}: {why}")]
    #[diagnostic(
        code(failed::home),
        help("check the permissions of the home and the disk: free space, mounted read-write")
    )]
    Kept {
        /// Which.
        file: String,
        /// The system's words.
        why: String,
    },
    /// A file is not what it should be.
    #[error("{file} is not {wanted}:\n{why}")]
    #[diagnostic(code(usage::document), help("{help}"))]
    Document {
        /// Which.
        file: String,
        /// `a plan`, `a grant`, `valid JSON`.
        wanted: &'static str,
        /// The parser's words, with line and column where there are some.
        why: String,
        /// What to do.
        help: String,
    },
    /// The input is not what the action takes. Nothing was started.
    #[error("the input is not what {action} takes:\n{why}")]
    #[diagnostic(code(usage::input), help("`remit inspect` shows what it takes"))]
    Input {
        /// Which action.
        action: String,
        /// Each wrong place, a line each.
        why: String,
    },
    /// There is no Remit home.
    #[error("{home} is not a Remit home")]
    #[diagnostic(
        code(usage::home),
        help("make one with `remit init`, or name another with --home or REMIT_HOME")
    )]
    NoHome {
        /// Where it was looked for.
        home: String,
    },
    /// There already is one.
    #[error("{home} already holds {what}")]
    #[diagnostic(
        code(usage::home_exists),
        help("nothing was changed; use it as it is, or choose another --home")
    )]
    HomeExists {
        /// Where.
        home: String,
        /// What is in the way.
        what: &'static str,
    },
    /// The grant does not allow this run.
    #[error("the grant does not allow this run: {why}")]
    #[diagnostic(code(refused::grant), help("{help}"))]
    Grant {
        /// Why.
        why: String,
        /// What to do.
        help: &'static str,
    },
    /// Not a live run, or still going.
    #[error("{run} cannot be reverted: {why}")]
    #[diagnostic(code(usage::revert), help("`remit show {run}` tells what it did"))]
    NotRevertible {
        /// Which.
        run: String,
        /// Why.
        why: &'static str,
    },
    /// The action was content, the live system is not as it should be.
    #[error("the host's own check of {operation} on {resource} found: {found}")]
    #[diagnostic(
        code(failed::host_check),
        help(
            "the system did not keep the change, or someone else changed it; `remit show` tells what was done"
        )
    )]
    HostCheck {
        /// The change's operation.
        operation: String,
        /// What it touched.
        resource: String,
        /// How the live system differs, without any value.
        found: String,
    },
    /// A grant that nobody could use, or that holds too long.
    #[error("no such grant can be made: {why}")]
    #[diagnostic(code(usage::grant), help("nothing was signed; correct the option"))]
    GrantOption {
        /// What is wrong.
        why: String,
    },
    /// Nothing is in doubt, or not like this.
    #[error("{run} cannot be resolved: {why}")]
    #[diagnostic(code(usage::resolve), help("`remit show {run}` tells which call is in doubt, if one is"))]
    NotResolvable {
        /// Which.
        run: String,
        /// Why.
        why: String,
    },
    /// The key to the run's undo data was deleted.
    #[error(
        "{run} can no longer be reverted, nor can what it was told in secret be replayed: its undo data expired"
    )]
    #[diagnostic(
        code(failed::undo_expired),
        help("`remit show {run}` tells what it changed; take it back by hand, in the system itself")
    )]
    Expired {
        /// Which.
        run: String,
    },
    /// Someone else has the home, or the run, open.
    #[error("{home} is in use by another `remit`")]
    #[diagnostic(code(failed::busy), help("nothing was changed; try again when it is done"))]
    Busy {
        /// What.
        home: String,
    },
    /// The seal key is not the one that sealed this journal.
    #[error("{file} is not the key that this home's journal was sealed under")]
    #[diagnostic(
        code(integrity::seal_key),
        help("put the seal key that belongs to this journal back, from its backup")
    )]
    SealKey {
        /// The key's file.
        file: String,
    },
    /// A component that ran is not there any more.
    #[error("the component {digest} that ran is not kept here: {file} is missing")]
    #[diagnostic(
        code(usage::component),
        help("put the component back under that name; its digest is checked")
    )]
    NoComponent {
        /// Of the component.
        digest: remit_trust::Digest,
        /// Where it should be.
        file: String,
    },
    /// A component that ran is not what is kept.
    #[error("{file} is not the component {digest} that ran, but {found}")]
    #[diagnostic(code(integrity::component), help("keep the file as evidence, and put the right one back"))]
    ChangedComponent {
        /// Of the component that ran.
        digest: remit_trust::Digest,
        /// Where it is kept.
        file: String,
        /// Of what is there.
        found: remit_trust::Digest,
    },
    /// The run cannot be replayed.
    #[error("{run} cannot be replayed: {why}")]
    #[diagnostic(code(usage::replay), help("`remit show {run}` tells what is on record"))]
    NotReplayable {
        /// Which.
        run: String,
        /// Why.
        why: &'static str,
    },
    /// An age that reaches back too far.
    #[error("that age cannot be counted back from now: {why}")]
    #[diagnostic(code(usage::age), help("write it like 30d or 12h"))]
    Age {
        /// The clock's words.
        why: String,
    },
    /// The grant's signature.
    #[error("the grant {file} does not hold: {source}")]
    #[diagnostic(
        code(refused::grant_signature),
        help("ask an operator whose key is listed under [trust] operators for a grant")
    )]
    GrantSignature {
        /// Which.
        file: String,
        /// What is wrong.
        source: remit_trust::SignatureError,
    },
    /// A store of secrets, asked by its owner.
    #[error("{0}")]
    #[diagnostic(code(failed::store), help("`remit doctor` checks every store"))]
    Store(remit_gate::Failure),
    /// From below.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Admission(#[from] remit_sandbox::AdmissionError),
    /// From below.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Stop(#[from] remit_sandbox::Stop),
    /// From below.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Fault(#[from] remit_gate::Fault),
    /// From below.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Scope(#[from] remit_gate::ScopeError),
    /// From below.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Key(#[from] remit_trust::KeyError),
    /// No witness is configured.
    #[error("{file} names no witness")]
    #[diagnostic(
        code(usage::witness),
        help("add [[witness]] with `url` and `key`, and give the witness the content of log.pub")
    )]
    NoWitness {
        /// The configuration.
        file: String,
    },
    /// From below.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Witness(#[from] remit_tlog::WitnessError),
    /// From below.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Check(#[from] remit_journal::CheckError),
    /// From below.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Seal(#[from] remit_trust::SealError),
    /// From below.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Journal(#[from] remit_journal::JournalError),
    /// From below.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Start(#[from] remit_journal::StartError),
    /// From below.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Backend(#[from] remit_backend::BackendError),
    /// From below.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Log(#[from] remit_tlog::NoteError),
    /// A value that cannot be serialised: a defect.
    #[error("a record could not be serialised: {0}")]
    #[diagnostic(code(failed::serialise), help("this is a defect of Remit; report it"))]
    Serialise(#[from] serde_json::Error),
}

impl Error {
    pub(crate) fn kept(path: &std::path::Path, why: &std::io::Error) -> Self {
        Self::Kept { file: path.display().to_string(), why: why.to_string() }
    }

    pub(crate) fn file(path: &std::path::Path, why: &std::io::Error) -> Self {
        Self::File { file: path.display().to_string(), why: why.to_string() }
    }
}
