//! Where the calls of tools lead.

use remit_client::{About, Client, ClientError};
use remit_lifecycle::{Document, Input, Prepared};
use remit_trust::dsse::Envelope;
use remit_trust::{Handle, KeyId, Opening};
use serde::de::DeserializeOwned;
use serde_json::Value;
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

    /// The input with these sealed inputs, whose values the home has then. Only who started this knows the values.
    fn seal(&self, input: &Value, names: &[String]) -> Result<Value, ClientError>;

    /// The id of the key that signs; an error where nothing can be signed.
    fn key(&self) -> Result<KeyId, ClientError>;

    /// Signs a document that was looked at.
    fn sign<D: Document>(&self, prepared: &Prepared<D>) -> Result<Envelope, ClientError>;
}

/// The values that may be given sealed, each with its handle. A client names them, and cannot choose which file is read.
pub type Sealed = Vec<(Handle, Opening)>;

/// The input with the handles of these values, each of which is kept first.
pub fn with_sealed(
    known: &Sealed,
    input: &Value,
    names: &[String],
    keep: impl Fn(&Handle, &Opening) -> Result<(), ClientError>,
) -> Result<Value, ClientError> {
    let mut handles = Vec::new();
    for name in names {
        let Some((handle, opening)) = known.iter().find(|(handle, _)| handle.name() == name) else {
            return Err(ClientError::NotSealed(name.escape_debug().take(80).collect()));
        };
        keep(handle, opening)?;
        handles.push(handle);
    }
    Ok(Input::of(input)?.with_sealed(handles)?.value()?)
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
    sealed: Sealed,
}

impl Remote {
    /// Through a client that has looked whether it is the right server.
    #[must_use]
    pub fn new(client: Client, sealed: Sealed) -> Self {
        let About { log, log_key, url, .. } = client.about().clone();
        Self { client, at: At { log, log_key, url: Some(url) }, sealed }
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

    fn seal(&self, input: &Value, names: &[String]) -> Result<Value, ClientError> {
        let keep = |handle: &Handle, opening: &Opening| self.client.seal(handle, opening).map(drop);
        block_in_place(|| with_sealed(&self.sealed, input, names, keep))
    }

    fn key(&self) -> Result<KeyId, ClientError> {
        Ok(self.client.key())
    }

    fn sign<D: Document>(&self, prepared: &Prepared<D>) -> Result<Envelope, ClientError> {
        block_in_place(|| self.client.sign_received(prepared))
    }
}
