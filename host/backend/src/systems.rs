//! What every domain offers to the host: how its section of `remit.toml` is read, how its systems are opened from it,
//! and how they are checked.

use std::future::Future;
use std::path::Path;

use remit_gate::Failure;
use remit_text::Mistake;
use remit_text::Table;

use crate::BackendError;

/// All systems of one domain.
pub trait Systems: Sized + Send + Sync + 'static {
    /// The section with its entries: `secrets` for `[[secrets]]`.
    const SECTION: &'static str;
    /// One entry, as read.
    type Entry: Clone + std::fmt::Debug + Send + Sync + 'static;

    /// Reads one entry. A mistake shows its line.
    fn read(entry: Table<'_>) -> Result<Self::Entry, Mistake>;

    /// Opens the system of every entry; relative paths are below `home`. No server is contacted.
    fn open(entries: &[Self::Entry], home: &Path) -> Result<Self, BackendError>;

    /// Checks whether each system can be used right now, for `remit doctor`.
    fn check(&self) -> impl Future<Output = Vec<Checked>> + Send;

    /// Takes the section out of a configuration and reads its entries.
    fn entries(configuration: &mut Table<'_>) -> Result<Vec<Self::Entry>, Mistake> {
        configuration.entries(Self::SECTION)?.into_iter().map(Self::read).collect()
    }
}

/// What a check found of one system.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The section and what tells the entry from others: `secrets prod`.
    pub what: String,
    /// What the system is, in one line; or why it cannot be used.
    pub found: Result<String, Trouble>,
}

/// Why a system cannot be used.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// Why the system cannot be used, for a person.
    pub why: String,
    /// What the operator can do about it.
    pub fix: &'static str,
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        let fix = match failure {
            Failure::Denied(_) => {
                "put a token that counts where its entry in remit.toml says; docs/configuration.md has the policy that it needs"
            }
            Failure::Unavailable(_) => "start or repair that system, and check its entry in remit.toml",
            Failure::NotFound(_) | Failure::Conflict(_) | Failure::Invalid(_) => {
                "correct its entry in remit.toml"
            }
        };
        Self { why: failure.to_string(), fix }
    }
}
