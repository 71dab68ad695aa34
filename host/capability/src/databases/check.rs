//! Finding out whether a value is the password of a role.

use std::borrow::Cow;

use remit_backend::Databases;
use remit_gate::{Failure, Observe, Operation, Reads, Resource};
use serde::{Deserialize, Serialize};

use super::argument::name;
use super::bindings::remit::databases::check_login;
use crate::secrets::Given;
use crate::{CallError, Ctx};

impl check_login::Host for Ctx {
    async fn check_login(
        &mut self,
        path: String,
        database: String,
        secret: String,
    ) -> Result<bool, CallError> {
        let resource = self.role::<CheckLogin>(&path)?;
        let database = self.database::<CheckLogin>(database)?;
        let secret = self.given::<CheckLogin>(&secret)?;
        self.observe(CheckLogin { resource, database, secret }).await
    }
}

/// `remit:databases/check-login.check-login`: whether a role can sign in with a value. The answer is one bit, and is journaled as it
/// is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckLogin {
    /// The role to sign in as.
    pub resource: Resource,
    /// The database to sign in to.
    pub database: String,
    /// The value to sign in with.
    pub secret: Given,
}

impl Operation for CheckLogin {
    const NAME: &'static str = "remit:databases/check-login.check-login";
    type Kind = Reads;
    type Backend = Databases;
    type Outcome = bool;

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Borrowed(&self.resource)
    }
}

impl Observe for CheckLogin {
    /// Whoever chooses the value and may ask can test guesses, in a rehearsal too.
    const CONTENT: bool = true;

    async fn observe(&self, on: &Databases) -> Result<bool, Failure> {
        let value = self.secret.value()?;
        on.at(&self.resource)?.opens(name(&self.resource), &self.database, value).await
    }
}
