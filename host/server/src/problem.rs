//! What an HTTP client is told of an error: a problem document (RFC 9457) with the class, the code and the help text that
//! the command line shows.

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use miette::Diagnostic;
use remit_lifecycle::Class;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// A problem document. What it holds is told to whoever asked: it never has a secret, a path of this machine or a
/// backtrace.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "problem")]
pub(crate) struct Document {
    /// The kind of problem: `urn:remit:problem:` and the error's code.
    #[serde(rename = "type")]
    kind: String,
    /// The kind in words, the same for every problem of this type.
    title: &'static str,
    /// The status code of the answer.
    status: u16,
    /// What happened, and to which thing.
    detail: String,
    /// What to do next; none if there is no advice.
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
    /// Whose matter it is: `usage`, `refused`, `failed`, `integrity` or `doubt`.
    class: &'static str,
    /// The error's code, as the command line shows it: `refused::policy`.
    code: String,
    /// The name of the call, as in the header X-Request-Id and in the server's log.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    /// What to sign instead; only where a run is outside its standing scope.
    #[serde(skip_serializing_if = "Option::is_none")]
    prepared: Option<Value>,
    #[serde(skip)]
    retry_after: Option<u32>,
    #[serde(skip)]
    challenge: Option<&'static str>,
}

/// Why a call was not done: a problem document, and what goes into the headers of its answer.
#[derive(Debug)]
pub(crate) struct Problem(Box<Document>);

tokio::task_local! {
    /// The name of the call that is answered.
    pub(crate) static CALL: String;
}

/// What a handler returns.
pub(crate) type Answer<T> = Result<T, Problem>;

fn class_word(class: Class) -> &'static str {
    match class {
        Class::Failed => "failed",
        Class::Usage => "usage",
        Class::Refused => "refused",
        Class::Integrity => "integrity",
        Class::Doubt => "doubt",
    }
}

fn class_title(class: Class) -> &'static str {
    match class {
        Class::Failed => "The action, a system or a limit failed",
        Class::Usage => "The request is wrong",
        Class::Refused => "It is not allowed",
        Class::Integrity => "The journal or sealed data is not what was written",
        Class::Doubt => "A person must decide",
    }
}

impl Problem {
    /// A problem that is not an error of the lifecycle. `code` is like `usage::body`.
    pub(crate) fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        let class = match code.split("::").next() {
            Some("usage") => Class::Usage,
            Some("refused") => Class::Refused,
            _ => Class::Failed,
        };
        Self::of(class, status.as_u16(), code.to_owned(), detail.into(), None)
    }

    fn of(class: Class, status: u16, code: String, detail: String, help: Option<String>) -> Self {
        Self(Box::new(Document {
            kind: format!("urn:remit:problem:{}", code.replace("::", ":")),
            title: class_title(class),
            status,
            // A reader of this may be a language model: what steers a terminal or hides text is shown as escapes.
            detail: remit_text::lines(&detail).into_owned(),
            help: help.map(|help| remit_text::lines(&help).into_owned()),
            class: class_word(class),
            code,
            instance: CALL.try_with(|call| format!("urn:remit:call:{call}")).ok(),
            prepared: None,
            retry_after: None,
            challenge: None,
        }))
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// With what can be signed and submitted instead.
    pub(crate) fn prepared(mut self, prepared: Value) -> Self {
        self.0.prepared = Some(prepared);
        self
    }

    /// After how many seconds it may go better.
    pub(crate) fn retry_after(mut self, seconds: u32) -> Self {
        self.0.retry_after = Some(seconds);
        self
    }

    /// How the client can prove who it is (RFC 9449, section 7.1).
    pub(crate) fn challenge(mut self, challenge: &'static str) -> Self {
        self.0.challenge = Some(challenge);
        self
    }

    /// The status of its answer.
    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// What to do next.
    pub(crate) fn help_text(&self) -> Option<&str> {
        self.0.help.as_deref()
    }

    /// The error's code.
    pub(crate) fn code(&self) -> &str {
        &self.0.code
    }

    /// The same as the state of the server, which is nothing that the caller did.
    pub(crate) fn unavailable(mut self) -> Self {
        self.0.status = StatusCode::SERVICE_UNAVAILABLE.as_u16();
        self
    }

    pub(crate) fn usage(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "usage::body", detail)
    }
}

/// The status of errors for which HTTP has a more exact one than that of their class.
fn exact_status(code: &str) -> Option<StatusCode> {
    Some(match code {
        "usage::no_such_run" | "usage::no_such_request" | "usage::component" => StatusCode::NOT_FOUND,
        "failed::busy" | "failed::room" => StatusCode::SERVICE_UNAVAILABLE,
        _ => return None,
    })
}

impl<E: Diagnostic> From<E> for Problem {
    fn from(error: E) -> Self {
        let class = Class::of(&error);
        let code = error.code().map_or_else(|| "failed::other".to_owned(), |code| code.to_string());
        let status = exact_status(&code).map_or_else(|| class.http_status(), |status| status.as_u16());
        Self::of(class, status, code, error.to_string(), error.help().map(|help| help.to_string()))
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        tracing::info!(
            status = self.0.status,
            code = self.0.code,
            detail = self.0.detail,
            "answered with a problem"
        );
        let text = serde_json::to_vec(&self.0).unwrap_or_default();
        let mut response = (status, text).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.0.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(challenge) = self.0.challenge {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response
    }
}
