//! The file: its tables, and the one transaction that appends.

use std::borrow::Cow;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use remit_file::Kind;
use remit_tlog::{Checkpoint, Frontier, Hash, NoteSigner, NoteVerifier, leaf_hash};
use remit_trust::Digest;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Transaction, TransactionBehavior, params};

use crate::chain::{Tail, Tails};
use crate::name::Filed;
use crate::schema::{SCHEMA_VERSION, migrate, whole};
use crate::tables::{Row, Tables, Turn};
use crate::tree::BLOCK_LEVEL;
use crate::{JournalError, StartError, instant};

/// A record on its way into the file.
pub(crate) struct Entry {
    /// What it is filed under.
    pub(crate) of: Filed,
    pub(crate) kind: &'static str,
    /// Where its text is among that of all.
    pub(crate) body: Range<usize>,
    /// That text's digest, if whoever waits for the record worked it out: the writer is what all of them wait for.
    pub(crate) digest: Option<Digest>,
    /// When it was made, by the clock of whoever made it; which is in its text.
    pub(crate) at: Timestamp,
    /// Whether somebody waits for it.
    pub(crate) waited_for: bool,
    pub(crate) turn: Turn,
}

/// How far a record's time may be below the newest one on record: several make records at once, and a clock is put right
/// by so much now and then.
const JITTER: SignedDuration = SignedDuration::from_secs(2);

/// Whether a time is that of a clock which was set back: what is on record is of a later one, which it gives.
pub(crate) fn set_back(at: Timestamp, mark: Option<Timestamp>) -> Option<Timestamp> {
    mark.filter(|mark| mark.duration_since(at) > JITTER)
}

/// The log's state between two transactions.
pub(crate) struct Head {
    pub(crate) chain: [u8; 32],
    pub(crate) frontier: Frontier,
    pub(crate) note: String,
}

/// What the log signs with its size and root: the latest time of any record so far. It never goes back.
const TIME: &str = "time ";

/// The latest time of any record, as a signed checkpoint says it. Journals of schema 6 and older do not.
pub(crate) fn mark(path: &Path, signed: &Checkpoint) -> Result<Option<Timestamp>, JournalError> {
    let time = signed.extensions.iter().find_map(|line| line.strip_prefix(TIME));
    let read = time.map(|time| {
        time.parse().map_err(|_| JournalError::damaged(path, "its last checkpoint's time is not one"))
    });
    read.transpose()
}

/// Opens a file that may be written, making it (mode 0600) if there is none.
pub(crate) fn open(path: &Path, signer: &NoteSigner) -> Result<Connection, JournalError> {
    match remit_file::check(path, Kind::Kept) {
        Err(error) if error.is_missing() => create(path, signer)?,
        checked => checked.map_err(|error| JournalError::io(path, &error.into()))?,
    }
    let sql = |error: rusqlite::Error| JournalError::sqlite(path, &error);
    let mut database = connect(path).map_err(sql)?;
    check_version(path, &database)?;
    database.pragma_update(None, "journal_mode", "WAL").map_err(sql)?;
    let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sql)?;
    // Read again inside the transaction: another process may have been first.
    let version = check_version(path, &transaction)?;
    let (head, mark) = trusted_head(path, &transaction, &signer.verifier(), version)?;
    if version < SCHEMA_VERSION {
        let found = migrate(path, &transaction, version, &head.frontier)?;
        write_head(&transaction, &head.chain, &head.frontier, mark.max(found), signer).map_err(sql)?;
    }
    transaction.commit().map_err(sql)?;
    Ok(database)
}

/// A connection that writes durably; the file must exist.
pub(crate) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(path, flags)?;
    database.busy_timeout(Duration::from_secs(30))?;
    database.set_prepared_statement_cache_capacity(64);
    database.pragma_update(None, "synchronous", "FULL")?;
    // A key that was deleted is not to be found in the file.
    database.pragma_update(None, "secure_delete", "ON")?;
    Ok(database)
}

