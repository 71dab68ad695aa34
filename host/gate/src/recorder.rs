//! What the gate of a live run or a rehearsal writes into the journal.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use remit_journal::{
    CallEvent, CallResult, Denied, Effect, Event, Intent, Journal, Record, RunId, Simulated, StartError,
};
use remit_trust::{Sealed, Sealer, SecretBytes};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::context::{outcome_context, undo_context};
use crate::{Failure, Fault, Operation, Resource};

/// Writes the records of one run.
pub(crate) struct Recorder {
    run: RunId,
    journal: Journal,
    sealer: Arc<Sealer>,
    /// Whether an answer was a secret, or content: one that is sealed in the journal.
    told: AtomicBool,
}

impl Recorder {
    pub(crate) fn new(run: RunId, journal: Journal, sealer: Arc<Sealer>) -> Self {
        Self { run, journal, sealer, told: AtomicBool::new(false) }
    }

    pub(crate) fn run(&self) -> RunId {
        self.run
    }

    pub(crate) fn was_told(&self) -> bool {
        self.told.load(Ordering::Relaxed)
    }

    /// A refused call. `arguments` are null where they have no canonical form.
    pub(crate) fn deny(
        &self,
        call: u64,
        operation: &str,
        resource: &str,
        arguments: Box<RawValue>,
        reason: &str,
    ) -> Result<(), Fault> {
        // Once the action was told a secret, a name that it chose may hold it: such a name is in no log.
        if self.was_told() {
            tracing::warn!(run = %self.run, call, operation, "host call refused");
        } else {
            tracing::warn!(run = %self.run, call, operation, resource, reason, "host call refused");
        }
        let denied = Denied {
            call,
            operation: operation.to_owned(),
            resource: resource.to_owned(),
            arguments,
            reason: reason.to_owned(),
        };
        self.note(Event::Denied(denied))
    }

    /// The intent of an observation. Not durable yet: nothing hangs on it.
    pub(crate) fn observes<O: Operation>(
        &self,
        at: Timestamp,
        call: u64,
        operation: &O,
        resource: &Resource,
    ) -> Result<(), Fault> {
        let event: CallEvent<'_, O, O::Outcome, Failure> = CallEvent::Intent {
            call,
            operation: operation.name(),
            effect: Effect::Observe,
            resource: resource.as_str(),
            arguments: operation,
        };
        self.journal.note_call(self.run, at, &event)?;
        Ok(())
    }

    /// Makes an intent durable. The journal decides: nothing is on record after what took its authority away, nor
    /// before the time that the journal has come to.
    pub(crate) async fn intend(&self, at: Timestamp, intent: Intent) -> Result<(), StartError> {
        self.journal.intend(Record { run: self.run, at, event: Event::Intent(intent) }).await
    }

    /// The outcome of a call: how many bytes its answer has in the journal.
    pub(crate) fn outcome<O: Operation>(
        &self,
        call: u64,
        operation: &O,
        answer: &Result<O::Outcome, Failure>,
        sealed: bool,
    ) -> Result<u64, Fault> {
        let result = self.result::<O>(call, operation.name(), answer, sealed)?;
        let sent = operation.sent();
        let event: CallEvent<'_, O, O::Outcome, Failure> =
            CallEvent::Outcome { call, result, sent: sent.as_deref() };
        let bytes = self.journal.note_call(self.run, Timestamp::now(), &event)?;
        // The guest does not get it.
        Ok(bytes.saturating_sub(sent.map_or(0, |sent| sent.get().len() as u64)))
    }

    /// Records what a rehearsal simulated, in a record of its own kind. Returns the size of the answer in bytes.
    pub(crate) fn simulated<O: Operation>(
        &self,
        of: Intent,
        answer: &Result<O::Outcome, Failure>,
        sealed: bool,
    ) -> Result<u64, Fault> {
        let result = match self.result::<O>(of.call, &of.operation, answer, sealed)? {
            CallResult::Ok { value } => CallResult::Ok { value: raw(&of.operation, value)? },
            CallResult::Failed { failure } => CallResult::Failed { failure: raw(&of.operation, failure)? },
            CallResult::Sealed { value } => CallResult::Sealed { value },
        };
        let bytes = match &result {
            CallResult::Ok { value } | CallResult::Failed { failure: value } => value.get().len(),
            CallResult::Sealed { value } => value.as_bytes().len(),
        };
        let Intent { call, operation, effect, resource, arguments, before, irrevocable_because, .. } = of;
        self.note(Event::Simulated(Box::new(Simulated {
            call,
            operation,
            effect,
            resource,
            arguments,
            before,
            irrevocable_because,
            result,
        })))?;
        Ok(bytes as u64)
    }

    /// The result of a call, as the journal holds it.
    fn result<'a, O: Operation>(
        &self,
        call: u64,
        operation: &str,
        answer: &'a Result<O::Outcome, Failure>,
        sealed: bool,
    ) -> Result<CallResult<&'a O::Outcome, &'a Failure>, Fault> {
        Ok(match answer {
            Ok(value) if sealed => {
                self.told.store(true, Ordering::Relaxed);
                let plain = SecretBytes::new(serde_json::to_vec(value).map_err(written(operation))?);
                CallResult::Sealed {
                    value: self.seal(operation, &outcome_context(&self.run, call, operation), &plain)?,
                }
            }
            Ok(value) => CallResult::Ok { value },
            Err(failure) => CallResult::Failed { failure },
        })
    }

    /// Seals the secret part of undo data, bound to its intent.
    pub(crate) fn seal_undo(&self, intent: &Intent, secret: &SecretBytes) -> Result<Sealed, Fault> {
        self.seal(&intent.operation, &undo_context(&self.run, intent), secret)
    }

    fn seal(&self, operation: &str, context: &str, secret: &SecretBytes) -> Result<Sealed, Fault> {
        self.sealer.seal(context.as_bytes(), secret.expose()).map_err(|error| Fault::Record {
            operation: operation.to_owned(),
            verb: "written",
            why: error.to_string(),
        })
    }

    pub(crate) fn note(&self, event: Event) -> Result<(), Fault> {
        Ok(self.journal.note(Record { run: self.run, at: Timestamp::now(), event })?)
    }
}

/// An intent without undo data.
pub(crate) fn intent<O: Operation>(
    call: u64,
    operation: &O,
    effect: Effect,
    resource: &Resource,
) -> Result<Intent, Fault> {
    Ok(Intent {
        call,
        operation: operation.name().to_owned(),
        effect,
        resource: resource.to_string(),
        arguments: raw(operation.name(), operation)?,
        before: None,
        sealed: None,
        irrevocable_because: None,
    })
}

pub(crate) fn raw(operation: &str, value: &impl Serialize) -> Result<Box<RawValue>, Fault> {
    serde_json::value::to_raw_value(value).map_err(written(operation))
}

/// What the failure to write a record of `operation` is.
pub(crate) fn written(operation: &str) -> impl Fn(serde_json::Error) -> Fault + '_ {
    |error| Fault::Record { operation: operation.to_owned(), verb: "written", why: error.to_string() }
}
