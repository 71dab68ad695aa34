//! What is particular to HTTP with a server of the Vault API.

use remit_gate::Resource;
use remit_trust::SecretText;
use ureq::http::HeaderName;

use super::wire;
use crate::error::BackendError;
use crate::http::{Answer, Api, Call, Meaning};

/// What KV answers, with status 400, while the data of an engine is made to have versions.
const UPGRADING: [&str; 2] = ["Upgrading from non-versioned", "Waiting for the primary to upgrade"];
/// Where a token looks itself up. The server's own `default` policy grants it.
pub(super) const LOOKUP: &str = "auth/token/lookup-self";
/// What is wrong with a sealed server.
pub(super) const SEALED: &str = "is sealed: unseal it";

const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");
const REQUEST: HeaderName = HeaderName::from_static("x-vault-request");

/// The API of a server, in one namespace.
pub(super) struct Vault {
    pub(super) namespace: Option<String>,
    /// Where the engine is mounted.
    pub(super) mount: String,
}

impl Vault {
    /// How the engine is looked at. Every token that may do anything with it may do that.
    pub(super) fn engine(&self) -> Call {
        Call::get(format!("sys/internal/ui/mounts/{}", self.mount))
    }
}

impl Api for Vault {
    fn base(&self) -> &'static str {
        "/v1/"
    }

    fn credential(&self, token: &SecretText) -> (HeaderName, String) {
        (TOKEN, token.expose().to_owned())
    }

    fn headers(&self, with_token: bool) -> Vec<(HeaderName, String)> {
        let namespace = self.namespace.iter().filter(|_| with_token);
        std::iter::once((REQUEST, "true".to_owned()))
            .chain(namespace.map(|namespace| (NAMESPACE, namespace.clone())))
            .collect()
    }

    fn remarks(&self, body: &[u8]) -> Vec<String> {
        wire::remarks(body)
    }

    fn meaning(&self, answer: &Answer) -> Meaning {
        match answer.status {
            400 if UPGRADING.iter().any(|words| answer.says(words)) => Meaning::Later,
            // A standby that does not have yet what the token's server wrote.
            412 => Meaning::Later,
            503 if answer.says("sealed") => Meaning::Unavailable(SEALED),
            status => Meaning::of(status),
        }
    }

    fn probes(&self) -> Vec<Call> {
        vec![Call::get(LOOKUP.to_owned()), self.engine()]
    }

    fn lacks(&self, call: &Call) -> String {
        let capabilities = if call.is_get() { "read" } else { "create, update" };
        format!("its policy lacks [{capabilities}] on \"{}\"", call.path())
    }
}

/// A path of the server's own in the one form that requests have: slashes at its ends mean nothing.
pub(super) fn path(name: &'static str, text: &str) -> Result<String, BackendError> {
    let path = text.trim_matches('/');
    match Resource::new(name, path) {
        Ok(_) => Ok(path.to_owned()),
        Err(error) => Err(BackendError::setting(name, error.why())),
    }
}
