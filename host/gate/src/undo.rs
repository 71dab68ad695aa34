//! Undo. It needs no grant: the right to undo a change lasts longer than the right to make it.

use std::sync::Arc;

use jiff::Timestamp;
use remit_journal::{Event, Intent, Journal, Record, RunId, UndoIntent, UndoOutcome, UndoResult};
use remit_trust::{Sealer, SecretBytes};

use crate::context::undo_context;
use crate::{Change, Estate, Failure, Fault, Permit, Prepared, State};

/// A gate that can only take back what the journal says a run did.
pub struct UndoGate {
    /// The run whose changes are undone.
    pub run: RunId,
    /// The real systems in which changes are undone.
    pub estate: Estate,
    /// The journal to which every undo is written before it is made.
    pub journal: Journal,
    /// Opens what was sealed.
    pub sealer: Arc<Sealer>,
}

impl UndoGate {
    async fn write(&self, event: Event) -> Result<(), Fault> {
        Ok(self.journal.commit(Record { run: self.run, at: Timestamp::now(), event }).await?)
    }

    /// Takes back one recorded change, if the live state still is what it left behind. Idempotent.
    pub(crate) async fn undo<O: Change>(&self, intent: &Intent) -> Result<UndoResult, Fault> {
        self.write(Event::UndoIntent(UndoIntent { call: intent.call })).await?;
        let result = match self.undo_unjournaled::<O>(intent).await {
            Ok(result) => result,
            // The record cannot be used. The journal says so, and a person has to decide.
            Err(fault) => UndoResult::Failed { message: fault.to_string() },
        };
        self.write(Event::UndoOutcome(UndoOutcome { call: intent.call, result: result.clone() })).await?;
        Ok(result)
    }

    /// Compares the live state with one recorded change.
    pub(crate) async fn state<O: Change>(&self, intent: &Intent) -> Result<State, Fault> {
        let backend = self.estate.get::<O>()?;
        let (operation, prepared) = reopen::<O>(&self.run, intent, &self.sealer)?;
        Ok(operation.state(&prepared, &backend).await.unwrap_or_else(|f| State::Other(f.to_string())))
    }

    async fn undo_unjournaled<O: Change>(&self, intent: &Intent) -> Result<UndoResult, Fault> {
        let backend = self.estate.get::<O>()?;
        let (operation, prepared) = reopen::<O>(&self.run, intent, &self.sealer)?;
        Ok(match operation.state(&prepared, &backend).await {
            Err(failure) => UndoResult::Failed { message: failure.to_string() },
            Ok(State::Before) => UndoResult::AlreadyUndone,
            Ok(State::Other(live)) => UndoResult::Conflict { live },
            Ok(State::After) => match &prepared.irrevocable {
                Some(why) => UndoResult::NotReversible { why: why.clone() },
                None => {
                    match O::undo(&backend, Permit { operation: &operation, before: &prepared }).await {
                        Ok(()) => UndoResult::Undone,
                        // The resource was changed between the comparison and the write.
                        Err(Failure::Conflict(live)) => UndoResult::Conflict { live },
                        Err(failure) => UndoResult::Failed { message: failure.to_string() },
                    }
                }
            },
        })
    }
}

/// The operation and its preparation, read back from the intent.
fn reopen<O: Change>(run: &RunId, intent: &Intent, sealer: &Sealer) -> Result<(O, Prepared<O::Undo>), Fault> {
    let broken = |why: String| Fault::Record { operation: O::NAME.to_owned(), verb: "read", why };
    let operation = serde_json::from_str(intent.arguments.get()).map_err(|e| broken(e.to_string()))?;
    let before = intent.before.as_ref().ok_or_else(|| broken("it records no prior state".to_owned()))?;
    let undo = serde_json::from_str(before.get()).map_err(|e| broken(e.to_string()))?;
    let secret = match &intent.sealed {
        None => None,
        Some(sealed) => {
            let open = sealer
                .open(undo_context(run, intent).as_bytes(), sealed)
                .map_err(|e| broken(e.to_string()))?;
            Some(SecretBytes::new(open.to_vec()))
        }
    };
    Ok((operation, Prepared { undo, secret, irrevocable: intent.irrevocable_because.clone() }))
}
