//! The keys to sealed data. Each run's secrets are sealed under the run's own key, which is stored here, sealed under the
//! host's key. So the host's key can be changed without touching a record, and deleting a run's key makes its secrets
//! unreadable for good.

use remit_trust::Sealed;
use rusqlite::{OptionalExtension as _, TransactionBehavior, params};

use crate::{Journal, JournalError, Reader, RunId, store};

impl Reader {
    /// The key to the sealed part of a run's records, sealed under the host's key; none when it was deleted.
    pub fn run_key(&self, run: &RunId) -> Result<Option<Sealed>, JournalError> {
        let found: Option<Vec<u8>> = self
            .database()
            .prepare_cached("SELECT sealed FROM run_key WHERE run = ?1")
            .and_then(|mut key| key.query_row([run.to_string()], |row| row.get(0)).optional())
            .map_err(|error| self.sql(&error))?;
        Ok(found.map(Sealed::from_bytes))
    }

    /// A value that only the right host key opens; none before it was set.
    pub fn host_key_check(&self) -> Result<Option<Sealed>, JournalError> {
        let found: Option<Vec<u8>> = self
            .database()
            .query_row("SELECT sealed FROM host_key", [], |row| row.get(0))
            .optional()
            .map_err(|error| self.sql(&error))?;
        Ok(found.map(Sealed::from_bytes))
    }
}

impl Journal {
    /// Stores a value that only the right host key opens, if none is stored yet.
    pub fn set_host_key_check(&self, check: &Sealed) -> Result<(), JournalError> {
        let path = self.path();
        let sql = |error: rusqlite::Error| JournalError::sqlite(path, &error);
        let database = store::connect(path).map_err(sql)?;
        database
            .execute("INSERT OR IGNORE INTO host_key (id, sealed) VALUES (1, ?1)", [check.as_bytes()])
            .map_err(sql)?;
        Ok(())
    }

    /// Replaces every run's sealed key, in one transaction: all or none. `reseal` gets the key sealed under the old host key
    /// and returns it sealed under the new one; `check` is a value that only the new host key opens. No other process may
    /// have the home open: a run that starts meanwhile would seal its key under the old host key. Answers how many.
    pub fn rekey<E: From<JournalError>>(
        &self,
        check: &Sealed,
        mut reseal: impl FnMut(RunId, Sealed) -> Result<Sealed, E>,
    ) -> Result<u64, E> {
        let path = self.path();
        let sql = |error: rusqlite::Error| JournalError::sqlite(path, &error);
        let mut database = store::connect(path).map_err(sql)?;
        let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sql)?;
        let keys: Vec<(String, Vec<u8>)> = transaction
            .prepare("SELECT run, sealed FROM run_key")
            .and_then(|mut keys| keys.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect())
            .map_err(sql)?;
        let count = keys.len() as u64;
        for (name, sealed) in keys {
            let run = name
                .parse()
                .map_err(|_| JournalError::damaged(path, "the name of a key is not the name of a run"))?;
            let sealed = reseal(run, Sealed::from_bytes(sealed))?;
            transaction
                .execute("UPDATE run_key SET sealed = ?2 WHERE run = ?1", params![name, sealed.as_bytes()])
                .map_err(sql)?;
        }
        transaction
            .execute("INSERT OR REPLACE INTO host_key (id, sealed) VALUES (1, ?1)", [check.as_bytes()])
            .map_err(sql)?;
        transaction.commit().map_err(sql)?;
        scrub(&database).map_err(sql)?;
        Ok(count)
    }

    /// Stores a checkpoint that a witness cosigned, unless a newer one is stored.
    pub fn keep_cosigned(&self, cosigned: &crate::Cosigned) -> Result<(), JournalError> {
        let sql = |error: rusqlite::Error| JournalError::sqlite(self.path(), &error);
        store::connect(self.path())
            .and_then(|database| {
                database.execute(
                    "INSERT INTO cosigned (witness, size, note) VALUES (?1, ?2, ?3) ON CONFLICT (witness)
                     DO UPDATE SET size = excluded.size, note = excluded.note WHERE excluded.size >= size",
                    params![cosigned.witness, cosigned.size.cast_signed(), cosigned.note],
                )
            })
            .map_err(sql)?;
        Ok(())
    }

    /// Makes sure that deleted data is in none of the journal's files any more. Fails while somebody reads the journal,
    /// because the write-ahead log cannot be emptied then.
    pub fn scrub(&self) -> Result<(), JournalError> {
        let sql = |error: rusqlite::Error| JournalError::sqlite(self.path(), &error);
        let database = store::connect(self.path()).map_err(sql)?;
        scrub(&database).map_err(sql)
    }
}

/// Empties the write-ahead log, which has older versions of pages, into the file.
fn scrub(database: &rusqlite::Connection) -> rusqlite::Result<()> {
    let busy: bool = database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if busy {
        let why = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
        return Err(rusqlite::Error::SqliteFailure(why, Some("someone is reading the journal".to_owned())));
    }
    Ok(())
}
