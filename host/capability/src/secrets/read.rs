//! Looking at a secret: its versions, or (disclosing) its value.

use std::borrow::Cow;

use remit_backend::{Secrets, VersionState};
use remit_gate::{Failure, MakeUp, Observe, Operation, Reads, Resource};
use serde::{Deserialize, Serialize};

use super::bindings::remit::secrets::{inspect, reveal};
use crate::{CallError, Ctx};

/// `remit:secrets/inspect.metadata`: lists the versions of a secret, without their values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// The secret to inspect.
    pub resource: Resource,
}

impl Operation for Metadata {
    const NAME: &'static str = "remit:secrets/inspect.metadata";
    type Kind = Reads;
    type Backend = Secrets;
    type Outcome = remit_backend::Metadata;

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Borrowed(&self.resource)
    }
}

impl Observe for Metadata {
    async fn observe(&self, on: &Secrets) -> Result<remit_backend::Metadata, Failure> {
        let (store, _) = on.at(&self.resource)?;
        store.metadata(&self.resource).await
    }
}

impl inspect::Host for Ctx {
    async fn metadata(&mut self, path: String) -> Result<inspect::SecretMetadata, CallError> {
        let resource = self.secret::<Metadata>(&path)?;
        Ok(self.observe(Metadata { resource }).await?.into())
    }
}

impl From<remit_backend::Metadata> for inspect::SecretMetadata {
    fn from(found: remit_backend::Metadata) -> Self {
        let versions = found.versions.into_iter().map(|version| inspect::Version {
            number: version.number,
            created: version.created,
            state: match version.state {
                VersionState::Enabled => inspect::VersionState::Enabled,
                VersionState::Disabled => inspect::VersionState::Disabled,
                VersionState::Destroyed => inspect::VersionState::Destroyed,
            },
        });
        Self { current: found.current, versions: versions.collect() }
    }
}

/// `remit:secrets/reveal.reveal`: the one operation here whose outcome is secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reveal {
    /// The secret to read.
    pub resource: Resource,
    /// The name of the field to read.
    pub field: String,
    /// The number of the version to read.
    pub version: u64,
}

impl Operation for Reveal {
    const NAME: &'static str = "remit:secrets/reveal.reveal";
    type Kind = Reads;
    type Backend = Secrets;
    type Outcome = String;

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Borrowed(&self.resource)
    }
}

impl Observe for Reveal {
    const DISCLOSES: Option<MakeUp<String>> = Some(|real, noise| noise.like("value", &real));

    /// A number names a version of one secret only: who deletes a secret and makes one of the same path has made another.
    async fn identify(&self, on: &Secrets) -> Result<serde_json::Value, Failure> {
        let (store, _) = on.at(&self.resource)?;
        let found = store.metadata(&self.resource).await?;
        match found.version(self.resource.path(), self.version)?.state {
            VersionState::Enabled => Ok(serde_json::json!({ "identity": found.identity })),
            state => {
                let Self { resource, version, .. } = self;
                Err(Failure::NotFound(format!("version {version} of {} is {state}", resource.path())))
            }
        }
    }

    async fn observe(&self, on: &Secrets) -> Result<String, Failure> {
        let (store, _) = on.at(&self.resource)?;
        on.may_read(&self.resource, self.version)?;
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

impl reveal::Host for Ctx {
    async fn reveal(&mut self, path: String, field: String, version: u64) -> Result<String, CallError> {
        let resource = self.secret::<Reveal>(&path)?;
        let field = self.field::<Reveal>(field)?;
        self.observe(Reveal { resource, field, version }).await
    }
}
