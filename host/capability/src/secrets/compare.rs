//! Comparing a secret with the value of a sealed input.

use std::borrow::Cow;

use remit_backend::Secrets;
use remit_gate::{Failure, Observe, Operation, Reads, Resource};
use remit_trust::SecretText;
use serde::{Deserialize, Serialize};

use super::bindings::remit::secrets::compare;
use super::given::Given;
use crate::{CallError, Ctx};

impl compare::Host for Ctx {
    async fn matches(
        &mut self,
        path: String,
        field: String,
        version: u64,
        secret: String,
    ) -> Result<bool, CallError> {
        let resource = self.secret::<Matches>(&path)?;
        let field = self.field::<Matches>(field)?;
        let secret = self.given::<Matches>(&secret)?;
        self.observe(Matches { resource, field, version, secret }).await
    }
}

/// `remit:secrets/compare.matches`: whether a secret is the value of a sealed input. The answer is one bit, and is journaled
/// as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matches {
    /// The secret to compare.
    pub resource: Resource,
    /// The name of the field to compare.
    pub field: String,
    /// The number of the version to compare.
    pub version: u64,
    /// The sealed input to compare it with.
    pub secret: Given,
}

impl Operation for Matches {
    const NAME: &'static str = "remit:secrets/compare.matches";
    type Kind = Reads;
    type Backend = Secrets;
    type Outcome = bool;

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Borrowed(&self.resource)
    }
}

impl Observe for Matches {
    /// Whoever chooses the value and may compare can test guesses, in a rehearsal too.
    const CONTENT: bool = true;

    async fn observe(&self, on: &Secrets) -> Result<bool, Failure> {
        let value = self.secret.value()?;
        let (store, _) = on.at(&self.resource)?;
        on.may_read(&self.resource, self.version)?;
        let fields = store.read(&self.resource, self.version).await?;
        let Some(field) = fields.get(&self.field) else {
            let Self { resource, field, version, .. } = self;
            return Err(Failure::NotFound(format!("version {version} of {resource} has no field `{field}`")));
        };
        // Takes the same time wherever the first difference is.
        Ok(SecretText::new(field.to_owned()) == *value)
    }
}
