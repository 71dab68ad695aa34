//! How a run learns, between two of its records, that its authority was taken away, by whatever process.

use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::{JournalError, Reader, RunId, Withdrawn, tables};

/// How long the bell is believed when it is silent: its file may have been replaced, or the disk too full to ring.
const BELIEVED: Duration = Duration::from_millis(50);

/// How long one look at the bell is good for. Whoever rings it waits as long before they say that they did
/// ([`Bell::ring`]): when it is said that something was taken away, nobody goes by a look from before.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// A file that grows whenever something was taken away: looking at its length costs next to nothing. It only
/// says when to look; what was taken away is in the journal.
#[derive(Clone, Debug)]
pub(crate) struct Bell(Arc<File>);

impl Bell {
    pub(crate) fn beside(journal: &Path) -> Result<Self, JournalError> {
        let mut path = journal.as_os_str().to_owned();
        path.push("-bell");
        let file = remit_file::append(Path::new(&path)).map(|(file, _)| file);
        Ok(Self(Arc::new(file.map_err(|error| JournalError::io(Path::new(&path), &error))?)))
    }

    /// Calls everyone who watches to look, and waits until whoever did not look is bound to.
    pub(crate) fn ring(&self) {
        if let Err(error) = (&*self.0).write_all(b".") {
            tracing::warn!(%error, "runs that go on will notice a revocation a little later");
        }
        std::thread::sleep(LOOK_EVERY);
    }

    fn length(&self) -> u64 {
        // The cheapest question about a file that there is.
        (&*self.0).seek(SeekFrom::End(0)).unwrap_or(u64::MAX)
    }
}

/// Tells whether what one run rests on was taken away.
#[derive(Debug)]
pub struct Watch {
    reader: Arc<Shared>,
    bell: Bell,
    run: RunId,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    /// When it was last looked at.
    looked: Instant,
    /// How long it was when the journal was last asked, and when that was.
    length: u64,
    at: Instant,
}

/// One reader for everybody in a process, opened when the first one asks.
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

    /// Lets go of it; whoever still has it goes on.
    pub(crate) fn close(&self) {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Watch {
    pub(crate) fn new(reader: &Arc<Shared>, bell: &Bell, run: RunId) -> Self {
        let now = Instant::now();
        let seen = Seen { looked: now, length: bell.length(), at: now };
        Self { reader: Arc::clone(reader), bell: bell.clone(), run, seen: Mutex::new(seen) }
    }

    /// What was taken away, if anything was, as of `now`: everything is seen that [`crate::Journal::act`] had returned from
    /// by then, but for what was written in the last 50 ms while the bell could not ring.
    pub fn look(&self, now: Instant) -> Result<Option<Withdrawn>, JournalError> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(seen.looked) < LOOK_EVERY {
            return Ok(None);
        }
        let length = self.bell.length();
        if length == seen.length && now.saturating_duration_since(seen.at) < BELIEVED {
            seen.looked = now;
            return Ok(None);
        }
        let reader = self.reader.get()?;
        let withdrawn = tables::withdrawn(&reader.database(), &self.run.to_string())
            .map_err(|error| reader.sql(&error))?;
        // Taken away stays taken away: the next look finds it again.
        if withdrawn.is_none() {
            *seen = Seen { looked: now, length, at: now };
        }
        Ok(withdrawn)
    }
}
