//! A copied journal as evidence: it is read, and nothing is written beside it.
//!
//! SQLite creates two files beside a database in WAL mode, even to read it. Where there is no write-ahead log, the file is
//! opened as one that nobody changes. Where there is one, both are copied to a private temporary folder and read there.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use remit_file::Kind;
use rusqlite::Connection;
use tempfile::TempDir;

use crate::JournalError;
use crate::store::{self, log_of};

/// A journal and its write-ahead log, and where they are read.
pub(crate) struct Evidence {
    path: PathBuf,
    /// The states of both when they were opened.
    opened: [Option<State>; 2],
    copy: Option<TempDir>,
}

/// What changes when somebody writes into a file.
#[derive(PartialEq, Eq)]
struct State {
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl From<Metadata> for State {
    fn from(file: Metadata) -> Self {
        Self { inode: file.ino(), size: file.size(), changed: (file.mtime(), file.mtime_nsec()) }
    }
}

/// The name of the copy in its folder.
const COPY: &str = "journal.db";

impl Evidence {
    pub(crate) fn open(path: &Path) -> Result<Self, JournalError> {
        // Checked first, because SQLite would wait for ever for the writer of a named pipe.
        remit_file::check(path, Kind::Kept).map_err(|error| JournalError::file(path, &error))?;
        let mut evidence = Self { path: path.to_owned(), opened: states(path), copy: None };
        if evidence.opened[1].is_some() {
            let folder = copied(path).map_err(|why| JournalError::Unavailable {
                path: path.to_owned(),
                why: format!(
                    "its newest records are in the file beside it (`-wal`), and the two cannot be copied to read them: {why}"
                ),
                help: "make room in the folder for temporary files, or name another folder in TMPDIR".into(),
            })?;
            evidence.copy = Some(folder);
            evidence.unchanged()?;
        }
        Ok(evidence)
    }

    /// Opens a connection to it.
    pub(crate) fn connect(&self) -> Result<Connection, JournalError> {
        if let Some(folder) = &self.copy {
            return store::open_read_only(&folder.path().join(COPY));
        }
        let fixed = store::immutable(&self.path).map_err(|error| JournalError::sqlite(&self.path, &error))?;
        store::check_version(&self.path, &fixed)?;
        Ok(fixed)
    }

    /// Refuses a journal that was written since it was opened: it is read without locks, so that a change looks like damage.
    pub(crate) fn unchanged(&self) -> Result<(), JournalError> {
        if states(&self.path) == self.opened {
            return Ok(());
        }
        Err(JournalError::Unavailable {
            path: self.path.clone(),
            why: "it was written while it was read, so nothing is said about it".to_owned(),
            help: "verify a journal in use as that of its home, without `--journal`, or copy it while nothing runs".into(),
        })
    }
}

fn copied(path: &Path) -> Result<TempDir, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let target = folder.path().join(COPY);
    for (from, to) in [(path, target.as_path()), (&log_of(path), &log_of(&target))] {
        let from = remit_file::open_plain(from, Kind::Kept).map_err(|error| error.to_string())?;
        let mut to = remit_file::make_empty(to).map_err(|error| error.to_string())?;
        std::io::copy(&mut from.file(), &mut to).map_err(|error| error.to_string())?;
    }
    Ok(folder)
}

/// Of the file and of its write-ahead log. An empty log is as good as none.
fn states(path: &Path) -> [Option<State>; 2] {
    let state = |path: &Path| std::fs::metadata(path).ok().map(State::from);
    [state(path), state(&log_of(path)).filter(|log| log.size > 0)]
}
