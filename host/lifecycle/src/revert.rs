//! Taking a run back. Needs no grant: the right to undo outlives the right to do.

use remit_gate::{Phase, State};
use remit_journal::{Event, Mode, PhaseEntered, Record, RunId, RunState, UndoResult};
use remit_policy::PolicyAction;
use remit_sandbox::Consumed;
use remit_trust::KeyId;
use serde::Serialize;

use crate::authority::{Actor, Order, Prepared, SaidBy, What, prepare_order};
use crate::changes::{Change, changes, genuine};
use crate::claim::Claim;
use crate::host::blocking;
use crate::plan::end;
use crate::timeline::undo_words;
use crate::{Error, Host};

/// The result of undoing one change.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// The number of the call that made the change.
    pub call: u64,
    /// The operation that made the change: `remit:secrets/rotate.rotate`.
    pub operation: String,
    /// The resource that was changed.
    pub resource: String,
    /// The arguments of the operation, without the resource.
    pub arguments: serde_json::Value,
    /// What it found there, in a few words, and what is put back.
    pub found: Option<String>,
    /// How the undo ended; in a dry run, how it would.
    pub result: UndoResult,
}

/// The result of undoing a run's changes, the last change first.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Reverted {
    /// Each change that was undone, or that could not be.
    pub steps: Vec<Step>,
    /// The changes that were not tried, because a later one could not be undone.
    pub left: Vec<String>,
}

impl Reverted {
    /// The state this leaves the run in.
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
}

impl Reverted {
    /// The result of a revert by hand, in one sentence.
    fn words(&self) -> String {
        let done = |step: &&Step| matches!(step.result, UndoResult::Undone | UndoResult::AlreadyUndone);
        match self.steps.iter().find(|step| !done(step)) {
            Some(step) => format!("call {} could not be taken back: {}", step.call, undo_words(&step.result)),
            None if self.steps.iter().all(|step| step.result == UndoResult::AlreadyUndone) => {
                "there was nothing left to take back".to_owned()
            }
            None => "taken back by hand".to_owned(),
        }
    }
}

/// Undoes changes in reverse order. Stops at the first that cannot be undone, unless told to keep going: what
/// came before it may be what it rests on, and a person decides.
pub(crate) async fn revert_changes(
    host: &Host,
    run: RunId,
    changes: &[Change],
    keep_going: bool,
) -> Result<Reverted, Error> {
    let mut reverted = Reverted::default();
    if changes.is_empty() {
        return Ok(reverted);
    }
    let gate = host.undo_gate(run)?;
    let mut stopped = false;
    for change in changes.iter().rev() {
        if stopped {
            reverted.left.push(change.words());
            continue;
        }
        let result = if change.is_undone() {
            UndoResult::AlreadyUndone
        } else if change.needs_a_person() {
            UndoResult::InDoubt { live: compared(change.live(&gate).await?) }
        } else {
            change.operation.undo(&gate, &change.intent).await?
        };
        stopped = !keep_going && !matches!(result, UndoResult::Undone | UndoResult::AlreadyUndone);
        reverted.steps.push(step(change, result));
    }
    Ok(reverted)
}

/// What [`revert_changes`] would do, from a look at the live systems.
async fn rehearse_revert(
    host: &Host,
    run: RunId,
    changes: &[Change],
    keep_going: bool,
) -> Result<Reverted, Error> {
    let gate = host.undo_gate(run)?;
    let mut reverted = Reverted::default();
    let mut stopped = false;
    // A later change of the same resource hides what an earlier one left: that one is taken as it is on
    // record.
    let mut hidden = std::collections::HashSet::new();
    for change in changes.iter().rev() {
        if stopped {
            reverted.left.push(change.words());
            continue;
        }
        let first = hidden.insert(change.intent.resource.clone());
        let live = if first { change.live(&gate).await? } else { State::After };
        let result = match (&change.intent.irrevocable_because, live) {
            _ if change.is_undone() => UndoResult::AlreadyUndone,
            (_, live) if change.needs_a_person() => UndoResult::InDoubt { live: compared(live) },
            (_, State::Before) => UndoResult::AlreadyUndone,
            (_, State::Other(live)) => UndoResult::Conflict { live },
            (Some(why), State::After) => UndoResult::NotReversible { why: why.clone() },
            (None, State::After) => UndoResult::Undone,
        };
        stopped = !keep_going && !matches!(result, UndoResult::Undone | UndoResult::AlreadyUndone);
        reverted.steps.push(step(change, result));
    }
    Ok(reverted)
}

fn step(change: &Change, result: UndoResult) -> Step {
    let remit_journal::Intent { call, operation, resource, .. } = &change.intent;
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

/// What a revert of this run would look at; why there can be none.
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
    // Read once: what is taken back is what was found genuine.
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

/// Tells what a revert would do, by a look at the live systems.
pub async fn preview_revert(host: &Host, run: RunId, keep_going: bool) -> Result<Reverted, Error> {
    let _claim = blocking(|| claim(host, run))?;
    let changes = blocking(|| revertible(host, run))?;
    rehearse_revert(host, run, &changes, keep_going).await
}

/// Makes what is signed to take a run back.
pub fn prepare_revert(
    host: &Host,
    by: &KeyId,
    run: RunId,
    keep_going: bool,
    reason: Option<&str>,
) -> Result<Prepared<Order>, Error> {
    // Found out before anything is signed: without its key there is nothing to begin.
    blocking(|| {
        claim(host, run)?;
        revertible(host, run)?;
        host.undo_gate(run)
    })?;
    let what = (PolicyAction::Revert, What::Revert { run, keep_going });
    prepare_order(host, by, Some(run), what, reason.unwrap_or("taken back by hand"))
}

/// Takes a run back by hand. Doing it twice is harmless; one that was interrupted goes on.
pub async fn revert(host: &Host, by: &Actor, run: RunId, keep_going: bool) -> Result<Reverted, Error> {
    let _claim = blocking(|| claim(host, run))?;
    let (changes, by) = blocking(|| {
        let changes = revertible(host, run)?;
        host.undo_gate(run)?;
        let ordered = What::Revert { run, keep_going };
        let by = by.orders(
            host,
            &*host.journal.reader()?,
            Some(run),
            (PolicyAction::Revert, |what| *what == ordered),
        )?;
        Ok::<_, Error>((changes, by))
    })?;
    reopen(host, run, Phase::Revert, Some(&by)).await?;
    let reverted = revert_changes(host, run, &changes, keep_going).await?;
    let detail = reverted.words();
    end(host, run, reverted.state(), detail, &Consumed::default(), None).await?;
    Ok(reverted)
}

/// From here to its next end the run has no state. Without anyone to name, the host itself took it up.
pub(crate) async fn reopen(host: &Host, run: RunId, phase: Phase, by: Option<&SaidBy>) -> Result<(), Error> {
    let entered = PhaseEntered {
        phase,
        principal: by.map(|by| by.name.clone()),
        reason: by.and_then(SaidBy::reason).map(ToOwned::to_owned),
        order: by.and_then(|by| Some(by.statement.as_ref()?.document.clone())),
    };
    Ok(host.journal.commit(Record::now(run, entered)).await?)
}
