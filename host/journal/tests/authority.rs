//! What is taken away stops what rests on it, in the order of the journal and no other.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]

use crate::support::{frozen, home, intent, key, open, requested, revoked, started, unfrozen, write};
use remit_journal::{Authority, Basis, GrantRef, Journal, Reader, RequestId, RestsOn, RunId, StartError};
use remit_trust::dsse::Envelope;
use serde_json::value::RawValue;

/// A grant that rests on a request, a principal and an action, since the request's record.
fn resting(journal: &Journal, request: RequestId, since: u64) -> GrantRef {
    let reader = journal.reader().unwrap();
    let acts = reader.acts(remit_journal::About::Request(request)).unwrap();
    let statement = acts[0].1.event.statement().unwrap();
    let envelope: Envelope = serde_json::from_str(statement.document.get()).unwrap();
    let on = |basis| RestsOn { basis, since };
    GrantRef {
        digest: envelope.payload_digest().unwrap(),
        uses: 9,
        signed: None,
        authority: Some(Authority {
            request,
            approvals: Vec::new(),
            trigger: RawValue::NULL.to_owned(),
            break_glass: false,
            rests_on: vec![
                on(Basis::All),
                on(Basis::Request(request)),
                on(Basis::Principal("ana".to_owned())),
                on(Basis::Action("sha256:00".to_owned())),
            ],
        }),
    }
}

fn sound(reader: &Reader) {
    reader.verify(&key(), None).unwrap();
}

#[tokio::test]
async fn whatever_a_run_rests_on_stops_it_and_nothing_else_does() {
    let request = RequestId::new();
    for (basis, earlier_only, stops) in [
        (Basis::All, true, true),
        (Basis::Request(request), false, true),
        (Basis::Principal("ana".to_owned()), true, true),
        (Basis::Action("sha256:00".to_owned()), false, true),
        (Basis::Request(RequestId::new()), false, false),
        (Basis::Principal("anab".to_owned()), true, false),
        (Basis::Key("k".repeat(64)), false, false),
    ] {
        let (_folder, path) = home();
        let journal = open(&path);
        journal.act(&requested(request)).await.unwrap();
        let run = RunId::new();
        let watch = journal.watch(run);
        write(&journal, started(run, Some(resting(&journal, request, 1)))).await.unwrap();
        journal.intend(intent(run, 1)).await.unwrap();
        assert_eq!(watch.look(std::time::Instant::now()).unwrap(), None);
        assert_eq!(journal.reader().unwrap().resting_on(&basis).unwrap().contains(&run), stops, "{basis}");
        // By another process.
        open(&path).act(&revoked(basis.clone(), earlier_only)).await.unwrap();
        assert_eq!(watch.look(std::time::Instant::now()).unwrap().is_some(), stops, "{basis}");
        let next = journal.intend(intent(run, 2)).await;
        assert_eq!(matches!(next, Err(StartError::Withdrawn(_))), stops, "{basis}");
        let again = write(&journal, started(RunId::new(), Some(resting(&journal, request, 1)))).await;
        assert_eq!(matches!(again, Err(StartError::Withdrawn(_))), stops, "{basis}");
        let reader = journal.reader().unwrap();
        assert_eq!(reader.stopped().unwrap().contains(&run), stops);
        sound(&reader);
    }
}

#[tokio::test]
async fn what_came_before_falls_and_what_comes_after_may_stand() {
    let (_folder, path) = home();
    let journal = open(&path);
    let (old, new) = (RequestId::new(), RequestId::new());
    journal.act(&requested(old)).await.unwrap();
    journal.act(&revoked(Basis::Principal("ana".to_owned()), true)).await.unwrap();
    journal.act(&requested(new)).await.unwrap();
    let refused = write(&journal, started(RunId::new(), Some(resting(&journal, old, 1)))).await;
    assert!(matches!(refused, Err(StartError::Withdrawn(w)) if w.to_string().contains("ana: a test")));
    write(&journal, started(RunId::new(), Some(resting(&journal, new, 3)))).await.unwrap();
    sound(&journal.reader().unwrap());
}

#[tokio::test]
async fn frozen_nothing_starts_not_even_a_rehearsal_until_it_is_lifted() {
    let (_folder, path) = home();
    let journal = open(&path);
    let starts = async || match write(&journal, started(RunId::new(), None)).await {
        Ok(()) => true,
        Err(StartError::Withdrawn(_)) => false,
        Err(other) => panic!("{other}"),
    };
    // The very first record, so that no number before it could stand for "never".
    journal.act(&frozen()).await.unwrap();
    assert!(!starts().await);
    journal.act(&unfrozen(1)).await.unwrap();
    assert!(starts().await);
    // The signer of an order knew of a freeze, or did not: whichever of the two is on record first.
    let seen = journal.reader().unwrap().size().unwrap();
    journal.act(&frozen()).await.unwrap();
    journal.act(&unfrozen(seen)).await.unwrap();
    assert!(!starts().await);
    journal.act(&frozen()).await.unwrap();
    journal.act(&unfrozen(seen + 1)).await.unwrap();
    assert!(!starts().await);
    journal.act(&unfrozen(seen + 3)).await.unwrap();
    assert!(starts().await);
    sound(&journal.reader().unwrap());
}

/// The tables that decide are as the records say, or the audit finds it.
#[tokio::test]
async fn attack_the_tables_of_authority() {
    let (_folder, path) = home();
    let journal = open(&path);
    let request = RequestId::new();
    journal.act(&requested(request)).await.unwrap();
    journal.act(&revoked(Basis::Key("k".repeat(64)), false)).await.unwrap();
    write(&journal, started(RunId::new(), Some(resting(&journal, request, 1)))).await.unwrap();
    drop(journal);
    for tamper in [
        "DELETE FROM revoked",
        "UPDATE revoked SET before = 0",
        "UPDATE revoked SET why = 'nobody'",
        "INSERT INTO revoked VALUES ('all', 9, 'x')",
        "DELETE FROM open_run WHERE basis = 'all'",
        "UPDATE open_run SET since = 2",
        "UPDATE open_run SET basis = 'principal:bob' WHERE basis LIKE 'principal:%'",
        "INSERT INTO notified VALUES ('pager', 2)",
    ] {
        let copy = path.with_file_name("copy.db");
        std::fs::copy(&path, &copy).unwrap();
        let database = rusqlite::Connection::open(&copy).unwrap();
        assert_ne!(database.execute(tamper, []).unwrap(), 0, "{tamper}");
        database.close().unwrap();
        let found = Journal::open_read_only(&copy).unwrap().verify(&key(), None);
        assert!(found.is_err(), "{tamper} went unnoticed");
    }
}
