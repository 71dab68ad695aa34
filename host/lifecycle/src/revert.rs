//! Reverts of runs. A revert needs no grant, because the right to undo outlives the right to do.

use std::collections::HashSet;

use remit_engine::blocking;
use remit_gate::{Phase, State, UndoGate};
use remit_journal::{Event, Intent, Mode, PhaseEntered, Record, RunId, RunState, UndoResult};
use remit_policy::PolicyAction;
use remit_trust::KeyId;
use serde::{Deserialize, Serialize};

use crate::actor::{Actor, CheckedActor, prepare_order};
use crate::authority::{Order, OrderKind, Prepared};
use crate::changes::{Change, changes, genuine};
use crate::claim::Claim;
use crate::contain::due_as_before;
use crate::plan::end;
use crate::timeline::undo_words;
use crate::{Error, Host};

/// The result of undoing one change.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Step {
    /// The number of the call that made the change.
    pub call: u64,
    /// The operation that made the change: `remit:secrets/rotate.rotate`.
    pub operation: String,
    /// The resource that was changed.
    pub resource: String,
    /// The arguments of the operation, without the resource.
    pub arguments: serde_json::Value,
    /// The state before the change, in a few words: what is restored. None if there is nothing to say.
    pub found: Option<String>,
    /// How the undo ended; in a dry run, how it would.
    pub result: UndoResult,
}

/// The result of undoing a run's changes, the last change first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Reverted {
    /// Each change that was undone, or that could not be.
    pub steps: Vec<Step>,
    /// The changes that were not tried, because a later one could not be undone.
    pub left: Vec<String>,
}

impl Reverted {
    /// What the records of a run say of it; none if nothing was undone.
    pub(crate) fn of(records: &[(u64, Record)]) -> Result<Option<Self>, Error> {
        let mut reverted = Self::default();
        for change in changes(records)?.iter().rev() {
            match &change.undo {
                Some(result) => reverted.steps.push(step(change, result.clone())),
                None => reverted.left.push(change.words()),
            }
        }
        Ok(Some(reverted).filter(|reverted| !reverted.steps.is_empty()))
    }

    /// The state that the run has after this revert.
    #[must_use]
    pub fn state(&self) -> RunState {
        let worst = self.steps.iter().map(|step| match step.result {
            UndoResult::Undone | UndoResult::AlreadyUndone => 0,
            UndoResult::Conflict { .. } | UndoResult::NotReversible { .. } => 1,
            UndoResult::Failed { .. } | UndoResult::InDoubt { .. } => 2,
        });
        match worst.max() {
            None | Some(0) => RunState::Reverted,
            Some(1) => RunState::Held,
            Some(_) => RunState::InDoubt,
        }
    }

    /// The result in one sentence. `done` is the sentence for changes that were undone.
    pub(crate) fn words(&self, done: &str) -> String {
        match self.steps.iter().find(|step| !is_undone(&step.result)) {
            Some(step) => format!("call {} could not be undone: {}", step.call, undo_words(&step.result)),
            None if self.steps.iter().all(|step| step.result == UndoResult::AlreadyUndone) => {
                "there was nothing left to undo".to_owned()
            }
            None => done.to_owned(),
        }
    }
}

/// Undoes changes in reverse order. Stops at the first that cannot be undone, unless told to keep going: it may depend on
/// the changes before it, so a person decides.
pub(crate) async fn revert_changes(
    host: &Host,
    run: RunId,
    changes: &[Change],
    keep_going: bool,
    dry_run: bool,
) -> Result<Reverted, Error> {
    let mut reverted = Reverted::default();
    if changes.is_empty() {
        return Ok(reverted);
    }
    let gate = host.undo_gate(run)?;
    let mut stopped = false;
    let mut hidden = HashSet::new();
    for change in changes.iter().rev() {
        if stopped {
            reverted.left.push(change.words());
            continue;
        }
        let result = if change.is_undone() {
            UndoResult::AlreadyUndone
        } else if dry_run {
            preview(host, &gate, change, !hidden.insert(&change.intent.resource)).await?
        } else if change.needs_a_person() {
            UndoResult::InDoubt { live: compared(change.live(host, &gate).await?) }
        } else {
            change.take_back(host, &gate).await?
        };
        stopped = !keep_going && !is_undone(&result);
        reverted.steps.push(step(change, result));
    }
    Ok(reverted)
}

/// How the undo of a change would end. If a later change of the same resource hides what this one left, the live system
/// cannot show it, and it is taken to be as the journal says.
async fn preview(host: &Host, gate: &UndoGate, change: &Change, hidden: bool) -> Result<UndoResult, Error> {
    let live = if hidden { State::After } else { change.live(host, gate).await? };
    Ok(match (&change.intent.irrevocable_because, live) {
        (_, live) if change.needs_a_person() => UndoResult::InDoubt { live: compared(live) },
        (_, State::Before) => UndoResult::AlreadyUndone,
        (_, State::Other(live)) => UndoResult::Conflict { live },
        (Some(why), State::After) => UndoResult::NotReversible { why: why.clone() },
        (None, State::After) => UndoResult::Undone,
    })
}

