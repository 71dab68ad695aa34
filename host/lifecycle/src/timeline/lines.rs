//! One line per record: what happened, in order.

use jiff::Timestamp;
use remit_journal::{CallResult, Effect, Event, Mode, Record};
use serde_json::Value;
use serde_json::value::RawValue;

use super::words::{Words, called, found_words, reload_words, short, undo_words, value_words};

/// The operation that writes a line into the journal.
pub(super) const LOG: &str = "remit:host/log.write";

/// One record, as a line for a person.
#[derive(Clone, Debug)]
pub struct Line {
    /// The sequence number of the record.
    pub seq: u64,
    /// When the record was written.
    pub at: Timestamp,
    /// The event in one or two words: `started`, `#3 change`.
    pub what: String,
    /// The rest of the line: the resource, the arguments, the result or the reason.
    pub detail: Words,
    /// Whether an incident report needs it. It does not need reads, nor what the next line repeats.
    pub essential: bool,
}

/// The widest request that a line shows, in columns.
const REQUEST: usize = 80;

/// With the requests that were sent through a connector: each by its template, and the status of the answer.
fn with_sent(mut words: Words, sent: Option<&RawValue>) -> Words {
    let sent = sent.and_then(|sent| serde_json::from_str::<Vec<Value>>(sent.get()).ok());
    for one in sent.into_iter().flatten() {
        let template = one["template"].as_str().unwrap_or_default();
        let status =
            one["status"].as_u64().map_or_else(|| "no answer".to_owned(), |status| status.to_string());
        words =
            words.and("; sent ").theirs(remit_text::short_line(template, REQUEST)).and(format!(": {status}"));
    }
    words
}

/// A record as a line; none for a record that tells a person nothing.
pub(super) fn line(seq: u64, record: &Record) -> Option<Line> {
    let mut essential = true;
    let (what, detail) = match &record.event {
        Event::Started(started) => {
            let mut detail = Words::ours(match started.mode {
                Mode::Live => "",
                Mode::Rehearse => "rehearsal of ",
            })
            .theirs(format!("{} {}", started.action.name, started.action.version))
            .and(format!(" ({}) by ", started.action.digest.short()))
            .theirs(&started.principal);
            if let Some(grant) = &started.grant {
                detail = detail.and(format!(", grant {}", grant.digest.short()));
            }
            ("started".to_owned(), detail.and(": ").theirs(&started.reason))
        }
        Event::Phase(phase) => {
            let mut detail = Words::ours(phase.phase.to_string());
            if let Some(principal) = &phase.principal {
                detail = detail.and(" by ").theirs(principal);
            }
            if let Some(reason) = &phase.reason {
                detail = detail.and(": ").theirs(reason);
            }
            ("phase".to_owned(), detail)
        }
        Event::Intent(intent) if intent.operation == LOG => {
            let line: Value = serde_json::from_str(intent.arguments.get()).unwrap_or_default();
            ("log".to_owned(), Words::default().theirs(line["message"].as_str().unwrap_or_default()))
        }
        Event::Intent(intent) => {
            essential = intent.effect != Effect::Observe;
            (
                format!("#{} {}", intent.call, intent.effect),
                on(&intent.operation, &intent.resource, &intent.arguments, intent.before.as_deref()),
            )
        }
        Event::Outcome(outcome) => {
            let sent = outcome.sent.as_deref();
            match &outcome.result {
                CallResult::Ok { value } if value.get() == "null" && sent.is_none() => return None,
                CallResult::Ok { value } => {
                    essential = false;
                    let value = Words::default().theirs(value.get());
                    (format!("#{} →", outcome.call), with_sent(value, sent))
                }
                CallResult::Sealed { .. } => {
                    (format!("#{} →", outcome.call), Words::ours("the answer, sealed"))
                }
                CallResult::Failed { failure } => {
                    let why = Words::default().theirs(failure_words(failure.get()));
                    (format!("#{} failed", outcome.call), with_sent(why, sent))
                }
            }
        }
        Event::Denied(denied) => (
            format!("#{} REFUSED", denied.call),
            on(&denied.operation, &denied.resource, &denied.arguments, None).and(": ").theirs(&denied.reason),
        ),
        Event::Simulated(simulated) => {
            let before = simulated.before.as_deref();
            let detail = on(&simulated.operation, &simulated.resource, &simulated.arguments, before);
            let detail = match &simulated.result {
                CallResult::Failed { failure } => {
                    detail.and(", failed: ").theirs(failure_words(failure.get()))
                }
                CallResult::Ok { .. } | CallResult::Sealed { .. } => detail,
            };
            (format!("#{} {}, simulated", simulated.call, simulated.effect), detail)
        }
        Event::UndoIntent(undo) => {
            essential = false;
            ("undo".to_owned(), Words::ours(format!("of #{}", undo.call)))
        }
        Event::UndoOutcome(undo) => (format!("undo #{} →", undo.call), undo_words(&undo.result)),
        Event::Resolved(resolved) => (
            format!("#{} resolved", resolved.call),
            Words::ours(if resolved.happened { "it happened" } else { "it did not happen" })
                .and(", says ")
                .theirs(&resolved.principal)
                .and(": ")
                .theirs(&resolved.reason),
        ),
        Event::Extended(extended) => (
            "extended".to_owned(),
            Words::ours(format!("to {} by ", extended.until))
                .theirs(&extended.principal)
                .and(": ")
                .theirs(&extended.reason),
        ),
        Event::Paged(paged) => ("people called".to_owned(), Words::default().theirs(&paged.why)),
        Event::UndoExpired(expired) => (
            "undo expired".to_owned(),
            Words::ours("by ").theirs(&expired.principal).and(": ").theirs(&expired.rule),
        ),
        Event::Ended(ended) => {
            ("ended".to_owned(), Words::ours(format!("{}: ", ended.state)).theirs(&ended.detail))
        }
    };
    Some(Line { seq, at: record.at, what, detail, essential })
}

/// A call in words: the operation, its arguments, the resource, and the state before a change.
fn on(operation: &str, resource: &str, arguments: &RawValue, before: Option<&RawValue>) -> Words {
    let value = |raw: &RawValue| serde_json::from_str::<Value>(raw.get()).unwrap_or_default();
    let words = called(operation, &value(arguments)).and(" on ").theirs(resource);
    let before = before.map(value).unwrap_or_default();
    let words = match found_words(&before) {
        Some(found) => words.and(", found: ").theirs(found),
        None => words,
    };
    match reload_words(&before) {
        Some(commands) => words.and(", then runs: ").theirs(commands),
        None => words,
    }
}

/// A failure in words: `not-found: prod/a has no version 7`.
pub(super) fn failure_words(failure: &str) -> String {
    let value: Value = serde_json::from_str(failure).unwrap_or_default();
    match (value["kind"].as_str(), value["message"].as_str()) {
        (Some(kind), Some(message)) => format!("{kind}: {message}"),
        _ => value_words(&value),
    }
}

/// The publisher of an action, by the id of its key.
pub(super) fn publisher(id: Option<&str>) -> Words {
    match id {
        Some(id) => Words::ours("published by ").theirs(short(id)),
        None => Words::ours("unsigned"),
    }
}
