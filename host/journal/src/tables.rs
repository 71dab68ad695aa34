//! What a transaction writes: the records, and what they come to. Which runs go on and on what they rest, their keys, the
//! uses of grants, and what gives no authority any more.

use std::borrow::Cow;
use std::sync::LazyLock;

use remit_trust::{Digest, Sealed};
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Transaction, params};

use crate::act::Effect;
use crate::chain::Tail;
use crate::store::Entry;
use crate::{RestsOn, RunId, StartError, Withdrawn};

/// What a record means for its run, or for authority, as a whole.
pub(crate) enum Turn {
    /// The run exists, under this grant, resting on this, its secrets under this key.
    Starts(Box<Start>),
    /// The run wants to change something: not if what it rests on was taken away.
    Changes,
    /// The run has no state from now on, although it had one.
    Reopens,
    /// It has one.
    Ends,
    /// Its key is deleted.
    Expires,
    /// Something gives no authority any more, or does again.
    Decides(Box<Effect>),
    /// Nothing.
    Goes,
}

/// What a run starts with.
pub(crate) struct Start {
    pub(crate) run: RunId,
    pub(crate) grant: Option<(Digest, u32)>,
    pub(crate) rests_on: Vec<RestsOn>,
    pub(crate) key: Sealed,
}

/// A record with its place in the log, and among those of its name.
pub(crate) struct Row<'e> {
    pub(crate) seq: u64,
    pub(crate) entry: &'e Entry,
    pub(crate) body: Cow<'e, [u8]>,
    pub(crate) tail: Tail,
}

/// So many records are written with one statement, where there are as many.
const TOGETHER: usize = 8;

/// What there is of each.
const COLUMNS: usize = 6;

static INSERT: LazyLock<String> = LazyLock::new(|| insert(1));
static INSERT_TOGETHER: LazyLock<String> = LazyLock::new(|| insert(TOGETHER));

/// What a transaction writes to: with the statements that every run needs, looked for once.
pub(crate) struct Tables<'t> {
    transaction: &'t Transaction<'t>,
    key: CachedStatement<'t>,
    ground: CachedStatement<'t>,
    end: CachedStatement<'t>,
    /// Nothing is taken away: not before this transaction, nor so far in it.
    all_stands: bool,
}

impl<'t> Tables<'t> {
    pub(crate) fn of(transaction: &'t Transaction<'_>) -> rusqlite::Result<Self> {
        let mut stands = transaction.prepare_cached("SELECT NOT EXISTS (SELECT 1 FROM struck)")?;
        Ok(Self {
            transaction,
            key: transaction.prepare_cached(
                "INSERT OR IGNORE INTO run_key (run, sealed)
                 SELECT ?1, ?2 WHERE NOT EXISTS (SELECT 1 FROM record WHERE run = ?1)",
            )?,
            ground: transaction
                .prepare_cached("INSERT OR IGNORE INTO open_run (run, ground, since) VALUES (?1, ?2, ?3)")?,
            end: transaction.prepare_cached("DELETE FROM open_run WHERE run = ?1")?,
            all_stands: stands.query_row([], |row| row.get(0))?,
        })
    }

    /// Whether an entry may be written. Of one that may, what has to be there before it is.
    pub(crate) fn admit(&mut self, entry: &Entry) -> rusqlite::Result<Result<(), StartError>> {
        let run = entry.of.as_str();
        let refused = match &entry.turn {
            Turn::Starts(begun) => self.start(run, begun)?,
            Turn::Changes => self.withdrawn(run)?.map(StartError::Withdrawn),
            _ => None,
        };
        Ok(refused.map_or(Ok(()), Err))
    }

    /// Notes what a run starts with, or why it may not.
    fn start(&mut self, run: &str, begun: &Start) -> rusqlite::Result<Option<StartError>> {
        if self.key.execute(params![run, begun.key.as_bytes()])? == 0 {
            return Ok(Some(StartError::Again(begun.run)));
        }
        let refused = self.count(run, begun)?;
        if refused.is_some() {
            // Nothing of a run that never started may stay behind.
            for table in ["run_key", "open_run", "grant_use"] {
                self.transaction.execute(&format!("DELETE FROM {table} WHERE run = ?1"), [run])?;
            }
        }
        Ok(refused)
    }

