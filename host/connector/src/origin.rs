//! The one place that a connector's requests go to.

use std::path::Path;

use serde_json::Value;

use crate::{ConnectorError, Entry};

/// The opened entry of a connector: its origin and its credential.
#[derive(Debug)]
pub struct Origin {
    entry: Entry,
}

impl Origin {
    /// Checks the entry, and reads its files once so that a mistake is told now; contacts nobody. Paths are relative to `home`.
    pub fn open(_entry: &Entry, _home: &Path) -> Result<Self, ConnectorError> {
        unimplemented!()
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

    /// What the connector is told as `config`: canonical JSON, an object.
    #[must_use]
    pub fn config(&self) -> &Value {
        &self.entry.config
    }
}
