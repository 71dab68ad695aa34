//! Time never runs back in a journal. Each record says when it was made, so that no clock is needed to try.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]

mod support;

use jiff::{SignedDuration, Timestamp};
use remit_journal::{
    AuditError, Event, Journal, JournalError, Phase, Record, RunId, RunState, StartError, UndoIntent,
    UndoOutcome, UndoResult,
};
use remit_trust::Sealed;
use support::{ended, frozen, grant, home, intent, key, look, open, outcome, started, unfrozen};

/// The same record by a clock that differs by so many seconds.
fn at(record: Record, seconds: i64) -> Record {
    Record { at: Timestamp::now() + SignedDuration::from_secs(seconds), ..record }
}

async fn start(journal: &Journal, run: RunId, seconds: i64) -> Result<(), StartError> {
    journal.start(at(started(run, Some(grant(99))), seconds), Sealed::from_bytes(vec![1])).await
}

/// Back, forward, and back across a record that needs no key.
#[tokio::test]
async fn a_clock_that_was_set_back_starts_and_changes_nothing() {
    let (_folder, path) = home();
    let journal = open(&path);
    let going = RunId::new();
    start(&journal, going, 0).await.unwrap();
    journal.commit(at(intent(going, 1), 3_600)).await.unwrap();
    let highest = journal.reader().unwrap().highest().unwrap().unwrap();
    let refused = |result: Result<(), StartError>| {
        let Err(StartError::Clock { now, newest }) = result else { panic!("{result:?}") };
        assert!(now < newest && newest == highest);
    };
    // Other handles and readers go by it as well.
    for journal in [&journal, &open(&path)] {
        assert_eq!(journal.now().unwrap(), highest);
        assert_eq!(journal.reader().unwrap().now().unwrap(), highest);
        refused(start(journal, RunId::new(), 0).await);
        // A keyless record under that clock is written, and makes nobody believe it.
        journal.note(at(look(going, 2), 0)).unwrap();
        journal.commit(at(Record::now(going, Phase::Run), 0)).await.unwrap();
        journal.note(at(outcome(going, 2), -7_200)).unwrap();
        journal.flush().await.unwrap();
        assert_eq!(journal.reader().unwrap().highest().unwrap(), Some(highest));
        refused(start(journal, RunId::new(), 0).await);
        refused(journal.intend(at(intent(going, 3), 0)).await);
        assert!(matches!(journal.commit(at(intent(going, 3), 0)).await, Err(JournalError::Record { .. })));
    }
    // Within two seconds it is no other clock.
    let run = RunId::new();
    start(&journal, run, 3_599).await.unwrap();
    // Forward: it goes on from there.
    start(&journal, RunId::new(), 7_200).await.unwrap();
    let forward = journal.now().unwrap();
    assert!(forward > highest);
    let late = start(&journal, RunId::new(), 3_600).await;
    assert!(matches!(late, Err(StartError::Clock { newest, .. }) if newest == forward));
    drop(journal);
    Journal::open_read_only(&path).unwrap().verify(&key(), None).unwrap();
}

/// What must not be lost is written, at the time that the journal knows.
#[tokio::test]
async fn what_must_be_written_gets_the_journal_s_time() {
    let (_folder, path) = home();
    let journal = open(&path);
    let run = RunId::new();
    start(&journal, run, 0).await.unwrap();
    journal.commit(at(intent(run, 1), 3_600)).await.unwrap();
    let highest = journal.now().unwrap();
    let result = UndoResult::Undone;
    let mut end = ended(run);
    if let Event::Ended(body) = &mut end.event {
        body.state = RunState::Reverted;
    }
    for record in [
        Record::now(run, Phase::Revert),
        Record::now(run, UndoIntent { call: 1 }),
        Record::now(run, UndoOutcome { call: 1, result }),
        end,
    ] {
        journal.commit(at(record, 0)).await.unwrap();
    }
    for act in [frozen(), unfrozen(7)] {
        journal.act(&act).await.unwrap();
    }
    let reader = journal.reader().unwrap();
    let records = reader.run(&run).unwrap();
    assert_eq!(records.len(), 6);
    assert!(records[2..].iter().all(|(_, record)| record.at == highest), "{records:?}");
    let acts = reader.acts(remit_journal::About::Host).unwrap();
    assert!(acts.iter().all(|(_, act)| act.at == highest));
    assert_eq!(reader.highest().unwrap(), Some(highest));
    reader.verify(&key(), None).unwrap();
    reader.genuine(&run, &key()).unwrap();
}

/// The time is signed: nobody without the key makes the journal believe another one.
#[tokio::test]
async fn the_time_is_signed() {
    let (_folder, path) = home();
    let journal = open(&path);
    start(&journal, RunId::new(), 3_600).await.unwrap();
    // What witnesses get has no time, and is signed as well.
    let plain = journal.plain_checkpoint().unwrap();
    assert!(!plain.contains("time"), "{plain}");
    drop(journal);
    let whole = std::fs::read(&path).unwrap();
    let earlier = "UPDATE head SET note = replace(note, 'time 2', 'time 1')".to_owned();
    for tamper in [earlier, format!("UPDATE head SET note = '{plain}'")] {
        std::fs::write(&path, &whole).unwrap();
        assert_eq!(rusqlite::Connection::open(&path).unwrap().execute(&tamper, []).unwrap(), 1);
        let error = Journal::open(&path, support::signer()).unwrap_err();
        assert!(matches!(error, JournalError::OtherKey { .. } | JournalError::Damaged { .. }), "{error}");
        let audit = Journal::open_read_only(&path).unwrap().verify(&key(), None).unwrap_err();
        assert!(matches!(audit, AuditError::Checkpoint { .. }), "{audit}");
    }
}
