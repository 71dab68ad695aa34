//! The story of a run: its records, digested for a person who was not there.
//!
//! [`Timeline`] is the one reading of a run's records. The terminal, the incident report and the OCSF
//! events are renderings of it, so that they cannot tell different stories.

mod lines;
mod markdown;
mod read;
mod words;

use jiff::Timestamp;
use remit_journal::{
    ActionRef, Effect, Mode, Phase, Record, RequestId, Resolved, RunId, RunState, UndoExpired, UndoResult,
};
use remit_trust::Digest;
use serde::Serialize;
use serde_json::Value;

pub use lines::Line;
pub use words::{Words, down_to, operation_words, second, undo_words};
pub(crate) use words::{called, found_words, own_arguments, value_words};

use crate::Error;

/// A run, from who asked for it to what stands of it.
#[derive(Clone, Debug, Serialize)]
pub struct Timeline {
    /// The run.
    pub run: RunId,
    /// Whether changes were real.
    pub mode: Mode,
    /// Where it stands; none while it is under way, or interrupted.
    pub state: Option<RunState>,
    /// Why, in one sentence.
    pub detail: Option<String>,
    /// Who asked.
    pub principal: String,
    /// Why, in their words.
    pub reason: String,
    /// What ran.
    pub action: ActionRef,
    /// The id of the publisher's key that signed the action.
    pub publisher: Option<String>,
    /// The version of the host.
    pub host_version: String,
    /// What the action was given.
    pub input: Value,
    /// The source of the authority; none for a rehearsal.
    pub authority: Option<RunAuthority>,
    /// When it began.
    pub started: Timestamp,
    /// When it first ended.
    pub ended: Option<Timestamp>,
    /// From its start to its first end.
    pub duration_ms: Option<u64>,
    /// Every state it came to, in order: its own end, then each revert, recovery or word about a doubt.
    pub states: Vec<Reached>,
    /// What the action looked at, equal looks as one.
    pub seen: Vec<Seen>,
    /// Host calls that touch no system: clocks, randomness, its own log and facts.
    pub ambient_calls: u64,
    /// What the action changed or tried to, and what became of it.
    pub changed: Vec<Changed>,
    /// What the host refused.
    pub refused: Vec<Refused>,
    /// Every attempt to take a change back.
    pub undone: Vec<Undone>,
    /// Calls of which nobody knows whether they took effect.
    pub in_doubt: Vec<u64>,
    /// What people found out about calls in doubt.
    pub resolved: Vec<Resolution>,
    /// Set when the run cannot be taken back any more, because its undo data was given up.
    pub undo_expired: Option<UndoExpired>,
    /// The lines the action wrote.
    pub log: Vec<LogLine>,
    /// How much of each limit it used.
    pub consumed: Value,
    /// What the action returned.
    pub output: Option<Value>,
    /// The sequence numbers of its first and its last record.
    pub records: (u64, u64),
    /// One line per record that tells a person something.
    #[serde(skip)]
    pub lines: Vec<Line>,
}

/// Under which authority a run acted.
#[derive(Clone, Debug, Serialize)]
pub struct RunAuthority {
    /// The grant's name: the digest of what was signed.
    pub grant: Digest,
    /// The request; none in older journals.
    pub request: Option<RequestId>,
    /// Who approved, as the documents say; in older journals the keys that signed. `remit request show` checks
    /// signatures.
    pub approved_by: Vec<String>,
    /// Who started it, as its word says.
    pub started_by: Option<String>,
    /// Part of which incident.
    pub incident: Option<String>,
    /// Whether it went without the usual policy.
    pub break_glass: bool,
    /// From when on it held.
    pub not_before: Option<Timestamp>,
    /// Until when.
    pub not_after: Option<Timestamp>,
    /// How many runs it allows.
    pub uses: u32,
    /// What it binds the run to; none if the journal does not hold the grant itself.
    pub covers: Option<Covers>,
    /// The scope in force.
    pub scope: Option<Value>,
}

/// How tightly a grant binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Covers {
    /// Only the changes of an approved plan.
    Plan {
        /// How many.
        changes: usize,
    },
    /// Any change inside the scope.
    Scope,
    /// The plan of the run itself, which was inside a scope that was approved ahead.
    Standing,
}

/// A state that a run came to.
#[derive(Clone, Debug, Serialize)]
pub struct Reached {
    /// Its record.
    pub seq: u64,
    /// The first record of what led to it.
    pub since: u64,
    /// When that began.
    pub began: Timestamp,
    /// When it was reached.
    pub at: Timestamp,
    /// Which.
    pub state: RunState,
    /// Why, in one sentence.
    pub detail: String,
    /// Who asked for it, where the journal says so.
    pub by: Option<String>,
    /// Why, in their words.
    pub why: Option<String>,
    /// The phases that led to it.
    pub phases: Vec<Phase>,
}

