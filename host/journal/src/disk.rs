//! A thread that waits for the disk. Where many tasks wait at once, the writer makes the next transaction meanwhile.

use std::path::Path;
use std::sync::{Arc, OnceLock, mpsc};
use std::thread::JoinHandle;

use remit_file::Opened;

use crate::queue::Answer;
use crate::store::log_of;
use crate::{JournalError, Poisoned, StartError};

/// An answer and its receiver.
pub(crate) type Owed = (Answer, Result<(), StartError>);

/// A thread that sends answers as soon as the disk has what was committed before.
pub(crate) struct Disk {
    /// Closed on drop, which ends the thread.
    owed: Option<mpsc::Sender<Vec<Owed>>>,
    thread: Option<JoinHandle<()>>,
}

impl Disk {
    /// Starts the thread for the journal at `path`. Its write-ahead log must exist and stay, as it does while a connection is
    /// open. The file is held open from here on, because the kernel reports a later failure to write it to every open handle,
    /// even if another process got the report first.
    pub(crate) fn new(path: &Path, poison: &Arc<OnceLock<Poisoned>>) -> std::io::Result<Self> {
        Self::of(remit_file::open_plain(&log_of(path), remit_file::Kind::Kept)?, path, poison)
    }

    fn of(log: Opened, path: &Path, poison: &Arc<OnceLock<Poisoned>>) -> std::io::Result<Self> {
        let (owed, waiting) = mpsc::channel::<Vec<Owed>>();
        let (path, poison) = (path.to_owned(), Arc::clone(poison));
        let thread = std::thread::Builder::new().name("remit-disk".to_owned()).spawn(move || {
            while let Ok(mut owed) = waiting.recv() {
                // One sync is enough for all answers that came meanwhile: their records are committed too.
                owed.extend(waiting.try_iter().flatten());
                let synced = log.file().sync_data().map_err(|error| JournalError::io(&path, &error));
                if let Err(error) = &synced {
                    tracing::error!(%error, "the journal failed; nothing more is permitted");
                    let _ = poison.set(Poisoned { why: error.to_string().into() });
                }
                // After one failed sync a later success proves nothing.
                let failed = poison.get().map(|poisoned| JournalError::from(poisoned.clone()));
                for (done, answer) in owed {
                    // The receiver may be gone; the record is in the journal all the same.
                    let _ = done.send(failed.clone().map_or(answer, |error| Err(error.into())));
                }
            }
        })?;
        Ok(Self { owed: Some(owed), thread: Some(thread) })
    }

    /// Sends these answers as soon as the disk has everything that is committed now. False if the thread has ended; the
    /// receivers then learn that there is no writer.
    pub(crate) fn answer(&self, owed: Vec<Owed>) -> bool {
        self.owed.as_ref().is_some_and(|thread| thread.send(owed).is_ok())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(self.owed.take());
        if let Some(thread) = self.thread.take() {
            // The thread itself reported a panic.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
pub(crate) mod tests {
    use tokio::sync::oneshot;

    use super::*;

    /// The disk of a journal whose log the kernel refuses to sync.
    pub(crate) fn failing(folder: &Path, poison: &Arc<OnceLock<Poisoned>>) -> Disk {
        let path = folder.join("failing.db");
        let log = remit_file::open(Path::new("/dev/null"), remit_file::Kind::Kept).unwrap();
        Disk::of(log, &path, poison).unwrap()
    }

    /// Nobody is told that something is durable after the disk once failed, not even what came later.
    #[test]
    fn a_disk_that_fails_once_is_believed_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let poison = Arc::default();
        let disk = failing(folder.path(), &poison);
        for _ in 0..2 {
            let (done, answer) = oneshot::channel();
            assert!(disk.answer(vec![(done, Ok(()))]));
            assert!(matches!(answer.blocking_recv().unwrap(), Err(StartError::Journal(_))));
            assert!(poison.get().is_some());
        }
    }
}
