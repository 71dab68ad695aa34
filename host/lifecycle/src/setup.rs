//! Configuration and rules as they were read last. They are read again when one of their files changes.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use remit_engine::Publishers;
use remit_gate::Estate;

use crate::{Config, Error, Home, Rules};

/// The configuration, with everything that it names opened.
#[derive(Debug)]
pub struct Setup {
    /// The parsed `remit.toml`.
    pub config: Config,
    /// The publishers whose actions may run.
    pub publishers: Publishers,
    /// The real systems that runs can reach.
    pub estate: Estate,
}

impl Home {
    fn setup(&self, config: Config) -> Result<Setup, Error> {
        let publishers = Publishers(Config::publishers(self.path(), &config.trust.publishers)?);
        Ok(Setup { publishers, estate: config.estate(self.path())?, config })
    }
}

/// The identity and state of a file: device, inode, size, and time of the last status change. It differs after every
/// change, because no program can set the last.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

fn stamp(path: &Path) -> Stamp {
    let found = fs::metadata(path).ok()?;
    Some((found.dev(), found.ino(), found.size(), found.ctime(), found.ctime_nsec()))
}

/// Files, each with its [`Stamp`] when it was read.
#[derive(Debug, Default)]
struct Stamps(Vec<(PathBuf, Stamp)>);

impl Stamps {
    fn of(files: impl IntoIterator<Item = PathBuf>) -> Self {
        Self(files.into_iter().map(|file| (file.clone(), stamp(&file))).collect())
    }

    fn are_current(&self) -> bool {
        !self.0.is_empty() && self.0.iter().all(|(file, was)| stamp(file) == *was)
    }
}

/// A value that was read from files, and the stamps of these files from before they were read.
#[derive(Debug)]
struct Snapshot<T> {
    from: Stamps,
    value: Arc<T>,
}

/// The configuration and the rules that were read last.
#[derive(Debug)]
pub(crate) struct Watched {
    home: Home,
    setup: Mutex<Option<Snapshot<Setup>>>,
    rules: Mutex<Option<Snapshot<Rules>>>,
}

impl Watched {
    pub(crate) fn new(home: &Home) -> Self {
        Self { home: home.clone(), setup: Mutex::default(), rules: Mutex::default() }
    }

    pub(crate) fn setup(&self) -> Result<Arc<Setup>, Error> {
        current(&self.setup, || {
            // The stamp is taken before the file is read, so that a change in between is found the next time.
            let mut stamps = Stamps::of([self.home.config()]);
            let config = self.home.load()?;
            let publishers = config.trust.publishers.iter().map(|file| self.home.path().join(file));
            stamps.0.extend(Stamps::of(publishers).0);
            Ok((stamps, self.home.setup(config)?))
        })
    }

    pub(crate) fn rules(&self) -> Result<Arc<Rules>, Error> {
        current(&self.rules, || {
            let stamps = Stamps::of(self.home.files_of_rules()?);
            Ok((stamps, self.home.rules()?))
        })
    }
}

/// Returns the snapshot if its files did not change, and reads them again otherwise. If that fails, the old value is not in
/// force any more.
fn current<T>(
    snapshot: &Mutex<Option<Snapshot<T>>>,
    read: impl FnOnce() -> Result<(Stamps, T), Error>,
) -> Result<Arc<T>, Error> {
    let mut snapshot = snapshot.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(snapshot) = &*snapshot
        && snapshot.from.are_current()
    {
        return Ok(Arc::clone(&snapshot.value));
    }
    let again = snapshot.take().is_some();
    let (from, value) = read()?;
    if again {
        tracing::info!(files = from.0.len(), "configuration or rules were read again");
    }
    let value = Arc::new(value);
    *snapshot = Some(Snapshot { from, value: Arc::clone(&value) });
    Ok(value)
}
