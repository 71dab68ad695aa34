//! Giving a role another password.

use std::borrow::Cow;

use remit_backend::databases::{Act, Target, Verifier};
use remit_backend::{Databases, Right};
use remit_gate::{Change, Changes, Countermeasure, Failure, Operation, Permit, Prepared, Resource, State};
use remit_trust::SecretBytes;
use serde::{Deserialize, Serialize};

use super::argument::name;
use super::bindings::remit::databases::password;
use crate::secrets::Given;
use crate::{CallError, Ctx};

impl password::Host for Ctx {
    async fn set_password(&mut self, path: String, secret: String) -> Result<(), CallError> {
        let resource = self.role::<SetPassword>(&path)?;
        let secret = self.given::<SetPassword>(&secret)?;
        self.change(SetPassword { resource, secret }).await
    }
}

/// `remit:databases/password.set-password`: makes a value the password of a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetPassword {
    /// The role that gets the password.
    pub resource: Resource,
    /// The value that becomes the password.
    pub secret: Given,
}

/// The public part of what takes it back. The verifiers, old and new, are sealed beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeforePassword {
    /// Which role it was, whatever its name.
    pub oid: u32,
    /// Which state of the role it was; none in a rehearsal that had changed it before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<String>,
    /// Whether it had a password.
    pub had_one: bool,
}

/// The sealed part. It is decided in `prepare`, so that the intent on disk says what the effect will be, and this run's own
/// password can be told from anyone else's.
struct Verifiers {
    old: Option<Verifier>,
    new: Verifier,
}

impl Verifiers {
    fn seal(&self) -> Result<SecretBytes, Failure> {
        #[derive(Serialize)]
        struct Written<'a> {
            old: Option<&'a str>,
            new: &'a str,
        }
        let written = Written { old: self.old.as_ref().map(Verifier::expose), new: self.new.expose() };
        match serde_json::to_vec(&written) {
            Ok(bytes) => Ok(SecretBytes::new(bytes)),
            Err(_) => Err(Failure::Invalid("the role's verifier cannot be recorded".to_owned())),
        }
    }

    fn of(before: &Prepared<BeforePassword>) -> Result<Self, Failure> {
        #[derive(Deserialize)]
        struct Read {
            old: Option<String>,
            new: String,
        }
        let sealed = before.secret.as_ref().map(SecretBytes::expose).unwrap_or_default();
        // Serde's words could quote a verifier.
        let read: Read = serde_json::from_slice(sealed).map_err(|_| {
            Failure::Invalid("the journal does not hold the verifiers of this change".to_owned())
        })?;
        Ok(Self { old: read.old.map(Verifier::new), new: Verifier::new(read.new) })
    }
}

impl SetPassword {
    fn target(&self, before: &BeforePassword) -> Target<'_> {
        Target { name: name(&self.resource), oid: before.oid }
    }
}

impl Operation for SetPassword {
    const NAME: &'static str = "remit:databases/password.set-password";
    type Kind = Changes;
    type Backend = Databases;
    type Outcome = ();

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Borrowed(&self.resource)
    }
}

impl Change for SetPassword {
    const COUNTERMEASURE: Countermeasure = Countermeasure::Harden;
    type Undo = BeforePassword;

    async fn prepare(&self, on: &Databases) -> Result<Prepared<BeforePassword>, Failure> {
        let value = self.secret.value()?;
        let server = on.at(&self.resource)?;
        if on.has_set(&self.resource) {
            return Err(Failure::Conflict(format!(
                "this run has set the password of {} already",
                self.resource
            )));
        }
        right(server.right(name(&self.resource), Act::SetPassword).await?)?;
        let kept = server.kept(name(&self.resource)).await?;
        let undo = BeforePassword { oid: kept.oid, row: kept.row, had_one: kept.verifier.is_some() };
        let secret = Verifiers { old: kept.verifier, new: Verifier::of(value)? }.seal()?;
        Ok(Prepared { undo, secret: Some(secret), irrevocable: None })
    }

    fn rehearse(&self, before: &Prepared<BeforePassword>, on: &Databases) {
        if let (Some(played), Ok(verifiers)) = (on.played(&self.resource), Verifiers::of(before)) {
            played.set_password(name(&self.resource), verifiers.new);
        }
        on.note_set(&self.resource);
    }

    async fn perform(on: &Databases, by: Permit<'_, Self>) -> Result<(), Failure> {
        let (operation, before) = (by.operation(), by.before());
        let Verifiers { old, new } = Verifiers::of(before)?;
        let target = operation.target(&before.undo);
        let server = on.server(&operation.resource)?;
        let done = server.set_password(target, old.as_ref(), Some(&new), by.authority()).await;
        if done.as_ref().err().is_none_or(|failure| !failure.is_definite()) {
            on.note_set(&operation.resource);
        }
        done
    }

    async fn state(&self, before: &Prepared<BeforePassword>, on: &Databases) -> Result<State, Failure> {
        let kept = match on.at(&self.resource)?.kept(name(&self.resource)).await {
            Err(Failure::NotFound(why)) => return Ok(State::Other(why)),
            kept => kept?,
        };
        let Verifiers { old, new } = Verifiers::of(before)?;
        Ok(if kept.oid != before.undo.oid {
            another(&self.resource)
        } else if kept.verifier.as_ref() == Some(&new) {
            State::After
        } else if kept.verifier == old {
            State::Before
        } else {
            State::Other(format!("somebody else set the password of {}", self.resource))
        })
    }

    async fn undo(on: &Databases, by: Permit<'_, Self>) -> Result<(), Failure> {
        let (operation, before) = (by.operation(), by.before());
        let Verifiers { old, new } = Verifiers::of(before)?;
        let target = operation.target(&before.undo);
        on.server(&operation.resource)?.set_password(target, Some(&new), old.as_ref(), by.authority()).await
    }

    fn is_as_planned(planned: &BeforePassword, found: &BeforePassword) -> bool {
        planned.oid == found.oid
            && planned.had_one == found.had_one
            && (planned.row.is_none() || planned.row == found.row)
    }

    fn describe_undo(&self, before: &BeforePassword) -> String {
        if before.had_one {
            "put the verifier of the previous password back".to_owned()
        } else {
            "take the password away again: there was none".to_owned()
        }
    }
}

/// What could not be taken back is not begun.
pub(super) fn right(right: Right) -> Result<(), Failure> {
    match right {
        Right::Held => Ok(()),
        Right::Lacking(why) | Right::Unknown(why) => Err(Failure::Denied(why)),
    }
}

pub(super) fn another(role: &Resource) -> State {
    State::Other(format!("{role} is another role now: the one that was recorded was dropped"))
}
