//! Moving the write-ahead log into the file while the writer goes on: where many wait at once, nobody makes a transaction
//! while the writer does that itself.

use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::Connection;

use crate::store;

/// So many transactions come between two moves: few enough to leave the writer's connection little to do when the log is
/// full, and enough to be worth two waits for the disk.
pub(crate) const EVERY: u32 = 200;

/// How many pages the log may then have before the writer's connection moves what is left, and begins it again: SQLite's own
/// 1,000 are there in no time. Not before there are many, for to make a log longer takes the disk twice as long as to write
/// it anew.
const LOG: i64 = 4_000;

/// A thread with a connection of its own that moves what is in the log.
pub(crate) struct Backfill {
    /// Closed on drop, so that the thread sees the end.
    due: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    since: u32,
}

impl Backfill {
    /// Begins it for the journal at `path`, to which `writer` is the connection that appends.
    pub(crate) fn new(path: &Path, writer: &Connection) -> std::io::Result<Self> {
        let (due, asked) = sync_channel(1);
        let path = path.to_owned();
        let thread = std::thread::Builder::new().name("remit-backfill".to_owned()).spawn(move || {
            // Opened when it is first needed.
            let mut database = None;
            while let Ok(()) = asked.recv() {
                if let Err(error) = fill(&path, &mut database) {
                    // What is in the log stays there: the writer's connection tries again.
                    tracing::warn!(%error, "the journal's log was not moved into its file");
                }
            }
        })?;
        // If it will not take this, it moves the log more often.
        let _ = writer.pragma_update(None, "wal_autocheckpoint", LOG);
        Ok(Self { due: Some(due), thread: Some(thread), since: 0 })
    }

    /// Counts a transaction, and has the log moved now and then; never waits for that.
    pub(crate) fn count(&mut self) {
        self.since += 1;
        if self.since >= EVERY {
            self.since = 0;
            // One that is still at it goes on with what is there by then.
            let _ = self.due.as_ref().map(|due| due.try_send(()));
        }
    }
}

fn fill(path: &Path, database: &mut Option<Connection>) -> rusqlite::Result<()> {
    let database = match database {
        Some(database) => database,
        none => none.insert(store::connect(path)?),
    };
    // PASSIVE waits for nobody and keeps nobody waiting.
    database.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}

impl Drop for Backfill {
    fn drop(&mut self) {
        drop(self.due.take());
        if let Some(thread) = self.thread.take() {
            // A panic was reported by the thread itself.
            let _ = thread.join();
        }
    }
}
