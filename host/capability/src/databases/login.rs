//! Keeping a role from signing in.

use std::borrow::Cow;

use remit_backend::Databases;
use remit_backend::databases::{Act, Target};
use remit_gate::{Change, Changes, Countermeasure, Failure, Operation, Permit, Prepared, Resource, State};
use serde::{Deserialize, Serialize};

use super::argument::name;
use super::bindings::remit::databases::disable_login;
use super::password::{another, right};
use crate::{CallError, Ctx};

impl disable_login::Host for Ctx {
    async fn disable_login(&mut self, path: String) -> Result<(), CallError> {
        let resource = self.role::<DisableLogin>(&path)?;
        self.change(DisableLogin { resource }).await
    }
}

/// `remit:databases/disable-login.disable-login`: keeps a role from signing in until that is undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DisableLogin {
    /// The role that is not to sign in.
    pub resource: Resource,
}

/// What takes it back. That the role could sign in goes without saying: of another one nothing is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeforeLogin {
    /// Which role it was, whatever its name.
    pub oid: u32,
}

impl DisableLogin {
    fn target(&self, before: BeforeLogin) -> Target<'_> {
        Target { name: name(&self.resource), oid: before.oid }
    }
}

impl Operation for DisableLogin {
    const NAME: &'static str = "remit:databases/disable-login.disable-login";
    type Kind = Changes;
    type Backend = Databases;
    type Outcome = ();

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Borrowed(&self.resource)
    }
}

impl Change for DisableLogin {
    const COUNTERMEASURE: Countermeasure = Countermeasure::Isolate;
    type Undo = BeforeLogin;

    async fn prepare(&self, on: &Databases) -> Result<Prepared<BeforeLogin>, Failure> {
        let server = on.at(&self.resource)?;
        right(server.right(name(&self.resource), Act::SetLogin).await?)?;
        let role = server.role(name(&self.resource)).await?;
        if !role.can_login {
            return Err(Failure::Conflict(format!("{} may not sign in already", self.resource)));
        }
        Ok(Prepared { undo: BeforeLogin { oid: role.oid }, secret: None, irrevocable: None })
    }

    fn rehearse(&self, _: &Prepared<BeforeLogin>, on: &Databases) {
        if let Some(played) = on.played(&self.resource) {
            played.set_login(name(&self.resource), false);
        }
    }

    async fn perform(on: &Databases, by: Permit<'_, Self>) -> Result<(), Failure> {
        let target = by.operation().target(by.before().undo);
        on.server(&by.operation().resource)?.set_login(target, false, by.authority()).await
    }

    async fn state(&self, before: &Prepared<BeforeLogin>, on: &Databases) -> Result<State, Failure> {
        let role = match on.at(&self.resource)?.role(name(&self.resource)).await {
            Err(Failure::NotFound(why)) => return Ok(State::Other(why)),
            role => role?,
        };
        Ok(if role.oid != before.undo.oid {
            another(&self.resource)
        } else if role.can_login {
            State::Before
        } else {
            State::After
        })
    }

    async fn undo(on: &Databases, by: Permit<'_, Self>) -> Result<(), Failure> {
        let target = by.operation().target(by.before().undo);
        on.server(&by.operation().resource)?.set_login(target, true, by.authority()).await
    }

    fn describe_undo(&self, _: &BeforeLogin) -> String {
        "let it sign in again".to_owned()
    }
}
