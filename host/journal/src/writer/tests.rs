use std::time::Duration;

use super::*;
use crate::Phase;
use crate::disk::tests::failing;

/// Many who wait at once are told what the disk says, and not that their transaction was made.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_hears_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let signer = NoteSigner::from_seed("remit.test/journal", &[9; 32]).unwrap();
    let journal = Journal::open(&folder.path().join("journal.db"), signer).unwrap();
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
