//! The tables of the journal's file, in SQL.
//!
//! There is one schema. Nothing was released with an older one, so there are no migrations; they begin with the first
//! release.

/// The schema that this version reads and writes. A file with another number is refused.
pub(crate) const SCHEMA_VERSION: i64 = 11;

const TABLES: &str = "
    CREATE TABLE record (
        seq   INTEGER PRIMARY KEY,
        run   TEXT NOT NULL,
        kind  TEXT NOT NULL,
        body  BLOB NOT NULL,
        chain BLOB NOT NULL,
        -- The number of the record among those of its run, from 1.
        place INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX record_of_run ON record (run);
    -- The state of the log: one row, replaced by every transaction.
    CREATE TABLE head (
        id       INTEGER PRIMARY KEY CHECK (id = 1),
        chain    BLOB NOT NULL,
        frontier BLOB NOT NULL,
        note     TEXT NOT NULL
    ) STRICT;
    -- The hashes over whole blocks of the log's tree, so that a proof need not read every record.
    CREATE TABLE block (number INTEGER PRIMARY KEY, hash BLOB NOT NULL) STRICT;
    -- The runs without a state: under way, or left behind by a host that was killed. One row for each basis of the run's
    -- authority, with the record since which it exists. A run that was reopened after its end depends on nothing that can
    -- be revoked: its basis is ''.
    CREATE TABLE open_run (
        run   TEXT NOT NULL,
        basis TEXT NOT NULL,
        since INTEGER NOT NULL,
        PRIMARY KEY (run, basis, since)
    ) STRICT, WITHOUT ROWID;
    -- The key to the sealed part of each run's records, itself sealed under the host's key. Deleting a row makes the run's
    -- secrets unreadable for good.
    CREATE TABLE run_key (run TEXT PRIMARY KEY, sealed BLOB NOT NULL) STRICT, WITHOUT ROWID;
    -- What the host does by itself for a run whose changes stand, and when, in seconds since 1970.
    CREATE TABLE due (run TEXT PRIMARY KEY, restore INTEGER, page INTEGER) STRICT, WITHOUT ROWID;
    CREATE TABLE grant_use (run TEXT PRIMARY KEY, grant_digest TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE INDEX use_of_grant ON grant_use (grant_digest);
    -- A value that only the right host key opens.
    CREATE TABLE host_key (id INTEGER PRIMARY KEY CHECK (id = 1), sealed BLOB NOT NULL) STRICT;
    -- The newest checkpoint that each witness cosigned, with every signature it has.
    CREATE TABLE cosigned (witness TEXT PRIMARY KEY, size INTEGER NOT NULL, note TEXT NOT NULL) STRICT;
    -- What gives no authority any more, if it is on record since before that number.
    CREATE TABLE revoked (basis TEXT PRIMARY KEY, before INTEGER NOT NULL, why TEXT NOT NULL) STRICT;
    -- The last use of each passkey: its counter, and the digest of the signature.
    CREATE TABLE passkey (key TEXT PRIMARY KEY, counter INTEGER NOT NULL, signature TEXT NOT NULL) STRICT;
    -- Up to which record each notifier delivered everything that it had to.
    CREATE TABLE notified (notifier TEXT PRIMARY KEY, upto INTEGER NOT NULL) STRICT;
";

/// The kinds of records that notifiers deliver.
pub(crate) const TO_NOTIFY: [&str; 12] = [
    "ended",
    "extended",
    "paged",
    "requested",
    "request-denied",
    "voided",
    "expired",
    "revoked",
    "frozen",
    "unfrozen",
    "reviewed",
    "review-due",
];

/// SQL that is true for a record whose kind is one of [`TO_NOTIFY`]. It is a row of comparisons, because for `IN` with
/// more than two values SQLite builds a table for each record that it looks at.
pub(crate) fn to_notify() -> String {
    format!("({})", TO_NOTIFY.map(|kind| format!("kind = '{kind}'")).join(" OR "))
}

/// SQL that is true for a record that the index `record_of_kind` has. SQLite uses the index only for a query whose
/// condition is one side of this expression, word by word.
pub(crate) fn by_kind() -> String {
    format!("kind = 'started' OR {}", to_notify())
}

/// The statements that make an empty journal's tables.
pub(crate) fn statements() -> String {
    format!(
        "{TABLES}
         CREATE INDEX record_of_kind ON record (kind) WHERE {};
         PRAGMA user_version = {SCHEMA_VERSION};",
        by_kind()
    )
}
