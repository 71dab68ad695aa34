use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use serde_json::json;

use super::*;
use crate::backfill::EVERY;
use crate::disk::tests::failing;
use crate::{About, LedgerEvent, Phase, SignedStatement};

fn open(folder: &Path) -> Journal {
    let signer = NoteSigner::from_seed("remit.test/journal", &[9; 32]).unwrap();
    Journal::open(&folder.join("journal.db"), signer).unwrap()
}

/// Sends what `future` has to send; while the writer is taken, it cannot be answered.
fn send<F: Future>(future: Pin<&mut F>) {
    assert!(future.poll(&mut Context::from_waker(Waker::noop())).is_pending());
}

fn record(run: RunId, event: impl Serialize) -> Record {
    serde_json::from_value(json!({ "run": run, "at": Timestamp::now(), "event": event })).unwrap()
}

fn started(run: RunId) -> Record {
    let digest = format!("sha256:{}", "0".repeat(64));
    let started = json!({
        "mode": "rehearse", "action": { "digest": digest, "name": "rotate", "version": "1.0.0" },
        "publisher": null, "input": {}, "input_digest": digest, "scope_digest": digest, "grant": null,
        "principal": "ana", "reason": "a test", "seed": "0".repeat(64), "host_version": "0.1.0",
    });
    record(run, json!({ "started": started }))
}

fn key() -> Sealed {
    Sealed::from_bytes(vec![1])
}

/// Many who wait at once are told what the disk says, and not that their transaction was made.
#[tokio::test]
async fn whoever_waits_hears_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path());
    let record = || Record::now(RunId::new(), Phase::Run);
    let mut waiting: Vec<_> = (0..8).map(|_| Box::pin(journal.commit(record()))).collect();
    {
        let mut writer = journal.0.writer.lock().unwrap();
        writer.disk = Some(failing(folder.path(), &writer.poison));
        for waiting in &mut waiting {
            send(waiting.as_mut());
        }
    }
    for waiting in waiting {
        assert!(matches!(waiting.await, Err(JournalError::Poisoned(_))));
    }
    assert!(matches!(journal.note(record()), Err(JournalError::Poisoned(_))));
    assert_eq!(journal.reader().unwrap().size().unwrap(), 8, "they were committed");
}

/// What is taken away is so for whatever follows it, be it in the same transaction.
#[tokio::test]
async fn nothing_overtakes_what_is_taken_away() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path());
    let intent = json!({ "intent": {
        "call": 1, "operation": "test:vault/put.put", "effect": "change", "resource": "secret:a", "arguments": {},
    } });
    let (going, other) = (RunId::new(), RunId::new());
    journal.start(started(going), key()).await.unwrap();
    let statement: SignedStatement =
        serde_json::from_value(json!({ "principal": "ana", "key": "k", "reason": "a test", "document": {} }))
            .unwrap();
    let frozen = Act::now(About::Host, LedgerEvent::Frozen(statement));

    let mut freezes = Box::pin(journal.act(&frozen));
    let mut changes = Box::pin(journal.intend(record(going, intent)));
    let mut starts = Box::pin(journal.start(started(other), key()));
    {
        let _writer = journal.0.writer.lock().unwrap();
        send(freezes.as_mut());
        send(changes.as_mut());
        send(starts.as_mut());
    }
    freezes.await.unwrap();
    assert!(matches!(changes.await, Err(StartError::Withdrawn(_))));
    assert!(matches!(starts.await, Err(StartError::Withdrawn(_))));
    assert_eq!(journal.reader().unwrap().size().unwrap(), 2, "a start and a freeze");
    assert_eq!(journal.reader().unwrap().unfinished().unwrap(), [going]);
}

/// A run starts once, and whoever is refused is so alone: not with all who are in the same transaction.
#[tokio::test]
async fn a_run_starts_once() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path());
    let (one, other) = (RunId::new(), RunId::new());
    let [mut first, mut again, mut besides] =
        [one, one, other].map(|run| Box::pin(journal.start(started(run), key())));
    {
        let _writer = journal.0.writer.lock().unwrap();
        for start in [&mut first, &mut again, &mut besides] {
            send(start.as_mut());
        }
    }
    first.await.unwrap();
    assert!(matches!(again.await, Err(StartError::Again(run)) if run == one));
    besides.await.unwrap();
    // In a transaction of its own it is no other.
    assert!(matches!(journal.start(started(one), key()).await, Err(StartError::Again(run)) if run == one));
    let both = [one.min(other), one.max(other)];
    assert_eq!(journal.reader().unwrap().unfinished().unwrap(), both);
    assert_eq!(journal.reader().unwrap().run_key(&one).unwrap(), Some(key()));
}

/// Where many wait, what they write is moved into the file while they go on, long before its log is full.
#[tokio::test]
async fn the_log_is_moved_while_many_wait() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path());
    let record = || Record::now(RunId::new(), Phase::Run);
    for _ in 0..EVERY {
        let mut waiting = [Box::pin(journal.commit(record())), Box::pin(journal.commit(record()))];
        {
            let _writer = journal.0.writer.lock().unwrap();
            for waiting in &mut waiting {
                send(waiting.as_mut());
            }
        }
        for waiting in waiting {
            waiting.await.unwrap();
        }
    }
    // Without its log: as if nobody had it open. Somebody has, and may just be writing: then it cannot be read.
    let alone = format!("file:{}?immutable=1", journal.path().display());
    let moved = || -> rusqlite::Result<u32> {
        Connection::open(&alone)?.query_row("SELECT count(*) FROM record", [], |row| row.get(0))
    };
    let patience = Instant::now() + Duration::from_secs(30);
    while moved().unwrap_or(0) == 0 {
        assert!(Instant::now() < patience, "nothing is moved");
        std::thread::sleep(Duration::from_millis(10));
    }
}
