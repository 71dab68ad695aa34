//! The story of a run, for a person who reads its records later.
//!
//! Only [`Timeline`] interprets a run's records. The terminal, the incident report and the OCSF events are made from it, so
//! that they cannot differ.

mod lines;
mod markdown;
mod read;
mod words;

use jiff::Timestamp;
use remit_journal::{
    ActionRef, Effect, Extended, Mode, Phase, Record, RequestId, Resolved, RunId, RunState, UndoExpired,
    UndoResult,
};
use remit_trust::Digest;
use serde::Serialize;
use serde_json::Value;

pub use lines::Line;
pub use words::{Words, operation_words, undo_words};
pub(crate) use words::{called, found_words, own_arguments, value_words};

use crate::Error;
use crate::time::second;

/// The story of a run: who requested it, what it did, and the state of its changes.
#[derive(Clone, Debug, Serialize)]
pub struct Timeline {
    /// The run's identifier.
    pub run: RunId,
    /// Whether the run was live or a rehearsal.
    pub mode: Mode,
    /// The run's latest state; none while it is in progress or interrupted.
    pub state: Option<RunState>,
    /// Why it has that state, in one sentence; none if it has none.
    pub detail: Option<String>,
    /// The name of the requester.
    pub principal: String,
    /// The reason that the requester or the starter gave.
    pub reason: String,
    /// The action that ran.
    pub action: ActionRef,
    /// The id of the publisher's key that signed the action; none for an unsigned action.
    pub publisher: Option<String>,
    /// The version of Remit that ran it.
    pub host_version: String,
    /// The input of the action.
    pub input: Value,
    /// The source of the authority; none for a rehearsal.
    pub authority: Option<RunAuthority>,
    /// When the run started.
    pub started: Timestamp,
    /// When the run ended for the first time; none if it has not. A later revert does not change it.
    pub ended: Option<Timestamp>,
    /// Milliseconds from the start to `ended`.
    pub duration_ms: Option<u64>,
    /// Every state that the run came to, in order: its own end, then each revert, recovery or resolution.
    pub states: Vec<Reached>,
    /// The reads of the action. Equal reads are one entry.
    pub seen: Vec<Seen>,
    /// How many host calls reach no system: clocks, randomness, the action's own log, and facts about the run.
    pub ambient_calls: u64,
    /// The changes that the action made or tried to make, and their state.
    pub changed: Vec<Changed>,
    /// The calls that the host refused.
    pub refused: Vec<Refused>,
    /// Every attempt to undo a change.
    pub undone: Vec<Undone>,
    /// The numbers of the calls in doubt.
    pub in_doubt: Vec<u64>,
    /// What people stated about calls in doubt.
    pub resolved: Vec<Resolution>,
    /// When the host undoes the changes by itself; none if it does not.
    pub restore_at: Option<Timestamp>,
    /// When the host calls people because of the run; none if it does not.
    pub page_at: Option<Timestamp>,
    /// Each time that a person extended the time for which the changes may stand.
    pub extended: Vec<Extended>,
    /// How the undo data was deleted, so that the run cannot be reverted any more; none if it was not.
    pub undo_expired: Option<UndoExpired>,
    /// The lines that the action logged.
    pub log: Vec<LogLine>,
    /// How much of each limit the run used.
    pub consumed: Value,
    /// What the action returned; none if it returned nothing, or if what it returned is sealed.
    pub output: Option<Value>,
    /// The sequence numbers of its first and its last record.
    pub records: (u64, u64),
    /// One line for each record that tells a person something.
    #[serde(skip)]
    pub lines: Vec<Line>,
}

/// The authority under which a run acted.
#[derive(Clone, Debug, Serialize)]
pub struct RunAuthority {
    /// The digest of the signed document, which is the grant's name.
    pub grant: Digest,
    /// The identifier of the request; none if the journal does not hold the authority.
    pub request: Option<RequestId>,
    /// The names of the approvers, as their documents state them. Only `remit request show` checks the signatures.
    pub approved_by: Vec<String>,
    /// The name of the principal that started the run, as the trigger states it; none if the trigger cannot be read.
    pub started_by: Option<String>,
    /// The incident that the request belongs to; none if it belongs to no incident.
    pub incident: Option<String>,
    /// Whether it is a break-glass run.
    pub break_glass: bool,
    /// From when on the request is valid.
    pub not_before: Option<Timestamp>,
    /// When the request expires.
    pub not_after: Option<Timestamp>,
    /// How many runs may start under the request; [`u32::MAX`] if it sets no limit.
    pub uses: u32,
    /// What the grant allows the run to change; none if the request cannot be read.
    pub covers: Option<Covers>,
    /// The scope that the run had; none if the journal does not hold it.
    pub scope: Option<Value>,
}

