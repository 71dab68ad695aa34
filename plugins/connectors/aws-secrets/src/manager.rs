//! Requests to Secrets Manager, and what it answers.

use std::collections::BTreeMap;

use remit::connector::{Failure, Request, Response, Result, wide};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The label of the version that is read unless one asks for another.
pub(crate) const CURRENT: &str = "AWSCURRENT";
const PENDING: &str = "AWSPENDING";
/// How many pages of versions are read, of a hundred each.
const PAGES: usize = 4;

/// What `DescribeSecret` tells.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Secret {
    #[serde(rename = "ARN", default)]
    arn: String,
    #[serde(rename = "RotationEnabled", default)]
    pub(crate) rotates: bool,
    /// In seconds since the Unix epoch.
    deleted_date: Option<f64>,
    owning_service: Option<String>,
    primary_region: Option<String>,
    #[serde(default)]
    version_ids_to_stages: BTreeMap<String, Vec<String>>,
}

/// The record `version`, and what `ListSecretVersionIds` tells of one.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "PascalCase"))]
pub(crate) struct Version {
    #[serde(rename(deserialize = "VersionId"))]
    pub(crate) id: String,
    #[serde(rename(deserialize = "VersionStages"), default)]
    pub(crate) stages: Vec<String>,
    #[serde(
        rename(deserialize = "CreatedDate"),
        serialize_with = "wide::option::serialize",
        deserialize_with = "moment",
        default
    )]
    pub(crate) created: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(default)]
    versions: Vec<Version>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
struct Error {
    #[serde(rename = "__type")]
    kind: String,
    #[serde(alias = "Message", default)]
    message: String,
}

impl Secret {
    /// The version that is current; none if there is no value yet.
    pub(crate) fn current(&self) -> Option<String> {
        self.with(CURRENT).cloned()
    }

    /// The versions that have a label.
    pub(crate) fn labelled(&self) -> Vec<Version> {
        let all = self.version_ids_to_stages.iter();
        all.map(|(id, stages)| Version { id: id.clone(), stages: stages.clone(), created: None }).collect()
    }

    fn with(&self, stage: &str) -> Option<&String> {
        let mut all = self.version_ids_to_stages.iter();
        all.find(|(_, stages)| stages.iter().any(|one| one == stage)).map(|(id, _)| id)
    }

    /// When it will be deleted.
    pub(crate) fn deleted(&self) -> Option<u64> {
        self.deleted_date.and_then(milliseconds)
    }

    /// Which version is current, in words.
    pub(crate) fn shown(&self) -> String {
        self.current()
            .map_or_else(|| "no version is current".to_owned(), |id| format!("version {id} is current"))
    }

    /// Says why nothing can be put into it, or could be taken back.
    pub(crate) fn can_be_changed(&self, path: &str) -> Result<()> {
        if self.deleted_date.is_some() {
            return Err(Failure::Conflict(format!("{path} is to be deleted: restore it first")));
        }
        if let Some(service) = &self.owning_service {
            return Err(Failure::Invalid(format!("{path} is managed by {service}: change it there")));
        }
        let own = self.arn.split(':').nth(3).unwrap_or_default();
        if let Some(primary) = self.primary_region.as_deref().filter(|primary| *primary != own) {
            return Err(Failure::Invalid(format!(
                "{path} is a replica of the secret in {primary}: change that one"
            )));
        }
        match self.with(PENDING) {
            Some(pending) if self.current().as_ref() != Some(pending) => Err(Failure::Conflict(format!(
                "a rotation of {path} is under way (version {pending} is {PENDING}): wait for it, or cancel it"
            ))),
            _ => Ok(()),
        }
    }
}

