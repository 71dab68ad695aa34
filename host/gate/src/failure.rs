//! Two kinds of "no": a [`Failure`] is an answer the action may handle, a [`Fault`] ends its run.

use miette::Diagnostic;
use remit_journal::JournalError;
use serde::{Deserialize, Serialize};

/// Why the host did not do what was asked. The guest sees it as `remit:types/errors.failure`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "kind", content = "message", rename_all = "kebab-case")]
pub enum Failure {
    /// The real system refused the host's own credential.
    #[error("denied: {0}")]
    Denied(String),
    /// There is no such thing.
    #[error("not found: {0}")]
    NotFound(String),
    /// The live state is not what the call assumed.
    #[error("conflict: {0}")]
    Conflict(String),
    /// The arguments make no sense.
    #[error("invalid: {0}")]
    Invalid(String),
    /// No answer, or not in time. The only failure after which a change may have happened.
    #[error("unavailable: {0}")]
    Unavailable(String),
}

impl Failure {
    /// Whether it follows from the state of the system, so that the same call fails again until that state is changed.
    /// A refused credential and a system that does not answer are not of this kind.
    #[must_use]
    pub fn is_of_the_state(&self) -> bool {
        matches!(self, Self::NotFound(_) | Self::Conflict(_) | Self::Invalid(_))
    }

    /// Whether the system definitely was not changed.
    #[must_use]
    pub fn is_definite(&self) -> bool {
        !matches!(self, Self::Unavailable(_))
    }
}

/// A quantity that a scope limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// Guest computation, in wasmtime's fuel.
    Fuel,
    /// Elapsed time, in milliseconds.
    WallTime,
    /// All linear memories together, in bytes.
    Memory,
    /// All tables together, in elements.
    TableElements,
    /// Host calls of any kind.
    HostCalls,
    /// What the action logs, in bytes.
    LogBytes,
    /// The input, in bytes.
    Input,
    /// The output, in bytes.
    Output,
    /// What the host hands to the action in one answer, in bytes.
    OneAnswer,
    /// What the host returns in all answers together, in bytes.
    Answers,
    /// Changes, undoable or not.
    Changes,
    /// Depth of the guest's call stack, in bytes.
    Stack,
}

impl Limit {
    /// The limit's name, as in the scope's `[limits]`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fuel => "fuel",
            Self::WallTime => "wall_time",
            Self::Memory => "memory",
            Self::TableElements => "table_elements",
            Self::HostCalls => "host_calls",
            Self::LogBytes => "log_bytes",
            Self::Input => "input",
            Self::Output => "output",
            Self::OneAnswer => "one_answer",
            Self::Answers => "answers",
            Self::Changes => "changes",
            Self::Stack => "stack",
        }
    }

    fn unit(self) -> &'static str {
        match self {
            Self::Fuel => " units",
            Self::WallTime => " ms",
            Self::Memory
            | Self::LogBytes
            | Self::Input
            | Self::Output
            | Self::OneAnswer
            | Self::Answers
            | Self::Stack => " bytes",
            Self::TableElements => " elements",
            Self::HostCalls => " calls",
            Self::Changes => " changes",
        }
    }
}

/// A limit was reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("limit `{}` exceeded: needed {used}{unit}, the scope allows {allowed}{unit}", limit.name(), unit = limit.unit())]
pub struct Exceeded {
    /// The limit that was reached.
    pub limit: Limit,
    /// The amount that the run needed, at least.
    pub used: u64,
    /// The amount that the scope allows.
    pub allowed: u64,
}

/// The first difference between a replay and the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error, Diagnostic)]
#[error("the replay differs from the record at {at}: expected {expected}, got {got}")]
#[diagnostic(
    code("integrity::divergence"),
    help(
        "either the record is not of this component and input (`remit audit verify`), or the action is not deterministic on this host"
    )
)]
pub struct Divergence {
    /// The place of the difference: `call 3`, `the end`.
    pub at: String,
    /// What the record has, in words.
    pub expected: String,
    /// What the action did in the replay, in words.
    pub got: String,
}

