//! What the gate writes into the journal.

use jiff::Timestamp;
use remit_journal::{CallEvent, CallResult, Denied, Effect, Event, Intent, Record, RunId};
use remit_trust::{Sealed, SecretBytes};
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
        tracing::warn!(run = %self.run, call, operation, resource, reason, "host call refused");
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
    ) -> Result<(), Fault> {
        let result = match answer {
            Ok(value) if O::EFFECT == Effect::Disclose || O::SEALED => {
                let plain = SecretBytes::new(serde_json::to_vec(value).map_err(written::<O>)?);
                CallResult::Sealed { value: self.seal::<O>(call, &plain)? }
            }
            Ok(value) => CallResult::Ok { value },
            Err(failure) => CallResult::Failed { failure },
        };
        self.note_call::<O>(Timestamp::now(), CallEvent::Outcome { call, result })
    }

    pub(super) fn note_call<O: Operation>(
        &self,
        at: Timestamp,
        event: CallEvent<'_, O, O::Outcome, Failure>,
    ) -> Result<(), Fault> {
        Ok(self.journal.note_call(self.run, at, &event)?)
    }

    pub(super) fn seal<O: Operation>(&self, call: u64, secret: &SecretBytes) -> Result<Sealed, Fault> {
        let context = seal_context(&self.run, call, O::NAME);
        self.sealer.seal(context.as_bytes(), secret.expose()).map_err(|error| Fault::Record {
            operation: O::NAME.to_owned(),
            verb: "written",
            why: error.to_string(),
        })
    }

    pub(super) fn note(&self, event: Event) -> Result<(), Fault> {
        Ok(self.journal.note(Record { run: self.run, at: Timestamp::now(), event })?)
    }

    pub(super) async fn commit(&self, event: Event) -> Result<(), Fault> {
        Ok(self.journal.commit(Record { run: self.run, at: Timestamp::now(), event }).await?)
    }
}

/// What a sealed value is bound to, so that it opens nowhere else.
pub(crate) fn seal_context(run: &RunId, call: u64, operation: &str) -> String {
    format!("remit-undo-v1 {run} {call} {operation}")
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
