//! What a transaction writes: the records, and the tables that follow from them: which runs are open and what their
//! authority depends on, the runs' keys, the uses of grants, and what was revoked.

use std::sync::LazyLock;

use remit_trust::Digest;
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Transaction, params};

use crate::act::AuthorityChange;
use crate::entry::{Entry, Row, Start, Transition};
use crate::{Basis, Due, RestsOn, StartError, Withdrawn, passkeys};

/// How many records one statement writes, where so many wait.
const TOGETHER: usize = 8;

/// The columns of a record.
const COLUMNS: usize = 6;

static INSERT: LazyLock<String> = LazyLock::new(|| insert(1));
static INSERT_TOGETHER: LazyLock<String> = LazyLock::new(|| insert(TOGETHER));

/// The tables that a transaction writes to, with the statements that every run needs, prepared once.
pub(crate) struct Tables<'t> {
    transaction: &'t Transaction<'t>,
    key: CachedStatement<'t>,
    basis: CachedStatement<'t>,
    end: CachedStatement<'t>,
    /// Nothing is revoked, neither before this transaction nor so far in it.
    nothing_revoked: bool,
}

impl<'t> Tables<'t> {
    pub(crate) fn of(transaction: &'t Transaction<'_>) -> rusqlite::Result<Self> {
        let mut nothing_revoked = transaction.prepare_cached("SELECT NOT EXISTS (SELECT 1 FROM revoked)")?;
        Ok(Self {
            transaction,
            key: transaction.prepare_cached(
                "INSERT OR IGNORE INTO run_key (run, sealed)
                 SELECT ?1, ?2 WHERE NOT EXISTS (SELECT 1 FROM record WHERE run = ?1)",
            )?,
            basis: transaction
                .prepare_cached("INSERT OR IGNORE INTO open_run (run, basis, since) VALUES (?1, ?2, ?3)")?,
            end: transaction.prepare_cached("DELETE FROM open_run WHERE run = ?1")?,
            nothing_revoked: nothing_revoked.query_row([], |row| row.get(0))?,
        })
    }

    /// Decides whether an entry may be written. For one that may, writes what must be there before it.
    pub(crate) fn admit(&mut self, entry: &Entry) -> rusqlite::Result<Result<(), StartError>> {
        let run = entry.of.as_str();
        if let Err(refused) = passkeys::admit(self.transaction, &entry.uses)? {
            return Ok(Err(refused.into()));
        }
        let refused = match &entry.transition {
            Transition::Starts(begun) => self.start(run, begun)?,
            Transition::Changes => self.withdrawn(run)?.map(StartError::Withdrawn),
            _ => None,
        };
        Ok(refused.map_or(Ok(()), Err))
    }

    /// Writes what a run starts with, or says why it may not start.
    fn start(&mut self, run: &str, begun: &Start) -> rusqlite::Result<Option<StartError>> {
        if self.key.execute(params![run, begun.key.as_bytes()])? == 0 {
            return Ok(Some(StartError::Again(begun.run)));
        }
        let refused = self.count(run, begun)?;
        if refused.is_some() {
            // A run that did not start must leave nothing behind.
            for table in ["run_key", "open_run", "grant_use"] {
                self.transaction.execute(&format!("DELETE FROM {table} WHERE run = ?1"), [run])?;
            }
        }
        Ok(refused)
    }

    /// Counts a use of the grant and writes what the run's authority depends on, or says why the run may not start.
    fn count(&mut self, run: &str, begun: &Start) -> rusqlite::Result<Option<StartError>> {
        if let Some((grant, uses)) = begun.grant {
            // To count takes longer with each run. A standing scope may have many, and mostly no limit.
            let started = if uses == u32::MAX { 0 } else { uses_of(self.transaction, &grant)? };
            if started >= uses {
                return Ok(Some(StartError::Spent { grant, uses, started }));
            }
            self.transaction
                .prepare_cached("INSERT INTO grant_use (run, grant_digest) VALUES (?1, ?2)")?
                .execute(params![run, grant.to_string()])?;
        }
        for RestsOn { basis, since } in &begun.rests_on {
            self.basis.execute(params![run, basis.to_string(), since.cast_signed()])?;
        }
        Ok(self.withdrawn(run)?.map(StartError::Withdrawn))
    }

    /// What was revoked of a run's authority, if anything was.
    fn withdrawn(&self, run: &str) -> rusqlite::Result<Option<Withdrawn>> {
        if self.nothing_revoked { Ok(None) } else { withdrawn(self.transaction, run) }
    }

    /// Writes what an admitted entry changes in the tables.
    pub(crate) fn follow(&mut self, row: &Row<'_>) -> rusqlite::Result<()> {
        let run = row.entry.of.as_str();
        passkeys::keep(self.transaction, &row.entry.uses)?;
        match &row.entry.transition {
            Transition::Starts(_) | Transition::Changes | Transition::Goes => Ok(0),
            // A run whose host was killed still has its rows.
            Transition::Reopens => self
                .transaction
                .prepare_cached(
                    "INSERT INTO open_run (run, basis, since)
                     SELECT ?1, '', 0 WHERE NOT EXISTS (SELECT 1 FROM open_run WHERE run = ?1)",
                )?
                .execute([run]),
            Transition::Ends(due) => {
                self.end.execute([run])?;
                self.wait(run, *due)
            }
            Transition::Waits(due) => self.wait(run, *due),
            Transition::Extends(until) => self
                .transaction
                .prepare_cached("UPDATE due SET restore = ?2 WHERE run = ?1")?
                .execute(params![run, until.as_second()]),
            Transition::Expires => {
                self.transaction.prepare_cached("DELETE FROM run_key WHERE run = ?1")?.execute([run])
            }
            Transition::Decides(change) => {
                self.nothing_revoked &= !matches!(**change, AuthorityChange::Revokes(..));
                decide(self.transaction, row.seq, change)
            }
        }
        .map(|_| ())
    }

