//! An opened home: everything a run needs.

use std::fs::{self, File};
use std::sync::Arc;

use remit_backend::{Files, Secrets};
use remit_engine::Publishers;
use remit_gate::{Estate, UndoGate};
use remit_journal::{Journal, RunId};
use remit_sandbox::{Candidate, Sandbox};

use crate::keyring::Keyring;
use crate::{Config, Error, Home};

/// A host: an opened home. Several may have one home open at once; the journal, the locks of the runs and
/// the compare-and-swap of the systems keep them apart.
#[derive(Debug)]
pub struct Host {
    /// Where it lives.
    pub home: Home,
    /// Whose actions may run.
    pub publishers: Publishers,
    /// The real systems.
    pub estate: Estate,
    /// The journal.
    pub journal: Journal,
    /// The engine.
    pub sandbox: Sandbox,
    pub(crate) keyring: Keyring,
    /// Held by the one run of this process that is about to start.
    pub(crate) starts: Arc<tokio::sync::Mutex<()>>,
    /// Shared, as long as the host lives: whoever changes the keys needs it for itself.
    _presence: File,
}

impl Home {
    /// Everything, ready to run.
    pub fn open(&self) -> Result<Host, Error> {
        self.open_shared(Sandbox::new(self.open_cache())?)
    }

    /// The same, with this action compiled first: while that takes its time, the home is not open, and nobody waits for it.
    pub fn open_for(&self, action: &Candidate) -> Result<Host, Error> {
        let (sandbox, _) = self.admitted(action)?;
        self.open_shared(sandbox)
    }

    fn open_shared(&self, sandbox: Sandbox) -> Result<Host, Error> {
        let config = self.load()?;
        let presence = self.lock_file()?;
        presence.lock_shared().map_err(|error| Error::kept(&self.lock(), &error))?;
        self.open_with(config, presence, sandbox)
    }

    /// The same, for one who must be alone with the home.
    pub(crate) fn open_alone(&self) -> Result<Host, Error> {
        let config = self.load()?;
        let presence = self.lock_file()?;
        match presence.try_lock() {
            Ok(()) => self.open_with(config, presence, Sandbox::new(self.open_cache())?),
            Err(fs::TryLockError::WouldBlock) => Err(Error::Busy { home: self.path().display().to_string() }),
            Err(fs::TryLockError::Error(error)) => Err(Error::kept(&self.lock(), &error)),
        }
    }

    fn open_with(&self, config: Config, presence: File, sandbox: Sandbox) -> Result<Host, Error> {
        let signer = self.signer(&config)?;
        let journal = Journal::open(&self.journal(), signer)?;
        Ok(Host {
            home: self.clone(),
            publishers: Publishers(Config::publishers(self.path(), &config.trust.publishers)?),
            estate: remit_capability::files::served(
                remit_capability::secrets::served(
                    Estate::default(),
                    Secrets::open(&config.secrets, self.path())?,
                ),
                Files::open(&config.files, self.path())?,
            ),
            keyring: Keyring::open(self, &journal)?,
            journal,
            sandbox,
            starts: Arc::default(),
            _presence: presence,
        })
    }

    pub(crate) fn lock_file(&self) -> Result<File, Error> {
        let path = self.lock();
        remit_file::lock(&path).map_err(|error| Error::kept(&path, &error))
    }
}

impl Host {
    /// The gate that takes back what a run did.
    pub(crate) fn undo_gate(&self, run: RunId) -> Result<UndoGate, Error> {
        Ok(UndoGate {
            run,
            estate: self.estate.clone(),
            journal: self.journal.clone(),
            sealer: Arc::clone(&self.keyring.of(&*self.journal.reader()?, run)?),
        })
    }
}

/// Who asks: for now, the name the system knows them by.
pub(crate) fn principal() -> String {
    remit_text::env::var("USER")
        .map_or_else(|| "unknown".to_owned(), |name| name.to_string_lossy().into_owned())
}