/// Makes an empty journal, whole or not at all: a file that is empty or half made is never taken for one.
fn create(path: &Path, signer: &NoteSigner) -> Result<(), JournalError> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}.new", crate::RunId::new()));
    let draft = Path::new(&draft);
    let build = || -> rusqlite::Result<()> {
        let mut database = Connection::open(draft)?;
        database.pragma_update(None, "synchronous", "FULL")?;
        let transaction = database.transaction()?;
        transaction.execute_batch(&whole())?;
        transaction.execute_batch("INSERT INTO head (id, chain, frontier, note) VALUES (1, x'', x'', '')")?;
        write_head(&transaction, &[0; 32], &Frontier::default(), None, signer)?;
        transaction.commit()?;
        // Nothing is left of tables that a later schema made anew.
        database.execute_batch("VACUUM")
    };
    let io = |error: std::io::Error| JournalError::io(path, &error);
    remit_file::make_empty(draft).map_err(io)?;
    let made = build().map_err(|error| JournalError::sqlite(path, &error)).and_then(|()| {
        match fs::hard_link(draft, path) {
            // Another process was first: its journal is as good.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            linked => linked.map_err(io),
        }
    });
    // What is left of a draft is only litter.
    let _ = fs::remove_file(draft);
    made
}

/// Opens a file that must exist, to read; with its schema.
pub(crate) fn open_read_only(path: &Path) -> Result<(Connection, i64), JournalError> {
    // SQLite would wait for whoever writes into a pipe.
    remit_file::check(path, Kind::Kept).map_err(|error| JournalError::io(path, &error.into()))?;
    let sql = |error: rusqlite::Error| JournalError::sqlite(path, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(path, flags).map_err(sql)?;
    database.busy_timeout(Duration::from_secs(30)).map_err(sql)?;
    database.set_prepared_statement_cache_capacity(64);
    match check_version(path, &database) {
        Ok(version) => Ok((database, version)),
        // SQLite wants to write beside the file even to read it. On read-only storage nobody else writes
        // either: the file is as it is.
        Err(JournalError::Unavailable { .. }) => {
            if fs::metadata(log_of(path)).is_ok_and(|log| log.len() > 0) {
                return Err(JournalError::Unavailable {
                    path: path.to_owned(),
                    why: "its newest records are in the file beside it (`-wal`), and this folder cannot be written".to_owned(),
                    help: "copy both files to a folder that you can write, and name the copy",
                });
            }
            let fixed = immutable(path).map_err(sql)?;
            let version = check_version(path, &fixed)?;
            Ok((fixed, version))
        }
        Err(error) => Err(error),
    }
}

/// Opens a file that nobody changes.
fn immutable(path: &Path) -> rusqlite::Result<Connection> {
    use std::fmt::Write as _;
    use std::os::unix::ffi::OsStrExt as _;
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut uri = "file:".to_owned();
    for byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.".contains(byte) {
            uri.push(char::from(*byte));
        } else {
            // A `String` takes every write.
            let _ = write!(uri, "%{byte:02x}");
        }
    }
    uri.push_str("?immutable=1");
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(uri, flags)
}

fn version(path: &Path, database: &Connection) -> Result<i64, JournalError> {
    database
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(|error| JournalError::sqlite(path, &error))
}

