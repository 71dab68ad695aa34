//! The most frequent records: the intent of an observation, and the outcome of any call. A run may have thousands of them, so
//! they are written directly from the call's own data, without a [`Record`](crate::Record) in between.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::name::Filed;
use crate::{CallResult, Effect, instant};

/// An event of a host call.
#[derive(Debug)]
pub enum CallEvent<'a, A, V, F> {
    /// The call is about to happen and changes nothing: an [`Intent`](crate::Intent) without a prior state.
    Intent {
        /// The call's number in its run, from 1.
        call: u64,
        /// The operation's name: `remit:secrets/inspect.metadata`.
        operation: &'a str,
        /// The strongest effect that it can have.
        effect: Effect,
        /// The resource that it touches.
        resource: &'a str,
        /// The operation, as it will be performed.
        arguments: &'a A,
    },
    /// The call returned: an [`Outcome`](crate::Outcome).
    Outcome {
        /// The call's number in its run.
        call: u64,
        /// The value or the failure that the call returned.
        result: CallResult<&'a V, &'a F>,
        /// What was sent for it.
        sent: Option<&'a RawValue>,
    },
}

impl<A: Serialize, V: Serialize, F: Serialize> CallEvent<'_, A, V, F> {
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Intent { .. } => "intent",
            Self::Outcome { .. } => "outcome",
        }
    }

    /// Appends the record of run `of`, byte for byte as a [`Record`](crate::Record) of the same is serialised.
    pub(crate) fn write(&self, of: &Filed, at: Timestamp, text: &mut Vec<u8>) -> serde_json::Result<()> {
        text.extend_from_slice(br#"{"run":""#);
        text.extend_from_slice(of.as_bytes());
        text.extend_from_slice(br#"","at":""#);
        instant::append(at, text);
        match self {
            Self::Intent { call, operation, effect, resource, arguments } => {
                text.extend_from_slice(br#"","event":{"intent":{"call":"#);
                serde_json::to_writer(&mut *text, call)?;
                text.extend_from_slice(br#","operation":"#);
                quote(operation, text)?;
                text.extend_from_slice(br#","effect":""#);
                text.extend_from_slice(effect.name().as_bytes());
                text.extend_from_slice(br#"","resource":"#);
                quote(resource, text)?;
                text.extend_from_slice(br#","arguments":"#);
                serde_json::to_writer(&mut *text, arguments)?;
            }
            Self::Outcome { call, result, sent } => {
                text.extend_from_slice(br#"","event":{"outcome":{"call":"#);
                serde_json::to_writer(&mut *text, call)?;
                text.extend_from_slice(br#","result":"#);
                serde_json::to_writer(&mut *text, result)?;
                if let Some(sent) = sent {
                    text.extend_from_slice(br#","sent":"#);
                    text.extend_from_slice(sent.get().as_bytes());
                }
            }
        }
        text.extend_from_slice(b"}}}");
        Ok(())
    }
}

/// Writes a JSON string. Names almost never need an escape, so those that do not are copied.
fn quote(name: &str, text: &mut Vec<u8>) -> serde_json::Result<()> {
    if name.bytes().any(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
        return serde_json::to_writer(text, name);
    }
    text.push(b'"');
    text.extend_from_slice(name.as_bytes());
    text.push(b'"');
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;
    use remit_trust::Sealed;
    use serde_json::{Value, json};

    use super::*;
    use crate::{Event, Record, RunId};

    /// It is read as the record it is meant to be, and that one is serialised to the same bytes.
    fn is_a_record(run: RunId, at: Timestamp, event: &CallEvent<'_, Value, Value, Value>) -> Record {
        let mut text = b"what came before".to_vec();
        let start = text.len();
        event.write(&run.filed(), at, &mut text).unwrap();
        let text = std::str::from_utf8(&text[start..]).unwrap();
        let read: Record = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
        assert_eq!((read.run, read.at, read.event.kind()), (run, at, event.kind()));
        read
    }

    proptest! {
        #[test]
        fn an_intent_is_what_serde_would_write(
            call: u64,
            operation in "[a-z:/.]{0,20}|\\PC{0,8}|.{0,8}",
            resource in "[a-z:/]{0,20}|\\PC{0,8}|.{0,8}",
            text: String,
            nanos in 0..i64::MAX,
        ) {
            let (run, at) = (RunId::new(), Timestamp::from_nanosecond(nanos.into()).unwrap());
            let arguments = json!({ "text": text, "none": null });
            for effect in [Effect::Observe, Effect::Change, Effect::Irrevocable, Effect::Disclose] {
                let (operation, resource, arguments) = (operation.as_str(), resource.as_str(), &arguments);
                let read = is_a_record(run, at, &CallEvent::Intent { call, operation, effect, resource, arguments });
                let Event::Intent(intent) = read.event else { unreachable!() };
                prop_assert_eq!((intent.call, intent.effect), (call, effect));
                prop_assert_eq!((&*intent.operation, &*intent.resource), (operation, resource));
                prop_assert_eq!(intent.arguments.get(), arguments.to_string());
                prop_assert!(intent.before.is_none() && intent.sealed.is_none());
            }
        }

        #[test]
        fn an_outcome_is_what_serde_would_write(call: u64, text: String, second in 0..9_000_000_000_i64) {
            let (run, at) = (RunId::new(), Timestamp::from_second(second).unwrap());
            let value = json!([text]);
            for result in [
                CallResult::Ok { value: &value },
                CallResult::Failed { failure: &value },
                CallResult::Sealed { value: Sealed::from_bytes(text.clone().into_bytes()) },
            ] {
                let raw = serde_json::value::to_raw_value(&value).unwrap();
                for sent in [None, Some(&*raw)] {
                    let result = result.clone();
                    let read = is_a_record(run, at, &CallEvent::Outcome { call, result, sent });
                    let Event::Outcome(outcome) = read.event else { unreachable!() };
                    prop_assert_eq!(outcome.call, call);
                    prop_assert_eq!(outcome.sent.as_deref().map(RawValue::get), sent.map(RawValue::get));
                }
            }
        }
    }
}