/// Something the action looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Seen {
    /// The operation.
    pub operation: String,
    /// `observe` or `disclose`.
    pub effect: Effect,
    /// On what.
    pub resource: String,
    /// With what else.
    pub arguments: Value,
    /// The numbers of the calls.
    pub calls: Vec<u64>,
    /// What came back in a few words, each different answer once.
    pub results: Vec<String>,
}

/// A change, or an attempt at one.
#[derive(Clone, Debug, Serialize)]
pub struct Changed {
    /// The number of the call.
    pub call: u64,
    /// The record of its intent.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// The operation.
    pub operation: String,
    /// `change` or `irrevocable`.
    pub effect: Effect,
    /// On what.
    pub resource: String,
    /// With what else.
    pub arguments: Value,
    /// The public part of the prior state; none if nothing was attempted.
    pub before: Option<Value>,
    /// What came back.
    pub after: Option<Value>,
    /// Why it failed, when it did.
    pub failure: Option<String>,
    /// Why it cannot be taken back.
    pub irrevocable_because: Option<String>,
    /// What became of it.
    pub standing: ChangeState,
    /// How the last attempt to take it back ended.
    pub undo: Option<UndoResult>,
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeState {
    /// Only rehearsed.
    Simulated,
    /// It happened and stands.
    Stands,
    /// It was taken back.
    Undone,
    /// It failed; nothing changed.
    Failed,
    /// Someone looked: it never happened.
    DidNotHappen,
    /// Nobody knows whether it happened.
    InDoubt,
}

impl ChangeState {
    /// In words.
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

    /// So many changes of which this became: `1 change stands`, `3 changes stand`.
    pub(crate) fn counted(self, n: usize) -> String {
        let words = if self == Self::Stands && n != 1 { "stand" } else { self.words() };
        format!("{} {words}", words::count(n as u64, "change"))
    }
}

/// A call that the host refused.
#[derive(Clone, Debug, Serialize)]
pub struct Refused {
    /// Its number.
    pub call: u64,
    /// Its record.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// The operation.
    pub operation: String,
    /// On what.
    pub resource: String,
    /// With what else.
    pub arguments: Value,
    /// Which rule is missing, or which limit was reached.
    pub reason: String,
}

/// An attempt to take a change back.
#[derive(Clone, Debug, Serialize)]
pub struct Undone {
    /// The number of the call that made the change.
    pub call: u64,
    /// Its record.
    pub seq: u64,
    /// When it ended.
    pub at: Timestamp,
    /// How.
    pub result: UndoResult,
}

/// What a person found out about a call in doubt.
#[derive(Clone, Debug, Serialize)]
pub struct Resolution {
    /// Its record.
    pub seq: u64,
    /// When they said so.
    pub at: Timestamp,
    /// What they said.
    #[serde(flatten)]
    pub said: Resolved,
}

/// A line the action wrote.
#[derive(Clone, Debug, Serialize)]
pub struct LogLine {
    /// When.
    pub at: Timestamp,
    /// `info`, `warn` and so on.
    pub level: String,
    /// The line.
    pub message: String,
}

impl Timeline {
    /// Reads the records of one run, all of them and in order.
    pub fn of(run: RunId, records: &[(u64, Record)]) -> Result<Self, Error> {
        read::timeline(run, records)
    }

    /// The run as Markdown, to paste into an incident report. What others wrote is quoted as code: it can
    /// neither change the structure nor mention, link or embed anything.
    #[must_use]
    pub fn markdown(&self) -> String {
        markdown::page(self)
    }

    /// What a person needs to know first, each with its name: the head of every rendering.
    #[must_use]
    pub fn facts(&self) -> Vec<(&'static str, Words)> {
        markdown::facts_of(self)
    }

    /// The whole story in one word.
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
            words = words.and(format!(", {} to {}", words::second(from), words::second(until)));
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
    /// What was done, in words.
    #[must_use]
    pub fn words(&self) -> Words {
        words::operation_words(&self.operation, &self.arguments)
    }

    /// What came back, in words.
    #[must_use]
    pub fn result(&self) -> String {
        self.results.join("; then ")
    }
}

impl Refused {
    /// What was asked for, in words.
    #[must_use]
    pub fn words(&self) -> Words {
        words::operation_words(&self.operation, &self.arguments)
    }
}

impl Changed {
    /// What was done, in words.
    #[must_use]
    pub fn words(&self) -> Words {
        words::operation_words(&self.operation, &self.arguments)
    }

    /// From what to what, in words.
    #[must_use]
    pub fn transition(&self) -> String {
        let unchanged = matches!(self.standing, ChangeState::Failed | ChangeState::DidNotHappen);
        words::transition(self.before.as_ref(), self.after.as_ref(), unchanged)
    }

    /// What became of it, in words.
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
