//! Undo. It needs no grant: the right to undo a change lasts longer than the right to make it.

use std::sync::Arc;

use jiff::Timestamp;
use remit_journal::{Event, Journal, Record, RunId, UndoIntent, UndoOutcome, UndoResult};
use remit_trust::{Sealer, SecretBytes};

use crate::context::undo_context;
use crate::{Change, Estate, Failure, Fault, Past, Permit, Prepared, State};

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
    pub(crate) async fn undo<O: Change>(
        &self,
        past: Past<'_>,
        read: ReadBack<'_, O>,
    ) -> Result<UndoResult, Fault> {
        self.write(Event::UndoIntent(UndoIntent { call: past.intent.call })).await?;
        let result = match self.undo_unjournaled(past, read).await {
            Ok(result) => result,
            // The record cannot be used. The journal says so, and a person has to decide.
            Err(fault) => UndoResult::Failed { message: fault.to_string() },
        };
        self.write(Event::UndoOutcome(UndoOutcome { call: past.intent.call, result: result.clone() }))
            .await?;
        Ok(result)
    }

    /// Compares the live state with one recorded change.
    pub(crate) async fn state<O: Change>(
        &self,
        past: Past<'_>,
        read: ReadBack<'_, O>,
    ) -> Result<State, Fault> {
        let backend = self.estate.get::<O>(&past.intent.operation)?;
        let (operation, prepared) = reopen(&self.run, past, &self.sealer, read)?;
        Ok(operation.state(&prepared, &backend).await.unwrap_or_else(|f| State::Other(f.to_string())))
    }

    async fn undo_unjournaled<O: Change>(
        &self,
        past: Past<'_>,
        read: ReadBack<'_, O>,
    ) -> Result<UndoResult, Fault> {
        let backend = self.estate.get::<O>(&past.intent.operation)?;
        let (operation, prepared) = reopen(&self.run, past, &self.sealer, read)?;
        let permit = Permit { operation: &operation, before: &prepared };
        Ok(match operation.state(&prepared, &backend).await {
            Err(failure) => UndoResult::Failed { message: failure.to_string() },
            Ok(State::Before) => match O::finish_undo(&backend, permit).await {
                Ok(false) => UndoResult::AlreadyUndone,
                Ok(true) => UndoResult::Undone,
                Err(failure) => UndoResult::Failed { message: failure.to_string() },
            },
            Ok(State::Other(live)) => UndoResult::Conflict { live },
            Ok(State::After) => match &prepared.irrevocable {
                Some(why) => UndoResult::NotReversible { why: why.clone() },
                None => {
                    match O::undo(&backend, permit).await {
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

/// How an operation is made of what the journal has of it.
pub(crate) type ReadBack<'a, O> = &'a (dyn Fn(Past<'_>) -> Result<O, String> + Sync);

/// The operation and its preparation, read back from the intent.
fn reopen<O: Change>(
    run: &RunId,
    past: Past<'_>,
    sealer: &Sealer,
    read: ReadBack<'_, O>,
) -> Result<(O, Prepared<O::Undo>), Fault> {
    let intent = past.intent;
    let broken = |why: String| Fault::Record { operation: intent.operation.clone(), verb: "read", why };
    let operation = read(past).map_err(broken)?;
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
