//! Requests to the connector's origin.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Failure, Result, bindings};
use bindings::remit::connector::http as wit;

/// A request. The host encodes the path and the query, and adds the credential.
#[derive(Clone, Debug)]
pub struct Request(wit::Request);

/// What the origin answered.
#[derive(Clone, Debug)]
pub struct Response {
    /// The HTTP status: `404`. A redirect is an answer like any other.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body. Each secret that the description declares is a placeholder in it.
    pub body: Vec<u8>,
}

impl Request {
    /// A request by any method; `path` has the segments.
    #[must_use]
    pub fn new(method: &str, path: &[&str]) -> Self {
        Self(wit::Request {
            method: method.to_owned(),
            path: path.iter().map(|segment| (*segment).to_owned()).collect(),
            query: Vec::new(),
            headers: Vec::new(),
            body: None,
            credential: None,
        })
    }

    /// A `GET`.
    #[must_use]
    pub fn get(path: &[&str]) -> Self {
        Self::new("GET", path)
    }

    /// A `POST`.
    #[must_use]
    pub fn post(path: &[&str]) -> Self {
        Self::new("POST", path)
    }

    /// With one more pair of the query.
    #[must_use]
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.0.query.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a header, in place of one of the same name.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.0.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.0.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With JSON as its body.
    ///
    /// # Panics
    /// If it cannot be written as JSON.
    #[must_use]
    pub fn json(mut self, body: &impl Serialize) -> Self {
        self.0.body = Some(super::json(body).to_string().into_bytes());
        self.header("content-type", "application/json")
    }

    /// With a form as its body.
    #[must_use]
    pub fn form(mut self, fields: &[(&str, &str)]) -> Self {
        let mut form = form_urlencoded::Serializer::new(String::new());
        self.0.body = Some(form.extend_pairs(fields).finish().into_bytes());
        self.header("content-type", "application/x-www-form-urlencoded")
    }

    /// Sent as the value of a sealed argument, by its handle, instead of as the connector.
    #[must_use]
    pub fn credential(mut self, handle: &str) -> Self {
        self.0.credential = Some(handle.to_owned());
        self
    }

    /// Sends it. Any status is an answer.
    pub fn send(&self) -> Result<Response> {
        let wit::Response { status, headers, body } = wit::send(&self.0)?;
        Ok(Response { status, headers, body })
    }
}

impl Response {
    /// The value of a header, by its name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body, read as JSON.
    ///
    /// # Errors
    /// `unavailable`: who answers something else is not the system that this connector is for.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body).map_err(|error| {
            Failure::Unavailable(format!("the system's answer is not what is known of it: {error}"))
        })
    }

    /// The answer, if its status says that what was asked is done. `doing` says what that was, such as `revoke token 42`.
    ///
    /// # Errors
    /// The failure that the status stands for.
    pub fn ok(self, doing: &str) -> Result<Self> {
        let status = self.status;
        let text = format!("could not {doing}: the system answered with status {status}");
        Err(match status {
            200..=299 => return Ok(self),
            401 | 403 => Failure::Denied(text),
            404 | 410 => Failure::NotFound(text),
            409 | 412 => Failure::Conflict(text),
            400 | 405 | 406 | 411 | 413..=415 | 422 => Failure::Invalid(text),
            _ => Failure::Unavailable(text),
        })
    }
}
