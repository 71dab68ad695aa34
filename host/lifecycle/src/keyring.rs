//! The keys that seal what is secret in the journal: one for each run, kept sealed under the host's.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use remit_journal::{Journal, Reader, RunId};
use remit_trust::{KeyError, Sealed, Sealer};

use crate::{Error, Home};

/// The context of a sealed check value in the journal: the key that opens it is the host key.
const CHECK: &[u8] = b"remit-host-key-v1";

/// The host's key, and through it those of the runs.
#[derive(Debug)]
pub(crate) struct Keyring {
    host: Arc<Sealer>,
}

fn context(run: RunId) -> Vec<u8> {
    format!("remit-run-key-v1 {run}").into_bytes()
}

/// Where a new host key waits until every run's key is sealed under it.
fn next_key(home: &Home) -> PathBuf {
    home.seal_key().with_extension("key.new")
}

/// A key that must be there. One that is no key at all is not this home's, either.
fn load(path: &Path) -> Result<Sealer, Error> {
    Sealer::load_or_create(path).map_err(|error| match error {
        KeyError::Unusable { .. } => Error::SealKey { file: path.display().to_string() },
        other => other.into(),
    })
}

impl Keyring {
    /// Opens the home's key, and makes sure that it is the one this journal was sealed under. Ends a change of
    /// keys that was interrupted, forwards or backwards.
    pub(crate) fn open(home: &Home, journal: &Journal) -> Result<Self, Error> {
        let (path, next) = (home.seal_key(), next_key(home));
        let check = journal.reader()?.host_key_check()?;
        let Some(check) = check else {
            let host = Sealer::load_or_create(&path)?;
            journal.set_host_key_check(&host.seal(CHECK, &[])?)?;
            return Self::open(home, journal);
        };
        if path.exists() {
            let host = load(&path)?;
            if host.open(CHECK, &check).is_ok() {
                return Ok(Self { host: Arc::new(host) });
            }
        }
        // The journal knows another key. If it is the waiting one, only its renaming was left to do.
        if next.exists() {
            let host = Sealer::load_or_create(&next)?;
            if host.open(CHECK, &check).is_ok() {
                fs::rename(&next, &path).map_err(|error| Error::kept(&next, &error))?;
                return Ok(Self { host: Arc::new(host) });
            }
        }
        Err(Error::SealKey { file: path.display().to_string() })
    }

    /// The home's key as it is, to read what was sealed: a change of keys that was interrupted is left alone.
    pub(crate) fn open_read_only(home: &Home, reader: &Reader) -> Result<Self, Error> {
        let wrong = || Error::SealKey { file: home.seal_key().display().to_string() };
        let check = reader.host_key_check()?;
        for path in [home.seal_key(), next_key(home)] {
            if !path.exists() {
                continue;
            }
            let host = load(&path)?;
            if check.as_ref().is_none_or(|check| host.open(CHECK, check).is_ok()) {
                return Ok(Self { host: Arc::new(host) });
            }
        }
        Err(wrong())
    }

    /// A key for a new run; and how the journal keeps it.
    pub(crate) fn new_run(&self, run: RunId) -> Result<(Arc<Sealer>, Sealed), Error> {
        let own = Sealer::generate()?;
        let kept = self.host.wrap(&context(run), &own)?;
        Ok((Arc::new(own), kept))
    }

    /// The key that seals the secrets of a run.
    pub(crate) fn of(&self, reader: &Reader, run: RunId) -> Result<Arc<Sealer>, Error> {
        match reader.run_key(&run)? {
            Some(kept) => Ok(Arc::new(self.host.unwrap(&context(run), &kept)?)),
            None => Err(Error::Expired { run: run.to_string() }),
        }
    }
}

/// Gives the home a new host key: every run's key is sealed under it, the old one is gone. Answers how many.
/// Killed half-way, the next command ends it.
pub fn rekey(home: &Home) -> Result<u64, Error> {
    let host = home.open_alone()?;
    let (path, next) = (home.seal_key(), next_key(home));
    // Left by an attempt that failed before the journal knew of it.
    match fs::remove_file(&next) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(Error::kept(&next, &error)),
        _ => {}
    }
    let new = Sealer::load_or_create(&next)?;
    let old = &host.keyring.host;
    let count = host.journal.rekey(&new.seal(CHECK, &[])?, |run, kept| -> Result<Sealed, Error> {
        Ok(new.wrap(&context(run), &old.unwrap(&context(run), &kept)?)?)
    })?;
    fs::rename(&next, &path).map_err(|error| Error::kept(&next, &error))?;
    Ok(count)
}
