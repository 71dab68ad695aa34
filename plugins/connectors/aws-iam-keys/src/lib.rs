//! Access keys of AWS IAM users. A key is named by its user and its id: neither tells anything about its secret.
//!
//! What IAM does, and what surprises:
//! - It answers in XML, and an error with a code in it; most have the status 400 or 403. A read is also taken by GET.
//! - Without a name, `ListAccessKeys` lists the keys of the user who asks. For a role it is a `ValidationError`.
//! - A key can be made inactive, and active again, by the same request. A deleted one is gone. Neither ends a session that was
//!   begun with it: temporary credentials of `sts` go on until they expire.
//! - A key that was never used has no `LastUsedDate`. IAM notes the use some minutes late.
//! - Nothing compares before it writes, and a key that was made inactive can work for some seconds more.
//! - No secret of a key can be looked up, not even its key: so there is no `identify` here, and no `check`.

mod iam;
mod xml;

use remit::connector::tokens::{Call as Asked, Token, TokenState};
use remit::connector::{Call, Connector, Failure, Live, Prepared, Result, json, segments, time};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use iam::{Key, Status};

struct AccessKeys;

/// What the key was, for the plan.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Undo {
    status: Status,
    created: String,
}

impl Connector for AccessKeys {
    type Asked = Asked;
    type Config = ();
    type Undo = Undo;

    fn observe(call: &Call<Self>) -> Result<Value> {
        match &call.asked {
            Asked::InspectGet { path } => {
                let (_, [user, id]) = segments(path)?;
                let key = as_left(call, path, iam::key(user, id)?).ok_or_else(|| missing(path))?;
                let last_used = iam::last_used(&key.id)?;
                Ok(json(&token(path.clone(), user, &key, last_used.as_deref())))
            }
            Asked::InspectList { place } => {
                let (_, [user]) = segments(place)?;
                let keys = iam::keys(Some(user))?.ok_or_else(|| no_user(user))?;
                let mut tokens = Vec::new();
                for key in keys {
                    let path = format!("{place}/{}", key.id);
                    let Some(key) = as_left(call, &path, Some(key)) else { continue };
                    let last_used = iam::last_used(&key.id)?;
                    tokens.push(token(path, user, &key, last_used.as_deref()));
                }
                tokens.sort_by(|a, b| a.path.cmp(&b.path));
                Ok(json(&tokens))
            }
            _ => Err(other()),
        }
    }

    fn prepare(call: &Call<Self>) -> Result<Prepared<Undo>> {
        let (path, user, id) = of(&call.asked)?;
        let key = as_left(call, path, iam::key(user, id)?).ok_or_else(|| missing(path))?;
        if iam::own_keys()?.iter().any(|own| own.id == id) {
            // Without it nothing could be taken back, not even this.
            let why = format!("{path} is a key of the user that Remit itself works as: change it by hand");
            return Err(Failure::Invalid(why));
        }
        let Key { status, created, .. } = key;
        if matches!(call.asked, Asked::Disable { .. }) && status == Status::Inactive {
            return Err(Failure::Conflict(format!("{path} is inactive already")));
        }
        let describe = match call.asked {
            Asked::Disable { .. } => format!("make the access key {id} of the user {user} active again"),
            _ => String::new(),
        };
        Ok(Prepared::new(Undo { status, created }, describe))
    }

    fn perform(call: &Call<Self>, prepared: &Prepared<Undo>) -> Result<Value> {
        let (path, user, id) = of(&call.asked)?;
        let key = iam::key(user, id)?.ok_or_else(|| missing(path))?;
        if key.as_it_was() != prepared.undo {
            return Err(Failure::Conflict(format!("somebody else changed {path}: it is {} now", key.status)));
        }
        match call.asked {
            Asked::Disable { .. } => iam::set_status(user, id, Status::Inactive)?,
            _ => iam::delete(user, id)?,
        }
        Ok(Value::Null)
    }

    fn state(call: &Call<Self>, prepared: &Prepared<Undo>, _: Option<&Value>) -> Result<Live> {
        let (path, user, id) = of(&call.asked)?;
        let found = iam::key(user, id)?;
        Ok(match (&call.asked, found.map(|key| key.status)) {
            (Asked::Disable { .. }, Some(Status::Inactive)) | (Asked::Revoke { .. }, None) => Live::After,
            (_, Some(status)) if status == prepared.undo.status => Live::Before,
            (_, Some(status)) => Live::Other(format!("{path} is {status} now")),
            (_, None) => Live::Other(format!("somebody deleted {path}")),
        })
    }

    fn undo(call: &Call<Self>, _: &Prepared<Undo>, _: Option<&Value>) -> Result<()> {
        let Asked::Disable { path } = &call.asked else { return Err(other()) };
        let (_, [user, id]) = segments(path)?;
        match iam::key(user, id)?.map(|key| key.status) {
            Some(Status::Inactive) => iam::set_status(user, id, Status::Active),
            Some(Status::Active) => Err(Failure::Conflict(format!("somebody made {path} active already"))),
            None => Err(Failure::Conflict(format!("somebody deleted {path}"))),
        }
    }
}

impl Key {
    fn as_it_was(&self) -> Undo {
        Undo { status: self.status, created: self.created.clone() }
    }
}

/// What is changed: its path, the user and the key's id.
fn of(asked: &Asked) -> Result<(&str, &str, &str)> {
    let (Asked::Disable { path } | Asked::Revoke { path }) = asked else { return Err(other()) };
    let (_, [user, id]) = segments(path)?;
    Ok((path, user, id))
}

/// The key as this rehearsal left it; none if it revoked it.
fn as_left(call: &Call<AccessKeys>, path: &str, key: Option<Key>) -> Option<Key> {
    let mut key = key?;
    for one in &call.simulated {
        match &one.asked {
            Asked::Disable { path: of } if of == path => key.status = Status::Inactive,
            Asked::Revoke { path: of } if of == path => return None,
            _ => {}
        }
    }
    Some(key)
}

fn token(path: String, user: &str, key: &Key, last_used: Option<&str>) -> Token {
    Token {
        path,
        owner: user.to_owned(),
        label: String::new(),
        scopes: Vec::new(),
        state: match key.status {
            Status::Active => TokenState::Enabled,
            Status::Inactive => TokenState::Disabled,
        },
        created: time::milliseconds(&key.created),
        last_used: last_used.and_then(time::milliseconds),
        expires: None,
    }
}

fn missing(path: &str) -> Failure {
    Failure::NotFound(format!("there is no access key {path}"))
}

fn no_user(user: &str) -> Failure {
    Failure::NotFound(format!("there is no IAM user {user}"))
}

fn other() -> Failure {
    Failure::Invalid("the function is not one of this connector".to_owned())
}

remit::connector!(AccessKeys);