/// The file's schema, if this version can read it.
pub(crate) fn check_version(path: &Path, database: &Connection) -> Result<i64, JournalError> {
    let found = version(path, database)?;
    match found {
        0 => Err(JournalError::damaged(path, "it holds no journal")),
        1..=SCHEMA_VERSION => Ok(found),
        _ => Err(JournalError::Newer { path: path.to_owned(), found, known: SCHEMA_VERSION }),
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

/// A state of the log that this connection verified or left behind, and what SQLite calls the file's state then: another
/// number as soon as another connection wrote.
pub(crate) struct Trusted {
    chain: [u8; 32],
    frontier: Frontier,
    /// The latest time of any record.
    mark: Option<Timestamp>,
    tails: Tails,
    version: i64,
}

/// Reads the log's state and makes sure that it is what was signed, over the last record there is: whatever
/// is appended to it will be signed in its turn. With the latest time of any record.
fn trusted_head(
    path: &Path,
    database: &Connection,
    key: &NoteVerifier,
    schema: i64,
) -> Result<(Head, Option<Timestamp>), JournalError> {
    let head = head(path, database)?;
    let signed = key
        .verify(&head.note)
        .map_err(|error| JournalError::OtherKey { path: path.to_owned(), why: error.to_string() })?;
    if signed.size != head.frontier.size() || signed.root != head.frontier.root() {
        return Err(JournalError::damaged(path, "its last checkpoint is not of its last record"));
    }
    let last: Option<(i64, Vec<u8>)> = database
        .prepare_cached("SELECT seq, chain FROM record ORDER BY seq DESC LIMIT 1")
        .and_then(|mut last| last.query_row([], |row| Ok((row.get(0)?, row.get(1)?))).optional())
        .map_err(|error| JournalError::sqlite(path, &error))?;
    let (seq, chain) = last.unwrap_or((0, vec![0; 32]));
    if seq.cast_unsigned() != head.frontier.size() || chain != head.chain {
        return Err(JournalError::damaged(path, "its last record is not the one its last checkpoint is of"));
    }
    let mark = mark(path, &signed)?;
    if mark.is_none() && signed.size > 0 && schema > 6 {
        return Err(JournalError::damaged(path, "its last checkpoint does not say which time it is of"));
    }
    Ok((head, mark))
}

fn write_head(
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

/// Appends entries in one transaction; the state of the log is read inside it, so that several
/// processes can share the file. Returns, for each entry, whether it was refused. An error means that
/// none was written.
pub(crate) fn append(
    path: &Path,
    database: &mut Connection,
    signer: &NoteSigner,
    trusted: &mut Option<Trusted>,
    (entries, text): (&[Entry], &[u8]),
) -> Result<Vec<Result<(), StartError>>, JournalError> {
    let sql = |error: rusqlite::Error| JournalError::sqlite(path, &error);
    let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sql)?;
    let version = transaction
        .prepare_cached("PRAGMA data_version")
        .and_then(|mut version| version.query_row([], |row| row.get(0)))
        .map_err(sql)?;
    let mut state = match trusted.take() {
        Some(trusted) if trusted.version == version => trusted,
        _ => {
            let (head, mark) = trusted_head(path, &transaction, &signer.verifier(), SCHEMA_VERSION)?;
            let Head { chain, frontier, .. } = head;
            Trusted { chain, frontier, mark, tails: Tails::default(), version }
        }
    };
    let mut answers = Vec::with_capacity(entries.len());
    let mut tables = Tables::of(&transaction).map_err(sql)?;
    let mut rows = Vec::with_capacity(entries.len());
    for entry in entries {
        let late = set_back(entry.at, state.mark).filter(|_| entry.waited_for);
        let admitted = match late {
            Some(newest) if matches!(entry.turn, Turn::Starts(_) | Turn::Changes) => {
                Err(StartError::Clock { now: entry.at, newest })
            }
            _ => tables.admit(entry).map_err(sql)?,
        };
        if admitted.is_ok() {
            let (mut body, mut digest) = (Cow::Borrowed(&text[entry.body.clone()]), entry.digest);
            if let Some(mark) = late {
                (body, digest) = (Cow::Owned(stamped(&body, mark)), None);
            }
            let digest = digest.unwrap_or_else(|| Digest::of(&body));
            let before = match state.tails.get(&entry.of) {
                Some(tail) => tail,
                // Nothing of it is on record: that was seen to.
                None if matches!(entry.turn, Turn::Starts(_)) => Tail::default(),
                None => tail(path, &transaction, entry.of.as_str())?,
            };
            let tail = before.next(&state.chain, &digest);
            state.tails.set(&entry.of, tail);
            state.chain = tail.entry;
            let node = state.frontier.push_noting(leaf_hash(&state.chain), BLOCK_LEVEL);
            state.mark = state.mark.max(Some(late.unwrap_or(entry.at)));
            let row = Row { seq: state.frontier.size(), entry, body, tail };
            tables.follow(&row).map_err(sql)?;
            if let Some(node) = node {
                keep_block(&transaction, row.seq, &node).map_err(sql)?;
            }
            rows.push(row);
        }
        answers.push(admitted);
    }
    tables.append(&rows).map_err(sql)?;
    drop(tables);
    write_head(&transaction, &state.chain, &state.frontier, state.mark, signer).map_err(sql)?;
    transaction.commit().map_err(sql)?;
    state.tails.limit();
    *trusted = Some(state);
    Ok(answers)
}

/// Where the newest record under a name stands in the file.
fn tail(path: &Path, database: &Connection, of: &str) -> Result<Tail, JournalError> {
    let sql = |error: rusqlite::Error| JournalError::sqlite(path, &error);
    let newest: Option<(i64, Vec<u8>)> = database
        .prepare_cached("SELECT place, chain FROM record WHERE run = ?1 ORDER BY seq DESC LIMIT 1")
        .and_then(|mut newest| newest.query_row([of], |row| Ok((row.get(0)?, row.get(1)?))).optional())
        .map_err(sql)?;
    let Some((place, chain)) = newest else { return Ok(Tail::default()) };
    let entry =
        chain.try_into().map_err(|_| JournalError::damaged(path, "a record's hash has another length"))?;
    let place = match place {
        // Of the first one that says where it stands, all before it do not.
        0 => database
            .query_row("SELECT count(*) FROM record WHERE run = ?1", [of], |row| row.get(0))
            .map_err(sql)?,
        place => place,
    };
    Ok(Tail { place: place.cast_unsigned(), entry })
}

/// A record's or an act's text, as of another time. Both begin with a name, which has no quotes, and the time.
fn stamped(body: &[u8], at: Timestamp) -> Vec<u8> {
    const AT: &[u8] = br#"","at":""#;
    let end = |from: usize| body[from..].iter().position(|byte| *byte == b'"').map(|end| from + end);
    let found = body.windows(AT.len()).position(|window| window == AT).map(|found| found + AT.len());
    let Some((start, end)) = found.and_then(|start| Some((start, end(start)?))) else {
        return body.to_vec();
    };
    let mut text = body[..start].to_vec();
    instant::append(at, &mut text);
    text.extend_from_slice(&body[end..]);
    text
}

/// Notes the hash over a whole block of the tree, whose last record is `seq`.
pub(crate) fn keep_block(database: &Connection, seq: u64, node: &Hash) -> rusqlite::Result<()> {
    let number = (seq >> BLOCK_LEVEL) - 1;
    database
        .prepare_cached("INSERT INTO block (number, hash) VALUES (?1, ?2)")?
        .execute(params![number.cast_signed(), node])?;
    Ok(())
}

/// Whether a transaction waits for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// It does.
    Now,
    /// The next one that does makes it durable too: the log that both are in is one file.
    Later,
}

impl Durability {
    /// Sets a connection of [`connect`], which begins with [`Durability::Now`], to this, if it is not.
    pub(crate) fn set(self, path: &Path, database: &Connection, is: &mut Self) -> Result<(), JournalError> {
        if *is != self {
            // In WAL mode NORMAL differs from FULL in this alone.
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

/// Waits until everything that any process committed is on the disk: what leaves this machine, a checkpoint for
/// instance, must not be ahead of what a power failure would leave here.
pub(crate) fn sync(path: &Path) -> Result<(), JournalError> {
    match remit_file::open_plain(&log_of(path), Kind::Kept) {
        Ok(log) => log.file().sync_data().map_err(|error| JournalError::io(path, &error)),
        // Whatever was in it is in the file itself, and was synced on its way there.
        Err(error) if error.is_missing() => Ok(()),
        Err(error) => Err(JournalError::io(path, &error.into())),
    }
}

/// Where SQLite keeps what was committed and is not in the file itself yet: its write-ahead log.
pub(crate) fn log_of(path: &Path) -> PathBuf {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    log.into()
}
