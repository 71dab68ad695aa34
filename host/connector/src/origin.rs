//! The one place that a connector's requests go to.

use std::fmt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use remit_gate::Failure;
use remit_http::SecretFileError;
use remit_text::Address;
use remit_trust::{Digest, canonical};
use serde_json::Value;
use ureq::unversioned::resolver::{DefaultResolver, Resolver};

use crate::address::{self, Block};
use crate::client::Client;
use crate::credential::Credential;
use crate::{ConnectorError, Entry, Recorded, Replay};

/// The longest time-out that can be configured.
pub(crate) const MAX_TIMEOUT: Duration = Duration::from_secs(300);

/// The opened entry of a connector: its origin and its credential.
pub struct Origin {
    pub(crate) entry: Entry,
    pub(crate) client: Client,
    pub(crate) credential: Credential,
    recorded: Option<Mutex<Vec<Recorded>>>,
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Origin({} at {}, {:?})", self.name(), self.address(), self.credential)
    }
}

impl Origin {
    /// Checks the entry, and reads its files once so that a mistake is told now; contacts nobody. Paths are relative to `home`.
    pub fn open(entry: &Entry, home: &Path) -> Result<Self, ConnectorError> {
        Self::open_with(entry, home, DefaultResolver::default())
    }

    /// The same with another resolver of names. What it answers is checked like any other address.
    pub fn open_with(entry: &Entry, home: &Path, resolver: impl Resolver) -> Result<Self, ConnectorError> {
        let setting =
            |setting, why: String| ConnectorError::Setting { name: entry.name.clone(), setting, why };
        check_literal(&entry.origin, &entry.allow_private).map_err(|why| setting("origin", why))?;
        let ca_file = entry.ca_file.as_ref().map(|file| home.join(file));
        let client = Client::new(ca_file.as_deref(), resolver, &entry.allow_private).map_err(|source| {
            ConnectorError::File { name: entry.name.clone(), what: "the CA file", source }
        })?;
        let credential = Credential::open(entry, home).map_err(|error| match error {
            SecretFileError::File(source) => {
                ConnectorError::File { name: entry.name.clone(), what: "the credential's file", source }
            }
            exposed @ SecretFileError::Exposed { .. } => setting("credential", exposed.to_string()),
        })?;
        Ok(Self { entry: entry.clone(), client, credential, recorded: None })
    }

    /// An origin that answers from a fixture. It has no credential, and reads no file.
    #[must_use]
    pub fn replaying(entry: &Entry, replay: Replay) -> Self {
        Self {
            entry: entry.clone(),
            client: Client::Replay(replay),
            credential: Credential::None,
            recorded: None,
        }
    }

    /// The same origin, which keeps what is sent and answered, for a fixture: see [`Self::recorded`].
    #[must_use]
    pub fn recording(mut self) -> Self {
        self.recorded = Some(Mutex::default());
        self
    }

    /// What was sent since this was asked last, and what the connector saw of the answers: no secret is in it. Empty unless this is
    /// [`Self::recording`].
    #[must_use]
    pub fn recorded(&self) -> Vec<Recorded> {
        let recorded = self.recorded.as_ref().map(|of| of.lock().unwrap_or_else(PoisonError::into_inner));
        recorded.map(|mut of| std::mem::take(&mut *of)).unwrap_or_default()
    }

    pub(crate) fn record(&self, one: impl FnOnce() -> Recorded) {
        if let Some(recorded) = &self.recorded {
            recorded.lock().unwrap_or_else(PoisonError::into_inner).push(one());
        }
    }

    /// The fixture that it answers from.
    #[must_use]
    pub fn replay(&self) -> Option<&Replay> {
        match &self.client {
            Client::Network(_) => None,
            Client::Replay(replay) => Some(replay),
        }
    }

    /// The name of the instance.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.entry.name
    }

    /// Scheme, host and port.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.entry.origin
    }

    /// The digest of [`Self::config`], as canonical JSON.
    pub fn config_digest(&self) -> Result<Digest, Failure> {
        let no_form =
            |error| Failure::Invalid(format!("the `config` of [[connector]] {}: {error}", self.name()));
        Ok(Digest::of(&canonical(self.config()).map_err(no_form)?))
    }

    /// What the connector is told as `config`: an object.
    #[must_use]
    pub fn config(&self) -> &Value {
        &self.entry.config
    }

    pub(crate) fn timeout(&self) -> Duration {
        Duration::try_from(self.entry.timeout).unwrap_or_default().min(MAX_TIMEOUT)
    }
}

/// An address in place of a name is checked at once.
fn check_literal(origin: &str, allowed: &[Block]) -> Result<(), String> {
    // Without a port the host is all that is left.
    let Ok(address) = Address::parse(origin) else { return Ok(()) };
    let authority = address.origin().split_once("://").map_or("", |(_, authority)| authority);
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    match host.parse() {
        Ok(ip) => address::check(ip, allowed).map_err(|refused| refused.to_string()),
        Err(_) => Ok(()),
    }
}
