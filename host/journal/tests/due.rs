//! What the host does by itself later is on record, and the table of it follows from the records.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]

use std::sync::LazyLock;

use crate::support::{ended, failed, grant, home, intent, key, open, outcome, started, write};
use jiff::{SignedDuration, Timestamp};
use remit_journal::{Due, Event, Extended, Journal, Paged, Record, RunId, RunState};
use rusqlite::Connection;

/// The same moment however often it is asked for: in whole seconds, which may begin between two questions.
fn at(hours: i64) -> Timestamp {
    static NOW: LazyLock<Timestamp> =
        LazyLock::new(|| Timestamp::from_second(Timestamp::now().as_second()).unwrap());
    NOW.checked_add(SignedDuration::from_hours(hours)).unwrap()
}

fn restore(at: Timestamp) -> Due {
    Due { restore: Some(at), page: None }
}

/// The end of a run, with this to be done later.
fn end(mut record: Record, due: Due) -> Record {
    if let Event::Ended(ended) = &mut record.event {
        ended.due = due;
    }
    record
}

fn extended(run: RunId, until: Timestamp) -> Record {
    let (principal, reason) = ("ana".to_owned(), "looked".to_owned());
    Record::now(run, Extended { until, principal, reason, order: None })
}

fn paged(run: RunId, due: Due) -> Record {
    Record::now(run, Paged { why: "its time is up".to_owned(), due })
}

/// A journal with one run that made a change, and then these records.
async fn with(records: impl Fn(RunId) -> Vec<Record>) -> (tempfile::TempDir, std::path::PathBuf, RunId) {
    let (folder, path) = home();
    let journal = open(&path);
    let run = RunId::new();
    write(&journal, started(run, Some(grant(9)))).await.unwrap();
    let made = [Record::now(run, remit_journal::Phase::Run), intent(run, 1), outcome(run, 1)];
    for record in made.into_iter().chain(records(run)) {
        journal.commit(record).await.unwrap();
    }
    (folder, path, run)
}

fn verify(path: &std::path::Path) -> Result<(), String> {
    Journal::open_read_only(path).unwrap().verify(&key(), None).map(drop).map_err(|e| e.to_string())
}

#[tokio::test]
async fn the_newest_record_says_what_is_done_later() {
    let both = Due { restore: Some(at(2)), page: Some(at(1)) };
    let (_folder, path, run) = with(|run| vec![end(ended(run), both)]).await;
    let reader = Journal::open_read_only(&path).unwrap();
    assert_eq!(reader.due().unwrap(), [(run, both)]);
    let summary = reader.summary(run).unwrap();
    assert_eq!((summary.restore_at, summary.page_at), (both.restore, both.page));
    verify(&path).unwrap();

    let records = |run| vec![end(ended(run), both), extended(run, at(3)), paged(run, restore(at(3)))];
    let (_folder, path, run) = with(records).await;
    let reader = Journal::open_read_only(&path).unwrap();
    assert_eq!(reader.due_of(run).unwrap(), restore(at(3)));
    assert_eq!(reader.summary(run).unwrap().state, Some(RunState::Held), "it keeps its state");
    verify(&path).unwrap();

    let (_folder, path, run) = with(|run| vec![end(ended(run), both), paged(run, Due::default())]).await;
    let reader = Journal::open_read_only(&path).unwrap();
    assert!(reader.due().unwrap().is_empty() && reader.due_of(run).unwrap().is_none());
    verify(&path).unwrap();
}

#[tokio::test]
async fn records_that_cannot_follow_each_other_are_found() {
    let cases: [(&str, fn(RunId) -> Vec<Record>); 5] = [
        ("no change of the run stands", |run| vec![end(failed(run), restore(at(2)))]),
        ("was not to undo before", |run| vec![ended(run), extended(run, at(2))]),
        ("was not to undo before", |run| vec![end(ended(run), restore(at(2))), extended(run, at(1))]),
        ("was to do nothing", |run| vec![ended(run), paged(run, Due::default())]),
        ("was not to undo before", |run| vec![extended(run, at(1))]),
    ];
    for (why, records) in cases {
        let (_folder, path, _) = with(records).await;
        let told = verify(&path).unwrap_err();
        assert!(told.contains(why), "{why}: {told}");
    }
}

#[tokio::test]
async fn a_table_that_was_altered_is_found() {
    for tamper in [
        "DELETE FROM due",
        "UPDATE due SET restore = restore + 3600",
        "UPDATE due SET page = restore",
        "INSERT INTO due VALUES ('run-01jd2m4k9x8s7t6v5w4y3z2a1b', 1, NULL)",
    ] {
        let (_folder, path, _) = with(|run| vec![end(ended(run), restore(at(2)))]).await;
        verify(&path).unwrap();
        Connection::open(&path).unwrap().execute_batch(tamper).unwrap();
        let told = verify(&path).unwrap_err();
        assert!(told.contains("does not agree with its records"), "{tamper}: {told}");
    }
}
