//! What can go wrong, and what to do then.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use miette::Diagnostic;
use remit_file::FileError;
use remit_trust::{Digest, KeyId};
use rusqlite::ErrorCode;

/// A write failed earlier. The handle refuses everything from then on, because no effect may happen without a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Diagnostic)]
#[error("the journal stopped after a failed write: {why}")]
#[diagnostic(
    code("failed::journal-stopped"),
    help(
        "nothing more is done; repair the cause, run `remit doctor` and `remit audit verify`, then start again"
    )
)]
pub struct Poisoned {
    /// The message of the first failure.
    pub why: Arc<str>,
}

/// Why the journal could not be opened, read or written.
#[derive(Clone, Debug, thiserror::Error, Diagnostic)]
pub enum JournalError {
    /// A write failed earlier, see [`Poisoned`].
    #[error(transparent)]
    #[diagnostic(transparent)]
    Poisoned(#[from] Poisoned),
    /// The file cannot be reached or written: missing folder, permissions, full or read-only disk, a lock.
    #[error("the journal {} is not available: {why}", path.display())]
    #[diagnostic(code("failed::journal-unavailable"), help("{help}"))]
    Unavailable {
        /// The path of the journal's file.
        path: PathBuf,
        /// The message of SQLite or the system.
        why: String,
        /// What a person can do about it.
        help: Cow<'static, str>,
    },
    /// The content of the file is not what remit wrote.
    #[error("the journal {} is damaged: {why}", path.display())]
    #[diagnostic(
        code("integrity::journal-damaged"),
        help(
            "check that this is the journal; if it is, keep the file as evidence, run `remit audit verify` on a copy, and restore the journal from a backup"
        )
    )]
    Damaged {
        /// The path of the journal's file.
        path: PathBuf,
        /// How the content differs from what was expected.
        why: String,
    },
    /// The file was signed with another checkpoint key than that of this home.
    #[error("the journal {} is signed by another key: {why}", path.display())]
    #[diagnostic(
        code("integrity::journal-key"),
        help(
            "put the checkpoint key that belongs to this journal back, or start a new journal in another home"
        )
    )]
    OtherKey {
        /// The path of the journal's file.
        path: PathBuf,
        /// The error message of the verifier.
        why: String,
    },
    /// A passkey's counter does not rise.
    #[error("the passkey {} gives this signature the number {counter}, and {last} is on record: it was made before that one, or somebody has a copy of the key", key.short())]
    #[diagnostic(
        code("refused::passkey-counter"),
        help(
            "nothing was put on record; sign again, and if that is refused as well, take the key away (`remit revoke key`) and give its owner another one"
        )
    )]
    Passkey {
        /// The id of the key.
        key: KeyId,
        /// The number in the signature.
        counter: u32,
        /// The number in the last signature by the key that is on record.
        last: u32,
    },
    /// The file has another schema than this version reads and writes. It was left untouched.
    #[error("the journal {} has schema {found}; this version of remit reads and writes only schema {known}", path.display())]
    #[diagnostic(
        code("failed::journal-schema"),
        help(
            "nothing was changed; use the version of `remit` that wrote this file, or make a new home (`remit init` with another `--home`)"
        )
    )]
    OtherSchema {
        /// The path of the journal's file.
        path: PathBuf,
        /// The schema number of the file.
        found: i64,
        /// The schema number that this version knows.
        known: i64,
    },
    /// A record cannot be written as JSON, or read back.
    #[error("the journal record {which} cannot be {verb}: {why}")]
    #[diagnostic(
        code("integrity::record"),
        help("run `remit audit verify`; if that finds nothing wrong, this is a defect of remit: report it")
    )]
    Record {
        /// Its sequence number, or its kind while it has none.
        which: String,
        /// What failed: `written` or `read`.
        verb: &'static str,
        /// The message of the JSON library.
        why: String,
    },
    /// No request has this name.
    #[error("there is no request `{0}` in the journal")]
    #[diagnostic(code("usage::no_such_request"), help("`remit requests --all` lists them"))]
    NoSuchRequest(String),
    /// Several requests' names begin with this text.
    #[error("{}", ambiguous(.0, "requests", .1))]
    #[diagnostic(code("usage::request"), help("type more characters of the name"))]
    AmbiguousRequest(String, Vec<crate::RequestId>),
    /// No run has this name.
    #[error("there is no run `{0}` in the journal")]
    #[diagnostic(code("usage::no_such_run"), help("`remit runs` lists them"))]
    NoSuchRun(String),
    /// Several runs' names begin with this text.
    #[error("{}", ambiguous(.0, "runs", .1))]
    #[diagnostic(code("usage::run"), help("type more characters of the name"))]
    AmbiguousRun(String, Vec<crate::RunId>),
}

/// The maximum number of names that are listed.
const LISTED: usize = 10;

fn ambiguous<T: std::fmt::Display>(typed: &str, what: &str, names: &[T]) -> String {
    let shown: Vec<String> = names.iter().take(LISTED).map(ToString::to_string).collect();
    let more = match names.len().checked_sub(LISTED) {
        Some(more @ 1..) => format!(" and {more} more"),
        _ => String::new(),
    };
    format!("`{typed}` is the beginning of several {what}: {}{more}", shown.join(", "))
}