/// Why the host ends a run at a host call. It traps the guest, which cannot handle it.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum Fault {
    /// The scope does not cover the call.
    #[error("{operation} on {resource} is outside the granted scope: {reason}")]
    #[diagnostic(
        code(refused::scope),
        help(
            "if this call is wanted, ask for it: `remit request` with a scope that has it; if not, distrust the action"
        )
    )]
    OutOfScope {
        /// The name of the operation: `remit:secrets/rotate.rotate`.
        operation: String,
        /// The resource that the call named.
        resource: String,
        /// The rule that the scope lacks.
        reason: String,
    },
    /// The approved plan has no such step at this place.
    #[error("{found} is not what the approved plan has next: {expected}")]
    #[diagnostic(
        code(refused::plan),
        help(
            "the system or the action's behaviour differs from the rehearsal; ask again: `remit request` rehearses anew"
        )
    )]
    NotInPlan {
        /// The name of the operation: `remit:secrets/rotate.rotate`.
        operation: String,
        /// The resource that the call named.
        resource: String,
        /// What the plan has next, in words.
        expected: String,
        /// What the action asked for, in words.
        found: String,
    },
    /// A change was asked for where only reading is allowed.
    #[error("{operation} on {resource} would change something during `verify`")]
    #[diagnostic(
        code(refused::verify),
        help("`verify` may only observe: report this to the action's author")
    )]
    ReadOnly {
        /// The name of the operation: `remit:secrets/rotate.rotate`.
        operation: String,
        /// The resource that the call named.
        resource: String,
    },
    /// A limit of the scope was reached.
    #[error(transparent)]
    #[diagnostic(
        code(failed::limit),
        help(
            "raise this limit in the scope and ask again (`remit request --scope`), if the action should need that much"
        )
    )]
    Exceeded(#[from] Exceeded),
    /// The grant's window closed during the run.
    #[error("the grant expired at {0}, during the run")]
    #[diagnostic(code(refused::expired), help("ask again with a longer window: `remit request --ttl`"))]
    Expired(jiff::Timestamp),
    /// What the run's authority rests on was taken away during the run.
    #[error("stopped: {0}")]
    #[diagnostic(code(refused::withdrawn), help("{}", .0.help()))]
    Withdrawn(remit_journal::Withdrawn),
    /// The clock stands before the grant's window, which it was inside of when the run started.
    #[error("this machine's clock was set back to before the grant holds ({0})")]
    #[diagnostic(code(refused::clock), help("set the clock right; then ask again: `remit request`"))]
    NotYet(jiff::Timestamp),
    /// The clock was set back behind what the journal holds.
    #[error("{0}")]
    #[diagnostic(code(refused::clock), help("set the clock right; then ask again: `remit request`"))]
    Clock(String),
    /// In a replay: the recorded run was refused this call too.
    #[error("refused on record: {0}")]
    #[diagnostic(code(refused::recorded), help("`remit show` tells the story of the run"))]
    Recorded(String),
    /// In a replay: what the action asks for is not what is on record.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Diverged(#[from] Box<Divergence>),
    /// In a replay: the record ends here, because the run was cut short here.
    #[error("the record of the run ends before this call")]
    #[diagnostic(
        code(failed::record_end),
        help("the host was stopped, or the run's time was up, at this point")
    )]
    EndOfRecord,
    /// The journal can no longer promise durability.
    #[error("the journal refused a record, so nothing more is done")]
    #[diagnostic(transparent)]
    Journal(#[from] JournalError),
    /// The host has no backend for this operation.
    #[error("no backend for {operation} is configured")]
    #[diagnostic(code(usage::backend), help("configure one in remit.toml, then `remit doctor`"))]
    NoBackend {
        /// The name of the operation that has no backend.
        operation: String,
    },
    /// A record could not be written or read back.
    #[error("the record of {operation} cannot be {verb}: {why}")]
    #[diagnostic(
        code(integrity::record),
        help("run `remit audit verify`; a journal written by another version is not reverted by this one")
    )]
    Record {
        /// The name of the operation whose record it is.
        operation: String,
        /// What failed: `written` or `read`.
        verb: &'static str,
        /// The error of serde or of the sealer; never a value.
        why: String,
    },
    /// The host was stopped in the middle of the call.
    #[error("the host's task for {operation} did not finish")]
    #[diagnostic(code(doubt::interrupted), help("`remit show` tells what is known; check the system itself"))]
    Interrupted {
        /// The name of the operation that did not finish.
        operation: String,
    },
}
