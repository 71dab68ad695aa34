//! An opened home: everything a run needs.

use std::collections::HashMap;
use std::fs::{self, File};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use remit_gate::{Estate, UndoGate};
use remit_journal::{Journal, RunId};
use remit_sandbox::{Candidate, Sandbox};
use remit_trust::Digest;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Mutex as Turns;

use crate::keyring::Keyring;
use crate::setup::{Setup, Watched};
use crate::{Config, Error, Home, Rules};

/// A host: an opened home. Several may have one home open at once; the journal, the locks of the runs and
/// the compare-and-swap of the systems keep them apart. A clone is the same host.
#[derive(Clone, Debug)]
pub struct Host {
    /// The home directory that this host has open.
    pub home: Home,
    /// The host's journal, open for writing.
    pub journal: Journal,
    /// The engine that checks and runs actions.
    pub sandbox: Arc<Sandbox>,
    pub(crate) keyring: Arc<Keyring>,
    /// Held by the one run of this process that is about to start.
    pub(crate) starts: Arc<Turns<()>>,
    /// Held by the one request of this process that is about to be put on record.
    pub(crate) submissions: Arc<Turns<()>>,
    /// As `submissions`, but for orders.
    pub(crate) orders: Arc<Turns<()>>,
    /// The requests whose plans this process observed.
    pub(crate) observed: Arc<Observed>,
    /// Configuration and rules, as they were when they were looked at last.
    watched: Arc<Watched>,
    /// Real systems that are not those of the configuration.
    estate: Option<Estate>,
    /// A shared lock, held as long as the host lives. A change of keys needs it exclusively.
    _presence: Arc<File>,
}

impl Home {
    /// Opens the home with everything that a run needs.
    pub fn open(&self) -> Result<Host, Error> {
        self.open_shared(Sandbox::new(self.open_cache())?)
    }

    /// Like [`Home::open`], but compiles this action first. The home is not locked while it compiles, so no other
    /// process waits.
    pub fn open_for(&self, action: &Candidate) -> Result<Host, Error> {
        // A component that is refused here is refused again, with an error, where it is used.
        self.admitted(action).map_or_else(|_| self.open(), |(sandbox, _)| self.open_shared(sandbox))
    }

    fn open_shared(&self, sandbox: Sandbox) -> Result<Host, Error> {
        let config = self.load()?;
        let presence = self.lock_file()?;
        presence.lock_shared().map_err(|error| Error::kept(&self.lock(), &error))?;
        self.open_with(&config, presence, sandbox)
    }

    /// Like [`Home::open`], but for exclusive use of the home.
    pub(crate) fn open_alone(&self) -> Result<Host, Error> {
        let config = self.load()?;
        let presence = self.lock_file()?;
        match presence.try_lock() {
            Ok(()) => self.open_with(&config, presence, Sandbox::new(self.open_cache())?),
            Err(fs::TryLockError::WouldBlock) => Err(Error::Busy { home: self.path().display().to_string() }),
            Err(fs::TryLockError::Error(error)) => Err(Error::kept(&self.lock(), &error)),
        }
    }

    fn open_with(&self, config: &Config, presence: File, sandbox: Sandbox) -> Result<Host, Error> {
        let signer = self.signer(config)?;
        let journal = Journal::open(&self.journal(), signer)?;
        let host = Host {
            home: self.clone(),
            keyring: Arc::new(Keyring::open(self, &journal)?),
            journal,
            sandbox: Arc::new(sandbox),
            starts: Arc::default(),
            submissions: Arc::default(),
            orders: Arc::default(),
            observed: Arc::default(),
            watched: Arc::new(Watched::new(self)),
            estate: None,
            _presence: Arc::new(presence),
        };
        host.setup()?;
        Ok(host)
    }

    pub(crate) fn lock_file(&self) -> Result<File, Error> {
        let path = self.lock();
        remit_file::lock(&path).map_err(|error| Error::kept(&path, &error))
    }
}

impl Host {
    /// The configuration in force: looked at again when the file changed. An error, for as long as it cannot be used.
    pub fn setup(&self) -> Result<Arc<Setup>, Error> {
        self.watched.setup()
    }

    /// The rules in force: looked at again when a file changed that they are made of. An error, for as long as what is
    /// written is not what an administrator signed.
    pub fn rules(&self) -> Result<Arc<Rules>, Error> {
        blocking(|| self.watched.rules())
    }

    /// The real systems: those of the configuration, unless others were [set](Self::serve).
    pub fn estate(&self) -> Result<Estate, Error> {
        match &self.estate {
            Some(estate) => Ok(estate.clone()),
            None => Ok(self.setup()?.estate.clone()),
        }
    }

    /// Serves other systems than those of the configuration.
    pub fn serve(&mut self, estate: Estate) {
        self.estate = Some(estate);
    }

    /// The gate that takes back what a run did.
    pub(crate) fn undo_gate(&self, run: RunId) -> Result<UndoGate, Error> {
        Ok(UndoGate {
            run,
            estate: self.estate()?,
            journal: self.journal.clone(),
            sealer: Arc::clone(&self.keyring.of(&*self.journal.reader()?, run)?),
        })
    }
}

/// Does what waits for a disk, a system or the processor, without keeping the other tasks of this thread waiting for it.
pub(crate) fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        // A thread of its own, or a runtime with one thread, which has nowhere else to do it.
        _ => work(),
    }
}

/// Requests that wait for their signature, by digest: the host itself observed the plan that each has.
#[derive(Debug, Default)]
pub(crate) struct Observed(Mutex<HashMap<Digest, Timestamp>>);

/// How long one is known. A later one is rehearsed again.
const KNOWN_FOR: SignedDuration = SignedDuration::from_mins(10);

impl Observed {
    pub(crate) fn note(&self, request: Digest) {
        let now = Timestamp::now();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, since| now.duration_since(*since) < KNOWN_FOR);
        known.insert(request, now);
    }

    pub(crate) fn is_noted(&self, request: Digest) -> bool {
        let now = Timestamp::now();
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&request).is_some_and(|since| now.duration_since(*since) < KNOWN_FOR)
    }
}
