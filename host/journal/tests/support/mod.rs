//! Records to write, and ways to look at a journal's file.
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};

use remit_journal::{
    ActionRef, CallResult, Denied, Effect, Ended, Event, GrantRef, Intent, Journal, Mode, Outcome, Phase,
    PhaseEntered, Record, RunId, RunState, Started, UndoIntent, UndoOutcome, UndoResult,
};
use remit_tlog::{NoteSigner, NoteVerifier};
use remit_trust::{Digest, Sealed};
use serde_json::value::RawValue;
use tempfile::TempDir;

pub(crate) fn signer() -> NoteSigner {
    NoteSigner::from_seed("remit.test/journal", &[9; 32]).unwrap()
}

pub(crate) fn key() -> NoteVerifier {
    signer().verifier()
}

pub(crate) fn home() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    (folder, path)
}

pub(crate) fn open(path: &Path) -> Journal {
    Journal::open(path, signer()).unwrap()
}

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap()
}

pub(crate) fn started(run: RunId, grant: Option<GrantRef>) -> Record {
    let digest = Digest::of(b"component");
    let body = Started {
        mode: if grant.is_some() { Mode::Live } else { Mode::Rehearse },
        action: ActionRef { digest, name: "rotate".to_owned(), version: "1.0.0".to_owned() },
        publisher: None,
        input: raw("{ \"as\":  [\"written\"] }"),
        input_digest: digest,
        scope_digest: digest,
        scope: None,
        grant,
        principal: "ana".to_owned(),
        reason: "quarterly rotation".to_owned(),
        seed: [3; 32],
        host_version: "0.1.0".to_owned(),
    };
    Record::now(run, body)
}

pub(crate) fn intent(run: RunId, call: u64) -> Record {
    let body = Intent {
        call,
        operation: "remit:secrets/rotate.rotate".to_owned(),
        effect: Effect::Change,
        resource: "secret:prod/db".to_owned(),
        arguments: raw("{\"path\": \"prod/db\"}"),
        before: Some(raw("{\"version\":3}")),
        sealed: Some(Sealed::from_bytes(vec![1, 2, 3])),
        irrevocable_because: None,
    };
    Record::now(run, body)
}

pub(crate) fn outcome(run: RunId, call: u64) -> Record {
    Record::now(run, Outcome { call, result: CallResult::Ok { value: raw("4") } })
}

pub(crate) fn ended(run: RunId) -> Record {
    let body = Ended {
        state: RunState::Succeeded,
        detail: "done".to_owned(),
        consumed: serde_json::json!({"host_calls": 2}),
        output: None,
    };
    Record::now(run, body)
}

/// A live run that has one record of every kind, its start excepted.
pub(crate) fn story(run: RunId) -> Vec<Record> {
    let denied = Denied {
        call: 2,
        operation: "remit:secrets/rotate.rotate".to_owned(),
        resource: "secret:prod/other".to_owned(),
        arguments: raw("{}"),
        reason: "no pattern".to_owned(),
    };
    vec![
        Record::now(run, PhaseEntered { phase: Phase::Run }),
        intent(run, 1),
        outcome(run, 1),
        Record::now(run, denied),
        Record::now(run, UndoIntent { call: 1 }),
        Record::now(run, UndoOutcome { call: 1, result: UndoResult::Conflict { live: "5".to_owned() } }),
        ended(run),
    ]
}

pub(crate) fn grant(uses: u32) -> GrantRef {
    GrantRef { digest: Digest::of(b"a grant"), uses, signed: None }
}

/// What a record is, on one line.
pub(crate) fn kind(record: &Record) -> String {
    match &record.event {
        Event::Intent(intent) => format!("intent {}", intent.call),
        Event::Outcome(outcome) => format!("outcome {}", outcome.call),
        other => other.kind().to_owned(),
    }
}
