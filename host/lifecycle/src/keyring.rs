//! The keys that seal secrets in the journal. Each run has its own, which the journal keeps sealed under the host's key.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use remit_journal::{Journal, Reader, RunId};
use remit_trust::{KeyError, Sealed, Sealer};

use crate::{Error, Home, sealed};

/// The context of a sealed value in the journal that only the host's key opens, to recognise that key.
const CHECK: &[u8] = b"remit-host-key-v1";

/// The host's key, which opens the keys of the runs.
#[derive(Debug)]
pub(crate) struct Keyring {
    host: Arc<Sealer>,
}

fn context(run: RunId) -> Vec<u8> {
    format!("remit-run-key-v1 {run}").into_bytes()
}

/// The path of a new host key until every run's key is sealed under it.
fn next_key(home: &Home) -> PathBuf {
    home.seal_key().with_extension("key.new")
}

fn wrong_key(path: &Path) -> Error {
    Error::HostKey { file: path.display().to_string(), why: "is not the key that sealed this home's journal" }
}

fn not_found(path: &Path) -> Error {
    if path.exists() {
        return wrong_key(path);
    }
    Error::HostKey { file: path.display().to_string(), why: "is missing" }
}

/// Loads a key file that exists.
fn load(path: &Path) -> Result<Sealer, Error> {
    Sealer::load_or_create(path).map_err(|error| match error {
        // A file without a key in it does not have this home's key, either.
        KeyError::Unusable { .. } => wrong_key(path),
        other => other.into(),
    })
}

impl Keyring {
    /// Opens the host's key, and checks that this journal was sealed under it. Completes or drops a change of keys that was
    /// interrupted.
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
        // If the journal was sealed under the new key, a change of keys was interrupted before the new file was renamed.
        if next.exists() {
            let host = load(&next)?;
            if host.open(CHECK, &check).is_ok() {
                fs::rename(&next, &path).map_err(|error| Error::kept(&next, &error))?;
                return Ok(Self { host: Arc::new(host) });
            }
        }
        Err(not_found(&path))
    }

    /// Opens the host's key for reading only. A change of keys that was interrupted stays as it is.
    pub(crate) fn open_read_only(home: &Home, reader: &Reader) -> Result<Self, Error> {
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
        Err(not_found(&home.seal_key()))
    }

    /// The host's key, for what belongs to no run.
    pub(crate) fn host(&self) -> &Sealer {
        &self.host
    }

    /// Makes a key for a new run. Returns it, and how the journal keeps it.
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

/// Gives the home a new host key: seals every run's key under it, and deletes the old one. Returns how many runs have a key.
/// If it is interrupted, the next command completes or drops it.
pub fn rekey(home: &Home) -> Result<u64, Error> {
    let host = home.alone()?;
    let (path, next) = (home.seal_key(), next_key(home));
    // The file of an earlier attempt that failed before the journal was sealed under the new key.
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
    sealed::rekey(&host, old, &new)?;
    Ok(count)
}
