//! A thread that moves the write-ahead log into the file. If the writer did that itself, nobody could commit meanwhile.

use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::Connection;

use crate::store;

/// The number of transactions between two moves. Few enough that little is left for the writer's connection when the log is
/// full, and enough to be worth two syncs of the disk.
pub(crate) const EVERY: u32 = 200;

/// The number of pages in the log at which the writer's connection moves what is left and starts the log again. SQLite's
/// default of 1,000 is reached too soon. Until then the log grows, which takes the disk twice as long as overwriting it.
const LOG: i64 = 4_000;

/// A thread with its own connection that moves the log into the file.
pub(crate) struct Backfill {
    /// Closed on drop, which ends the thread.
    due: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    since: u32,
}

impl Backfill {
    /// Starts the thread for the journal at `path`. `writer` is the connection that appends.
    pub(crate) fn new(path: &Path, writer: &Connection) -> std::io::Result<Self> {
        let (due, asked) = sync_channel(1);
        let path = path.to_owned();
        let thread = std::thread::Builder::new().name("remit-backfill".to_owned()).spawn(move || {
            // Opened when it is first needed.
            let mut database = None;
            while let Ok(()) = asked.recv() {
                if let Err(error) = fill(&path, &mut database) {
                    // Nothing is lost: the log stays, and the writer's connection moves it when it is full.
                    tracing::warn!(%error, "the journal's log was not moved into its file");
                }
            }
        })?;
        // If this fails, the writer's connection moves the log more often.
        let _ = writer.pragma_update(None, "wal_autocheckpoint", LOG);
        Ok(Self { due: Some(due), thread: Some(thread), since: 0 })
    }

    /// Counts a transaction and starts a move when it is time, without waiting for it.
    pub(crate) fn count(&mut self) {
        self.since += 1;
        if self.since >= EVERY {
            self.since = 0;
            // If a move is still running, this one is skipped.
            let _ = self.due.as_ref().map(|due| due.try_send(()));
        }
    }
}

fn fill(path: &Path, database: &mut Option<Connection>) -> rusqlite::Result<()> {
    let database = match database {
        Some(database) => database,
        none => none.insert(store::connect(path)?),
    };
    // PASSIVE neither waits for other connections nor makes them wait.
    database.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}

impl Drop for Backfill {
    fn drop(&mut self) {
        drop(self.due.take());
        if let Some(thread) = self.thread.take() {
            // The thread itself reported a panic.
            let _ = thread.join();
        }
    }
}
