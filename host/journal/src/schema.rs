//! The tables of the file, and the way from an older schema to this one.

use std::path::Path;

use jiff::Timestamp;
use remit_tlog::{Frontier, leaf_hash};
use rusqlite::Transaction;
use serde::Deserialize;

use crate::JournalError;
use crate::store::keep_block;
use crate::tree::BLOCK_LEVEL;

/// The schema this version writes.
pub(crate) const SCHEMA_VERSION: i64 = 7;

const SCHEMA: &str = "
    CREATE TABLE record (
        seq   INTEGER PRIMARY KEY,
        run   TEXT NOT NULL,
        kind  TEXT NOT NULL,
        body  BLOB NOT NULL,
        chain BLOB NOT NULL
    ) STRICT;
    CREATE INDEX record_of_run ON record (run, seq);
    CREATE INDEX record_of_kind ON record (kind, seq) WHERE kind IN ('started', 'ended');
    -- Where the log stands: one row, replaced by every transaction.
    CREATE TABLE head (
        id       INTEGER PRIMARY KEY CHECK (id = 1),
        chain    BLOB NOT NULL,
        frontier BLOB NOT NULL,
        note     TEXT NOT NULL
    ) STRICT;
    -- Where it stood at some moments.
    CREATE TABLE checkpoint (size INTEGER PRIMARY KEY, note TEXT NOT NULL) STRICT;
    CREATE TABLE grant_use (run TEXT PRIMARY KEY, grant_digest TEXT NOT NULL) STRICT;
    CREATE INDEX use_of_grant ON grant_use (grant_digest);
";

