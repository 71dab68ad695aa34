//! What a store of secrets can do.

use std::future::Future;
use std::pin::Pin;

use jiff::Timestamp;
use remit_gate::{Authority, Failure, Resource};
use serde::{Deserialize, Serialize};

use super::fields::Fields;

/// The kind of every resource served here: `secret:prod/payments/stripe`.
pub const KIND: &str = "secret";

/// A boxed answer, for trait objects.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'a>>;

/// What makes a secret the same one as before, whatever its path: text of the store's, only ever compared. Who
/// deletes a secret with all its versions and makes one of the same path has made another secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Identity(String);

impl Identity {
    /// By the store's own words.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// Whether what was found can be what was recorded. Records of the first version have no identity, and so any
    /// secret of the path is theirs.
    #[must_use]
    pub fn is_still(recorded: Option<&Self>, found: Option<&Self>) -> bool {
        recorded.is_none() || recorded == found
    }
}

/// What is known of a secret without reading its values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// The identity of the secret. Every store has one. It is neither returned to an action nor recorded in the
    /// outcome.
    #[serde(skip)]
    pub identity: Option<Identity>,
    /// The newest version's number; 0 if the secret has none.
    pub current: u64,
    /// All versions the store still knows, oldest first.
    pub versions: Vec<Version>,
}

impl Metadata {
    /// Version `number`, or [`Failure::NotFound`].
    pub fn version(&self, path: &str, number: u64) -> Result<&Version, Failure> {
        let found = self.versions.iter().find(|version| version.number == number);
        found.ok_or_else(|| Failure::NotFound(format!("{path} has no version {number}")))
    }

    /// [`Failure::Conflict`] if this is another secret than the one that was recorded.
    pub fn must_be(&self, recorded: Option<&Identity>, path: &str) -> Result<(), Failure> {
        if Identity::is_still(recorded, self.identity.as_ref()) {
            Ok(())
        } else {
            Err(Failure::Conflict(format!(
                "{path} is another secret now: the one that was recorded was deleted with all its versions"
            )))
        }
    }
}

/// One version of a secret, without its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// The version number, counted from 1.
    pub number: u64,
    /// When it was created, in milliseconds since the Unix epoch.
    pub created: u64,
    /// Whether it can be read.
    pub state: VersionState,
    /// When the store will delete the version by itself; none if never. It is neither returned to an action nor
    /// recorded.
    #[serde(skip)]
    pub expires: Option<Timestamp>,
}

/// What can be done with a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VersionState {
    /// It can be read.
    Enabled,
    /// It cannot be read until it is enabled again.
    Disabled,
    /// Its value is gone for good.
    Destroyed,
}

impl std::fmt::Display for VersionState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::Destroyed => "destroyed",
        })
    }
}

/// A change of one version's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Makes an enabled version unreadable.
    Disable,
    /// Makes a disabled version readable again.
    Enable,
    /// Destroys a version's value for good.
    Destroy,
}

impl Turn {
    /// The state a version has afterwards, if it may be changed from `state`.
    pub(crate) fn from(self, path: &str, version: u64, state: VersionState) -> Result<VersionState, Failure> {
        use VersionState::{Destroyed, Disabled, Enabled};
        match (self, state) {
            (Self::Disable, Enabled) => Ok(Disabled),
            (Self::Enable, Disabled) => Ok(Enabled),
            (Self::Destroy, Enabled | Disabled) => Ok(Destroyed),
            _ => Err(Failure::Conflict(format!("version {version} of {path} is {state}"))),
        }
    }
}

/// Something that the host may need a right of its own for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// To write a version of a secret that there is.
    Put,
    /// To change a version's state.
    Turn(Turn),
}

/// Whether the host's own credential is enough for an [`Act`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Right {
    /// The credential has the right.
    Held,
    /// The credential does not have the right: which one is missing, and how to grant it.
    Lacking(String),
    /// The store does not tell whether it has: why not, and how to grant the right.
    Unknown(String),
}

/// A secret that is to be changed, and which one it has to be.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The secret to change.
    pub secret: &'a Resource,
    /// What [`Metadata::identity`] was; none in records of the first version.
    pub identity: Option<&'a Identity>,
}

/// What can be seen of a store of versioned secrets, each named by a [`Resource`] so that its path is canonical.
/// Nothing here changes anything: a rehearsal is given this, and no [`SecretStore`].
///
/// Every method may fail with `Denied` (the host's own credential is not enough), `Invalid` (a version
/// number that makes no sense) or `Unavailable`, besides what it says itself.
pub trait SecretView: Send + Sync {
    /// The versions of a secret; `NotFound` if there is no such secret.
    fn metadata<'a>(&'a self, secret: &'a Resource) -> BoxFuture<'a, Metadata>;

    /// The fields of one version: secret material. `NotFound` if it is not there or not enabled.
    fn read<'a>(&'a self, secret: &'a Resource, version: u64) -> BoxFuture<'a, Fields>;

    /// Whether the host itself may do this: an undo that it may not do is not promised.
    fn right<'a>(&'a self, secret: &'a Resource, act: Act) -> BoxFuture<'a, Right>;

    /// Whether the store can be used right now for what is at `prefix` and below; says what it is, in a line for a
    /// person. `Denied` names every right that is missing.
    fn check<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, String>;
}

/// A store of versioned secrets.
///
/// Every change compares right before it, in one step with it where the system can do that: `Conflict` if the
/// secret is another one than [`Target`] says. After `Unavailable` the change may have happened.
pub trait SecretStore: SecretView {
    /// Writes a new version if `expected_current` still is the newest (0: there is no secret yet) and
    /// answers its number; `Conflict` if it is not. The store compares the number and writes in one step.
    fn put<'a>(
        &'a self,
        target: Target<'a>,
        fields: &'a Fields,
        expected_current: u64,
        by: Authority<'a>,
    ) -> BoxFuture<'a, u64>;

    /// Changes a version's state; `Conflict` if it is not in one that this begins with.
    fn turn<'a>(
        &'a self,
        target: Target<'a>,
        version: u64,
        turn: Turn,
        by: Authority<'a>,
    ) -> BoxFuture<'a, ()>;
}

/// Why a version that is there cannot be read.
pub(crate) fn unreadable(path: &str, version: u64, state: VersionState) -> Failure {
    Failure::NotFound(format!("version {version} of {path} is {state}"))
}

/// Version 0 means "the newest" to some servers and nothing here.
pub(crate) fn check_version(version: u64) -> Result<(), Failure> {
    if version == 0 { Err(Failure::Invalid("versions count from 1".to_owned())) } else { Ok(()) }
}
