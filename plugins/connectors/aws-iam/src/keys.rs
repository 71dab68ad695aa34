//! Access keys, as tokens.

use std::fmt;

use remit::connector::tokens::{Call as Asked, Token, TokenState};
use remit::connector::{Call, Failure, Live, Prepared, Result, json, segments, time};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::{self, if_there, strange};
use crate::xml::Element;
use crate::{AwsIam, Undo, other};

/// How many keys of a user are read. IAM allows two; each that is listed takes a request more, of eight.
const MOST: usize = 6;

/// Whether a key works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Status {
    Active,
    Inactive,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
        })
    }
}

/// A key, without its secret, which IAM never tells again.
#[derive(Debug, PartialEq)]
pub(crate) struct Key {
    pub(crate) id: String,
    status: Status,
    created: String,
}

/// What the key was, for the plan.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Before {
    status: Status,
    created: String,
}

pub(crate) fn observe(call: &Call<AwsIam>, asked: &Asked) -> Result<Value> {
    match asked {
        Asked::InspectGet { path } => {
            let (_, [user, id]) = segments(path)?;
            let key = as_left(call, path, key(user, id)?).ok_or_else(|| missing(path))?;
            let last_used = last_used(&key.id)?;
            Ok(json(&token(path.clone(), user, &key, last_used.as_deref())))
        }
        Asked::InspectList { place } => {
            let (_, [user]) = segments(place)?;
            let keys = keys(Some(user))?.ok_or_else(|| no_user(user))?;
            let mut tokens = Vec::new();
            for key in keys {
                let path = format!("{place}/{}", key.id);
                let Some(key) = as_left(call, &path, Some(key)) else { continue };
                let last_used = last_used(&key.id)?;
                tokens.push(token(path, user, &key, last_used.as_deref()));
            }
            tokens.sort_by(|a, b| a.path.cmp(&b.path));
            Ok(json(&tokens))
        }
        _ => Err(other()),
    }
}

pub(crate) fn prepare(call: &Call<AwsIam>, asked: &Asked) -> Result<Prepared<Undo>> {
    let (path, user, id) = of(asked)?;
    let key = as_left(call, path, key(user, id)?).ok_or_else(|| missing(path))?;
    if own_keys()?.iter().any(|own| own.id == id) {
        // Without it nothing could be taken back, not even this.
        let why = format!("{path} is a key of the user that Remit itself works as: change it by hand");
        return Err(Failure::Invalid(why));
    }
    if matches!(asked, Asked::Disable { .. }) && key.status == Status::Inactive {
        return Err(Failure::Conflict(format!("{path} is inactive already")));
    }
    let describe = match asked {
        Asked::Disable { .. } => format!("make the access key {id} of the user {user} active again"),
        _ => String::new(),
    };
    Ok(Prepared::new(Undo::Key(key.as_it_was()), describe))
}

pub(crate) fn perform(asked: &Asked, before: &Before) -> Result<Value> {
    let (path, user, id) = of(asked)?;
    let key = key(user, id)?.ok_or_else(|| missing(path))?;
    if key.as_it_was() != *before {
        return Err(Failure::Conflict(format!("somebody else changed {path}: it is {} now", key.status)));
    }
    match asked {
        Asked::Disable { .. } => set_status(user, id, Status::Inactive)?,
        _ => delete(user, id)?,
    }
    Ok(Value::Null)
}

pub(crate) fn state(asked: &Asked, before: &Before) -> Result<Live> {
    let (path, user, id) = of(asked)?;
    let found = key(user, id)?;
    Ok(match (asked, found.map(|key| key.status)) {
        (Asked::Disable { .. }, Some(Status::Inactive)) | (Asked::Revoke { .. }, None) => Live::After,
        (_, Some(status)) if status == before.status => Live::Before,
        (_, Some(status)) => Live::Other(format!("{path} is {status} now")),
        (_, None) => Live::Other(format!("somebody deleted {path}")),
    })
}