/// Why a run may not start, or may not change anything more.
#[derive(Clone, Debug, thiserror::Error, Diagnostic)]
pub enum StartError {
    /// As many runs as the grant allows have started already.
    #[error("the grant {} is used up: it allows {uses} run(s), and {started} have started", grant.short())]
    #[diagnostic(code("refused::grant-spent"), help("make a new request: `remit request`"))]
    Spent {
        /// The digest of the signed grant.
        grant: Digest,
        /// How many runs it allows.
        uses: u32,
        /// How many have started.
        started: u32,
    },
    /// Something that its authority depends on was revoked.
    #[error("{0}")]
    #[diagnostic(code("refused::withdrawn"), help("{}", .0.help()))]
    Withdrawn(crate::Withdrawn),
    /// A run of this name started before.
    #[error("the run {0} has already started")]
    #[diagnostic(code("failed::run-exists"), help("a run starts only once; start a new run"))]
    Again(crate::RunId),
    /// The machine's clock is behind the latest time on record.
    #[error(
        "this machine's clock says {now}, but the journal has a record of {newest}: the clock was set back, and nothing starts or changes until it is right again"
    )]
    #[diagnostic(
        code("refused::clock"),
        help(
            "the clock decides when authority ends; set this machine's clock (`date`), or wait until it has passed the time of that record"
        )
    )]
    Clock {
        /// The time of the machine's clock.
        now: Timestamp,
        /// The latest time of any record.
        newest: Timestamp,
    },
    /// The record is not a start.
    #[error("a run cannot start with a record of kind `{0}`")]
    #[diagnostic(code("failed::not-a-start"), help("this is a defect of the host; report it"))]
    NotAStart(&'static str),
    /// The journal could not be read or written.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Journal(#[from] JournalError),
}

impl From<Poisoned> for StartError {
    fn from(poisoned: Poisoned) -> Self {
        Self::Journal(poisoned.into())
    }
}

impl JournalError {
    /// The error for a failure of the file system.
    pub(crate) fn io(path: &Path, error: &std::io::Error) -> Self {
        Self::Unavailable {
            path: path.to_owned(),
            why: error.to_string(),
            help: "check that the folder exists, that you may write to it, and that the disk is mounted read-write"
                .into(),
        }
    }

    /// The error for a file that is not a regular file, or is not there.
    pub(crate) fn file(path: &Path, error: &FileError) -> Self {
        let help = if error.is_missing() {
            "correct the path; if this was the journal of a home, restore it from a backup".into()
        } else {
            error.help().map(|help| help.to_string()).unwrap_or_default().into()
        };
        Self::Unavailable { path: path.to_owned(), why: error.why(), help }
    }

    /// The error for damage that this crate found.
    pub(crate) fn damaged(path: &Path, why: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), why: why.into() }
    }

    /// The error for a failure of SQLite, chosen by what a person can do about it.
    pub(crate) fn sqlite(path: &Path, error: &rusqlite::Error) -> Self {
        let why = error.to_string();
        let help = match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => return Self::damaged(path, why),
            Some(ErrorCode::DiskFull) => "free space on the disk that holds the journal",
            Some(ErrorCode::ReadOnly) => {
                "mount the disk read-write and check who may write the file and its folder"
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                "another process holds the journal; wait for it or end it"
            }
            Some(
                ErrorCode::CannotOpen
                | ErrorCode::PermissionDenied
                | ErrorCode::AuthorizationForStatementDenied,
            ) => "check that the folder exists and that you may write to it",
            Some(_) => {
                "check the disk (`dmesg`, `df`) and the limit to the size of files (`ulimit -f`); then run `remit doctor`"
            }
            // The disk works, but a table, column or type is not as it was created.
            None => return Self::damaged(path, why),
        };
        // A missing table has SQLite's generic code, but means damage.
        if error.sqlite_error_code() == Some(ErrorCode::Unknown) {
            return Self::damaged(path, why);
        }
        Self::Unavailable { path: path.to_owned(), why, help: help.into() }
    }
}

/// What is wrong with a journal: the first thing that the audit found.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum AuditError {
    /// A record was altered, removed, added or moved.
    #[error("record {seq} {why}")]
    #[diagnostic(code("integrity::record-tampered"), help("{}", KEEP))]
    Record {
        /// The sequence number of the record.
        seq: u64,
        /// What is wrong with the record.
        why: String,
    },
    /// The newest checkpoint is not of these records.
    #[error("the journal's last checkpoint {why}")]
    #[diagnostic(code("integrity::checkpoint"), help("{}", KEEP))]
    Checkpoint {
        /// What is wrong with the checkpoint.
        why: String,
    },
    /// The older checkpoint that was given is not one of this log.
    #[error("the checkpoint given with --since does not verify: {why}")]
    #[diagnostic(
        code("integrity::checkpoint"),
        help("check that it is a checkpoint of this journal, whole and unchanged; if it is, {}", KEEP)
    )]
    Since {
        /// Why the given checkpoint is not one of this log.
        why: String,
    },
    /// An older checkpoint is not of these records.
    #[error("the checkpoint at size {size} {why}")]
    #[diagnostic(code("integrity::checkpoint"), help("{}", KEEP))]
    Older {
        /// How many records it covers.
        size: u64,
        /// What is wrong with the older checkpoint.
        why: String,
    },
    /// A table does not agree with the records.
    #[error("the {what} of {run} {why}")]
    #[diagnostic(code("integrity::table"), help("{}", KEEP))]
    Table {
        /// What the table holds.
        what: &'static str,
        /// The run, or whatever else the row is about.
        run: String,
        /// How the row differs from the records.
        why: &'static str,
    },
    /// The file could not be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Journal(#[from] JournalError),
}

const KEEP: &str =
    "keep the file as evidence, do not run anything on this home, and compare with a copy of the journal";
