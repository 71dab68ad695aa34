//! How a run learns, between two of its records, that its authority was revoked, by whichever process.

use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::{JournalError, Reader, RunId, Withdrawn, tables};

/// After this time the journal itself is read, even if there was no signal: the signal's file may have been replaced, or the
/// disk may be too full to write it.
const TRUSTED_FOR: Duration = Duration::from_millis(50);

/// How long one check of the signal stays valid. A revocation is reported as done only after this time
/// ([`ChangeSignal::send`]), so from then on no run uses a check from before the revocation.
const CHECK_EVERY: Duration = Duration::from_millis(1);

/// A file that grows at each revocation; checking its length costs almost nothing. It says only when to read the journal,
/// which says what was revoked.
#[derive(Clone, Debug)]
pub(crate) struct ChangeSignal(Arc<File>);

impl ChangeSignal {
    pub(crate) fn beside(journal: &Path) -> Result<Self, JournalError> {
        let mut path = journal.as_os_str().to_owned();
        path.push("-signal");
        let file = remit_file::append(Path::new(&path)).map(|(file, _)| file);
        Ok(Self(Arc::new(file.map_err(|error| JournalError::io(Path::new(&path), &error))?)))
    }

    /// Signals a revocation, and waits until every check from before it is invalid.
    pub(crate) fn send(&self) {
        if let Err(error) = (&*self.0).write_all(b".") {
            tracing::warn!(%error, "running runs will notice a revocation up to 50 ms later");
        }
        std::thread::sleep(CHECK_EVERY);
    }

    fn length(&self) -> u64 {
        // The cheapest system call that gives a file's length.
        (&*self.0).seek(SeekFrom::End(0)).unwrap_or(u64::MAX)
    }
}

/// Tells whether the authority of one run was revoked.
#[derive(Debug)]
pub struct Watch {
    reader: Arc<Shared>,
    signal: ChangeSignal,
    run: RunId,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    /// When the signal was last checked.
    looked: Instant,
    /// The length of the signal's file when the journal was last read, and when that was.
    length: u64,
    at: Instant,
}

/// One reader for the whole process, opened when it is first used.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) path: PathBuf,
    reader: Mutex<Option<Arc<Reader>>>,
}

impl Shared {
    pub(crate) fn of(path: &Path) -> Arc<Self> {
        Arc::new(Self { path: path.to_owned(), reader: Mutex::new(None) })
    }

    pub(crate) fn get(&self) -> Result<Arc<Reader>, JournalError> {
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reader) = &*reader {
            return Ok(Arc::clone(reader));
        }
        Ok(Arc::clone(reader.insert(Arc::new(Reader::open(&self.path)?))))
    }

    /// Drops the reader here. Those who hold it may continue to use it.
    pub(crate) fn close(&self) {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Watch {
    pub(crate) fn new(reader: &Arc<Shared>, signal: &ChangeSignal, run: RunId) -> Self {
        let now = Instant::now();
        let seen = Seen { looked: now, length: signal.length(), at: now };
        Self { reader: Arc::clone(reader), signal: signal.clone(), run, seen: Mutex::new(seen) }
    }

    /// What was revoked, if anything was, as of `now`. It sees every revocation for which [`crate::Journal::act`] had returned
    /// by then, except one of the last 50 ms whose signal could not be written.
    pub fn look(&self, now: Instant) -> Result<Option<Withdrawn>, JournalError> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(seen.looked) < CHECK_EVERY {
            return Ok(None);
        }
        let length = self.signal.length();
        if length == seen.length && now.saturating_duration_since(seen.at) < TRUSTED_FOR {
            seen.looked = now;
            return Ok(None);
        }
        let reader = self.reader.get()?;
        let withdrawn = tables::withdrawn(&reader.database(), &self.run.to_string())
            .map_err(|error| reader.sql(&error))?;
        // Not stored after a revocation: the next check must find it again.
        if withdrawn.is_none() {
            *seen = Seen { looked: now, length, at: now };
        }
        Ok(withdrawn)
    }
}