/// How tightly a grant limits the changes of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Covers {
    /// Only the changes of an approved plan.
    Plan {
        /// How many changes the plan has.
        changes: usize,
    },
    /// Any change inside the scope.
    Scope,
    /// The plan of the run itself, which was inside a standing scope.
    Standing,
}

/// A state that a run reached.
#[derive(Clone, Debug, Serialize)]
pub struct Reached {
    /// The sequence number of the record that ended in this state.
    pub seq: u64,
    /// The sequence number of the first record that led to it.
    pub since: u64,
    /// When the first of these records was written.
    pub began: Timestamp,
    /// When the state was reached.
    pub at: Timestamp,
    /// The state that was reached.
    pub state: RunState,
    /// Why the run has this state, in one sentence.
    pub detail: String,
    /// The name of the principal that ordered it; none if the host did so itself.
    pub by: Option<String>,
    /// The reason that the principal gave.
    pub why: Option<String>,
    /// The phases that led to the state.
    pub phases: Vec<Phase>,
}

/// Equal reads of the action.
#[derive(Clone, Debug, Serialize)]
pub struct Seen {
    /// The name of the operation: `remit:secrets/inspect.metadata`.
    pub operation: String,
    /// The effect of the operation: `observe` or `disclose`.
    pub effect: Effect,
    /// The resource that was read.
    pub resource: String,
    /// The arguments of the operation, without the resource.
    pub arguments: Value,
    /// The numbers of the calls.
    pub calls: Vec<u64>,
    /// Each different result once, in a few words.
    pub results: Vec<String>,
}

/// A change, or an attempt at one.
#[derive(Clone, Debug, Serialize)]
pub struct Changed {
    /// The number of the call.
    pub call: u64,
    /// The sequence number of the record of its intent.
    pub seq: u64,
    /// When the call was made.
    pub at: Timestamp,
    /// The name of the operation: `remit:secrets/rotate.rotate`.
    pub operation: String,
    /// The effect of the operation: `change` or `irrevocable`.
    pub effect: Effect,
    /// The resource that was changed.
    pub resource: String,
    /// The arguments of the operation, without the resource.
    pub arguments: Value,
    /// The public part of the prior state; none if nothing was attempted.
    pub before: Option<Value>,
    /// What the operation returned; none if it returned no value.
    pub after: Option<Value>,
    /// Why it failed; none if it did not fail.
    pub failure: Option<String>,
    /// Why it cannot be undone; none if it can.
    pub irrevocable_because: Option<String>,
    /// Of a change through a connector, the requests that were sent for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sent: Vec<Value>,
    /// The state of the change.
    pub standing: ChangeState,
    /// How the last attempt to undo it ended; none if there was no attempt.
    pub undo: Option<UndoResult>,
}

/// The state of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeState {
    /// It was only simulated, in a rehearsal.
    Simulated,
    /// It took effect and was not undone.
    Stands,
    /// It was undone.
    Undone,
    /// It failed and had no effect.
    Failed,
    /// It was in doubt, and a person found out that it had no effect.
    DidNotHappen,
    /// It is not known whether it took effect.
    InDoubt,
}

impl ChangeState {
    /// The state in words, for people.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Simulated => "only rehearsed",
            Self::Stands => "stands",
            Self::Undone => "undone",
            Self::Failed => "failed, nothing changed",
            Self::DidNotHappen => "did not happen",
            Self::InDoubt => "IN DOUBT",
        }
    }

    /// This state with a number of changes: `1 change stands`, `3 changes stand`.
    pub(crate) fn counted(self, n: usize) -> String {
        let words = if self == Self::Stands && n != 1 { "stand" } else { self.words() };
        format!("{} {words}", words::count(n as u64, "change"))
    }
}

/// A call that the host refused.
#[derive(Clone, Debug, Serialize)]
pub struct Refused {
    /// The number of the call.
    pub call: u64,
    /// The sequence number of the record.
    pub seq: u64,
    /// When the call was refused.
    pub at: Timestamp,
    /// The name of the operation: `remit:secrets/rotate.rotate`.
    pub operation: String,
    /// The resource that the call named.
    pub resource: String,
    /// The arguments of the operation, without the resource.
    pub arguments: Value,
    /// The rule that is missing in the scope, or the limit that was reached.
    pub reason: String,
}

/// An attempt to undo a change.
#[derive(Clone, Debug, Serialize)]
pub struct Undone {
    /// The number of the call that made the change.
    pub call: u64,
    /// The sequence number of the record of its outcome.
    pub seq: u64,
    /// When the attempt ended.
    pub at: Timestamp,
    /// How the attempt ended.
    pub result: UndoResult,
}

