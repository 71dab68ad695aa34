//! How a run learns, between two of its records, that its authority was taken away, by whatever process.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::{JournalError, Reader, RunId, Withdrawn, store};

/// How long the bell is believed when it is silent: its file may have been replaced, or the disk too full to ring.
const BELIEVED: Duration = Duration::from_millis(50);

/// A file that grows whenever something was taken away: looking at its length costs next to nothing. It only
/// says when to look; what was taken away is in the journal.
#[derive(Clone, Debug)]
pub(crate) struct Bell(Arc<File>);

impl Bell {
    pub(crate) fn beside(journal: &Path) -> Result<Self, JournalError> {
        let mut path = journal.as_os_str().to_owned();
        path.push("-bell");
        let mut options = File::options();
        let file = options.create(true).append(true).mode(0o600).open(&path);
        Ok(Self(Arc::new(file.map_err(|error| JournalError::io(Path::new(&path), &error))?)))
    }

    /// Calls everyone who watches to look.
    pub(crate) fn ring(&self) {
        if let Err(error) = (&*self.0).write_all(b".") {
            tracing::warn!(%error, "runs that go on will notice a revocation a little later");
        }
    }

    fn length(&self) -> u64 {
        self.0.metadata().map_or(u64::MAX, |metadata| metadata.len())
    }
}

/// Tells whether what one run rests on was taken away.
#[derive(Debug)]
pub struct Watch {
    journal: PathBuf,
    bell: Bell,
    run: RunId,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    length: u64,
    at: Instant,
    reader: Option<Reader>,
}

impl Watch {
    pub(crate) fn new(journal: &Path, bell: &Bell, run: RunId) -> Self {
        let seen = Seen { length: bell.length(), at: Instant::now(), reader: None };
        Self { journal: journal.to_owned(), bell: bell.clone(), run, seen: Mutex::new(seen) }
    }

    /// What was taken away, if anything was: everything that was on record when this was called is seen, but for
    /// what was written in the last 50 ms while the bell could not ring.
    pub fn look(&self) -> Result<Option<Withdrawn>, JournalError> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let length = self.bell.length();
        if length == seen.length && seen.at.elapsed() < BELIEVED {
            return Ok(None);
        }
        let reader = match seen.reader.take() {
            Some(reader) => reader,
            None => Reader::open(&self.journal)?,
        };
        let withdrawn = store::withdrawn(&reader.database(), &self.run.to_string())
            .map_err(|error| reader.sql(&error))?;
        // Taken away stays taken away: the next look finds it again.
        if withdrawn.is_none() {
            (seen.length, seen.at) = (length, Instant::now());
        }
        seen.reader = Some(reader);
        Ok(withdrawn)
    }
}