/// What schema 2 added to schema 1.
const SINCE_1: &str = "
    -- The runs without a state: going on, or left behind by a host that was killed.
    CREATE TABLE open_run (run TEXT PRIMARY KEY) STRICT;
    -- What opens the sealed part of each run's records, itself sealed under the host's key (NULL, in runs of
    -- schema 1: the host's key itself). Deleting a row is how a run's secrets expire.
    CREATE TABLE run_key (run TEXT PRIMARY KEY, sealed BLOB) STRICT;
    -- What only the right host key opens.
    CREATE TABLE host_key (id INTEGER PRIMARY KEY CHECK (id = 1), sealed BLOB NOT NULL) STRICT;
    -- The newest checkpoint that each witness cosigned, with every signature it got.
    CREATE TABLE cosigned (witness TEXT PRIMARY KEY, size INTEGER NOT NULL, note TEXT NOT NULL) STRICT;
";

/// What schema 3 added: records that belong to no run (see `act`), and two tables that say what they come to.
const SINCE_2: &str = "
    -- What each run that goes on rests on, and since which record.
    CREATE TABLE authority (
        run    TEXT NOT NULL,
        ground TEXT NOT NULL,
        since  INTEGER NOT NULL,
        PRIMARY KEY (run, ground, since)
    ) STRICT, WITHOUT ROWID;
    -- What gives no authority any more, if it is on record since before that number.
    CREATE TABLE struck (ground TEXT PRIMARY KEY, before INTEGER NOT NULL, why TEXT NOT NULL) STRICT;
    -- Up to which record each notifier told everything worth telling.
    CREATE TABLE told (notifier TEXT PRIMARY KEY, upto INTEGER NOT NULL) STRICT;
    CREATE INDEX record_to_tell ON record (seq) WHERE kind IN
        ('ended', 'requested', 'request-denied', 'voided', 'expired', 'revoked', 'frozen', 'unfrozen', 'reviewed');
";

/// What schema 4 took away: older states of the log, signed and ready to be put back. A checkpoint that is to show that
/// history was not rewritten is kept elsewhere.
const SINCE_3: &str = "
    DROP TABLE checkpoint;
";

/// The kinds worth telling somebody of.
pub(crate) const TO_TELL: [&str; 9] = [
    "ended",
    "requested",
    "request-denied",
    "voided",
    "expired",
    "revoked",
    "frozen",
    "unfrozen",
    "reviewed",
];

/// Whether a record is of one of [`TO_TELL`], in SQL. One comparison after the other: for `IN` a list of more than two,
/// SQLite makes a table at each record that it looks at.
pub(crate) fn to_tell() -> String {
    format!("({})", TO_TELL.map(|kind| format!("kind = '{kind}'")).join(" OR "))
}

/// Whether a record can be found by its kind: what is looked for must be one side of this, word by word, or SQLite does
/// not see that the index has it.
pub(crate) fn by_kind() -> String {
    format!("kind = 'started' OR {}", to_tell())
}

/// What schema 5 says in fewer pages: each of these tables is one tree instead of two, and no large index holds a
/// record's number twice.
fn since_4() -> String {
    let to_tell = to_tell();
    format!(
        "
        DROP INDEX record_to_tell;
        CREATE INDEX record_to_tell ON record (seq) WHERE {to_tell};
        DROP INDEX record_of_run;
        CREATE INDEX record_of_run ON record (run);

        ALTER TABLE open_run RENAME TO old;
        CREATE TABLE open_run (run TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
        INSERT INTO open_run SELECT run FROM old;
        DROP TABLE old;

        ALTER TABLE run_key RENAME TO old;
        CREATE TABLE run_key (run TEXT PRIMARY KEY, sealed BLOB) STRICT, WITHOUT ROWID;
        INSERT INTO run_key SELECT run, sealed FROM old;
        DROP TABLE old;

        ALTER TABLE grant_use RENAME TO old;
        CREATE TABLE grant_use (run TEXT PRIMARY KEY, grant_digest TEXT NOT NULL) STRICT, WITHOUT ROWID;
        INSERT INTO grant_use SELECT run, grant_digest FROM old;
        DROP TABLE old;
        CREATE INDEX use_of_grant ON grant_use (grant_digest);
        "
    )
}

/// What schema 6 says in fewer rows: that a run has no state and what it rests on are one, and so are the two indices of
/// some kinds of records.
fn since_5() -> String {
    let by_kind = by_kind();
    format!(
        "
        DROP INDEX record_to_tell;
        DROP INDEX record_of_kind;
        CREATE INDEX record_of_kind ON record (kind) WHERE {by_kind};

        ALTER TABLE open_run RENAME TO old;
        -- The runs without a state: going on, or left behind by a host that was killed. What each rests on, and since which
        -- record; one that was taken up again after its end rests on nothing that can be taken away, which is the ground ''.
        CREATE TABLE open_run (
            run    TEXT NOT NULL,
            ground TEXT NOT NULL,
            since  INTEGER NOT NULL,
            PRIMARY KEY (run, ground, since)
        ) STRICT, WITHOUT ROWID;
        INSERT INTO open_run SELECT run, ground, since FROM authority WHERE run IN (SELECT run FROM old);
        INSERT INTO open_run SELECT run, '', 0 FROM old WHERE run NOT IN (SELECT run FROM authority);
        DROP TABLE old;
        DROP TABLE authority;
        "
    )
}

/// What schema 7 added: the place of each record among those of its run, which is in its entry of the log too; and the
/// hashes over whole blocks of the log's tree, so that a proof need not read all of it.
const SINCE_6: &str = "
    -- 0 in records whose entry does not bind it: all before `head.placed_since`.
    ALTER TABLE record ADD COLUMN place INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE head ADD COLUMN placed_since INTEGER NOT NULL DEFAULT 1;
    CREATE TABLE block (number INTEGER PRIMARY KEY, hash BLOB NOT NULL) STRICT;
";

/// The table of a schema, from 3 on, that says what runs rest on.
pub(crate) fn resting(version: i64) -> &'static str {
    if version < 6 { "authority" } else { "open_run" }
}

fn is_current() -> String {
    format!("PRAGMA user_version = {SCHEMA_VERSION};")
}

/// All that makes an empty journal's tables.
pub(crate) fn whole() -> String {
    [SCHEMA, SINCE_1, SINCE_2, SINCE_3, &since_4(), &since_5(), SINCE_6, &is_current()].concat()
}

/// Brings an older schema to this one, after the head was verified. Gives the latest time of any record.
pub(crate) fn migrate(
    path: &Path,
    transaction: &Transaction<'_>,
    from: i64,
    signed: &Frontier,
) -> Result<Option<Timestamp>, JournalError> {
    let sql = |error: rusqlite::Error| JournalError::sqlite(path, &error);
    if from == 1 {
        from_1(path, transaction)?;
    }
    let fill = "
        INSERT INTO authority SELECT run, 'thaw', 0 FROM open_run
            WHERE run NOT IN (SELECT run FROM record WHERE kind = 'ended');
    ";
    let to_3 = if from < 3 { [SINCE_2, fill].concat() } else { String::new() };
    let to_4 = if from < 4 { SINCE_3 } else { "" };
    let to_5 = if from < 5 { since_4() } else { String::new() };
    let to_6 = if from < 6 { since_5() } else { String::new() };
    let all = to_3 + to_4 + &to_5 + &to_6 + SINCE_6 + &is_current();
    transaction.execute_batch(&all).map_err(sql)?;
    transaction
        .execute("UPDATE head SET placed_since = ?1", [(signed.size() + 1).cast_signed()])
        .map_err(sql)?;
    walk(path, transaction, signed)
}

/// When a record was written.
#[derive(Deserialize)]
pub(crate) struct At {
    #[serde(with = "crate::instant")]
    pub(crate) at: Timestamp,
}

/// Fills in what follows from all records, which must be what was signed.
fn walk(
    path: &Path,
    transaction: &Transaction<'_>,
    signed: &Frontier,
) -> Result<Option<Timestamp>, JournalError> {
    let sql = |error: rusqlite::Error| JournalError::sqlite(path, &error);
    let (mut frontier, mut mark) = (Frontier::default(), None);
    let mut records = transaction.prepare("SELECT body, chain FROM record ORDER BY seq").map_err(sql)?;
    let mut rows = records.query([]).map_err(sql)?;
    while let Some(row) = rows.next().map_err(sql)? {
        let (body, chain) = (row.get_ref(0), row.get_ref(1));
        let (body, chain) = (
            body.and_then(|b| Ok(b.as_bytes()?)).map_err(sql)?,
            chain.and_then(|c| Ok(c.as_bytes()?)).map_err(sql)?,
        );
        let At { at } = serde_json::from_slice(body).map_err(|_| {
            JournalError::damaged(
                path,
                format!("record {} does not say when it was written", frontier.size() + 1),
            )
        })?;
        mark = mark.max(Some(at));
        if let Some(node) = frontier.push_noting(leaf_hash(chain), BLOCK_LEVEL) {
            keep_block(transaction, frontier.size(), &node).map_err(sql)?;
        }
    }
    if frontier == *signed {
        return Ok(mark);
    }
    Err(JournalError::damaged(path, "its records are not those its last checkpoint is of"))
}

/// Brings schema 1 to schema 2. Records stay as they are.
fn from_1(path: &Path, transaction: &Transaction<'_>) -> Result<(), JournalError> {
    let sql = |error: rusqlite::Error| JournalError::sqlite(path, &error);
    transaction.execute_batch(SINCE_1).map_err(sql)?;
    let fill = "
        INSERT INTO run_key SELECT DISTINCT run, NULL FROM record;
        INSERT INTO open_run SELECT run FROM record GROUP BY run HAVING max(seq) IS NOT
            max(CASE WHEN kind = 'ended' THEN seq END);
    ";
    transaction.execute_batch(fill).map_err(sql)
}
