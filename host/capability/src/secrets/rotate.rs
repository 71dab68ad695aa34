//! Replacing a secret's value by a fresh one.

use std::borrow::Cow;

use remit_backend::{Fields, Secrets};
use remit_gate::{Change, Changes, Countermeasure, Failure, Operation, Permit, Prepared, Resource, State};
use serde::{Deserialize, Serialize};

use super::bindings::remit::secrets::rotate;
use super::renew::{BeforeRotation, Renewal, named};
use crate::{CallError, Ctx};

impl rotate::Host for Ctx {
    async fn rotate(&mut self, path: String, field: Option<String>) -> Result<rotate::Rotated, CallError> {
        let resource = self.secret::<Rotate>(&path)?;
        let field = field.map(|field| self.field::<Rotate>(field)).transpose()?;
        let Rotated { previous, current } = self.change(Rotate { resource, field }).await?;
        Ok(rotate::Rotated { previous, current })
    }
}

/// `remit:secrets/rotate.rotate`: writes a new version with a fresh value in one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotate {
    /// The secret to rotate.
    pub resource: Resource,
    /// Which of its fields gets the fresh value; none if it has exactly one.
    pub field: Option<String>,
}

/// What a rotation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotated {
    /// The version that was current before.
    pub previous: u64,
    /// The version that holds the new value.
    pub current: u64,
}

impl Operation for Rotate {
    const NAME: &'static str = "remit:secrets/rotate.rotate";
    type Kind = Changes;
    type Backend = Secrets;
    type Outcome = Rotated;

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Borrowed(&self.resource)
    }
}

impl Change for Rotate {
    const COUNTERMEASURE: Countermeasure = Countermeasure::Harden;
    type Undo = BeforeRotation;

    async fn prepare(&self, on: &Secrets) -> Result<Prepared<BeforeRotation>, Failure> {
        self.renewal().prepare(on, |fields| self.pick(fields), remit_backend::Generator::generate).await
    }

    fn rehearse(&self, before: &Prepared<BeforeRotation>, on: &Secrets) -> Rotated {
        Rotated { previous: before.undo.previous, current: self.renewal().rehearse(before, on) }
    }

    async fn perform(on: &Secrets, by: Permit<'_, Self>) -> Result<Rotated, Failure> {
        let current = by.operation().renewal().perform(on, &by).await?;
        Ok(Rotated { previous: by.before().undo.previous, current })
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

impl Rotate {
    fn renewal(&self) -> Renewal<'_> {
        Renewal { resource: &self.resource }
    }

    fn pick(&self, fields: &Fields) -> Result<String, Failure> {
        if let Some(field) = &self.field {
            return named(field, &self.resource, fields);
        }
        let mut names = fields.names();
        match (names.next(), names.next()) {
            (Some(only), None) => Ok(only.to_owned()),
            (None, _) => Err(Failure::NotFound(format!("{} has no field", self.resource))),
            _ => {
                Err(Failure::Invalid(format!("{} has several fields; name the one to rotate", self.resource)))
            }
        }
    }
}
