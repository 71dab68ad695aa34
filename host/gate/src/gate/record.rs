//! What the gate writes into the journal.

use std::sync::atomic::Ordering;

use jiff::Timestamp;
use remit_journal::{CallEvent, CallResult, Denied, Effect, Event, Intent, Record, RunId, Simulated};
use remit_trust::{Digest, Sealed, SecretBytes};
use serde::Serialize;
use serde_json::value::RawValue;

use super::Inner;
use crate::{Failure, Fault, Operation, Resource};

impl Inner {
    pub(super) fn deny(
        &self,
        call: u64,
        operation: &str,
        resource: &str,
        arguments: Box<RawValue>,
        reason: &str,
    ) -> Result<(), Fault> {
        // Once the action was told a secret, a name that it chose may hold it: such a name is in no log.
        if self.told.load(Ordering::Relaxed) {
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

    pub(super) fn note_outcome<O: Operation>(
        &self,
        call: u64,
        answer: &Result<O::Outcome, Failure>,
    ) -> Result<u64, Fault> {
        let result = self.result::<O>(call, answer)?;
        self.note_call::<O>(Timestamp::now(), CallEvent::Outcome { call, result })
    }

    /// What came of a call, as the journal holds it.
    fn result<'a, O: Operation>(
        &self,
        call: u64,
        answer: &'a Result<O::Outcome, Failure>,
    ) -> Result<CallResult<&'a O::Outcome, &'a Failure>, Fault> {
        Ok(match answer {
            Ok(value) if O::EFFECT == Effect::Disclose || O::SEALED => {
                self.told.store(true, Ordering::Relaxed);
                let plain = SecretBytes::new(serde_json::to_vec(value).map_err(written::<O>)?);
                CallResult::Sealed {
                    value: self.seal::<O>(&outcome_context(&self.run, call, O::NAME), &plain)?,
                }
            }
            Ok(value) => CallResult::Ok { value },
            Err(failure) => {
                self.progress().failures.push(failure.clone());
                CallResult::Failed { failure }
            }
        })
    }

    /// Journals what a rehearsal played, in a record that nobody can take for a call: how long its answer is.
    pub(super) fn note_simulated<O: Operation>(
        &self,
        of: Intent,
        answer: &Result<O::Outcome, Failure>,
    ) -> Result<u64, Fault> {
        let result = match self.result::<O>(of.call, answer)? {
            CallResult::Ok { value } => CallResult::Ok { value: raw::<O>(value)? },
            CallResult::Failed { failure } => CallResult::Failed { failure: raw::<O>(failure)? },
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

    pub(super) fn note_call<O: Operation>(
        &self,
        at: Timestamp,
        event: CallEvent<'_, O, O::Outcome, Failure>,
    ) -> Result<u64, Fault> {
        Ok(self.journal.note_call(self.run, at, &event)?)
    }

    pub(super) fn seal<O: Operation>(&self, context: &str, secret: &SecretBytes) -> Result<Sealed, Fault> {
        self.sealer.seal(context.as_bytes(), secret.expose()).map_err(|error| Fault::Record {
            operation: O::NAME.to_owned(),
            verb: "written",
            why: error.to_string(),
        })
    }

    pub(super) fn note(&self, event: Event) -> Result<(), Fault> {
        Ok(self.journal.note(Record { run: self.run, at: Timestamp::now(), event })?)
    }
}

/// What a sealed outcome is bound to, so that it opens nowhere else.
pub(crate) fn outcome_context(run: &RunId, call: u64, operation: &str) -> String {
    format!("remit-undo-v1 {run} {call} {operation}")
}

/// What sealed undo data is bound to: every part of its intent, so that it never restores anything else than it was
/// kept for.
pub(crate) fn undo_context(run: &RunId, intent: &Intent) -> String {
    let Intent { call, operation, effect, resource, arguments, before, irrevocable_because, .. } = intent;
    let before = before.as_ref().map_or("", |before| before.get());
    let because = irrevocable_because.as_deref().unwrap_or("");
    // Lengths keep two different rows of texts from being one.
    let parts = [effect.name(), resource, arguments.get(), before, because];
    let text = parts.map(|part| format!("{} {part}", part.len())).join(" ");
    format!("remit-undo-v2 {run} {call} {operation} {}", Digest::of(text.as_bytes()))
}

pub(super) fn intent<O: Operation>(
    call: u64,
    operation: &O,
    effect: Effect,
    resource: &Resource,
) -> Result<Intent, Fault> {
    Ok(Intent {
        call,
        operation: O::NAME.to_owned(),
        effect,
        resource: resource.to_string(),
        arguments: raw::<O>(operation)?,
        before: None,
        sealed: None,
        irrevocable_because: None,
    })
}

pub(super) fn raw<O: Operation>(value: &impl Serialize) -> Result<Box<RawValue>, Fault> {
    serde_json::value::to_raw_value(value).map_err(written::<O>)
}

pub(super) fn written<O: Operation>(error: serde_json::Error) -> Fault {
    Fault::Record { operation: O::NAME.to_owned(), verb: "written", why: error.to_string() }
}
