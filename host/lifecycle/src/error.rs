//! What can go wrong between a person and a run.

use miette::Diagnostic;
use remit_file::{FileError, Kind};
use remit_gate::Failure;
use remit_journal::RunId;

use crate::class::Class;

/// What stands in the place of an action's own words, once it was told a secret or content.
pub(crate) const WITHHELD: &str = "the action's own words are not passed on: it had been told a secret or content (`remit show RUN --own-words`)";

/// An error of the lifecycle. Its code's first word says whose matter it is: `usage`, `refused`, `failed`,
/// `integrity` or `doubt`.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[expect(missing_docs, reason = "the message of each says what its fields are")]
pub enum Error {
    /// A file could not be read or written.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Disk(#[from] FileError),
    /// A file is not what it should be.
    #[error("{file} is not {wanted}:\n{why}")]
    #[diagnostic(code(usage::document), help("{help}"))]
    Document { file: String, wanted: &'static str, why: String, help: String },
    /// The input is not what the action takes. Nothing was started.
    #[error("the input is not what {action} takes:\n{why}")]
    #[diagnostic(code(usage::input), help("`remit inspect` shows what it takes"))]
    Input { action: String, why: String },
    /// It is not known where the home is.
    #[error("there is no telling where the home is: {why}")]
    #[diagnostic(code(usage::home), help("pass --home, or set REMIT_HOME"))]
    Homeless { why: &'static str },
    /// The schema cannot be used on the input, in the time and memory that there is for it. Nothing was started.
    #[error("the input cannot be held to the schema of {action}: {why}")]
    #[diagnostic(
        code(usage::schema),
        help(
            "the schema came with the action, and its author has to write it simpler; `$ref`s to parts that have more `$ref`s cost most"
        )
    )]
    Schema { action: String, why: String },
    /// The host could not hold the input to the schema. Nothing was started.
    #[error("the input could not be held to the schema of {action}: {why}")]
    #[diagnostic(
        code(failed::check),
        help(
            "nothing is said about the input; if this is an error of Remit's own, report it with the action, otherwise look for a limit of processes or memory, and whether /proc is mounted"
        )
    )]
    Unchecked { action: String, why: String },
    /// There is no Remit home.
    #[error("{home} is not a Remit home")]
    #[diagnostic(
        code(usage::home),
        help("make one with `remit init`, or name another with --home or REMIT_HOME")
    )]
    NoHome { home: String },
    /// There already is one.
    #[error("{home} already holds {what}")]
    #[diagnostic(
        code(usage::home_exists),
        help("nothing was changed; use it as it is, or choose another --home")
    )]
    HomeExists { home: String, what: &'static str },
    /// What a home is to be made from cannot be.
    #[error("{why}")]
    #[diagnostic(
        code(usage::founding),
        help(
            "nothing was made. One key is one identity: whoever publishes actions is no principal and no administrator, and each principal has its own name and key"
        )
    )]
    InitOptions { why: String },
    /// A file is where one of a new home would be.
    #[error("{file} is there already, with other content")]
    #[diagnostic(
        code(usage::in_the_way),
        help("nothing was made; look at it, then remove it or choose another --home")
    )]
    InTheWay { file: String },
    /// The rules are not in force.
    #[error("the rules of this home are not in force: {why}")]
    #[diagnostic(code(refused::rules), help("{help}"))]
    Rules { why: String, help: &'static str },
    /// The key or name is not that of a valid principal.
    #[error("{why}")]
    #[diagnostic(code(refused::identity), help("{help}"))]
    Identity { why: String, help: &'static str },
    /// The policies say no.
    #[error("{who} may not {what}: {why}")]
    #[diagnostic(
        code(refused::policy),
        help("`remit policy explain` tells what the policies ask for; an administrator changes them{}", if *what == "rehearse this" { ". Without --scope a rehearsal may look at whatever the action imports: name a scope of what it needs" } else { "" })
    )]
    Forbidden { who: String, what: &'static str, why: String },
    /// A request on record that is not good.
    #[error("{id} cannot be used: {why}")]
    #[diagnostic(
        code(refused::request),
        help("it was altered, or its requester is no principal any more; ask again: `remit request`")
    )]
    Unusable { id: String, why: String },
    /// A signed document that was not accepted.
    #[error("this {what} is not accepted: {why}")]
    #[diagnostic(
        code(refused::document),
        help("nothing was done; prepare it anew, and have exactly what was prepared signed")
    )]
    NotAccepted { what: &'static str, why: String },
    /// The host stopped while a run went on.
    #[error("the host stopped before {run} came to its end")]
    #[diagnostic(code(doubt::stopped), help("the next start, or `remit recover`, brings it to a state"))]
    HostStopped { run: RunId },
    /// It cannot be said of this any more, or not by this one.
    #[error("{who} cannot {what} {id}: {why}")]
    #[diagnostic(
        code(refused::approval),
        help("{}", if id.starts_with("run-") { format!("`remit show {id}` tells the story of the run") } else { format!("`remit request show {id}` tells where it stands, `remit policy explain {id}` who may say what") })
    )]
    NoSay { who: String, what: &'static str, id: String, why: String },
    /// The request gives no authority for this run.
    #[error("{id} gives no authority for this run: {why}")]
    #[diagnostic(code(refused::request), help("`remit request show {id}` tells where it stands"))]
    NotReady { id: String, why: String },
    /// The action returned an error after a call of its had failed.
    #[error("the action failed: {message}")]
    #[diagnostic(
        code(failed::action),
        help(
            "one of its calls was answered with \"{failure}\": if that should not be, correct it there, or in the input; \
             `remit show {run}` tells all that it did"
        )
    )]
    AfterFailure { message: String, failure: Failure, settled: bool, run: RunId },
    /// The approved plan does not fit the present state any more.
    #[error("{id} is void: {why}")]
    #[diagnostic(
        code(refused::voided),
        help("nothing was changed; look at what changed meanwhile, then ask again: `remit request`")
    )]
    Voided { id: String, why: String },
    /// The clock stands before what the journal holds.
    #[error("this machine's clock says {now}, but the journal already holds a record of {newest}")]
    #[diagnostic(
        code(refused::clock),
        help("the clock was set back, which would give expired authority new life: set it right")
    )]
    Clock { now: jiff::Timestamp, newest: jiff::Timestamp },
    /// A run that went without the usual policy was not reviewed.
    #[error("{who} went without the usual policy in {run}, and nobody has reviewed that")]
    #[diagnostic(
        code(refused::unreviewed),
        help("somebody else reviews it first: `remit review {run} --reason …`")
    )]
    Unreviewed { who: String, run: remit_journal::RunId },
    /// The request could never be used, or would be valid for too long.
    #[error("no such request can be made: {why}")]
    #[diagnostic(code(usage::request), help("nothing was signed; correct the option"))]
    RequestOption { why: String },
    /// A proof does not show who allowed a run.
    #[error("the proof does not show that authority: {why}")]
    #[diagnostic(code(refused::proof), help("{help}"))]
    Unproven { why: String, help: &'static str },
    /// The run is not a live run, or is still in progress.
    #[error("{run} cannot be reverted: {why}")]
    #[diagnostic(code(usage::revert), help("`remit show {run}` tells what it did"))]
    NotRevertible { run: String, why: &'static str },
    /// The action was content, the live system is not as it should be.
    #[error("the host's own check of {operation} on {resource} found: {found}")]
    #[diagnostic(
        code(failed::host_check),
        help(
            "the system did not keep the change, or someone else changed it; `remit show` tells what was done"
        )
    )]
    HostCheck { operation: String, resource: String, found: String },
    /// Nothing is in doubt, or not like this.
    #[error("{run} cannot be resolved: {why}")]
    #[diagnostic(code(usage::resolve), help("`remit show {run}` tells which call is in doubt, if one is"))]
    NotResolvable { run: String, why: String },
    /// The key to the run's undo data was deleted.
    #[error(
        "{run} can no longer be reverted, nor can what it was told in secret be replayed: its undo data expired"
    )]
    #[diagnostic(
        code(failed::undo_expired),
        help("`remit show {run}` tells what it changed; take it back by hand, in the system itself")
    )]
    Expired { run: String },
    /// Someone else has the home, or the run, open.
    #[error("{home} is in use by another `remit`")]
    #[diagnostic(code(failed::busy), help("nothing was changed; try again when it is done"))]
    Busy { home: String },
    /// The seal key is not the one that sealed this journal.
    #[error("{file} is not the key that this home's journal was sealed under")]
    #[diagnostic(
        code(integrity::seal_key),
        help("put the seal key that belongs to this journal back, from its backup")
    )]
    SealKey { file: String },
    /// A component that ran is not there any more.
    #[error("the component {digest} that ran is not kept here: {file} is missing")]
    #[diagnostic(
        code(usage::component),
        help("put the component back under that name; its digest is checked")
    )]
    NoComponent { digest: remit_trust::Digest, file: String },
    /// A component that ran is not what is kept.
    #[error("{file} is not the component {digest} that ran, but {found}")]
    #[diagnostic(code(integrity::component), help("keep the file as evidence, and put the right one back"))]
    ChangedComponent { digest: remit_trust::Digest, file: String, found: remit_trust::Digest },
    /// The run cannot be replayed.
    #[error("{run} cannot be replayed: {why}")]
    #[diagnostic(code(usage::replay), help("`remit show {run}` tells what is on record"))]
    NotReplayable { run: String, why: &'static str },
    /// An age that reaches back too far.
    #[error("that age cannot be counted back from now: {why}")]
    #[diagnostic(code(usage::age), help("write it like 30d or 12h"))]
    Age { why: String },
    /// A store of secrets, asked by its owner.
    #[error("{0}")]
    #[diagnostic(code(failed::store), help("{}", match .0 {
        Failure::NotFound(_) => "check the path; [[secrets]] in remit.toml say which store serves it",
        Failure::Conflict(_) | Failure::Invalid(_) => "nothing was changed",
        Failure::Denied(_) | Failure::Unavailable(_) => "`remit doctor` checks every store, and says what to do",
    }))]
    Store(Failure),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Admission(#[from] remit_sandbox::AdmissionError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Stop(#[from] remit_sandbox::Stop),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Fault(#[from] remit_gate::Fault),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Scope(#[from] remit_gate::ScopeError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Key(#[from] remit_trust::KeyError),
    /// No witness is configured.
    #[error("{file} names no witness")]
    #[diagnostic(
        code(usage::witness),
        help("add [[witness]] with `url` and `key`, and give the witness the content of log.pub")
    )]
    NoWitness { file: String },
    #[error(transparent)]
    #[diagnostic(transparent)]
    Witness(#[from] remit_tlog::WitnessError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Check(#[from] remit_journal::CheckError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Seal(#[from] remit_trust::SealError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Journal(#[from] remit_journal::JournalError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Start(#[from] remit_journal::StartError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Backend(#[from] remit_backend::BackendError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Log(#[from] remit_tlog::NoteError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Principals(#[from] remit_trust::principals::PrincipalsError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Policy(#[from] remit_policy::PolicyError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Signature(#[from] remit_trust::SignatureError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Notify(#[from] remit_notify::NotifyError),
    /// Why a run stopped, without what its action chose of it.
    #[error("{what}; {}", WITHHELD)]
    #[diagnostic(forward(cause))]
    Withheld { what: &'static str, cause: Box<Error> },
    /// A value that cannot be serialised: a defect.
    #[error("a record could not be serialised: {0}")]
    #[diagnostic(code(failed::serialise), help("this is a defect of Remit; report it"))]
    Serialise(#[from] serde_json::Error),
}

impl From<remit_engine::ComponentError> for Error {
    fn from(error: remit_engine::ComponentError) -> Self {
        remit_sandbox::AdmissionError::from(error).into()
    }
}

impl Error {
    /// The class of the error: the first word of its code.
    #[must_use]
    pub fn class(&self) -> Class {
        Class::of(self)
    }

    pub(crate) fn kept(path: &std::path::Path, why: &std::io::Error) -> Self {
        FileError::writing(path, Kind::Kept, why).into()
    }
}
