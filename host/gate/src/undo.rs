//! Taking changes back, under an authority of its own: the right to undo outlives the right to do.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

use jiff::Timestamp;
use remit_journal::{Effect, Event, Intent, Journal, Record, RunId, UndoIntent, UndoOutcome, UndoResult};
use remit_trust::{Sealer, SecretBytes};

use crate::gate::undo_context;
use crate::{Estate, Failure, Fault, Operation, Permit, Prepared, State};

/// A gate that can only take back what the journal says a run did.
pub struct UndoGate {
    /// The run whose changes are undone.
    pub run: RunId,
    /// The real systems.
    pub estate: Estate,
    /// Where each undo is written first.
    pub journal: Journal,
    /// Opens what was sealed.
    pub sealer: Arc<Sealer>,
}

impl UndoGate {
    async fn write(&self, event: Event) -> Result<(), Fault> {
        Ok(self.journal.commit(Record { run: self.run, at: Timestamp::now(), event }).await?)
    }

    /// Takes back one recorded change, if the live state still is what it left behind. Idempotent.
    async fn undo<O: Operation>(&self, intent: &Intent) -> Result<UndoResult, Fault> {
        self.write(Event::UndoIntent(UndoIntent { call: intent.call })).await?;
        let result = match self.undo_unjournaled::<O>(intent).await {
            Ok(result) => result,
            // What is on record cannot be used: a person must know, and the journal must say so.
            Err(fault) => UndoResult::Failed { message: fault.to_string() },
        };
        self.write(Event::UndoOutcome(UndoOutcome { call: intent.call, result: result.clone() })).await?;
        Ok(result)
    }

    async fn undo_unjournaled<O: Operation>(&self, intent: &Intent) -> Result<UndoResult, Fault> {
        let backend = self.estate.get::<O>()?;
        let (operation, prepared) = reopen::<O>(&self.run, intent, &self.sealer)?;
        Ok(match operation.state(&prepared, &backend).await {
            Err(failure) => UndoResult::Failed { message: failure.to_string() },
            Ok(State::Before) => UndoResult::AlreadyUndone,
            Ok(State::Other(live)) => UndoResult::Conflict { live },
            Ok(State::After) => match &prepared.irrevocable {
                Some(why) => UndoResult::NotReversible { why: why.clone() },
                None => {
                    match O::undo(&backend, Permit { operation: &operation, before: Some(&prepared) }).await {
                        Ok(()) => UndoResult::Undone,
                        // Someone was faster between the comparison and the write.
                        Err(Failure::Conflict(live)) => UndoResult::Conflict { live },
                        Err(failure) => UndoResult::Failed { message: failure.to_string() },
                    }
                }
            },
        })
    }
}

/// A boxed future, for trait objects.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// An operation known by its name only, as the journal knows it.
pub trait AnyOperation: Sync {
    /// [`Operation::NAME`].
    fn name(&self) -> &'static str;
    /// [`Operation::EFFECT`].
    fn effect(&self) -> Effect;
    /// [`Operation::RUN_TIME`].
    fn run_time(&self) -> &'static [&'static str];
    /// Whether it looks, and hands out content: see [`Operation::SEALED`].
    fn is_content(&self) -> bool;
    /// Takes one recorded change back; see [`UndoGate`].
    fn undo<'a>(&self, gate: &'a UndoGate, intent: &'a Intent) -> Boxed<'a, Result<UndoResult, Fault>>;
    /// Compares the live state with a recorded change: the host's own check after a run.
    fn state<'a>(&self, gate: &'a UndoGate, intent: &'a Intent) -> Boxed<'a, Result<State, Fault>>;
}

/// [`AnyOperation`] of the operation `O`.
#[derive(Clone, Copy, Debug)]
pub struct Of<O>(PhantomData<fn() -> O>);

impl<O> Of<O> {
    /// The only value.
    pub const NEW: Self = Self(PhantomData);
}

impl<O: Operation> AnyOperation for Of<O> {
    fn name(&self) -> &'static str {
        O::NAME
    }

    fn effect(&self) -> Effect {
        O::EFFECT
    }

    fn run_time(&self) -> &'static [&'static str] {
        O::RUN_TIME
    }

    fn is_content(&self) -> bool {
        O::SEALED && O::EFFECT == Effect::Observe
    }

    fn undo<'a>(&self, gate: &'a UndoGate, intent: &'a Intent) -> Boxed<'a, Result<UndoResult, Fault>> {
        Box::pin(gate.undo::<O>(intent))
    }

    fn state<'a>(&self, gate: &'a UndoGate, intent: &'a Intent) -> Boxed<'a, Result<State, Fault>> {
        Box::pin(async move {
            let backend = gate.estate.get::<O>()?;
            let (operation, prepared) = reopen::<O>(&gate.run, intent, &gate.sealer)?;
            Ok(operation.state(&prepared, &backend).await.unwrap_or_else(|f| State::Other(f.to_string())))
        })
    }
}

/// The operation and its preparation, from what was written.
fn reopen<O: Operation>(
    run: &RunId,
    intent: &Intent,
    sealer: &Sealer,
) -> Result<(O, Prepared<O::Undo>), Fault> {
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
