//! Taking a run back.

use remit_gate::{AnyOperation, Effect, UndoGate};
use remit_journal::{CallResult, Event, Intent, Mode, RunId, RunState, UndoResult};
use remit_sandbox::Consumed;
use serde::Serialize;

use crate::plan::end;
use crate::{Error, Host};

/// A change that a run made, or may have made.
pub(crate) struct Change {
    pub(crate) intent: Intent,
    pub(crate) operation: &'static dyn AnyOperation,
}

/// What became of one change.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// The call that made it.
    pub call: u64,
    /// Its operation.
    pub operation: String,
    /// What it touched.
    pub resource: String,
    /// How the undo ended.
    pub result: UndoResult,
}

/// What became of a run's changes, the last one first.
#[derive(Clone, Debug, Serialize)]
pub struct Reverted {
    /// Each change.
    pub steps: Vec<Step>,
}

impl Reverted {
    /// The state this leaves the run in.
    #[must_use]
    pub fn state(&self) -> RunState {
        let worst = self.steps.iter().map(|step| match step.result {
            UndoResult::Undone | UndoResult::AlreadyUndone => 0,
            UndoResult::Conflict { .. } | UndoResult::NotReversible { .. } => 1,
            UndoResult::Failed { .. } => 2,
        });
        match worst.max() {
            None | Some(0) => RunState::Reverted,
            Some(1) => RunState::Held,
            Some(_) => RunState::InDoubt,
        }
    }
}

/// The changes of a run that may have happened, in order. A change whose outcome is a definite failure
/// did not; one without an outcome may have.
pub(crate) async fn changes_of(host: &Host, run: RunId) -> Result<Vec<Change>, Error> {
    // What was noted must be on the disk before it is read back.
    host.journal.flush().await?;
    let mut changes: Vec<Change> = Vec::new();
    for (_, record) in host.journal.reader()?.run(&run)? {
        match record.event {
            Event::Intent(intent) if matches!(intent.effect, Effect::Change | Effect::Irrevocable) => {
                // An intent without a prior state failed in preparation: nothing was attempted.
                if intent.before.is_none() {
                    continue;
                }
                let operation = remit_capability::operation(&intent.operation).ok_or_else(|| {
                    remit_gate::Fault::Record {
                        operation: intent.operation.clone(),
                        verb: "read",
                        why: "this version of Remit does not know it".to_owned(),
                    }
                })?;
                changes.push(Change { intent, operation });
            }
            Event::Outcome(outcome) => {
                if let CallResult::Failed { failure } = &outcome.result {
                    let definite = serde_json::from_str::<remit_gate::Failure>(failure.get())
                        .is_ok_and(|failure| failure.is_definite());
                    if definite {
                        changes.retain(|change| change.intent.call != outcome.call);
                    }
                }
            }
            _ => {}
        }
    }
    Ok(changes)
}

/// Undoes changes in reverse order. Stops at the first that cannot be undone: what came before it may
/// depend on it, and a person decides.
pub(crate) async fn revert_changes(host: &Host, run: RunId, changes: Vec<Change>) -> Result<Reverted, Error> {
    let gate = UndoGate {
        run,
        estate: host.estate.clone(),
        journal: host.journal.clone(),
        sealer: host.sealer.clone(),
    };
    let mut steps = Vec::new();
    for change in changes.into_iter().rev() {
        let result = change.operation.undo(&gate, &change.intent).await?;
        let done = matches!(result, UndoResult::Undone | UndoResult::AlreadyUndone);
        steps.push(Step {
            call: change.intent.call,
            operation: change.intent.operation,
            resource: change.intent.resource,
            result,
        });
        if !done {
            break;
        }
    }
    Ok(Reverted { steps })
}

/// Takes a run back by hand. Needs no grant: the right to undo outlives the right to do. Doing it twice is
/// harmless.
///
/// A run without an end may still be going in another process: it is only touched if `interrupted` says
/// that its host is gone.
pub async fn revert(host: &Host, run: RunId, interrupted: bool) -> Result<Reverted, Error> {
    let refuse = |why| Err(Error::NotRevertible { run: run.to_string(), why });
    let records = host.journal.reader()?.run(&run)?;
    let live = records.iter().any(|(_, r)| matches!(&r.event, Event::Started(s) if s.mode == Mode::Live));
    if !live {
        return refuse("it was a rehearsal and changed nothing");
    }
    if !interrupted && !records.iter().any(|(_, r)| matches!(r.event, Event::Ended(_))) {
        return refuse("it has not ended; if the host that ran it is gone, pass --interrupted");
    }
    let changes = changes_of(host, run).await?;
    if changes.is_empty() {
        return refuse("it changed nothing");
    }
    let reverted = revert_changes(host, run, changes).await?;
    end(host, run, reverted.state(), "reverted by hand".to_owned(), &Consumed::default(), None).await?;
    Ok(reverted)
}