pub(crate) fn undo(asked: &Asked) -> Result<()> {
    let Asked::Disable { path } = asked else { return Err(other()) };
    let (_, [user, id]) = segments(path)?;
    match key(user, id)?.map(|key| key.status) {
        Some(Status::Inactive) => set_status(user, id, Status::Active),
        Some(Status::Active) => Err(Failure::Conflict(format!("somebody made {path} active already"))),
        None => Err(Failure::Conflict(format!("somebody deleted {path}"))),
    }
}

impl Key {
    fn as_it_was(&self) -> Before {
        Before { status: self.status, created: self.created.clone() }
    }
}

/// What is changed: its path, the user and the key's id.
fn of(asked: &Asked) -> Result<(&str, &str, &str)> {
    let (Asked::Disable { path } | Asked::Revoke { path }) = asked else { return Err(other()) };
    let (_, [user, id]) = segments(path)?;
    Ok((path, user, id))
}

/// The key as this rehearsal left it; none if it revoked it.
fn as_left(call: &Call<AwsIam>, path: &str, key: Option<Key>) -> Option<Key> {
    let mut key = key?;
    for one in &call.simulated {
        match &one.asked {
            crate::Asked::Token(Asked::Disable { path: of }) if of == path => key.status = Status::Inactive,
            crate::Asked::Token(Asked::Revoke { path: of }) if of == path => return None,
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

/// The key of a user by its id; none if there is no such key, or no such user.
fn key(user: &str, id: &str) -> Result<Option<Key>> {
    let keys = keys(Some(user))?.unwrap_or_default();
    Ok(keys.into_iter().find(|key| key.id == id))
}

/// The keys of the user who asks; none of a role.
fn own_keys() -> Result<Vec<Key>> {
    match keys(None) {
        Ok(keys) => Ok(keys.unwrap_or_default()),
        // A role has no keys; and whoever may list the keys of another user and not its own is not that user.
        Err(Failure::Invalid(_) | Failure::Denied(_)) => Ok(Vec::new()),
        Err(failure) => Err(failure),
    }
}

/// The keys of a user, or of the one who asks; none if there is no such user.
pub(crate) fn keys(user: Option<&str>) -> Result<Option<Vec<Key>>> {
    let doing = format!("list the access keys of {}", user.unwrap_or("its own user"));
    let with: Vec<(&str, &str)> = user.into_iter().map(|user| ("UserName", user)).collect();
    let mut found = Vec::new();
    let listed = api::pages("ListAccessKeys", &with, &doing, MOST, |page| {
        for member in page.child("AccessKeyMetadata").ok_or_else(strange)?.children("member") {
            found.push(key_of(member).ok_or_else(strange)?);
        }
        if found.len() > MOST {
            return Err(Failure::Unavailable(format!("could not {doing}: there are more than {MOST}")));
        }
        Ok(())
    });
    Ok(if_there(listed)?.map(|()| found))
}

fn key_of(member: &Element) -> Option<Key> {
    let status = match member.text("Status")? {
        "Active" => Status::Active,
        "Inactive" => Status::Inactive,
        _ => return None,
    };
    let text = |name| member.text(name).map(ToOwned::to_owned);
    Some(Key { id: text("AccessKeyId")?, status, created: text("CreateDate")? })
}

/// When a key was used last; none if it never was.
pub(crate) fn last_used(id: &str) -> Result<Option<String>> {
    let doing = format!("look when the access key {id} was used");
    let found = api::result("GetAccessKeyLastUsed", &[("AccessKeyId", id)], &doing)?;
    let last = found.child("AccessKeyLastUsed").and_then(|last| last.text("LastUsedDate"));
    Ok(last.map(ToOwned::to_owned))
}

fn set_status(user: &str, id: &str, status: Status) -> Result<()> {
    let wanted = format!("{status:?}");
    let fields = [("UserName", user), ("AccessKeyId", id), ("Status", &wanted)];
    api::change("UpdateAccessKey", &fields, &format!("make the access key {id} of {user} {status}"))
}

fn delete(user: &str, id: &str) -> Result<()> {
    let fields = [("UserName", user), ("AccessKeyId", id)];
    api::change("DeleteAccessKey", &fields, &format!("delete the access key {id} of {user}"))
}
