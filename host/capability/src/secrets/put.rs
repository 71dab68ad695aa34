//! Putting the value of a sealed input into a secret.

use std::borrow::Cow;

use remit_backend::Secrets;
use remit_gate::{Change, Changes, Countermeasure, Failure, Operation, Permit, Prepared, Resource, State};
use serde::{Deserialize, Serialize};

use super::bindings::remit::secrets::put;
use super::given::Given;
use super::renew::{BeforeRotation, Renewal, named};
use crate::{CallError, Ctx};

impl put::Host for Ctx {
    async fn put(&mut self, path: String, field: String, secret: String) -> Result<put::Stored, CallError> {
        let resource = self.secret::<Put>(&path)?;
        let field = self.field::<Put>(field)?;
        let secret = self.given::<Put>(&secret)?;
        let Stored { previous, current } = self.change(Put { resource, field, secret }).await?;
        Ok(put::Stored { previous, current })
    }
}

/// `remit:secrets/put.put`: writes a new version with the value of a sealed input in one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Put {
    /// The secret that gets the value.
    pub resource: Resource,
    /// Which of its fields gets it.
    pub field: String,
    /// The sealed input that has the value.
    pub secret: Given,
}

/// What putting a value did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// The version that was current before.
    pub previous: u64,
    /// The version that holds the value.
    pub current: u64,
}

impl Put {
    fn renewal(&self) -> Renewal<'_> {
        Renewal { resource: &self.resource }
    }
}

impl Operation for Put {
    const NAME: &'static str = "remit:secrets/put.put";
    type Kind = Changes;
    type Backend = Secrets;
    type Outcome = Stored;

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Borrowed(&self.resource)
    }
}

impl Change for Put {
    const COUNTERMEASURE: Countermeasure = Countermeasure::Harden;
    type Undo = BeforeRotation;

    /// Whether the secret has this value already makes no difference: a rehearsal would tell by it.
    async fn prepare(&self, on: &Secrets) -> Result<Prepared<BeforeRotation>, Failure> {
        let value = self.secret.value()?;
        let pick = |fields: &_| named(&self.field, &self.resource, fields);
        self.renewal().prepare(on, pick, |_| Ok(value.clone())).await
    }

    fn rehearse(&self, before: &Prepared<BeforeRotation>, on: &Secrets) -> Stored {
        Stored { previous: before.undo.previous, current: self.renewal().rehearse(before, on) }
    }

    async fn perform(on: &Secrets, by: Permit<'_, Self>) -> Result<Stored, Failure> {
        let current = by.operation().renewal().perform(on, &by).await?;
        Ok(Stored { previous: by.before().undo.previous, current })
    }

    async fn state(&self, before: &Prepared<BeforeRotation>, on: &Secrets) -> Result<State, Failure> {
        self.renewal().state(before, on).await
    }

    async fn undo(on: &Secrets, by: Permit<'_, Self>) -> Result<(), Failure> {
        by.operation().renewal().undo(on, &by).await
    }

    fn is_as_planned(planned: &BeforeRotation, found: &BeforeRotation) -> bool {
        planned.is_still(found)
    }

    fn describe_undo(&self, before: &BeforeRotation) -> String {
        before.describe_undo()
    }
}
