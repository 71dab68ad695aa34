//! Hosts: opened homes, with everything that a run needs.

use std::collections::HashMap;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use remit_capability::connected::Connector;
use remit_engine::blocking;
use remit_gate::{Estate, UndoGate};
use remit_journal::{Journal, RequestId, RunId};
use remit_sandbox::{Candidate, Sandbox};
use remit_trust::{Digest, KeyId};
use tokio::sync::Mutex as Turns;
use tokio_util::task::TaskTracker;

use crate::issuer_keys::KeyCache;
use crate::keyring::Keyring;
use crate::open_requests::Stated;
use crate::setup::{Setup, Watched};
use crate::time::Clock;
use crate::{Config, Error, Home, Rules};

/// An opened home. Several hosts can have one home open at the same time: the journal, the locks of the runs, and the
/// compare-and-swap at the systems keep them apart. A clone is the same host.
#[derive(Clone, Debug)]
pub struct Host {
    /// The home directory that this host has open.
    pub home: Home,
    /// The host's journal, open for writing.
    pub journal: Journal,
    /// The sandbox that checks and runs actions.
    pub sandbox: Arc<Sandbox>,
    pub(crate) keyring: Arc<Keyring>,
    /// Held while this process puts the start of a run on record that shares a budget with others.
    pub(crate) starts: Arc<Turns<()>>,
    /// Held while it does so with one that shares none: see [`Self::starts_of`].
    starts_of: [Arc<Turns<()>>; 32],
    /// Held while this process puts a request on record.
    pub(crate) submissions: Arc<Turns<()>>,
    /// Held while this process certifies a key.
    pub(crate) certifications: Arc<Turns<()>>,
    /// The public keys of the issuers of tokens.
    pub(crate) issuer_keys: Arc<KeyCache>,
    /// The counters of passkeys at their last logins, which are not on record.
    pub(crate) logins: Arc<Mutex<HashMap<KeyId, u32>>>,
    /// What the requests state that were looked at last.
    pub(crate) stated: Arc<Mutex<HashMap<RequestId, Arc<Stated>>>>,
    /// Held while this process puts an order on record.
    pub(crate) orders: Arc<Turns<()>>,
    /// The requests whose plans this process observed in a rehearsal.
    pub(crate) observed: Arc<Observed>,
    /// Configuration and rules, as they were read last.
    pub(crate) watched: Arc<Watched>,
    /// The time for what the host does by itself.
    clock: Arc<Clock>,
    /// The runs that this process started and that are in progress.
    pub(crate) running: TaskTracker,
    /// Systems that replace those of the configuration.
    estate: Option<Estate>,
    /// The lock of the home, held as long as the host lives. It is shared, but exclusive for a change of keys.
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
        // If the component is refused, the error is returned where the component is used.
        self.admitted(action).map_or_else(|_| self.open(), |(sandbox, _)| self.open_shared(sandbox))
    }

    fn open_shared(&self, sandbox: Sandbox) -> Result<Host, Error> {
        let config = self.load()?;
        let presence = self.lock_file()?;
        presence.lock_shared().map_err(|error| Error::kept(&self.lock(), &error))?;
        self.open_with(&config, presence, sandbox)
    }

    /// Opens this home for exclusive use, which a change of keys and the deletion of undo data need.
    pub fn alone(&self) -> Result<Host, Error> {
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
        let watched = Arc::new(Watched::new(self, sandbox.engine()));
        let host = Host {
            home: self.clone(),
            keyring: Arc::new(Keyring::open(self, &journal)?),
            clock: Arc::new(Clock::start(journal.now()?)),
            journal,
            sandbox: Arc::new(sandbox),
            starts: Arc::default(),
            starts_of: Default::default(),
            submissions: Arc::default(),
            certifications: Arc::default(),
            issuer_keys: Arc::default(),
            logins: Arc::default(),
            stated: Arc::default(),
            orders: Arc::default(),
            observed: Arc::default(),
            watched,
            running: TaskTracker::new(),
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
    /// The configuration in force. It is read again if a file changed. An error as long as the configuration is not valid.
    pub fn setup(&self) -> Result<Arc<Setup>, Error> {
        self.watched.setup()
    }

    /// The rules in force. They are read again if a file changed. An error as long as the files are not what an administrator
    /// signed.
    pub fn rules(&self) -> Result<Arc<Rules>, Error> {
        blocking(|| self.watched.rules())
    }

    /// The lock for starts under this request, within this process: who sends one trigger twice at once is told that it is on record.
    /// Some requests have one lock in common.
    pub(crate) fn starts_of(&self, request: RequestId) -> &Arc<Turns<()>> {
        let mut hasher = DefaultHasher::new();
        request.hash(&mut hasher);
        let [any, ..] = hasher.finish().to_le_bytes();
        &self.starts_of[usize::from(any) % self.starts_of.len()]
    }

    /// The systems that runs can reach: those of the configuration, unless others were [set](Self::serve).
    pub fn estate(&self) -> Result<Estate, Error> {
        match &self.estate {
            Some(estate) => Ok(estate.clone()),
            None => Ok(self.setup()?.estate.clone()),
        }
    }

    /// Replaces the systems of the configuration.
    pub fn serve(&mut self, estate: Estate) {
        self.estate = Some(estate);
    }

    /// Lets these serve beside the connectors of the configuration, in tests of actions: no component is behind them, and none is kept.
    pub fn serve_through(&self, connectors: Vec<Arc<dyn Connector>>) {
        self.watched.set_stand_ins(connectors);
    }

    /// The time for what the host does by itself: never before the newest record, and it goes on while the process lives,
    /// even if the machine's clock is set back.
    pub(crate) fn now(&self) -> Result<Timestamp, Error> {
        Ok(self.clock.now(blocking(|| self.journal.now())?))
    }

    /// Waits until every run that this process started has come to its end, and all of it is durable.
    pub async fn finish(&self) -> Result<(), Error> {
        self.running.close();
        self.running.wait().await;
        Ok(self.journal.flush().await?)
    }

    /// The gate that undoes the changes of a run.
    pub(crate) fn undo_gate(&self, run: RunId) -> Result<UndoGate, Error> {
        Ok(UndoGate {
            run,
            estate: self.estate()?,
            journal: self.journal.clone(),
            sealer: Arc::clone(&self.keyring.of(&*self.journal.reader()?, run)?),
        })
    }
}

/// The digests of requests that wait for their signature, and when they were prepared. This process itself observed their
/// plans.
#[derive(Debug, Default)]
pub(crate) struct Observed(Mutex<HashMap<Digest, Timestamp>>);

/// How long a request is remembered. If it is submitted later, it is rehearsed again.
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
