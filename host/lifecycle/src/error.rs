//! The errors of this crate.

use miette::Diagnostic;
use remit_file::{FileError, Kind};
use remit_gate::{Beyond, Failure};
use remit_journal::RunId;

use crate::class::Class;

/// Replaces an action's own words once it was given a secret or content.
pub(crate) const WITHHELD: &str = "the action's own words are not shown: it had been given a secret or content (`remit show RUN --own-words`)";

/// An error of the lifecycle. The first word of its code is its [`Class`]: `usage`, `refused`, `failed`, `integrity` or
/// `doubt`.
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
    /// The connectors of the configuration cannot be used together.
    #[error("the connectors of remit.toml cannot be used together: {why}")]
    #[diagnostic(code(usage::connectors), help("correct [[connector]] in remit.toml, then `remit doctor`"))]
    Connectors { why: String },
    /// A connector is not what it was when the action was admitted. Nothing was started.
    #[error("{why}")]
    #[diagnostic(
        code(refused::connector),
        help("ask again: `remit request` rehearses with the connector of now")
    )]
    ConnectorChanged { why: String },
    /// The input is not what the action takes. Nothing was started.
    #[error("the input is not what {action} takes:\n{why}")]
    #[diagnostic(code(usage::input), help("`remit inspect` shows what it takes"))]
    Input { action: String, why: String },
    /// A sealed input is not there, or is not what was committed to. Nothing was started.
    #[error("the sealed input `{name}` {why}")]
    #[diagnostic(
        code(refused::sealed_input),
        help("whoever made the request gives the value again, in a new one: --secret-input {name}=@FILE")
    )]
    SealedInput { name: String, why: String },
    /// The path of the home is not known.
    #[error("the path of the home is not known: {why}")]
    #[diagnostic(code(usage::home), help("pass --home, or set REMIT_HOME"))]
    NoHomePath { why: &'static str },
    /// The schema cannot check the input within the limits of time and memory. Nothing was started.
    #[error("the input cannot be checked with the schema of {action}: {why}")]
    #[diagnostic(
        code(usage::schema),
        help(
            "the schema is part of the action, and its author must simplify it; `$ref`s to parts with more `$ref`s cost most"
        )
    )]
    Schema { action: String, why: String },
    /// The host could not check the input with the schema. Nothing was started.
    #[error("the input could not be checked with the schema of {action}: {why}")]
    #[diagnostic(
        code(failed::check),
        help(
            "the input may be correct. Look for a limit of processes or memory, and whether /proc is mounted; if it is none of these, report it with the action"
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
    /// There already is a home.
    #[error("{home} already holds {what}")]
    #[diagnostic(
        code(usage::home_exists),
        help("nothing was changed; use it as it is, or choose another --home")
    )]
    HomeExists { home: String, what: &'static str },
    /// A home cannot be made with these options.
    #[error("{why}")]
    #[diagnostic(
        code(usage::init),
        help(
            "nothing was made. One key is one identity: a publisher's key cannot be a principal's or an administrator's, and each principal has its own name and key"
        )
    )]
    InitOptions { why: String },
    /// A file exists where a file of a new home would be.
    #[error("{file} exists already, with other content")]
    #[diagnostic(
        code(usage::in_the_way),
        help("nothing was made; check the file, then remove it or choose another --home")
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
    /// A token proves no identity here.
    #[error("this token proves nobody's identity here: {why}")]
    #[diagnostic(code(refused::token), help("{help}"))]
    Token { why: String, help: &'static str },
    /// The keys of an issuer of tokens cannot be had.
    #[error("the keys of {issuer} cannot be had, so its tokens cannot be checked: {why}")]
    #[diagnostic(
        code(failed::issuer),
        help(
            "look whether this machine reaches the issuer, and what `url`, `jwks` and `ca` of the [[issuer]] in principals.toml say; then try again"
        )
    )]
    Issuer { issuer: String, why: String },
    /// The policies do not allow it.
    #[error("{who} may not {what}: {why}")]
    #[diagnostic(
        code(refused::policy),
        help("`remit policy explain` tells what the policies require; an administrator can change them{}", if *what == "rehearse this" { ". Without --scope a rehearsal can read whatever the action imports: name a scope of what it needs" } else { "" })
    )]
    Forbidden { who: String, what: &'static str, why: String },
    /// A rehearsal that nobody has approved asks for more than this home lets it use.
    #[error("this cannot be rehearsed: the scope's limit `{}` is {}, and a rehearsal may have at most {} here", .0.limit, .0.value, .0.most)]
    #[diagnostic(
        code(refused::rehearsal_limit),
        help(
            "lower the limit in the scope; or whoever keeps this home raises `most_times_default` of [rehearsals] in remit.toml"
        )
    )]
    RehearsalLimit(Beyond),
    /// A request in the journal is not valid.
    #[error("{id} cannot be used: {why}")]
    #[diagnostic(
        code(refused::request),
        help(
            "the request was altered, or its requester is no principal any more; make a new one: `remit request`"
        )
    )]
    Unusable { id: String, why: String },
    /// A signed document was not accepted.
    #[error("this {what} is not accepted: {why}")]
    #[diagnostic(
        code(refused::document),
        help("nothing was done; prepare it again, and sign exactly what was prepared")
    )]
    NotAccepted { what: &'static str, why: String },
    /// A signed document that was accepted before.
    #[error("this {what} is not accepted: it is on record already: a signed document counts once")]
    #[diagnostic(
        code(refused::on_record),
        help("nothing was done; look at what is on record before you sign another")
    )]
    OnRecord { what: &'static str },
    /// The host stopped while a run was in progress.
    #[error("the host stopped before {run} came to its end")]
    #[diagnostic(code(doubt::stopped), help("the next start, or `remit recover`, brings it to a state"))]
    HostStopped { run: RunId },
    /// This principal cannot decide about this request or run, or nobody can any more.
    #[error("{who} cannot {what} {id}: {why}")]
    #[diagnostic(
        code(refused::approval),
        help("{}", if id.starts_with("run-") { format!("`remit show {id}` tells the story of the run") } else { format!("`remit request show {id}` shows the request, `remit policy explain {id}` who may do what") })
    )]
    NoSay { who: String, what: &'static str, id: String, why: String },
    /// The request gives no authority for this run.
    #[error("{id} gives no authority for this run: {why}")]
    #[diagnostic(code(refused::request), help("`remit request show {id}` shows the request"))]
    NotReady { id: String, why: String },
    /// The action returned an error after one of its calls had failed. `settled` says whether all of its failed calls failed
    /// because of the state of a system.
    #[error("the action failed: {message}")]
    #[diagnostic(
        code(failed::action),
        help(
            "one of its calls failed with \"{failure}\": if it should not, correct the system or the input; \
             `remit show {run}` shows all calls"
        )
    )]
    AfterFailure { message: String, failure: Failure, settled: bool, run: RunId },
    /// The approved plan is not what would happen now.
    #[error("{id} is void: {why}")]
    #[diagnostic(
        code(refused::voided),
        help("nothing was changed; find out what changed since, then make a new request: `remit request`")
    )]
    Voided { id: String, why: String },
    /// The clock is behind the journal.
    #[error("this machine's clock says {now}, but the journal already has a record of {newest}")]
    #[diagnostic(
        code(refused::clock),
        help("the clock was set back, and expired authority would be valid again: set the clock right")
    )]
    Clock { now: jiff::Timestamp, newest: jiff::Timestamp },
    /// A break-glass run was not reviewed.
    #[error("{who} went without the usual policy in {run}, and nobody has reviewed that run")]
    #[diagnostic(
        code(refused::unreviewed),
        help("somebody else must review it first: `remit review {run} --reason …`")
    )]
    Unreviewed { who: String, run: remit_journal::RunId },
    /// An option of a request, an order or a trigger is wrong.
    #[error("no such request can be made: {why}")]
    #[diagnostic(code(usage::request), help("nothing was signed; correct the option"))]
    RequestOption { why: String },
    /// A proof does not show who allowed a run.
    #[error("the proof does not show that authority: {why}")]
    #[diagnostic(code(refused::proof), help("{help}"))]
    Unproven { why: String, help: &'static str },
    /// The run cannot be reverted: it is no live run, it changed nothing, or it is in progress.
    #[error("{run} cannot be reverted: {why}")]
    #[diagnostic(code(usage::revert), help("`remit show {run}` shows what it did"))]
    NotRevertible { run: String, why: &'static str },
    /// The time for which a run's changes may stand cannot be extended.
    #[error("the time of {run} cannot be extended: {why}")]
    #[diagnostic(code(usage::extend), help("`remit show {run}` shows when its changes are undone"))]
    NotExtendable { run: String, why: String },
    /// The action succeeded, but the live system is not as the action left it.
    #[error("the host's own check of {operation} on {resource} found: {found}")]
    #[diagnostic(
        code(failed::host_check),
        help(
            "the system did not keep the change, or somebody else changed it; `remit show` shows what was done"
        )
    )]
    HostCheck { operation: String, resource: String, found: String },
    /// The action ended well before the end of its plan.
    #[error("the host's own check of the plan found that the action did not take its next step: {next}")]
    #[diagnostic(
        code(failed::part_of_plan),
        help(
            "a part of the plan is not what was approved; `remit show` shows what was done. If all of it is still wanted, ask \
             again: `remit request` rehearses anew"
        )
    )]
    PartOfPlan { next: String },
    /// The run or the call is not in doubt, or the statement cannot be true.
    #[error("{run} cannot be resolved: {why}")]
    #[diagnostic(code(usage::resolve), help("`remit show {run}` shows which call is in doubt, if one is"))]
    NotResolvable { run: String, why: String },
    /// The key to the run's undo data was deleted.
    #[error(
        "{run} can no longer be reverted, and its secrets can no longer be replayed: its undo data was deleted"
    )]
    #[diagnostic(
        code(failed::undo_expired),
        help("`remit show {run}` shows what it changed; undo that by hand, in the system itself")
    )]
    Expired { run: String },
    /// Another process has the home open, or acts on the run.
    #[error("{home} is in use by another `remit`")]
    #[diagnostic(code(failed::busy), help("nothing was changed; try again when it is done"))]
    Busy { home: String },
    /// A private key of the host is missing, or is not the one that belongs to the journal.
    #[error("{file} {why}")]
    #[diagnostic(
        code(integrity::host_key),
        help("restore the key that belongs to this journal from its backup")
    )]
    HostKey { file: String, why: &'static str },
    /// A component is not kept here.
    #[error("the component {digest} is not kept here: {file} is missing")]
    #[diagnostic(code(usage::component), help("copy the component to that path; its digest is checked"))]
    NoComponent { digest: remit_trust::Digest, file: String },
    /// A kept component was changed.
    #[error("{file} is not the component {digest}, but {found}")]
    #[diagnostic(
        code(integrity::component),
        help("keep the file as evidence, and copy the right component to its path")
    )]
    ChangedComponent { digest: remit_trust::Digest, file: String, found: remit_trust::Digest },
    /// The run cannot be replayed.
    #[error("{run} cannot be replayed: {why}")]
    #[diagnostic(code(usage::replay), help("`remit show {run}` shows what is on record"))]
    NotReplayable { run: String, why: &'static str },
    /// An age is too large.
    #[error("there is no time of that age: {why}")]
    #[diagnostic(code(usage::age), help("write it like 30d or 12h"))]
    Age { why: String },
    /// A call to a store of secrets failed.
    #[error("{0}")]
    #[diagnostic(code(failed::store), help("{}", match .0 {
        Failure::NotFound(_) => "check the path; [[secrets]] in remit.toml says which store serves it",
        Failure::Conflict(_) | Failure::Invalid(_) => "nothing was changed",
        Failure::Denied(_) | Failure::Unavailable(_) => "`remit doctor` checks every store and says what to do",
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
    ConnectorEntry(#[from] Box<remit_connector::ConnectorError>),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Connector(#[from] remit_connector::component::AdmissionError),
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
    /// The reason why a run stopped, without the words of its action.
    #[error("{what}; {}", WITHHELD)]
    #[diagnostic(forward(cause))]
    Withheld { what: &'static str, cause: Box<Error> },
    /// A value cannot be converted to or from JSON.
    #[error("a record or document could not be converted to or from JSON: {0}")]
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
