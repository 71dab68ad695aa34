//! A Remit home: the directory with the configuration, the journal and the host's own keys.

use std::fs;
use std::path::{Path, PathBuf};

use remit_journal::{Journal, Reader};
use remit_tlog::{NoteSigner, NoteVerifier};
use remit_trust::private_seed;

use crate::{Config, Error};

pub(crate) const CONFIG: &str = "remit.toml";

/// Where a home is, and how its files are called.
#[derive(Clone, Debug)]
pub struct Home(PathBuf);

impl Home {
    /// The home at `path`, whether or not it exists.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// `remit.toml`.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.0.join(CONFIG)
    }

    /// The journal's file.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.0.join("journal.db")
    }

    /// The journal's public key, in text.
    #[must_use]
    pub fn log_key(&self) -> PathBuf {
        self.0.join("log.pub")
    }

    pub(crate) fn log_seed(&self) -> PathBuf {
        self.0.join("log.key")
    }

    pub(crate) fn seal_key(&self) -> PathBuf {
        self.0.join("seal.key")
    }

    /// Where actions that ran are kept, by digest.
    pub(crate) fn components(&self) -> PathBuf {
        self.0.join("components")
    }

    /// Where compiled components are kept.
    pub(crate) fn cache(&self) -> PathBuf {
        self.0.join("cache")
    }

    /// What the compiled components are sealed with.
    pub(crate) fn cache_key(&self) -> PathBuf {
        self.0.join("cache.key")
    }

    /// Where each run that is going has its lock.
    pub(crate) fn running(&self) -> PathBuf {
        self.0.join("running")
    }

    /// Locked by everyone who has the home open.
    pub(crate) fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    /// The configuration.
    pub fn load(&self) -> Result<Config, Error> {
        if !self.config().exists() {
            return Err(Error::NoHome { home: self.0.display().to_string() });
        }
        Config::load(&self.config())
    }

    /// The journal's public key.
    pub fn verifier(&self) -> Result<NoteVerifier, Error> {
        let path = self.log_key();
        let text = fs::read_to_string(&path).map_err(|error| Error::file(&path, &error))?;
        Ok(NoteVerifier::parse(&text)?)
    }

    /// The journal's private key.
    pub fn signer(&self, config: &Config) -> Result<NoteSigner, Error> {
        Ok(NoteSigner::from_seed(&config.log, &*private_seed(&self.log_seed())?)?)
    }

    /// The journal, to read.
    pub fn reader(&self) -> Result<Reader, Error> {
        self.load()?;
        Ok(Journal::open_read_only(&self.journal())?)
    }
}

/// Reads a log's public key from text.
pub fn log_key(text: &str) -> Result<NoteVerifier, Error> {
    Ok(NoteVerifier::parse(text)?)
}
