//! The journal's file: how it is made, opened and synced, and the state of the log that is in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use remit_file::Kind;
use remit_tlog::{Checkpoint, Frontier, NoteSigner, NoteVerifier};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Transaction, TransactionBehavior, params};

use crate::JournalError;
use crate::schema::{self, SCHEMA_VERSION};

/// The log's state between two transactions.
pub(crate) struct Head {
    pub(crate) chain: [u8; 32],
    pub(crate) frontier: Frontier,
    pub(crate) note: String,
}

/// The line of a signed checkpoint that has the latest time of any record. The log signs it with its size and root.
const TIME: &str = "time ";

/// The latest time of any record, as a signed checkpoint says it. None before the first record.
pub(crate) fn mark(path: &Path, signed: &Checkpoint) -> Result<Option<Timestamp>, JournalError> {
    let time = signed.extensions.iter().find_map(|line| line.strip_prefix(TIME));
    let read = time.map(|time| {
        time.parse()
            .map_err(|_| JournalError::damaged(path, "the time in its last checkpoint cannot be read"))
    });
    read.transpose()
}

/// Opens the journal to write. Creates the file (mode 0600) if there is none.
pub(crate) fn open(path: &Path, signer: &NoteSigner) -> Result<Connection, JournalError> {
    match remit_file::check(path, Kind::Kept) {
        Err(error) if error.is_missing() => create(path, signer)?,
        checked => checked.map_err(|error| JournalError::file(path, &error))?,
    }
    let sql = |error: rusqlite::Error| JournalError::sqlite(path, &error);
    let mut database = connect(path).map_err(sql)?;
    check_version(path, &database)?;
    database.pragma_update(None, "journal_mode", "WAL").map_err(sql)?;
    let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sql)?;
    // Inside the transaction, so that another process cannot change the head meanwhile.
    trusted_head(path, &transaction, &signer.verifier())?;
    transaction.commit().map_err(sql)?;
    Ok(database)
}

/// A connection that writes durably. The file must exist.
pub(crate) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(path, flags)?;
    configure(&database)?;
    database.pragma_update(None, "synchronous", "FULL")?;
    // A deleted key must not remain in free pages of the file.
    database.pragma_update(None, "secure_delete", "ON")?;
    Ok(database)
}

/// What every connection has.
fn configure(database: &Connection) -> rusqlite::Result<()> {
    database.busy_timeout(Duration::from_secs(30))?;
    database.set_prepared_statement_cache_capacity(64);
    // How a statement is carried out does not depend on the values that it is given. Otherwise a statement that is kept is parsed
    // again for each new value (sqlite.org/queryplanner-ng.html, "query planner stability guarantee").
    database.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

/// Makes an empty journal, completely or not at all: it is built in another file, which then gets the journal's name.
fn create(path: &Path, signer: &NoteSigner) -> Result<(), JournalError> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}.new", crate::RunId::new()));
    let draft = Path::new(&draft);
    let build = || -> rusqlite::Result<()> {
        let mut database = Connection::open(draft)?;
        database.pragma_update(None, "synchronous", "FULL")?;
        let transaction = database.transaction()?;
        transaction.execute_batch(&schema::statements())?;
        transaction.execute_batch("INSERT INTO head (id, chain, frontier, note) VALUES (1, x'', x'', '')")?;
        write_head(&transaction, &[0; 32], &Frontier::default(), None, signer)?;
        transaction.commit()
    };
    let io = |error: std::io::Error| JournalError::io(path, &error);
    remit_file::make_empty(draft).map_err(io)?;
    let made = build().map_err(|error| JournalError::sqlite(path, &error)).and_then(|()| {
        match fs::hard_link(draft, path) {
            // Another process was faster. Its journal is as good.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            linked => linked.map_err(io),
        }
    });
    // A draft that cannot be removed does no harm.
    let _ = fs::remove_file(draft);
    made
}

/// Opens the journal to read. The file must exist.
pub(crate) fn open_read_only(path: &Path) -> Result<Connection, JournalError> {
    // Checked first, because SQLite would wait for ever for the writer of a named pipe.
    remit_file::check(path, Kind::Kept).map_err(|error| JournalError::file(path, &error))?;
    let sql = |error: rusqlite::Error| JournalError::sqlite(path, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(path, flags).map_err(sql)?;
    configure(&database).map_err(sql)?;
    match check_version(path, &database) {
        Ok(()) => Ok(database),
        // SQLite writes beside the file even to read it. Where it cannot, the storage is read-only, and the file does not
        // change while it is read.
        Err(JournalError::Unavailable { .. }) => {
            if fs::metadata(log_of(path)).is_ok_and(|log| log.len() > 0) {
                return Err(JournalError::Unavailable {
                    path: path.to_owned(),
                    why: "its newest records are in the file beside it (`-wal`), and this folder cannot be written".to_owned(),
                    help: "copy both files to a folder that you can write, and name the copy".into(),
                });
            }
            let fixed = immutable(path).map_err(sql)?;
            check_version(path, &fixed)?;
            Ok(fixed)
        }
        Err(error) => Err(error),
    }
}

/// Opens a file that nobody changes, without locks and without its write-ahead log.
pub(crate) fn immutable(path: &Path) -> rusqlite::Result<Connection> {
    use std::fmt::Write as _;
    use std::os::unix::ffi::OsStrExt as _;
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut uri = "file:".to_owned();
    for byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.".contains(byte) {
            uri.push(char::from(*byte));
        } else {
            // Writing to a `String` cannot fail.
            let _ = write!(uri, "%{byte:02x}");
        }
    }
    uri.push_str("?immutable=1");
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(uri, flags)
}

