//! An action's own words: its error, its output, the names in a call that was refused. Once the action was given a secret
//! or content, any of them may contain it. Then they are sealed in the journal, and shown nowhere else.

use remit_gate::{Failure, Fault, Gate};
use remit_journal::{CallResult, Ended, Event, Reader, Record, RunId};
use remit_sandbox::Stop;
use remit_trust::{Sealed, Sealer};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::keyring::Keyring;
use crate::{Error, Home};

/// The final message and output of an action that had been given a secret or content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OwnWords {
    /// Why the run ended, with what the action itself said.
    pub detail: String,
    /// What the action returned; none if it did not return a value.
    pub output: Option<Value>,
}

fn context(run: RunId) -> Vec<u8> {
    format!("remit-own-words-v1 {run}").into_bytes()
}

impl OwnWords {
    /// The sealed words for the journal; none if the action was given no secret or content.
    pub(crate) fn sealed(&self, gate: &Gate, run: RunId, sealer: &Sealer) -> Result<Option<Sealed>, Error> {
        if !gate.was_told() {
            return Ok(None);
        }
        Ok(Some(sealer.seal(&context(run), &serde_json::to_vec(self)?)?))
    }

    /// Opens the sealed words of a run's end; none if nothing was sealed.
    pub(crate) fn open(ended: &Ended, run: RunId, sealer: &Sealer) -> Result<Option<Self>, Error> {
        let Some(sealed) = &ended.own_words else { return Ok(None) };
        Ok(Some(serde_json::from_slice(&sealer.open(&context(run), sealed)?)?))
    }
}

/// Opens the sealed words of a run's end, for a user of this machine; none if nothing was sealed.
pub fn own_words(home: &Home, reader: &Reader, run: RunId) -> Result<Option<OwnWords>, Error> {
    let records = reader.run(&run)?;
    let sealed = records.iter().find_map(|(_, record)| match &record.event {
        Event::Ended(ended) if ended.own_words.is_some() => Some(ended),
        _ => None,
    });
    let Some(ended) = sealed else { return Ok(None) };
    OwnWords::open(ended, run, &*Keyring::open_read_only(home, reader)?.of(reader, run)?)
}

/// The cause of a run's end as it may be shown. If the action was given a secret or content, its words are left out.
/// Otherwise the last failure that it got from the host is added.
pub(crate) fn withheld(gate: &Gate, run: RunId, cause: Error) -> Error {
    match summary(&cause) {
        Some(what) if gate.was_told() => return Error::Withheld { what, cause: Box::new(cause) },
        _ => {}
    }
    let mut failures = gate.failures();
    let settled = failures.iter().all(Failure::is_of_the_state);
    match (cause, failures.pop()) {
        (Error::Stop(Stop::Failed(message)), Some(failure)) => {
            Error::AfterFailure { message, failure, settled, run }
        }
        (cause, _) => cause,
    }
}

/// What happened, without the words of the action; none if the text of the error has no such words.
fn summary(cause: &Error) -> Option<&'static str> {
    let fault = match cause {
        Error::Stop(Stop::Fault(fault)) | Error::Fault(fault) => fault,
        Error::Stop(Stop::Failed(_)) => return Some("the action failed"),
        Error::Stop(Stop::Unverified(_)) => return Some("verify failed"),
        Error::Stop(Stop::Trapped(_)) => return Some("the action crashed"),
        Error::Stop(Stop::Output(_)) => return Some("the action's output is not JSON"),
        _ => return None,
    };
    match fault {
        // Their texts are the host's own.
        Fault::Exceeded(_)
        | Fault::Expired(_)
        | Fault::Withdrawn(_)
        | Fault::NotYet(_)
        | Fault::Clock(_)
        | Fault::EndOfRecord
        | Fault::Journal(_)
        | Fault::NoBackend { .. }
        | Fault::Interrupted { .. } => None,
        Fault::OutOfScope { .. } => Some("a call was outside the granted scope"),
        Fault::NotInPlan { .. } => Some("a call was not what the approved plan has next"),
        Fault::ReadOnly { .. } => Some("a call would have changed something during `verify`"),
        // A new fault must be listed above before its text is shown.
        _ => Some("the host refused a call"),
    }
}

/// Whether the action of a run was given a secret or content.
pub(crate) fn was_told(records: &[(u64, Record)]) -> bool {
    records.iter().any(|(_, record)| match &record.event {
        Event::Outcome(outcome) => matches!(outcome.result, CallResult::Sealed { .. }),
        Event::Simulated(simulated) => matches!(simulated.result, CallResult::Sealed { .. }),
        _ => false,
    })
}
