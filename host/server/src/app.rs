//! What all calls share.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use remit_lifecycle::Host;
use tokio::sync::{Semaphore, watch};

use crate::console::Browsers;
use crate::metrics::Metrics;
use crate::rate::Rates;
use crate::turns::Turns;
use crate::who::Sessions;

/// The server's state. A clone is the same.
#[derive(Clone)]
pub(crate) struct App(Arc<Shared>);

/// See [`App`].
pub(crate) struct Shared {
    /// The opened home.
    pub(crate) host: Host,
    /// The URL at which clients reach the server, without a slash at its end.
    pub(crate) url: String,
    /// The names that a call may have in `Host`, each with its port where that is not the scheme's own.
    pub(crate) hosts: Vec<String>,
    /// The origins that pages of this server have.
    pub(crate) origins: Vec<String>,
    /// The description of all routes, in `OpenAPI`.
    pub(crate) description: serde_json::Value,
    /// Who reads.
    pub(crate) sessions: Sessions,
    /// Who looks at the console.
    pub(crate) browsers: Browsers,
    /// What is counted.
    pub(crate) metrics: Metrics,
    /// How often each may call.
    pub(crate) rates: Rates,
    /// The number of records in the journal, as it was looked at last.
    pub(crate) records: watch::Receiver<u64>,
    /// When it was looked last whether people are to be reminded of something.
    pub(crate) reminded: AtomicI64,
    /// True as soon as the server is to stop.
    pub(crate) stopping: watch::Receiver<bool>,
    /// A permit for each rehearsal or component that may be worked on at once.
    pub(crate) heavy: Arc<Semaphore>,
    /// A permit for each component that may be received at once: it is in memory until it is kept.
    pub(crate) uploads: Semaphore,
    /// A permit for each stream that may be open at once.
    pub(crate) streams: Arc<Semaphore>,
    /// Whose turn it is to work.
    pub(crate) turns: Turns,
}

impl App {
    pub(crate) fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }
}

impl Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}
