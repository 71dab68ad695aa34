//! What every call that is about a document has in common, and the document that opens a session.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use remit_lifecycle::{Document, Prepared, certify_exchanged, prepare_session, read_signed, signed_by};
use remit_trust::dsse::Envelope;
use remit_trust::{KeyId, VerifyingKey};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::app::App;
use crate::exchange::{Json, Private, json};
use crate::problem::{Answer, Problem};
use crate::rate::Toll;
use crate::who::{self, Caller};

/// A document that waits for its signature: the first two fields of a DSSE envelope. Look at what the payload says before you
/// sign it: DSSE's pre-authentication encoding of both.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "to-sign")]
pub(crate) struct ToSign {
    /// The type of the document.
    payload_type: &'static str,
    /// The document in canonical JSON (RFC 8785), in base64.
    payload: String,
    /// The id of the key that is to sign it.
    keyid: String,
}

impl<D: Document> From<&Prepared<D>> for ToSign {
    fn from(prepared: &Prepared<D>) -> Self {
        Self {
            payload_type: prepared.payload_type(),
            payload: STANDARD.encode(prepared.payload()),
            keyid: prepared.key.to_string(),
        }
    }
}

/// The answer with a document that waits for its signature.
pub(crate) fn to_sign<D: Document>(prepared: &Prepared<D>) -> Answer<Response> {
    json(StatusCode::OK, &ToSign::from(prepared))
}

/// A signed document: a DSSE envelope.
#[derive(Deserialize)]
#[serde(transparent)]
pub(crate) struct Signed(Box<RawValue>);

impl From<Box<RawValue>> for Signed {
    fn from(envelope: Box<RawValue>) -> Self {
        Self(envelope)
    }
}

impl JsonSchema for Signed {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "envelope".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A DSSE envelope (github.com/secure-systems-lab/dsse, protocol v1.0.2).",
            "type": "object",
            "properties": {
                "payload": {"type": "string", "contentEncoding": "base64"},
                "payloadType": {"type": "string"},
                "signatures": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "properties": {
                            "keyid": {"type": "string"},
                            "sig": {"type": "string", "contentEncoding": "base64"},
                        },
                        "required": ["sig"],
                        "additionalProperties": false,
                    },
                },
            },
            "required": ["payload", "payloadType", "signatures"],
            "additionalProperties": false,
        })
    }
}

impl Signed {
    /// The envelope, and what it says, if it is signed by whom it names: counted for that principal. Everything is checked when it is
    /// submitted; a document that nobody signed comes no further than this.
    pub(crate) fn read<D: Document>(&self, app: &App, toll: Toll) -> Answer<(Envelope, D)> {
        let no_signature = || Err(remit_trust::SignatureError::Missing.into());
        let keys = |name: &str| app.host.rules()?.keys_of(name);
        let (envelope, document) = read_signed::<D>(keys, self.0.get().as_bytes(), no_signature, "the body")?;
        match signed_by::<D>(&app.host, &envelope) {
            Ok(signed) => toll.by_document::<D>(app, &signed)?,
            Err(error) => {
                toll.by_anybody(app, None)?;
                return Err(error.into());
            }
        }
        Ok((envelope, document))
    }
}

/// The key that is to sign what is prepared: the one that was asked for, if it is the caller's; otherwise the session's.
pub(crate) fn signer(app: &App, caller: &Caller, wanted: Option<&str>) -> Answer<KeyId> {
    let Some(wanted) = wanted else { return Ok(caller.0.key.clone()) };
    let by = app.host.identify(&wanted.parse()?)?;
    if by.name() == caller.0.name() {
        return Ok(by.key);
    }
    let why = format!("the key {} is not one of {}", by.key.short(), caller.0.name());
    Err(Problem::new(StatusCode::FORBIDDEN, "refused::identity", why))
}

/// Who wants a session.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "prepare-session")]
pub(crate) struct Prepare {
    /// The id of the principal's key, which will sign it.
    key: String,
    /// The thumbprint of the key that the client made up for the session (RFC 7638, SHA-256).
    thumbprint: String,
}

pub(crate) async fn prepare(
    State(app): State<App>,
    toll: Toll,
    Json(asked): Json<Prepare>,
) -> Answer<Response> {
    let key = asked.key.parse()?;
    // Anybody can name any key.
    let named = app.host.rules()?.principals.holder(&key).map(|holder| holder.name.clone());
    toll.by_anybody(&app, named)?;
    to_sign(&prepare_session(&app.host, &key, &app.url, &asked.thumbprint)?)
}

/// An ID token, and the key that it is exchanged for (in RFC 8693's words: the subject token).
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "certify-key")]
pub(crate) struct Certify {
    /// The ID token, as its platform issued it.
    token: String,
    /// The public key that the client made up, in PEM: P-256 or Ed25519.
    key: String,
    /// A document of the type `application/vnd.remit.certifying.v1+json`, which that key signed: it names the journal, this
    /// server's URL, the key, the digest of the token, and the time.
    proof: Signed,
}

/// What a key is worth.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "certified-key")]
pub(crate) struct CertifiedKey {
    /// The id of the key.
    key: String,
    /// The principal whose key it is.
    principal: String,
    /// Until when it counts. What it signed before remains the principal's.
    until: String,
}

pub(crate) async fn certify(
    State(app): State<App>,
    toll: Toll,
    Private(asked): Private<Certify>,
) -> Answer<Response> {
    // Whose token it is shows only after the work.
    toll.by_anybody(&app, None)?;
    let key = VerifyingKey::from_text(&asked.key, "`key`")?;
    // It is not quoted either: somebody may have put the token there.
    let proof = serde_json::from_str(asked.proof.0.get())
        .map_err(|_| Problem::usage("`proof` is no DSSE envelope"))?;
    let certificate = certify_exchanged(&app.host, &asked.token, &key, &proof, &app.url).await?;
    let (principal, until) = (certificate.principal, certificate.until.to_string());
    json(StatusCode::CREATED, &CertifiedKey { key: key.id().to_string(), principal, until })
}

/// What opens a session.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "open-session")]
pub(crate) struct Open {
    /// A document of the type `application/vnd.remit.session.v1+json`, which the principal's key signed.
    document: Signed,
}

pub(crate) async fn open(State(app): State<App>, toll: Toll, Json(open): Json<Open>) -> Answer<Response> {
    let (envelope, _) = open.document.read::<remit_lifecycle::Session>(&app, toll)?;
    json(StatusCode::CREATED, &who::open(&app, &envelope)?)
}