    /// Writes what the host does by itself for a run. Most runs have nothing of the kind.
    fn wait(&self, run: &str, due: Due) -> rusqlite::Result<usize> {
        if due.is_none() {
            return self.transaction.prepare_cached("DELETE FROM due WHERE run = ?1")?.execute([run]);
        }
        let second = |at: Option<jiff::Timestamp>| at.map(jiff::Timestamp::as_second);
        self.transaction
            .prepare_cached("INSERT OR REPLACE INTO due (run, restore, page) VALUES (?1, ?2, ?3)")?
            .execute(params![run, second(due.restore), second(due.page)])
    }

    /// Writes the records themselves, several with one statement: it looks up its place in the table and the indices once.
    pub(crate) fn append(&self, rows: &[Row<'_>]) -> rusqlite::Result<()> {
        let (together, others) = rows.as_chunks::<TOGETHER>();
        self.insert(&INSERT_TOGETHER, together.iter().map(<[_; TOGETHER]>::as_slice))?;
        self.insert(&INSERT, others.chunks(1))
    }

    fn insert<'r>(
        &self,
        statement: &str,
        groups: impl Iterator<Item = &'r [Row<'r>]>,
    ) -> rusqlite::Result<()> {
        let mut groups = groups.peekable();
        if groups.peek().is_none() {
            return Ok(());
        }
        let mut insert = self.transaction.prepare_cached(statement)?;
        for rows in groups {
            for (row, first) in rows.iter().zip((1..).step_by(COLUMNS)) {
                insert.raw_bind_parameter(first, row.seq.cast_signed())?;
                insert.raw_bind_parameter(first + 1, row.entry.of.as_str())?;
                insert.raw_bind_parameter(first + 2, row.entry.kind)?;
                insert.raw_bind_parameter(first + 3, &*row.body)?;
                insert.raw_bind_parameter(first + 4, row.tail.entry)?;
                insert.raw_bind_parameter(first + 5, row.tail.place.cast_signed())?;
            }
            insert.raw_execute()?;
        }
        Ok(())
    }
}

fn insert(rows: usize) -> String {
    let row = format!("({})", ["?"; COLUMNS].join(", "));
    let rows = vec![row.as_str(); rows].join(", ");
    format!("INSERT INTO record (seq, run, kind, body, chain, place) VALUES {rows}")
}

fn decide(transaction: &Transaction<'_>, seq: u64, change: &AuthorityChange) -> rusqlite::Result<usize> {
    match change {
        AuthorityChange::Revokes(revocations, why) => {
            let mut revoke = transaction.prepare_cached(
                "INSERT INTO revoked (basis, before, why) VALUES (?1, ?2, ?3) ON CONFLICT (basis)
                 DO UPDATE SET before = excluded.before, why = excluded.why WHERE excluded.before > before",
            )?;
            revocations.iter().try_fold(0, |n, revocation| {
                let before = revocation.before(seq).cast_signed();
                Ok(n + revoke.execute(params![revocation.basis.to_string(), before, why])?)
            })
        }
        AuthorityChange::Notified(notifier, upto) => transaction
            .prepare_cached(
                "INSERT INTO notified (notifier, upto) VALUES (?1, ?2) ON CONFLICT (notifier)
                 DO UPDATE SET upto = excluded.upto WHERE excluded.upto > upto",
            )?
            .execute(params![notifier, upto.cast_signed()]),
        AuthorityChange::Thaws(seen) => transaction
            .prepare_cached("DELETE FROM revoked WHERE basis = ?1 AND before <= ?2")?
            .execute(params![Basis::Thaw.to_string(), seen.cast_signed()]),
    }
}

/// What was revoked of a run's authority, if anything was.
pub(crate) fn withdrawn(database: &Connection, run: &str) -> rusqlite::Result<Option<Withdrawn>> {
    database
        .prepare_cached(
            // Not a join: SQLite would compile a join again at every change of `?1`.
            "SELECT basis,
                (SELECT why FROM revoked WHERE revoked.basis = open_run.basis AND since < before) AS why
             FROM open_run WHERE run = ?1 AND why IS NOT NULL LIMIT 1",
        )?
        .query_row([run], |row| {
            let basis: String = row.get(0)?;
            let bad = |why: String| {
                rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, why.into())
            };
            Ok(Withdrawn { basis: basis.parse().map_err(bad)?, why: row.get(1)? })
        })
        .optional()
}

/// How many runs started under a grant.
pub(crate) fn uses_of(database: &Connection, grant: &Digest) -> rusqlite::Result<u32> {
    database
        .prepare_cached("SELECT count(*) FROM grant_use WHERE grant_digest = ?1")?
        .query_row([grant.to_string()], |row| row.get(0))
}
