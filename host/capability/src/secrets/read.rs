//! Looking at a secret: its versions, or (disclosing) its value.

use remit_backend::secrets::{Secrets, VersionState};
use remit_gate::{Failure, Observation, Resource};
use serde::{Deserialize, Serialize};

use crate::bindings::remit::secrets::types;

/// `remit:secrets/inspect.metadata`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// The secret.
    pub resource: Resource,
}

/// What [`Metadata`] finds: never a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// The newest version's number; 0 if there is none.
    pub current: u64,
    /// All versions the backend still knows, oldest first.
    pub versions: Vec<VersionInfo>,
}

/// One version of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionInfo {
    /// Counts from 1.
    pub number: u64,
    /// When it was created, in milliseconds since the Unix epoch.
    pub created: u64,
    /// What can be done with it.
    pub state: VersionState,
}

impl Observation for Metadata {
    const NAME: &'static str = "remit:secrets/inspect.metadata";
    type Backend = Secrets;
    type Outcome = Versions;

    fn resource(&self) -> Resource {
        self.resource.clone()
    }

    async fn observe(&self, on: &Secrets) -> Result<Versions, Failure> {
        let (store, _) = on.at(&self.resource)?;
        let found = store.metadata(&self.resource).await?;
        let versions = found
            .versions
            .iter()
            .map(|version| VersionInfo { number: version.number, created: version.created, state: version.state })
            .collect();
        Ok(Versions { current: found.current, versions })
    }
}

impl From<Versions> for types::Metadata {
    fn from(found: Versions) -> Self {
        let versions = found.versions.into_iter().map(|version| types::Version {
            number: version.number,
            created: version.created,
            state: match version.state {
                VersionState::Enabled => types::VersionState::Enabled,
                VersionState::Disabled => types::VersionState::Disabled,
                VersionState::Destroyed => types::VersionState::Destroyed,
            },
        });
        Self { current: found.current, versions: versions.collect() }
    }
}

/// `remit:secrets/reveal.reveal`: the one operation here whose outcome is secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reveal {
    /// The secret.
    pub resource: Resource,
    /// Which of its fields.
    pub field: String,
    /// Of which version.
    pub version: u64,
}

impl Observation for Reveal {
    const NAME: &'static str = "remit:secrets/reveal.reveal";
    const DISCLOSES: bool = true;
    type Backend = Secrets;
    type Outcome = String;

    fn resource(&self) -> Resource {
        self.resource.clone()
    }

    async fn observe(&self, on: &Secrets) -> Result<String, Failure> {
        let (store, _) = on.at(&self.resource)?;
        let fields = store.read(&self.resource, self.version).await?;
        match fields.get(&self.field) {
            Some(value) => Ok(value.to_owned()),
            None => Err(Failure::NotFound(format!(
                "version {} of {} has no field `{}`",
                self.version, self.resource, self.field
            ))),
        }
    }
}
