//! What a browser's passkey signed becomes the envelope that any other key would have made, and goes the way of it.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use remit_lifecycle::{Approval, Document, Order, Trigger};
use remit_trust::dsse::{Envelope, pae};
use remit_trust::{Assertion, SignatureError, VerifyingKey};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use serde_json::value::to_raw_value;

use super::browser::Session;
use crate::api::sessions::Signed;
use crate::api::{orders, requests, runs};
use crate::app::App;
use crate::exchange::Json;
use crate::problem::{Answer, Problem};
use crate::rate::Toll;

/// A document, and what a browser returned of signing it. All bytes are in base64url.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Answered {
    payload_type: String,
    /// As it was prepared, in base64.
    payload: String,
    /// What the browser calls the passkey.
    pub(super) credential: String,
    authenticator_data: String,
    #[serde(rename = "clientDataJSON")]
    client_data: String,
    signature: String,
}

/// The longest name that a browser gives a passkey, in base64url.
const LONGEST: usize = 1_400;

impl Answered {
    pub(super) fn payload(&self) -> Answer<Vec<u8>> {
        STANDARD.decode(&self.payload).map_err(|_| Problem::usage("`payload` is not base64"))
    }

    /// What the document says, if it is of this type. Nobody has checked who signed it.
    pub(super) fn read<D: DeserializeOwned>(&self, payload_type: &str) -> Answer<D> {
        if self.payload_type != payload_type {
            return Err(Problem::usage(format!("the document is not of the type {payload_type}")));
        }
        serde_json::from_slice(&self.payload()?)
            .map_err(|error| Problem::usage(format!("the document cannot be read: {error}")))
    }

    fn assertion(&self) -> Answer<Assertion> {
        let decode = |name: &str, text: &str| {
            let decoded = URL_SAFE_NO_PAD.decode(text);
            decoded.map_err(|_| Problem::usage(format!("`{name}` is not base64url")))
        };
        if self.credential.len() > LONGEST {
            return Err(Problem::usage("`credential` is longer than any"));
        }
        Ok(Assertion {
            authenticator_data: decode("authenticatorData", &self.authenticator_data)?,
            client_data: decode("clientDataJSON", &self.client_data)?,
            signature: decode("signature", &self.signature)?,
        })
    }

    /// The document in an envelope, signed with this passkey. Whoever takes it checks the signature.
    pub(super) fn envelope(&self, key: &VerifyingKey) -> Answer<Envelope> {
        let signature = key.envelop(&self.assertion()?)?;
        Ok(Envelope::signed_elsewhere(&self.payload_type, &self.payload()?, &key.id(), &signature)?)
    }

    /// The same with the one of these passkeys that signed it; `nobody` if none of them did.
    pub(super) fn envelope_by_one_of(
        &self,
        keys: &[VerifyingKey],
        nobody: impl Fn() -> Problem,
    ) -> Answer<Envelope> {
        let by = |key: &VerifyingKey| {
            let envelope = self.envelope(key)?;
            let signed = pae(&self.payload_type, &self.payload()?);
            key.verify(&signed, &key.envelop(&self.assertion()?)?)?;
            Ok::<_, Problem>(envelope)
        };
        let mut why_not = None;
        for key in keys {
            match by(key) {
                Ok(envelope) => return Ok(envelope),
                // Of another key it is known only that it is none of this one.
                Err(problem) if problem.code() == code_of_untrusted() => {}
                Err(problem) => why_not = Some(problem),
            }
        }
        Err(why_not.unwrap_or_else(nobody))
    }
}

fn code_of_untrusted() -> String {
    Problem::from(SignatureError::Untrusted).code().to_owned()
}

/// Takes what the passkey of this session signed, and submits it.
pub(super) async fn submit(
    State(app): State<App>,
    Extension(session): Extension<Session>,
    toll: Toll,
    Json(answered): Json<Answered>,
) -> Answer<Response> {
    let rules = app.host.rules()?;
    let Some(held) = rules.principals.key(&session.key) else {
        let why = "the passkey of this session is not in the rules any more";
        return Err(Problem::new(StatusCode::FORBIDDEN, "refused::identity", why).help("sign in again"));
    };
    let envelope = to_raw_value(&answered.envelope(&held.key)?).map_err(remit_lifecycle::Error::from)?;
    let kind = answered.payload_type.as_str();
    let signed = Signed::from(envelope);
    if kind == Approval::TYPE {
        requests::submit_decision(State(app), toll, Json(signed)).await
    } else if kind == Order::TYPE {
        orders::submit(State(app), toll, Json(signed)).await
    } else if kind == Trigger::TYPE {
        runs::start(State(app), toll, Json(runs::Start::of(signed))).await
    } else {
        let kinds = [Approval::NAME, Order::NAME, Trigger::NAME];
        Err(Problem::usage(format!("documents that are signed here: {}", json!(kinds))))
    }
}
