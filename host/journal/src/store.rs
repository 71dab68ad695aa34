//! The file: its tables, and the one transaction that appends.

use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use remit_tlog::{Checkpoint, Frontier, NoteSigner, leaf_hash};
use remit_trust::Digest;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior, params};

use crate::{JournalError, RunId, StartError};

/// The newest schema this version reads and writes.
const SCHEMA_VERSION: i64 = 1;

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
    -- Where it stood at the end of each run.
    CREATE TABLE checkpoint (size INTEGER PRIMARY KEY, note TEXT NOT NULL) STRICT;
    CREATE TABLE grant_use (run TEXT PRIMARY KEY, grant_digest TEXT NOT NULL) STRICT;
    CREATE INDEX use_of_grant ON grant_use (grant_digest);
    PRAGMA user_version = 1;
";

/// A record on its way into the file.
pub(crate) struct Entry {
    pub(crate) run: RunId,
    pub(crate) kind: &'static str,
    pub(crate) body: Vec<u8>,
    /// A run's first record; with the grant it uses.
    pub(crate) start: Option<Option<(Digest, u32)>>,
}

/// The log's state between two transactions.
pub(crate) struct Head {
    pub(crate) chain: [u8; 32],
    pub(crate) frontier: Frontier,
    pub(crate) note: String,
}

/// What binds a record to all before it.
pub(crate) fn link(previous: &[u8; 32], body: &[u8]) -> [u8; 32] {
    let mut text = b"remit-journal-v1\n".to_vec();
    text.extend_from_slice(previous);
    text.extend_from_slice(Digest::of(body).as_bytes());
    *Digest::of(&text).as_bytes()
}

/// Opens a file that may be written, making it (mode 0600) if there is none.
pub(crate) fn open(path: &Path, signer: &NoteSigner) -> Result<Connection, JournalError> {
    match fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(JournalError::io(path, &error));
        }
        _ => {}
    }
    let sql = |error: rusqlite::Error| JournalError::sqlite(path, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut database = Connection::open_with_flags(path, flags).map_err(sql)?;
    database.busy_timeout(Duration::from_secs(30)).map_err(sql)?;
    check_version(path, &database)?;
    database.pragma_update(None, "journal_mode", "WAL").map_err(sql)?;
    database.pragma_update(None, "synchronous", "FULL").map_err(sql)?;

    // Two processes may make the file at once: the second finds the tables there.
    let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sql)?;
    if version(path, &transaction)? == 0 {
        transaction.execute_batch(SCHEMA).map_err(sql)?;
        let frontier = Frontier::default();
        write_head(&transaction, &[0; 32], &frontier, signer).map_err(sql)?;
    }
    let head = head(path, &transaction)?;
    transaction.commit().map_err(sql)?;
    let checkpoint = signer
        .verifier()
        .verify(&head.note)
        .map_err(|error| JournalError::OtherKey { path: path.to_owned(), why: error.to_string() })?;
    if checkpoint.size != head.frontier.size() || checkpoint.root != head.frontier.root() {
        return Err(JournalError::damaged(path, "its last checkpoint is not of its last record"));
    }
    Ok(database)
}

/// Opens a file that must exist, to read.
pub(crate) fn open_read_only(path: &Path) -> Result<Connection, JournalError> {
    fs::metadata(path).map_err(|error| JournalError::io(path, &error))?;
    let sql = |error: rusqlite::Error| JournalError::sqlite(path, &error);
    let database = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(sql)?;
    database.busy_timeout(Duration::from_secs(30)).map_err(sql)?;
    check_version(path, &database)?;
    if version(path, &database)? == 0 {
        return Err(JournalError::damaged(path, "it holds no journal"));
    }
    Ok(database)
}

fn version(path: &Path, database: &Connection) -> Result<i64, JournalError> {
    database
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(|error| JournalError::sqlite(path, &error))
}

fn check_version(path: &Path, database: &Connection) -> Result<(), JournalError> {
    let found = version(path, database)?;
    if found > SCHEMA_VERSION {
        return Err(JournalError::Newer { path: path.to_owned(), found, known: SCHEMA_VERSION });
    }
    Ok(())
}

