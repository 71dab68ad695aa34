//! Time never runs back in a journal. Each record says when it was made, so that no clock is needed to try.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]

use crate::support::{ended, frozen, grant, home, intent, key, look, open, outcome, started, unfrozen};
use jiff::{SignedDuration, Timestamp};
use remit_journal::{
    AuditError, Event, Journal, JournalError, Phase, Reader, Record, RunId, RunState, Spent, StartError,
    UndoIntent, UndoOutcome, UndoResult,
};
use remit_trust::Sealed;

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

/// A run may go on for an hour. What it changes counts for an hour from then on, so that around the turn of an hour nobody has
/// twice as much; to a reader that saw the run begin as to one that sees it later.
#[tokio::test]
async fn the_hour_of_a_change_begins_with_the_change() {
    let (_folder, path) = home();
    let journal = open(&path);
    let spent = |reader: &Reader| {
        let count =
            |spent: &Spent| (spent.by_principal("ana"), spent.under("secret:prod"), spent.starts().len());
        reader.spent(SignedDuration::from_hours(1), count).unwrap()
    };
    let (idle, long) = (RunId::new(), RunId::new());
    start(&journal, idle, -70 * 60).await.unwrap();
    start(&journal, long, -65 * 60).await.unwrap();
    journal.commit(at(crate::support::failed(idle), -64 * 60)).await.unwrap();
    let warm = journal.reader().unwrap();
    assert_eq!(spent(&warm), (0, 0, 1), "one has time left to change something");
    for call in 1..=3 {
        journal.commit(at(intent(long, call), -10 * 60)).await.unwrap();
        journal.note(at(outcome(long, call), -10 * 60)).unwrap();
    }
    journal.commit(at(ended(long), -10 * 60)).await.unwrap();
    for reader in [&*warm, &*open(&path).reader().unwrap()] {
        assert_eq!(spent(reader), (3, 3, 1));
    }
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
        let error = Journal::open(&path, crate::support::signer()).unwrap_err();
        assert!(matches!(error, JournalError::OtherKey { .. } | JournalError::Damaged { .. }), "{error}");
        let audit = Journal::open_read_only(&path).unwrap().verify(&key(), None).unwrap_err();
        assert!(matches!(audit, AuditError::Checkpoint { .. }), "{audit}");
    }
}
