//! One request to a system, and what it answered.

use jiff::Timestamp;
use remit_trust::SecretText;
use ureq::http::Method;
use zeroize::Zeroizing;

/// A request to an HTTP API.
pub(crate) struct Call {
    pub(super) method: Method,
    /// Below the API's base.
    pub(super) path: String,
    pub(super) query: Option<String>,
    /// The JSON body; none for a request without one.
    pub(super) body: Option<Zeroizing<Vec<u8>>>,
    /// Whether the token is sent.
    pub(super) credentials: bool,
    /// The secrets in its body: a server's words that contain part of one are not shown.
    pub(super) secrets: Vec<SecretText>,
}

impl Call {
    pub(crate) fn get(path: String) -> Self {
        Self { method: Method::GET, path, query: None, body: None, credentials: true, secrets: Vec::new() }
    }

    pub(crate) fn post(path: String, body: Zeroizing<Vec<u8>>) -> Self {
        Self { method: Method::POST, body: Some(body), ..Self::get(path) }
    }

    pub(crate) fn put(path: String, body: Zeroizing<Vec<u8>>) -> Self {
        Self { method: Method::PUT, ..Self::post(path, body) }
    }

    pub(crate) fn with_query(mut self, query: String) -> Self {
        self.query = Some(query);
        self
    }

    /// Declares the secrets that its body contains.
    pub(crate) fn with_secrets<'a>(mut self, secrets: impl Iterator<Item = &'a str>) -> Self {
        self.secrets = secrets.map(|secret| SecretText::new(secret.to_owned())).collect();
        self
    }

    pub(crate) fn without_credentials(mut self) -> Self {
        self.credentials = false;
        self
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn is_get(&self) -> bool {
        self.method == Method::GET
    }
}

/// What came back with a status that the caller has to look at: see [`Meaning::Answered`](super::Meaning).
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The time by the server's clock (the header `Date`).
    pub(crate) date: Option<Timestamp>,
    pub(crate) body: Zeroizing<Vec<u8>>,
    /// What the server says about an error, for [`Answer::says`].
    pub(super) remarks: Vec<String>,
    /// The remarks as they may be shown, after a colon; empty if there are none.
    pub(super) words: String,
}

impl Answer {
    /// Whether the server's errors or warnings contain these words.
    pub(crate) fn says(&self, words: &str) -> bool {
        self.remarks.iter().any(|remark| remark.contains(words))
    }
}
