//! Records to write, and ways to look at a journal's file.
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use remit_journal::{
    About, Act, ActionRef, Basis, CallResult, Certificate, Certified, Denied, Effect, Ended, Event, GrantRef,
    Intent, Journal, LedgerEvent, Mode, Outcome, Phase, Record, RequestId, Resolved, Revocation, RunId,
    RunState, SignedRef, SignedStatement, Simulated, StartError, Started, UndoExpired, UndoIntent,
    UndoOutcome, UndoResult,
};
use remit_tlog::{Frontier, NoteSigner, NoteVerifier, leaf_hash};
use remit_trust::dsse::Envelope;
use remit_trust::issuers::Proof;
use remit_trust::{Digest, Sealed, SigningKey};
use rusqlite::{Connection, params};
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
        connectors: Vec::new(),
        input: raw("{ \"as\":  [\"written\"] }"),
        input_digest: Digest::of(br#"{"as":["written"]}"#),
        scope_digest: Digest::of(b"{}"),
        scope: Some(raw("{}")),
        grant,
        principal: "ana".to_owned(),
        started_by: None,
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

/// An intent that changes nothing.
pub(crate) fn look(run: RunId, call: u64) -> Record {
    let mut record = intent(run, call);
    if let Event::Intent(body) = &mut record.event {
        (body.effect, body.before, body.sealed) = (Effect::Observe, None, None);
    }
    record
}

/// A change of a rehearsal.
pub(crate) fn simulated(run: RunId, call: u64) -> Record {
    let body = Simulated {
        call,
        operation: "remit:secrets/rotate.rotate".to_owned(),
        effect: Effect::Change,
        resource: "secret:prod/db".to_owned(),
        arguments: raw("{}"),
        before: Some(raw("{\"version\":3}")),
        irrevocable_because: None,
        result: CallResult::Ok { value: raw("4") },
    };
    Record::now(run, body)
}

/// The end of a run of which nothing stands.
pub(crate) fn failed(run: RunId) -> Record {
    let mut record = ended(run);
    if let Event::Ended(body) = &mut record.event {
        body.state = RunState::Failed;
    }
    record
}

/// Recomputes chain and frontier: everything that needs no key.
pub(crate) fn rechain(database: &Connection) -> Frontier {
    let rows: Vec<(i64, String, Vec<u8>)> = {
        let mut rows = database.prepare("SELECT seq, run, body FROM record ORDER BY seq").unwrap();
        let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    };
    let (mut chain, mut frontier) = ([0; 32], Frontier::default());
    let mut tails: HashMap<String, (u64, [u8; 32])> = HashMap::new();
    for (seq, of, body) in rows {
        let digest = Digest::of(&body);
        let (place, before) = tails.entry(of).or_default();
        *place += 1;
        let parts: [&[u8]; 5] =
            [b"remit-journal-v2\n", &chain, digest.as_bytes(), &place.to_be_bytes(), before];
        chain = *Digest::of(&parts.concat()).as_bytes();
        *before = chain;
        frontier.push(leaf_hash(&chain));
        database.execute("UPDATE record SET chain = ?1 WHERE seq = ?2", params![chain, seq]).unwrap();
    }
    database
        .execute("UPDATE head SET chain = ?1, frontier = ?2", params![chain, frontier.to_bytes()])
        .unwrap();
    frontier
}

pub(crate) fn outcome(run: RunId, call: u64) -> Record {
    Record::now(run, Outcome { call, result: CallResult::Ok { value: raw("4") }, sent: None })
}

pub(crate) fn ended(run: RunId) -> Record {
    let body = Ended {
        state: RunState::Held,
        detail: "done".to_owned(),
        consumed: raw(r#"{"host_calls":2}"#),
        output: None,
        own_words: None,
        code: None,
        due: remit_journal::Due::default(),
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
        Record::now(run, Phase::Run),
        intent(run, 1),
        outcome(run, 1),
        Record::now(run, denied),
        Record::now(run, UndoIntent { call: 1 }),
        Record::now(run, UndoOutcome { call: 1, result: UndoResult::Conflict { live: "5".to_owned() } }),
        Record::now(
            run,
            Resolved { call: 1, happened: true, principal: "ana".to_owned(), reason: "looked".to_owned() },
        ),
        ended(run),
        Record::now(
            run,
            UndoExpired { principal: "ana".to_owned(), rule: "older than 30d".to_owned(), order: None },
        ),
    ]
}

/// Starts a run; a record of another kind is committed.
pub(crate) async fn write(journal: &Journal, record: Record) -> Result<(), StartError> {
    match record.event {
        Event::Started(_) => journal.start(record, Sealed::from_bytes(vec![4, 5, 6])).await,
        _ => Ok(journal.commit(record).await?),
    }
}

pub(crate) fn grant(uses: u32) -> GrantRef {
    GrantRef { digest: Digest::of(b"a grant"), uses, signed: None, authority: None }
}

/// A grant in force from and until so many seconds from now, signed.
pub(crate) fn signed_grant(from: i64, until: i64) -> GrantRef {
    let at = |seconds| Timestamp::now() + SignedDuration::from_secs(seconds);
    let payload = b"{\"a\":\"grant\"}";
    let envelope = Envelope::sign("test", payload, &SigningKey::generate().unwrap()).unwrap();
    let envelope = serde_json::value::to_raw_value(&envelope).unwrap();
    let signed = SignedRef { envelope, not_before: at(from), not_after: at(until) };
    GrantRef { digest: Digest::of(payload), uses: 1, signed: Some(signed), authority: None }
}

/// What a record is, on one line.
pub(crate) fn kind(record: &Record) -> String {
    match &record.event {
        Event::Intent(intent) => format!("intent {}", intent.call),
        Event::Outcome(outcome) => format!("outcome {}", outcome.call),
        other => other.kind().to_owned(),
    }
}

fn statement() -> SignedStatement {
    let envelope = Envelope::sign("test", b"{}", &SigningKey::generate().unwrap()).unwrap();
    SignedStatement {
        principal: "ana".to_owned(),
        key: "k".repeat(64),
        reason: "a test".to_owned(),
        document: serde_json::value::to_raw_value(&envelope).unwrap(),
    }
}

/// The first act about a request.
pub(crate) fn requested(request: RequestId) -> Act {
    Act::now(About::Request(request), LedgerEvent::Requested(statement()))
}

/// Takes something away.
pub(crate) fn revoked(basis: Basis, earlier_only: bool) -> Act {
    let revocations = vec![Revocation { basis, earlier_only }];
    Act::now(About::Host, LedgerEvent::Revoked { statement: statement(), revocations })
}

/// Nothing goes on until it is lifted.
pub(crate) fn frozen() -> Act {
    Act::now(About::Host, LedgerEvent::Frozen(statement()))
}

/// Lifts every freeze among the first records.
pub(crate) fn unfrozen(seen: u64) -> Act {
    Act::now(About::Host, LedgerEvent::Unfrozen { statement: statement(), seen })
}

const ISSUER: &str = "https://issuer.example";

/// An act of every kind, for a journal that has so many records.
pub(crate) fn acts(after: u64) -> Vec<Act> {
    let request: RequestId = "req-01jd2m4k9x8s7t6v5w4y3z2a1b".parse().unwrap();
    let about = |event| Act::now(About::Request(request), event);
    let (key, token) = (SigningKey::generate().unwrap().verifying_key(), Digest::of(b"a token"));
    let certificate = Certificate {
        log: "test.example/journal".to_owned(),
        key: key.to_text(),
        principal: "ci".to_owned(),
        proof: Proof::IdToken,
        issuer: ISSUER.to_owned(),
        claims: BTreeMap::new(),
        token,
        from: Timestamp::now(),
        until: Timestamp::now(),
    };
    let certified = Certified { certificate, signature: "— test.example/journal AAAA".to_owned() };
    vec![
        requested(request),
        about(LedgerEvent::Approved(statement())),
        about(LedgerEvent::RequestDenied(statement())),
        about(LedgerEvent::Voided { why: "the plan changed".to_owned() }),
        about(LedgerEvent::Expired),
        revoked(Basis::Key("k".repeat(64)), false),
        frozen(),
        unfrozen(after + 7),
        Act::now(About::Host, LedgerEvent::Reviewed { statement: statement(), run: RunId::new() }),
        Act::now(About::Host, LedgerEvent::ReviewDue { runs: vec![RunId::new()], reminder: 1 }),
        Act::now(
            About::Host,
            LedgerEvent::Notified { notifier: "pager".to_owned(), upto: 3, statement: None },
        ),
        Act::now(About::key(&key.id()), LedgerEvent::Certified(Box::new(certified))),
        Act::now(
            About::token(ISSUER, "a-token"),
            LedgerEvent::Exchanged { issuer: ISSUER.to_owned(), token },
        ),
    ]
}