/// Refuses a file of another schema.
pub(crate) fn check_version(path: &Path, database: &Connection) -> Result<(), JournalError> {
    let found = database
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(|error| JournalError::sqlite(path, &error))?;
    match found {
        SCHEMA_VERSION => Ok(()),
        0 => Err(JournalError::damaged(path, "it holds no journal")),
        found => Err(JournalError::OtherSchema { path: path.to_owned(), found, known: SCHEMA_VERSION }),
    }
}

/// Reads the log's state.
pub(crate) fn head(path: &Path, database: &Connection) -> Result<Head, JournalError> {
    let (chain, frontier, note): (Vec<u8>, Vec<u8>, String) = database
        .prepare_cached("SELECT chain, frontier, note FROM head")
        .and_then(|mut head| head.query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))))
        .map_err(|error| JournalError::sqlite(path, &error))?;
    let chain = chain.try_into().map_err(|_| JournalError::damaged(path, "its head is malformed"))?;
    let frontier =
        Frontier::from_bytes(&frontier).map_err(|error| JournalError::damaged(path, error.to_string()))?;
    Ok(Head { chain, frontier, note })
}

/// Reads the log's state and makes sure that it was signed, and that it is the state after the last record: whatever is
/// appended to it will be signed in turn. Also gives the latest time of any record.
pub(crate) fn trusted_head(
    path: &Path,
    database: &Connection,
    key: &NoteVerifier,
) -> Result<(Head, Option<Timestamp>), JournalError> {
    let head = head(path, database)?;
    let signed = key
        .verify(&head.note)
        .map_err(|error| JournalError::OtherKey { path: path.to_owned(), why: error.to_string() })?;
    if signed.size != head.frontier.size() || signed.root != head.frontier.root() {
        return Err(JournalError::damaged(path, "its last checkpoint is not over its records"));
    }
    let last: Option<(i64, Vec<u8>)> = database
        .prepare_cached("SELECT seq, chain FROM record ORDER BY seq DESC LIMIT 1")
        .and_then(|mut last| last.query_row([], |row| Ok((row.get(0)?, row.get(1)?))).optional())
        .map_err(|error| JournalError::sqlite(path, &error))?;
    let (seq, chain) = last.unwrap_or((0, vec![0; 32]));
    if seq.cast_unsigned() != head.frontier.size() || chain != head.chain {
        return Err(JournalError::damaged(path, "its last checkpoint does not end with its last record"));
    }
    let mark = mark(path, &signed)?;
    if mark.is_none() && signed.size > 0 {
        return Err(JournalError::damaged(
            path,
            "its last checkpoint does not say the latest time of any record",
        ));
    }
    Ok((head, mark))
}

/// Signs and stores the log's state.
pub(crate) fn write_head(
    transaction: &Transaction<'_>,
    chain: &[u8; 32],
    frontier: &Frontier,
    mark: Option<Timestamp>,
    signer: &NoteSigner,
) -> rusqlite::Result<()> {
    let note = signer.sign(&Checkpoint {
        origin: signer.name().to_owned(),
        size: frontier.size(),
        root: frontier.root(),
        extensions: mark.iter().map(|mark| format!("{TIME}{mark}")).collect(),
    });
    transaction.prepare_cached("UPDATE head SET chain = ?1, frontier = ?2, note = ?3")?.execute(params![
        chain,
        frontier.to_bytes(),
        note
    ])?;
    Ok(())
}

/// Whether a transaction waits until the disk has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// The transaction waits for the disk.
    Now,
    /// The transaction does not wait. The next one that does makes it durable too: both are in the same write-ahead
    /// log.
    Later,
}

impl Durability {
    /// Sets a connection of [`connect`] to this. `is` is what it is set to; it begins with [`Durability::Now`].
    pub(crate) fn set(self, path: &Path, database: &Connection, is: &mut Self) -> Result<(), JournalError> {
        if *is != self {
            // In WAL mode, waiting for the disk is the only difference between NORMAL and FULL.
            let statement = match self {
                Self::Now => "PRAGMA synchronous = FULL",
                Self::Later => "PRAGMA synchronous = NORMAL",
            };
            database.execute_batch(statement).map_err(|error| JournalError::sqlite(path, &error))?;
            *is = self;
        }
        Ok(())
    }
}

/// Waits until everything that any process committed is on the disk. Needed before anything leaves this machine, such as
/// a checkpoint: it must not be newer than what a power failure would leave here.
pub(crate) fn sync(path: &Path) -> Result<(), JournalError> {
    match remit_file::open_plain(&log_of(path), Kind::Kept) {
        Ok(log) => log.file().sync_data().map_err(|error| JournalError::io(path, &error)),
        // Its content was moved into the file itself and synced there.
        Err(error) if error.is_missing() => Ok(()),
        Err(error) => Err(JournalError::file(path, &error)),
    }
}

/// The path of SQLite's write-ahead log: what was committed and is not in the file itself yet.
pub(crate) fn log_of(path: &Path) -> PathBuf {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    log.into()
}
