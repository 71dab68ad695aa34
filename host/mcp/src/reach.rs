//! Where the calls of tools lead.

use remit_client::{About, Client, ClientError};
use remit_lifecycle::{Document, Prepared};
use remit_trust::KeyId;
use remit_trust::dsse::Envelope;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::task::block_in_place;

use crate::Call;

/// Where the home is that calls lead to.
#[derive(Clone, Debug)]
pub struct At {
    /// The name of the journal: documents for another are not signed.
    pub log: String,
    /// The journal's public key.
    pub log_key: String,
    /// The URL at which people find requests; none if no server is there.
    pub url: Option<String>,
}

/// What makes calls in the name of one principal.
pub trait Reach: Send + Sync + 'static {
    /// Where they lead.
    fn at(&self) -> &At;

    /// Makes a call. The answer is JSON.
    fn call(&self, call: &Call) -> impl Future<Output = Result<Box<RawValue>, ClientError>> + Send;

    /// The id of the key that signs; an error where nothing can be signed.
    fn key(&self) -> Result<KeyId, ClientError>;

    /// Signs a document that was looked at.
    fn sign<D: Document>(&self, prepared: &Prepared<D>) -> Result<Envelope, ClientError>;
}

/// Makes a call, and reads its answer.
pub(crate) async fn ask<T: DeserializeOwned>(reach: &impl Reach, call: Call) -> Result<T, ClientError> {
    let answer = reach.call(&call).await?;
    serde_json::from_str(answer.get())
        .map_err(|error| ClientError::NotRemit { url: call.path(), why: error.to_string() })
}

/// A server, in the name of the principal whose key is here.
pub struct Remote {
    client: Client,
    at: At,
}

impl Remote {
    /// Through a client that has looked whether it is the right server.
    #[must_use]
    pub fn new(client: Client) -> Self {
        let About { log, log_key, url, .. } = client.about().clone();
        Self { client, at: At { log, log_key, url: Some(url) } }
    }
}

impl Reach for Remote {
    fn at(&self) -> &At {
        &self.at
    }

    async fn call(&self, call: &Call) -> Result<Box<RawValue>, ClientError> {
        let path = call.path();
        block_in_place(|| match call.body() {
            None => self.client.get(&path),
            Some(body) if call.is_once() => self.client.submit_once(&path, "mcp", &body),
            Some(body) if call.is_signed() => self.client.submit(&path, &body),
            Some(body) => self.client.post(&path, &body),
        })
    }

    fn key(&self) -> Result<KeyId, ClientError> {
        Ok(self.client.key())
    }

    fn sign<D: Document>(&self, prepared: &Prepared<D>) -> Result<Envelope, ClientError> {
        block_in_place(|| self.client.sign_received(prepared))
    }
}