/// What a person found out about a call in doubt.
#[derive(Clone, Debug, Serialize)]
pub struct Resolution {
    /// The sequence number of the record.
    pub seq: u64,
    /// When it was recorded.
    pub at: Timestamp,
    /// What the person stated.
    #[serde(flatten)]
    pub said: Resolved,
}

/// A line that the action logged.
#[derive(Clone, Debug, Serialize)]
pub struct LogLine {
    /// When the line was logged.
    pub at: Timestamp,
    /// The level: `debug`, `info`, `warn` or `error`.
    pub level: String,
    /// The text of the line.
    pub message: String,
}

impl Timeline {
    /// Reads the records of one run, all of them and in order.
    pub fn of(run: RunId, records: &[(u64, Record)]) -> Result<Self, Error> {
        read::timeline(run, records)
    }

    /// The run as Markdown, to paste into an incident report. The words of others are quoted as code, so that they cannot
    /// change the structure, nor mention, link or embed anything.
    #[must_use]
    pub fn markdown(&self) -> String {
        markdown::page(self)
    }

    /// What a person needs to know first, each with its name. Every form of the story begins with it.
    #[must_use]
    pub fn facts(&self) -> Vec<(&'static str, Words)> {
        markdown::facts_of(self)
    }

    /// The run's state in one word.
    #[must_use]
    pub fn state_word(&self) -> &'static str {
        self.state.map_or("unfinished", RunState::name)
    }
}

impl RunAuthority {
    /// In words: `req-…, approved by alice, started by bot, FROM to UNTIL, 1 run, for a plan of 1 change`.
    #[must_use]
    pub fn words(&self) -> Words {
        let mut words = match self.request {
            Some(request) => Words::ours(request.to_string()),
            None => Words::ours("grant ").theirs(self.grant.short()),
        };
        if self.break_glass {
            words = words.and(", WITHOUT THE USUAL POLICY");
        }
        for (n, name) in self.approved_by.iter().enumerate() {
            words = words.and(if n == 0 { ", approved by " } else { " and " }).theirs(name.clone());
        }
        if let Some(name) = &self.started_by {
            words = words.and(", started by ").theirs(name.clone());
        }
        if let Some(incident) = &self.incident {
            words = words.and(", for ").theirs(incident.clone());
        }
        if let (Some(from), Some(until)) = (self.not_before, self.not_after) {
            words = words.and(format!(", {} to {}", second(from), second(until)));
        }
        if self.uses < u32::MAX {
            words = words.and(format!(", {}", words::count(u64::from(self.uses), "run")));
        }
        match self.covers {
            Some(Covers::Plan { changes }) => {
                words.and(format!(", for a plan of {}", words::count(changes as u64, "change")))
            }
            Some(Covers::Scope) => words.and(", for any change inside its scope"),
            Some(Covers::Standing) => words.and(", inside a standing scope"),
            None => words,
        }
    }
}

impl Seen {
    /// The operation and its arguments in words.
    #[must_use]
    pub fn words(&self) -> Words {
        words::operation_words(&self.operation, &self.arguments)
    }

    /// All results in words, in order.
    #[must_use]
    pub fn result(&self) -> String {
        self.results.join("; then ")
    }
}

impl Refused {
    /// The operation and its arguments in words.
    #[must_use]
    pub fn words(&self) -> Words {
        words::operation_words(&self.operation, &self.arguments)
    }
}

impl Changed {
    /// The operation and its arguments in words.
    #[must_use]
    pub fn words(&self) -> Words {
        words::operation_words(&self.operation, &self.arguments)
    }

    /// The value before and after the change, in words.
    #[must_use]
    pub fn transition(&self) -> String {
        let unchanged = matches!(self.standing, ChangeState::Failed | ChangeState::DidNotHappen);
        words::transition(self.before.as_ref(), self.after.as_ref(), unchanged)
    }

    /// The state of the change, in words, with the failure or the reason.
    #[must_use]
    pub fn fate(&self) -> Words {
        let mut words = Words::ours(self.standing.words());
        if let Some(failure) = &self.failure {
            words = words.and(": ").theirs(failure.clone());
        }
        match (&self.undo, self.standing) {
            (None, _) | (Some(UndoResult::Undone), ChangeState::Undone) => {}
            (Some(undo), _) => words = words.and(" (undo: ").then(undo_words(undo)).and(")"),
        }
        if let Some(why) = &self.irrevocable_because {
            words = words.and("; irrevocable: ").theirs(why.clone());
        }
        words
    }
}