/// Reads the log's state.
pub(crate) fn head(path: &Path, database: &Connection) -> Result<Head, JournalError> {
    let (chain, frontier, note): (Vec<u8>, Vec<u8>, String) = database
        .query_row("SELECT chain, frontier, note FROM head", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .map_err(|error| JournalError::sqlite(path, &error))?;
    let chain = chain.try_into().map_err(|_| JournalError::damaged(path, "its head is malformed"))?;
    let frontier =
        Frontier::from_bytes(&frontier).map_err(|error| JournalError::damaged(path, error.to_string()))?;
    Ok(Head { chain, frontier, note })
}

fn write_head(
    transaction: &Transaction<'_>,
    chain: &[u8; 32],
    frontier: &Frontier,
    signer: &NoteSigner,
) -> rusqlite::Result<String> {
    let checkpoint =
        Checkpoint { origin: signer.name().to_owned(), size: frontier.size(), root: frontier.root() };
    let note = signer.sign(&checkpoint);
    transaction
        .prepare_cached("INSERT OR REPLACE INTO head (id, chain, frontier, note) VALUES (1, ?1, ?2, ?3)")?
        .execute(params![chain, frontier.to_bytes(), note])?;
    Ok(note)
}

/// Appends entries in one durable transaction; the state of the log is read inside it, so that several
/// processes can share the file. Returns, for each entry, whether it was refused. An error means that
/// none was written.
pub(crate) fn append(
    path: &Path,
    database: &mut Connection,
    signer: &NoteSigner,
    entries: &[Entry],
) -> Result<Vec<Result<(), StartError>>, JournalError> {
    let sql = |error: rusqlite::Error| JournalError::sqlite(path, &error);
    let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sql)?;
    let Head { mut chain, mut frontier, .. } = head(path, &transaction)?;
    let mut answers = Vec::with_capacity(entries.len());
    let mut ended = false;
    for entry in entries {
        if let Some(grant) = &entry.start
            && let Err(refused) = start(&transaction, entry.run, grant.as_ref()).map_err(sql)?
        {
            answers.push(Err(refused));
            continue;
        }
        chain = link(&chain, &entry.body);
        frontier.push(leaf_hash(&chain));
        transaction
            .prepare_cached("INSERT INTO record (seq, run, kind, body, chain) VALUES (?1, ?2, ?3, ?4, ?5)")
            .and_then(|mut insert| {
                let seq = frontier.size().cast_signed();
                insert.execute(params![seq, entry.run.to_string(), entry.kind, entry.body, chain])
            })
            .map_err(sql)?;
        ended |= entry.kind == "ended";
        answers.push(Ok(()));
    }
    let note = write_head(&transaction, &chain, &frontier, signer).map_err(sql)?;
    if ended {
        transaction
            .execute(
                "INSERT INTO checkpoint (size, note) VALUES (?1, ?2)",
                params![frontier.size().cast_signed(), note],
            )
            .map_err(sql)?;
    }
    transaction.commit().map_err(sql)?;
    Ok(answers)
}

/// Counts a use of the grant, or refuses the run.
fn start(
    transaction: &Transaction<'_>,
    run: RunId,
    grant: Option<&(Digest, u32)>,
) -> rusqlite::Result<Result<(), StartError>> {
    let again: bool = transaction
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM record WHERE run = ?1)")?
        .query_row([run.to_string()], |row| row.get(0))?;
    if again {
        return Ok(Err(StartError::Again(run)));
    }
    let Some((grant, uses)) = grant else {
        return Ok(Ok(()));
    };
    let started = uses_of(transaction, grant)?;
    if started >= *uses {
        return Ok(Err(StartError::Spent { grant: *grant, uses: *uses, started }));
    }
    transaction
        .prepare_cached("INSERT INTO grant_use (run, grant_digest) VALUES (?1, ?2)")?
        .execute(params![run.to_string(), grant.to_string()])?;
    Ok(Ok(()))
}

/// How many runs started under a grant.
pub(crate) fn uses_of(database: &Connection, grant: &Digest) -> rusqlite::Result<u32> {
    database
        .prepare_cached("SELECT count(*) FROM grant_use WHERE grant_digest = ?1")?
        .query_row([grant.to_string()], |row| row.get(0))
}
