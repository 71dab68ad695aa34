//! `[[connector]]` of `remit.toml`: which component serves under which name, where, and as whom.

use std::path::PathBuf;

use jiff::SignedDuration;
use remit_text::{Mistake, Table};
use serde_json::Value;

/// One connector of the operator.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The name of the instance: the first segment of its resources' paths.
    pub name: String,
    /// The component: a file relative to the home, or a digest in the home's store.
    pub component: String,
    /// `https://HOST[:PORT]`; `http://` for this machine only.
    pub origin: String,
    /// The blocks of private addresses that it may be at: `10.0.0.0/8`.
    pub allow_private: Vec<String>,
    /// The CA that is trusted in place of the public ones, in PEM, relative to the home.
    pub ca_file: Option<PathBuf>,
    /// Whether reads that the description declares may be POST requests.
    pub post_reads: bool,
    /// What one phase of a call may take in all.
    pub timeout: SignedDuration,
    /// What the connector is told as `config`: an object.
    pub config: Value,
    /// As whom requests are sent.
    pub credential: Option<CredentialConfig>,
}

/// `[connector.credential]`: one of the forms.
#[derive(Clone, Debug, PartialEq)]
pub enum CredentialConfig {}

impl Entry {
    /// Reads an entry. A mistake shows its line.
    pub fn read(_entry: Table<'_>) -> Result<Self, Mistake> {
        unimplemented!()
    }
}