fn is_undone(result: &UndoResult) -> bool {
    matches!(result, UndoResult::Undone | UndoResult::AlreadyUndone)
}

fn step(change: &Change, result: UndoResult) -> Step {
    let Intent { call, operation, resource, .. } = &change.intent;
    Step {
        call: *call,
        operation: operation.clone(),
        resource: resource.clone(),
        arguments: change.arguments(),
        found: change.found(),
        result,
    }
}

fn compared(live: State) -> String {
    match live {
        State::Before => "the live system is as it was before".to_owned(),
        State::After => "the live system is as this call would have left it".to_owned(),
        State::Other(live) => live,
    }
}

/// The changes that a revert of this run would undo; an error if it cannot be reverted.
fn revertible(host: &Host, run: RunId) -> Result<Vec<Change>, Error> {
    let refuse = |why| Err(Error::NotRevertible { run: run.to_string(), why });
    let records = genuine(&host.home, &*host.journal.reader()?, run)?;
    if !records.iter().any(|(_, r)| matches!(&r.event, Event::Started(s) if s.mode == Mode::Live)) {
        return refuse("it was a rehearsal and changed nothing");
    }
    let ended = records.iter().rev().find_map(|(_, r)| match &r.event {
        Event::Ended(ended) => Some(ended.state),
        _ => None,
    });
    // The records are read once: what is undone is what was found genuine.
    let changes = changes(&records)?;
    if ended.is_some_and(|state| state.next().is_empty()) || changes.is_empty() {
        return refuse("it changed nothing");
    }
    Ok(changes)
}

fn claim(host: &Host, run: RunId) -> Result<Claim, Error> {
    Claim::take(&host.home, run)?.ok_or_else(|| Error::NotRevertible {
        run: run.to_string(),
        why: "it is going on in another process; wait for its end",
    })
}

/// Tells what a revert would do, from the live systems. Nothing is changed.
pub async fn preview_revert(host: &Host, run: RunId, keep_going: bool) -> Result<Reverted, Error> {
    let _claim = blocking(|| claim(host, run))?;
    let changes = blocking(|| revertible(host, run))?;
    revert_changes(host, run, &changes, keep_going, true).await
}

/// Makes an order to revert a run, for its signature.
pub fn prepare_revert(
    host: &Host,
    by: &KeyId,
    run: RunId,
    keep_going: bool,
    reason: Option<&str>,
) -> Result<Prepared<Order>, Error> {
    // Checked before anything is signed: without the key to its undo data the run cannot be reverted.
    blocking(|| {
        claim(host, run)?;
        revertible(host, run)?;
        host.undo_gate(run)
    })?;
    let what = (PolicyAction::Revert, OrderKind::Revert { run, keep_going });
    prepare_order(host, by, Some(run), what, reason.unwrap_or("reverted by hand"))
}

/// Reverts a run by the order of a person. A second revert is harmless, and an interrupted one can be repeated.
pub async fn revert(host: &Host, by: &Actor, run: RunId, keep_going: bool) -> Result<Reverted, Error> {
    let _claim = blocking(|| claim(host, run))?;
    let (changes, by) = blocking(|| {
        let changes = revertible(host, run)?;
        host.undo_gate(run)?;
        let ordered = OrderKind::Revert { run, keep_going };
        let reader = host.journal.reader()?;
        let by = by.check(host, &reader, Some(run), PolicyAction::Revert, |what| *what == ordered)?;
        Ok::<_, Error>((changes, by))
    })?;
    reopen(host, run, Phase::Revert, Reopened::By(&by)).await?;
    let reverted = revert_changes(host, run, &changes, keep_going, false).await?;
    let (state, detail) = (reverted.state(), reverted.words("reverted by hand"));
    end(host, run, state, detail, due_as_before(host, run, state)?).await?;
    Ok(reverted)
}

/// Why a run that may have had a state is worked on again.
#[derive(Clone, Copy)]
pub(crate) enum Reopened<'a> {
    /// Somebody ordered it.
    By(&'a CheckedActor),
    /// The host that worked on it is gone.
    LeftBehind,
    /// Its time is up, in words.
    Due(&'a str),
}

/// Takes the run's state away until the next record of its end.
pub(crate) async fn reopen(host: &Host, run: RunId, phase: Phase, why: Reopened<'_>) -> Result<(), Error> {
    let (by, reason) = match why {
        Reopened::By(by) => (Some(by), by.reason()),
        Reopened::LeftBehind => (None, None),
        Reopened::Due(words) => (None, Some(words)),
    };
    let entered = PhaseEntered {
        phase,
        principal: by.map(|by| by.name.clone()),
        reason: reason.map(ToOwned::to_owned),
        order: by.and_then(|by| Some(by.statement()?.document.clone())),
    };
    Ok(host.journal.commit(Record::now(run, entered)).await?)
}