/// The secret; none if there is none of this name.
pub(crate) fn describe(name: &str) -> Result<Option<Secret>> {
    match asked("DescribeSecret", &json!({ "SecretId": name }), &format!("look at {name}")) {
        Ok(secret) => Ok(Some(secret)),
        Err(Failure::NotFound(_)) => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// All versions that are kept, those without a label too.
pub(crate) fn versions(name: &str) -> Result<Vec<Version>> {
    let mut all = Vec::new();
    let mut body = json!({ "SecretId": name, "IncludeDeprecated": true, "MaxResults": 100 });
    for _ in 0..PAGES {
        let page: Page = asked("ListSecretVersionIds", &body, &format!("list the versions of {name}"))?;
        all.extend(page.versions);
        match page.next_token.filter(|token| !token.is_empty()) {
            Some(token) => body["NextToken"] = Value::String(token),
            None => return Ok(all),
        }
    }
    Err(Failure::Unavailable(format!("{name} has more than {} versions", PAGES * 100)))
}

/// Makes the value of a sealed input the current version.
pub(crate) fn put(name: &str, version: &str, handle: &str) -> Result<()> {
    let body = json!({
        "SecretId": name,
        "ClientRequestToken": version,
        "SecretString": handle,
        "VersionStages": [CURRENT],
    });
    asked::<Value>("PutSecretValue", &body, &format!("put a value into {name}")).map(drop)
}

/// Moves the label to another version, if it is where it is taken from.
pub(crate) fn make_current(name: &str, from: &str, to: &str) -> Result<()> {
    let body = json!({
        "SecretId": name,
        "VersionStage": CURRENT,
        "RemoveFromVersionId": from,
        "MoveToVersionId": to,
    });
    let doing = format!("make version {to} of {name} current again");
    match asked::<Value>("UpdateSecretVersionStage", &body, &doing) {
        // The label was moved after it was read.
        Err(Failure::Invalid(why)) => Err(Failure::Conflict(why)),
        done => done.map(drop),
    }
}

fn asked<T: DeserializeOwned>(target: &str, body: &Value, doing: &str) -> Result<T> {
    let request = Request::post(&[]).json(body).header("content-type", "application/x-amz-json-1.1");
    let answer = request.header("x-amz-target", &format!("secretsmanager.{target}")).send()?;
    if answer.status == 200 { answer.json() } else { Err(refused(&answer, doing)) }
}

/// What an error stands for, and what to do where it is not obvious.
fn refused(answer: &Response, doing: &str) -> Failure {
    let error = answer.json::<Error>().unwrap_or_else(|_| {
        // Of something before it, or of a service that speaks XML.
        let kind = if answer.status == 403 { "AccessDeniedException" } else { "" };
        Error { kind: kind.to_owned(), message: format!("status {}", answer.status) }
    });
    let kind = error.kind.rsplit('#').next().unwrap_or_default();
    let told =
        |hint: &str| format!("could not {doing}: Secrets Manager answered {kind}: {}{hint}", error.message);
    match kind {
        "ResourceNotFoundException" => Failure::NotFound(told("")),
        "AccessDeniedException" | "AccessDenied" => Failure::Denied(told(
            "; the credential needs the policy that docs/connectors.md has for aws-secrets, and the right region, service and secret key",
        )),
        "InvalidSignatureException" | "SignatureDoesNotMatch" | "IncompleteSignatureException" => {
            Failure::Denied(told(
                "; compare `region`, `service` (secretsmanager) and the secret key of the entry in remit.toml",
            ))
        }
        "UnrecognizedClientException" | "InvalidClientTokenId" | "ExpiredTokenException" => {
            Failure::Denied(told("; the key in remit.toml is not one that AWS takes"))
        }
        "EncryptionFailure" | "DecryptionFailure" => {
            Failure::Denied(told("; the credential needs the KMS key of the secret"))
        }
        "InvalidRequestException" | "ResourceExistsException" => Failure::Conflict(told("")),
        "ThrottlingException" | "InternalServiceError" | "InternalFailure" | "ServiceUnavailable" => {
            Failure::Unavailable(told(""))
        }
        _ if answer.status >= 500 => Failure::Unavailable(told("")),
        _ => Failure::Invalid(told("")),
    }
}

fn moment<'de, D: serde::Deserializer<'de>>(from: D) -> std::result::Result<Option<u64>, D::Error> {
    Ok(Option::<f64>::deserialize(from)?.and_then(milliseconds))
}

/// From seconds, which have a fraction.
fn milliseconds(seconds: f64) -> Option<u64> {
    let time = std::time::Duration::try_from_secs_f64(seconds).ok()?;
    u64::try_from(time.as_millis()).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn what_could_not_be_put_or_taken_back_is_told_before() {
        let arn = "\"ARN\":\"arn:aws:secretsmanager:eu-west-1:1:secret:a-x\"";
        let says = |more: &str| secret(&format!("{{{arn},{more}}}")).can_be_changed("aws/a").unwrap_err();
        assert!(matches!(says("\"DeletedDate\":1.7e9"), Failure::Conflict(why) if why.contains("deleted")));
        assert!(matches!(says("\"OwningService\":\"rds\""), Failure::Invalid(why) if why.contains("rds")));
        assert!(
            matches!(says("\"PrimaryRegion\":\"us-east-1\""), Failure::Invalid(why) if why.contains("replica"))
        );
        let pending = "\"VersionIdsToStages\":{\"v1\":[\"AWSCURRENT\"],\"v2\":[\"AWSPENDING\"]}";
        assert!(matches!(says(pending), Failure::Conflict(why) if why.contains("v2")));
        let fine =
            "\"PrimaryRegion\":\"eu-west-1\",\"VersionIdsToStages\":{\"v1\":[\"AWSCURRENT\",\"AWSPENDING\"]}";
        let fine = secret(&format!("{{{arn},{fine}}}"));
        assert!(fine.can_be_changed("aws/a").is_ok() && fine.current().as_deref() == Some("v1"));
    }

    #[test]
    fn an_error_is_told_by_its_type() {
        let answer = |status, body: &str| {
            refused(&Response { status, headers: Vec::new(), body: body.into() }, "look")
        };
        let typed = |kind: &str| answer(400, &format!("{{\"__type\":\"{kind}\",\"Message\":\"so\"}}"));
        assert!(matches!(typed("com.amazonaws#ResourceNotFoundException"), Failure::NotFound(_)));
        assert!(matches!(typed("AccessDeniedException"), Failure::Denied(why) if why.contains("policy")));
        assert!(matches!(typed("InvalidRequestException"), Failure::Conflict(_)));
        assert!(matches!(typed("ThrottlingException"), Failure::Unavailable(_)));
        assert!(matches!(typed("ValidationException"), Failure::Invalid(_)));
        assert!(matches!(answer(403, "<ErrorResponse/>"), Failure::Denied(_)));
        assert!(matches!(answer(503, "<html>"), Failure::Unavailable(_)));
    }

    #[test]
    fn a_version_is_read_as_aws_writes_it_and_written_as_the_interface_has_it() {
        let page = "{\"Versions\":[{\"VersionId\":\"v1\",\"VersionStages\":[\"AWSCURRENT\"],\"CreatedDate\":1.5}],\"NextToken\":\"\"}";
        let page: Page = serde_json::from_str(page).unwrap();
        let shown = json!([{ "id": "v1", "stages": ["AWSCURRENT"], "created": "1500" }]);
        assert_eq!(json!(page.versions), shown);
    }
}
