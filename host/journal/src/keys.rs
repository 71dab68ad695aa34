//! The keys to what is sealed. Each run's secrets are sealed under a key of its own, kept here sealed under
//! the host's: so the host's key can be changed without touching a record, and a run's secrets are gone
//! for good when its key is.

use remit_trust::Sealed;
use rusqlite::{OptionalExtension as _, TransactionBehavior, params};

use crate::{Journal, JournalError, Reader, RunId, store};

/// What opens the sealed part of a run's records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunKey {
    /// A key of its own, sealed under the host's key.
    Own(Sealed),
    /// The host's key itself: the run was recorded under schema 1.
    Host,
    /// Nothing any more: it was deleted.
    Expired,
}

impl Reader {
    /// What opens the sealed part of a run's records.
    pub fn run_key(&self, run: &RunId) -> Result<RunKey, JournalError> {
        if self.version == 1 {
            return Ok(RunKey::Host);
        }
        let database = self.database();
        let found: Option<Option<Vec<u8>>> = database
            .prepare_cached("SELECT sealed FROM run_key WHERE run = ?1")
            .and_then(|mut key| key.query_row([run.to_string()], |row| row.get(0)).optional())
            .map_err(|error| self.sql(&error))?;
        Ok(match found {
            Some(Some(sealed)) => RunKey::Own(Sealed::from_bytes(sealed)),
            Some(None) => RunKey::Host,
            None => RunKey::Expired,
        })
    }

    /// What only the right host key opens; none before one was ever set.
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
    /// Sets what only the right host key opens, if nothing is set yet.
    pub fn set_host_key_check(&self, check: &Sealed) -> Result<(), JournalError> {
        let path = self.path();
        let sql = |error: rusqlite::Error| JournalError::sqlite(path, &error);
        let database = store::connect(path).map_err(sql)?;
        database
            .execute("INSERT OR IGNORE INTO host_key (id, sealed) VALUES (1, ?1)", [check.as_bytes()])
            .map_err(sql)?;
        Ok(())
    }

    /// Seals every run's key anew, in one transaction: all or none. `reseal` is given what there is and
    /// answers what to keep; `check` is what the new host key is known by. Nobody else may have the home
    /// open: a run that starts meanwhile would seal its key under the old one.
    pub fn rekey<E: From<JournalError>>(
        &self,
        check: &Sealed,
        mut reseal: impl FnMut(RunId, RunKey) -> Result<Sealed, E>,
    ) -> Result<u64, E> {
        let path = self.path();
        let sql = |error: rusqlite::Error| JournalError::sqlite(path, &error);
        let mut database = store::connect(path).map_err(sql)?;
        let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sql)?;
        let keys: Vec<(String, Option<Vec<u8>>)> = transaction
            .prepare("SELECT run, sealed FROM run_key")
            .and_then(|mut keys| keys.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect())
            .map_err(sql)?;
        let count = keys.len() as u64;
        for (name, sealed) in keys {
            let run = name.parse().map_err(|_| JournalError::damaged(path, "a key is of no run"))?;
            let key = sealed.map_or(RunKey::Host, |sealed| RunKey::Own(Sealed::from_bytes(sealed)));
            let sealed = reseal(run, key)?;
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

    /// Keeps a checkpoint that a witness cosigned, if it is not older than what there is.
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

    /// Makes sure that what was deleted is nowhere in the journal's files any more. Whoever reads at this
    /// moment keeps the log file from being emptied: an error says so.
    pub fn scrub(&self) -> Result<(), JournalError> {
        let sql = |error: rusqlite::Error| JournalError::sqlite(self.path(), &error);
        let database = store::connect(self.path()).map_err(sql)?;
        scrub(&database).map_err(sql)
    }
}

/// Moves the write-ahead log, which holds older versions of pages, into the file and empties it.
fn scrub(database: &rusqlite::Connection) -> rusqlite::Result<()> {
    let busy: bool = database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if busy {
        let why = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
        return Err(rusqlite::Error::SqliteFailure(why, Some("someone is reading the journal".to_owned())));
    }
    Ok(())
}
