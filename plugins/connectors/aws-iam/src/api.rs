//! Requests to IAM's query interface, and what it answers.

use remit::connector::{Failure, Request, Response, Result};

use crate::xml::{self, Element};

const VERSION: &str = "2010-05-08";

/// A request that reads.
pub(crate) fn read(action: &str) -> Request {
    Request::get(&[]).query("Action", action).query("Version", VERSION)
}

/// Sends a request that reads; the result in its answer.
pub(crate) fn result(action: &str, with: &[(&str, &str)], doing: &str) -> Result<Element> {
    let request = with.iter().fold(read(action), |request, (name, value)| request.query(name, value));
    let answer = answered(&request.send()?, doing)?;
    answer.child(&format!("{action}Result")).cloned().ok_or_else(strange)
}

/// Everything that an action lists, in up to so many pages: `each` is called with the result in each of them.
pub(crate) fn pages(
    action: &str,
    with: &[(&str, &str)],
    doing: &str,
    most: usize,
    mut each: impl FnMut(&Element) -> Result<()>,
) -> Result<()> {
    let mut marker: Option<String> = None;
    for _ in 0..most {
        let more: Vec<(&str, &str)> = marker.iter().map(|marker| ("Marker", marker.as_str())).collect();
        let found = result(action, &[with, &more].concat(), doing)?;
        each(&found)?;
        if found.text("IsTruncated") != Some("true") {
            return Ok(());
        }
        marker = Some(found.text("Marker").ok_or_else(strange)?.to_owned());
    }
    Err(Failure::Unavailable(format!("could not {doing}: there are more than are read")))
}

/// What there is, or nothing if IAM says that there is no such thing.
pub(crate) fn if_there<T>(found: Result<T>) -> Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(Failure::NotFound(_)) => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Sends a request that changes something.
pub(crate) fn change(action: &str, fields: &[(&str, &str)], doing: &str) -> Result<()> {
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
        // Of the report of all users.
        "ReportInProgress" | "ReportNotPresent" | "ReportExpired" | "CredentialReportNotReady" => {
            Failure::Unavailable(told(NOT_YET))
        }
        "AccessDenied" | "AccessDeniedException" => {
            Failure::Denied(told("; the credential needs the policy that docs/connectors.md has for aws-iam"))
        }
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

/// IAM writes the report of all users when it is asked to, and at most every four hours.
pub(crate) const NOT_YET: &str = "; it has begun to write its report of all users: ask again in a minute";

/// The answer is not one of IAM.
pub(crate) fn strange() -> Failure {
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
