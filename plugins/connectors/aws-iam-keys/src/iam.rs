//! Requests to IAM's query interface, and what it answers.

use std::fmt;

use remit::connector::{Failure, Request, Response, Result};
use serde::{Deserialize, Serialize};

use crate::xml::{self, Element};

const VERSION: &str = "2010-05-08";
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
    pub(crate) status: Status,
    pub(crate) created: String,
}

/// The key of a user by its id; none if there is no such key, or no such user.
pub(crate) fn key(user: &str, id: &str) -> Result<Option<Key>> {
    let keys = keys(Some(user))?.unwrap_or_default();
    Ok(keys.into_iter().find(|key| key.id == id))
}

/// The keys of the user who asks; none of a role.
pub(crate) fn own_keys() -> Result<Vec<Key>> {
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
    let (mut found, mut marker) = (Vec::new(), None::<String>);
    loop {
        let mut request = read("ListAccessKeys");
        request = user.into_iter().fold(request, |request, user| request.query("UserName", user));
        request = marker.iter().fold(request, |request, marker| request.query("Marker", marker));
        let answer = match answered(&request.send()?, &doing) {
            Err(Failure::NotFound(_)) => return Ok(None),
            answer => answer?,
        };
        let result = answer.child("ListAccessKeysResult").ok_or_else(strange)?;
        for member in result.child("AccessKeyMetadata").ok_or_else(strange)?.children("member") {
            found.push(key_of(member).ok_or_else(strange)?);
        }
        let rest = result.text("IsTruncated") == Some("true");
        marker = result.text("Marker").filter(|_| rest).map(ToOwned::to_owned);
        if rest && marker.is_none() {
            return Err(strange());
        }
        if found.len() > MOST || rest && found.len() == MOST {
            return Err(Failure::Unavailable(format!("could not {doing}: there are more than {MOST}")));
        }
        if !rest {
            return Ok(Some(found));
        }
    }
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
    let answer = read("GetAccessKeyLastUsed").query("AccessKeyId", id).send()?;
    let answer = answered(&answer, &format!("look when the access key {id} was used"))?;
    let result = answer.child("GetAccessKeyLastUsedResult").ok_or_else(strange)?;
    let last = result.child("AccessKeyLastUsed").and_then(|last| last.text("LastUsedDate"));
    Ok(last.map(ToOwned::to_owned))
}

pub(crate) fn set_status(user: &str, id: &str, status: Status) -> Result<()> {
    let wanted = format!("{status:?}");
    let fields = [("UserName", user), ("AccessKeyId", id), ("Status", &wanted)];
    change("UpdateAccessKey", &fields, &format!("make the access key {id} of {user} {status}"))
}

pub(crate) fn delete(user: &str, id: &str) -> Result<()> {
    let fields = [("UserName", user), ("AccessKeyId", id)];
    change("DeleteAccessKey", &fields, &format!("delete the access key {id} of {user}"))
}

fn read(action: &str) -> Request {
    Request::get(&[]).query("Action", action).query("Version", VERSION)
}

fn change(action: &str, fields: &[(&str, &str)], doing: &str) -> Result<()> {
    let all = [&[("Action", action), ("Version", VERSION)], fields].concat();
    answered(&Request::post(&[]).form(&all).send()?, doing).map(drop)
}

/// The answer, if it is none of an error.
fn answered(answer: &Response, doing: &str) -> Result<Element> {
    let read = xml::read(&answer.body);
    if answer.status == 200 {
        return read.map_err(|_| strange());
    }
    // What stands before the service, as where signatures are checked, can have one element more around it.
    let error = read.ok().and_then(|root| root.child("Errors").unwrap_or(&root).child("Error").cloned());
    Err(match error {
        Some(error) => failure(
            doing,
            error.text("Code").unwrap_or_default(),
            error.text("Message").unwrap_or("it does not say why"),
        ),
        // Who answers so is not IAM, or something before it.
        None => match answer.clone().ok(doing) {
            Err(failure) => failure,
            Ok(_) => strange(),
        },
    })
}

/// What a code of an error stands for, and what to do where it is not obvious.
fn failure(doing: &str, code: &str, message: &str) -> Failure {
    let told = |hint: &str| format!("could not {doing}: IAM answered {code}: {message}{hint}");
    match code {
        "NoSuchEntity" => Failure::NotFound(told("")),
        "AccessDenied" | "AccessDeniedException" => Failure::Denied(told(
            "; the credential needs the policy that docs/connectors.md has for aws-iam-keys",
        )),
        "SignatureDoesNotMatch" => Failure::Denied(told(
            "; compare `region` (us-east-1), `service` (iam) and the secret key of the entry in remit.toml",
        )),
        "InvalidClientTokenId" | "ExpiredToken" | "UnrecognizedClientException" | "OptInRequired" => {
            Failure::Denied(told("; the key in remit.toml is not one that AWS takes"))
        }
        "RequestExpired" => Failure::Denied(told("; set this machine's clock")),
        "EntityTemporarilyUnmodifiable" | "ConcurrentModification" => Failure::Conflict(told("")),
        "Throttling"
        | "ThrottlingException"
        | "ServiceFailure"
        | "ServiceUnavailable"
        | "InternalFailure" => Failure::Unavailable(told("")),
        _ => Failure::Invalid(told("")),
    }
}

fn strange() -> Failure {
    Failure::Unavailable("the answer is not what is known of IAM".to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn response(status: u16, body: &str) -> Response {
        Response { status, headers: Vec::new(), body: body.into() }
    }

    #[test]
    fn an_error_is_told_by_its_code_whatever_its_status() {
        let answer = |status, code| {
            let text = format!(
                "<ErrorResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><Error><Type>Sender</Type><Code>{code}</Code>\
                 <Message>of &lt;a&gt; user</Message></Error><RequestId>1</RequestId></ErrorResponse>"
            );
            answered(&response(status, &text), "look").unwrap_err()
        };
        assert!(matches!(answer(404, "NoSuchEntity"), Failure::NotFound(_)));
        assert!(matches!(answer(403, "AccessDenied"), Failure::Denied(why) if why.contains("of <a> user")));
        assert!(
            matches!(answer(403, "SignatureDoesNotMatch"), Failure::Denied(why) if why.contains("region"))
        );
        assert!(matches!(answer(400, "Throttling"), Failure::Unavailable(_)));
        assert!(matches!(answer(400, "ValidationError"), Failure::Invalid(_)));
        let around = "<R><Errors><Error><Code>NoSuchEntity</Code></Error></Errors></R>";
        assert!(matches!(answered(&response(404, around), "look"), Err(Failure::NotFound(_))));
        assert!(matches!(answered(&response(502, "<html>"), "look"), Err(Failure::Unavailable(_))));
        assert!(matches!(answered(&response(200, "{}"), "look"), Err(Failure::Unavailable(_))));
    }
}
