use std::time::Duration;

use serde_json::json;

use super::*;
use crate::disk::tests::failing;
use crate::{About, Deed, Phase, Word};

fn open(folder: &Path) -> Journal {
    let signer = NoteSigner::from_seed("remit.test/journal", &[9; 32]).unwrap();
    Journal::open(&folder.join("journal.db"), signer).unwrap()
}

/// Many who wait at once are told what the disk says, and not that their transaction was made.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_hears_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path());
    let record = || Record::now(RunId::new(), Phase::Run);
    let tasks: Vec<_> = {
        // While the writer is taken, they come together.
        let mut writer = journal.0.writer.lock().unwrap();
        writer.disk = Some(failing(folder.path(), &writer.poison));
        let tasks = (0..8).map(|_| {
            let (journal, record) = (journal.clone(), record());
            tokio::spawn(async move { journal.commit(record).await })
        });
        let tasks = tasks.collect();
        std::thread::sleep(Duration::from_millis(300));
        tasks
    };
    for task in tasks {
        assert!(matches!(task.await.unwrap(), Err(JournalError::Poisoned(_))));
    }
    assert!(matches!(journal.note(record()), Err(JournalError::Poisoned(_))));
    assert_eq!(journal.reader().unwrap().size().unwrap(), 8, "they were committed");
}

/// What is taken away is so for whatever follows it, be it in the same transaction.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_overtakes_what_is_taken_away() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path());
    let key = || Sealed::from_bytes(vec![1]);
    let record = |run: RunId, event| -> Record {
        serde_json::from_value(json!({ "run": run, "at": Timestamp::now(), "event": event })).unwrap()
    };
    let digest = format!("sha256:{}", "0".repeat(64));
    let started = json!({ "started": {
        "mode": "rehearse", "action": { "digest": digest, "name": "rotate", "version": "1.0.0" },
        "publisher": null, "input": {}, "input_digest": digest, "scope_digest": digest, "grant": null,
        "principal": "ana", "reason": "a test", "seed": "0".repeat(64), "host_version": "0.1.0",
    } });
    let intent = json!({ "intent": {
        "call": 1, "operation": "test:vault/put.put", "effect": "change", "resource": "secret:a", "arguments": {},
    } });
    let (going, other) = (RunId::new(), RunId::new());
    journal.start(record(going, started.clone()), key()).await.unwrap();
    let word: Word =
        serde_json::from_value(json!({ "principal": "ana", "key": "k", "reason": "a test", "document": {} }))
            .unwrap();
    let frozen = Act::now(About::Host, Deed::Frozen(word));

    let (freezes, changes, starts) = {
        // While the writer is taken, they come together, in this order.
        let _writer = journal.0.writer.lock().unwrap();
        let came = || std::thread::sleep(Duration::from_millis(100));
        let to = journal.clone();
        let freezes = tokio::spawn(async move { to.act(&frozen).await });
        came();
        let (to, intent) = (journal.clone(), record(going, intent));
        let changes = tokio::spawn(async move { to.intend(intent).await });
        came();
        let (to, started) = (journal.clone(), record(other, started));
        let starts = tokio::spawn(async move { to.start(started, key()).await });
        came();
        (freezes, changes, starts)
    };
    freezes.await.unwrap().unwrap();
    assert!(matches!(changes.await.unwrap(), Err(StartError::Withdrawn(_))));
    assert!(matches!(starts.await.unwrap(), Err(StartError::Withdrawn(_))));
    assert_eq!(journal.reader().unwrap().size().unwrap(), 2, "a start and a freeze");
    assert_eq!(journal.reader().unwrap().unfinished().unwrap(), [going]);
}
