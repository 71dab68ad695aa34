//! A Remit home: the directory with the configuration, the journal and the host's own keys.

use std::path::{Path, PathBuf};

use remit_journal::{Journal, Reader};
use remit_tlog::{NoteSigner, NoteVerifier};
use remit_trust::private_seed;

use crate::{Config, Error};

pub(crate) const CONFIG: &str = "remit.toml";

/// The path of a home, and the names of its files.
#[derive(Clone, Debug)]
pub struct Home {
    path: PathBuf,
    /// Why the home's path is not known; none if it is.
    no_path: Option<&'static str>,
}

impl Home {
    /// The home at `path`, whether or not it exists.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), no_path: None }
    }

    /// A home without a path: every use of it fails with this reason.
    #[must_use]
    pub fn none(why: &'static str) -> Self {
        // No file can exist under this path, and none can be made.
        Self { path: PathBuf::from("/dev/null/remit"), no_path: Some(why) }
    }

    /// Returns an error if the home's path is not known.
    pub(crate) fn check_path(&self) -> Result<(), Error> {
        self.no_path.map_or(Ok(()), |why| Err(Error::NoHomePath { why }))
    }

    /// The path of the home directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of `remit.toml`.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.path.join(CONFIG)
    }

    /// The path of the journal's file.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.path.join("journal.db")
    }

    /// The path of the journal's public key.
    #[must_use]
    pub fn log_key(&self) -> PathBuf {
        self.path.join("log.pub")
    }

    pub(crate) fn log_seed(&self) -> PathBuf {
        self.path.join("log.key")
    }

    pub(crate) fn seal_key(&self) -> PathBuf {
        self.path.join("seal.key")
    }

    /// The folder that keeps the components of actions that ran, by digest.
    pub(crate) fn components(&self) -> PathBuf {
        self.path.join("components")
    }

    /// The path of the folder for compiled components.
    pub(crate) fn cache(&self) -> PathBuf {
        self.path.join("cache")
    }

    /// The path of the key that seals the compiled components.
    pub(crate) fn cache_key(&self) -> PathBuf {
        self.path.join("cache.key")
    }

    /// The file that holds the lock of each run in progress.
    pub(crate) fn run_locks(&self) -> PathBuf {
        self.path.join("runs.lock")
    }

    /// The path of the lock file of the home. Every process that has the home open holds the lock.
    pub(crate) fn lock(&self) -> PathBuf {
        self.path.join("lock")
    }

    /// Reads the configuration.
    pub fn load(&self) -> Result<Config, Error> {
        self.check_path()?;
        let missing = |error: Error| match error {
            Error::Disk(error) if error.is_missing() => {
                Error::NoHome { home: self.path.display().to_string() }
            }
            other => other,
        };
        // Whoever can write to the folder can replace any file in it.
        remit_file::judge_folder(&self.path).map_err(|error| missing(error.into()))?;
        Config::load(&self.config()).map_err(missing)
    }

    /// Reads the journal's public key.
    pub fn verifier(&self) -> Result<NoteVerifier, Error> {
        self.check_path()?;
        let read = remit_file::trusted(&self.log_key(), remit_file::Kind::Key)?;
        Ok(NoteVerifier::parse(read.text()?)?)
    }

    /// Reads the journal's private key.
    pub fn signer(&self, config: &Config) -> Result<NoteSigner, Error> {
        let path = self.log_seed();
        // `private_seed` would make a new key, which the journal's checkpoints are not signed with.
        if !path.exists() {
            return Err(Error::HostKey { file: path.display().to_string(), why: "is missing" });
        }
        Ok(NoteSigner::from_seed(&config.log, &*private_seed(&path)?)?)
    }

    /// Opens the journal for reading.
    pub fn reader(&self) -> Result<Reader, Error> {
        self.load()?;
        Ok(Journal::open_read_only(&self.journal())?)
    }
}

/// Parses the public key of a log.
pub fn log_key(text: &str) -> Result<NoteVerifier, Error> {
    Ok(NoteVerifier::parse(text)?)
}