    /// Counts a use of the grant and notes what the run rests on, or says why it may not start.
    fn count(&mut self, run: &str, begun: &Start) -> rusqlite::Result<Option<StartError>> {
        if let Some((grant, uses)) = begun.grant {
            let started = uses_of(self.transaction, &grant)?;
            if started >= uses {
                return Ok(Some(StartError::Spent { grant, uses, started }));
            }
            self.transaction
                .prepare_cached("INSERT INTO grant_use (run, grant_digest) VALUES (?1, ?2)")?
                .execute(params![run, grant.to_string()])?;
        }
        for RestsOn { ground, since } in &begun.rests_on {
            self.ground.execute(params![run, ground.to_string(), since.cast_signed()])?;
        }
        Ok(self.withdrawn(run)?.map(StartError::Withdrawn))
    }

    /// What a run rests on and was taken away.
    fn withdrawn(&self, run: &str) -> rusqlite::Result<Option<Withdrawn>> {
        if self.all_stands { Ok(None) } else { withdrawn(self.transaction, run) }
    }

    /// Writes what an admitted entry means for its run or for authority.
    pub(crate) fn follow(&mut self, row: &Row<'_>) -> rusqlite::Result<()> {
        let run = row.entry.of.as_str();
        match &row.entry.turn {
            Turn::Starts(_) | Turn::Changes | Turn::Goes => Ok(0),
            // Of a run whose host was killed it is still known what it rests on.
            Turn::Reopens => self
                .transaction
                .prepare_cached(
                    "INSERT INTO open_run (run, ground, since)
                     SELECT ?1, '', 0 WHERE NOT EXISTS (SELECT 1 FROM open_run WHERE run = ?1)",
                )?
                .execute([run]),
            Turn::Ends => self.end.execute([run]),
            Turn::Expires => {
                self.transaction.prepare_cached("DELETE FROM run_key WHERE run = ?1")?.execute([run])
            }
            Turn::Decides(effect) => {
                self.all_stands &= !matches!(**effect, Effect::Strikes(..));
                decide(self.transaction, row.seq, effect)
            }
        }
        .map(|_| ())
    }

    /// Writes the records themselves: several with one statement, which finds its place in the table and its indices once.
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

fn decide(transaction: &Transaction<'_>, seq: u64, effect: &Effect) -> rusqlite::Result<usize> {
    match effect {
        Effect::Strikes(strikes, why) => {
            let mut strike = transaction.prepare_cached(
                "INSERT INTO struck (ground, before, why) VALUES (?1, ?2, ?3) ON CONFLICT (ground)
                 DO UPDATE SET before = excluded.before, why = excluded.why WHERE excluded.before > before",
            )?;
            strikes.iter().try_fold(0, |n, struck| {
                let before = struck.before(seq).cast_signed();
                Ok(n + strike.execute(params![struck.ground.to_string(), before, why])?)
            })
        }
        Effect::Tells(notifier, upto) => transaction
            .prepare_cached(
                "INSERT INTO told (notifier, upto) VALUES (?1, ?2) ON CONFLICT (notifier)
                 DO UPDATE SET upto = excluded.upto WHERE excluded.upto > upto",
            )?
            .execute(params![notifier, upto.cast_signed()]),
        Effect::Lifts(ground) => {
            transaction.prepare_cached("DELETE FROM struck WHERE ground = ?1")?.execute([ground.to_string()])
        }
    }
}

/// What a run rests on and was taken away.
pub(crate) fn withdrawn(database: &Connection, run: &str) -> rusqlite::Result<Option<Withdrawn>> {
    database
        .prepare_cached(
            // As a join, SQLite would compile it anew at every change of `?1`.
            "SELECT ground,
                (SELECT why FROM struck WHERE struck.ground = open_run.ground AND since < before) AS why
             FROM open_run WHERE run = ?1 AND why IS NOT NULL LIMIT 1",
        )?
        .query_row([run], |row| {
            let ground: String = row.get(0)?;
            let bad = |why: String| {
                rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, why.into())
            };
            Ok(Withdrawn { ground: ground.parse().map_err(bad)?, why: row.get(1)? })
        })
        .optional()
}

/// How many runs started under a grant.
pub(crate) fn uses_of(database: &Connection, grant: &Digest) -> rusqlite::Result<u32> {
    database
        .prepare_cached("SELECT count(*) FROM grant_use WHERE grant_digest = ?1")?
        .query_row([grant.to_string()], |row| row.get(0))
}
