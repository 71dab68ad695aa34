//! One server, and one principal at it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use remit_lifecycle::{Document, Prepared};
use remit_text::Address;
use remit_trust::dsse::{Envelope, pae};
use remit_trust::{Handle, KeyId, Opening, Sign, Signer};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use ureq::Agent;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

use crate::ClientError;
use crate::error::Problem;
use crate::proof::SessionKey;

/// The largest answer that is read.
const LARGEST: u64 = 64 * 1024 * 1024;
/// How long a call may take; a rehearsal of an action takes as long as its scope lets it.
const PATIENCE: Duration = Duration::from_secs(150);
/// How long a connection that nobody uses is kept. A server closes it after 10 s; one that was closed just now cannot be told from
/// one that is open.
const IDLE: Duration = Duration::from_secs(5);
/// How long before its end a session is opened anew.
const MARGIN: Duration = Duration::from_secs(30);

/// Which home a server has.
#[derive(Clone, Debug, Deserialize)]
pub struct About {
    /// The name of the journal.
    pub log: String,
    /// The journal's public key.
    pub log_key: String,
    /// The server's own URL.
    pub url: String,
    /// The version of Remit at the server.
    pub version: String,
}

/// A document that a server prepared. Nothing of it is trusted: whoever signs it reads the payload.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToSign {
    /// The type of the document.
    pub payload_type: String,
    /// The document, in base64.
    payload: String,
    /// The id of the key that is to sign it.
    pub keyid: String,
}

impl ToSign {
    /// The document's bytes.
    pub fn payload(&self) -> Result<Vec<u8>, ClientError> {
        STANDARD.decode(&self.payload).map_err(|error| ClientError::Altered(error.to_string()))
    }

    /// The document as JSON.
    pub fn document(&self) -> Result<Value, ClientError> {
        serde_json::from_slice(&self.payload()?).map_err(|error| ClientError::Altered(error.to_string()))
    }

    /// The document, parsed, to be looked at and then signed by this key; an error if it is for another journal.
    pub fn received<D: Document>(&self, by: &KeyId, log: &str) -> Result<Prepared<D>, ClientError> {
        let prepared = Prepared::<D>::received(&self.payload_type, self.payload()?, by.clone())?;
        if prepared.document.log() == log {
            return Ok(prepared);
        }
        let other = prepared.document.log().escape_debug();
        Err(ClientError::Altered(format!("it is for the journal {other}")))
    }

    /// The bytes that are signed.
    pub fn to_sign(&self) -> Result<Vec<u8>, ClientError> {
        Ok(pae(&self.payload_type, &self.payload()?))
    }
}

struct Token {
    token: String,
    until: Instant,
}

/// The answer to a signed session.
#[derive(Deserialize)]
struct Opened {
    access_token: String,
    expires_in: u64,
}

/// What calls servers. `pem` has certificates that are trusted in place of the public ones.
pub fn agent(pem: Option<&[u8]>) -> Result<Agent, ClientError> {
    let mut tls = TlsConfig::builder();
    if let Some(pem) = pem {
        let mut certificates = Vec::new();
        for item in parse_pem(pem) {
            match item.map_err(|error| ClientError::Certificates(error.to_string()))? {
                PemItem::Certificate(certificate) => certificates.push(certificate),
                _ => return Err(ClientError::Certificates("something else is among them".to_owned())),
            }
        }
        if certificates.is_empty() {
            return Err(ClientError::Certificates("the file has none".to_owned()));
        }
        tls = tls.root_certs(RootCerts::new_with_certs(&certificates));
    }
    Ok(Agent::config_builder()
        .tls_config(tls.build())
        .max_idle_age(IDLE)
        .user_agent(concat!("remit/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent())
}

/// A client of one server, in the name of the principal who holds the key.
pub struct Client {
    agent: Agent,
    url: String,
    about: About,
    signer: Signer,
    session_key: SessionKey,
    token: Mutex<Option<Token>>,
}

impl Client {
    /// Asks a server which home it has. `agent` says whom TLS trusts; `signer` is the principal's key.
    pub fn connect(agent: Agent, url: &str, signer: Signer) -> Result<Self, ClientError> {
        let url = Address::of_origin(url)
            .map_err(|why| ClientError::Address { url: url.escape_debug().to_string(), why })?;
        let about: About = answer(&url, call(&agent, "GET", &format!("{url}/api/v1"), &[], None))?;
        Ok(Self { agent, url, about, signer, session_key: SessionKey::generate()?, token: Mutex::default() })
    }

    /// Which home the server has.
    #[must_use]
    pub fn about(&self) -> &About {
        &self.about
    }

    /// The principal's key.
    pub(crate) fn signer(&self) -> &Signer {
        &self.signer
    }

    /// Reads.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.proven("GET", path, &[], None)
    }

    /// Reads text that is for anybody.
    pub fn text(&self, path: &str) -> Result<String, ClientError> {
        let url = format!("{}{path}", self.url);
        match call(&self.agent, "GET", &url, &[], None) {
            Ok((200, text)) => Ok(text),
            refused => Err(match answer::<Value>(&url, refused) {
                Ok(_) => ClientError::NotRemit { url, why: "it gave no text".to_owned() },
                Err(error) => error,
            }),
        }
    }

    /// Calls a route that needs a session.
    pub fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ClientError> {
        self.proven("POST", path, &[JSON], Some(serde_json::to_vec(body)?))
    }

    /// Uploads a component with its detached signature.
    pub fn upload(&self, digest: &str, component: Vec<u8>, signature: &str) -> Result<Value, ClientError> {
        let headers = [("content-type", "application/wasm"), ("remit-signature", signature.trim())];
        self.proven("PUT", &format!("/api/v1/actions/{digest}"), &headers, Some(component))
    }

    /// Lets the server keep the value of a sealed input for this principal.
    pub fn seal(&self, handle: &Handle, opening: &Opening) -> Result<Value, ClientError> {
        let headers = [("content-type", "application/octet-stream")];
        let path = format!("/api/v1/sealed-inputs/{handle}");
        self.proven("PUT", &path, &headers, Some(opening.to_bytes().to_vec()))
    }

    /// Submits a signed document to a route that takes one.
    pub fn submit<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ClientError> {
        self.submit_with(path, &[], body)
    }

    /// The same for a request that may have been made before: an open one for the same is the answer then.
    pub fn submit_once<T: DeserializeOwned>(
        &self,
        path: &str,
        key: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.submit_with(path, &[("idempotency-key", key)], body)
    }

    fn submit_with<T: DeserializeOwned>(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let url = format!("{}{path}", self.url);
        let headers = [headers, &[JSON]].concat();
        answer(&url, call(&self.agent, "POST", &url, &headers, Some(serde_json::to_vec(body)?)))
    }

    /// Follows a stream of server-sent events, as lines.
    pub fn follow(&self, path: &str) -> Result<impl std::io::BufRead + use<>, ClientError> {
        self.in_session(|token| {
            let url = format!("{}{path}", self.url);
            let unreachable =
                |error: ureq::Error| ClientError::Unreachable { url: url.clone(), why: error.to_string() };
            let mut request = self.agent.get(&url);
            for (name, value) in self.proof(token, "GET", path)? {
                request = request.header(name, value);
            }
            let mut response = request
                .config()
                .http_status_as_error(false)
                .max_redirects(0)
                .build()
                .call()
                .map_err(unreachable)?;
            if response.status() == 200 {
                return Ok(std::io::BufReader::new(response.into_body().into_reader()));
            }
            let text = response.body_mut().with_config().limit(LARGEST).read_to_string();
            Err(match answer::<Value>(&url, text.map(|text| (response.status().as_u16(), text))) {
                Ok(_) => ClientError::NotRemit { url, why: "it gave no stream".to_owned() },
                Err(error) => error,
            })
        })
    }

    /// Signs a document that was prepared, after the caller has looked at it.
    pub fn sign(&self, prepared: &ToSign) -> Result<Envelope, ClientError> {
        Ok(Envelope::sign(&prepared.payload_type, &prepared.payload()?, &self.signer)?)
    }

    /// Signs a document that was received and looked at.
    pub fn sign_received<D: Document>(&self, prepared: &Prepared<D>) -> Result<Envelope, ClientError> {
        Ok(prepared.sign(&self.signer)?)
    }

    /// The id of the principal's key.
    #[must_use]
    pub fn key(&self) -> KeyId {
        self.signer.verifying_key().id()
    }

    fn proven<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Result<T, ClientError> {
        let url = format!("{}{path}", self.url);
        self.in_session(|token| {
            let proof = self.proof(token, method, path)?;
            let mut all: Vec<_> = proof.iter().map(|(name, value)| (*name, value.as_str())).collect();
            all.extend(headers);
            answer(&url, call(&self.agent, method, &url, &all, body.clone()))
        })
    }

    /// The headers that prove one call, for whoever makes the call in another way.
    pub fn prove(&self, method: &str, path: &str) -> Result<[(&'static str, String); 2], ClientError> {
        self.proof(&self.token()?, method, path)
    }

    fn proof(
        &self,
        token: &str,
        method: &str,
        path: &str,
    ) -> Result<[(&'static str, String); 2], ClientError> {
        // A proof is for the server's own URL, without the query.
        let path = path.split('?').next().unwrap_or_default();
        let proof = self.session_key.proof(method, &format!("{}{path}", self.about.url), token)?;
        Ok([("authorization", format!("DPoP {token}")), ("dpop", proof)])
    }

    /// Makes a call with the token of an open session. A server that was started again knows no session from before: the
    /// call is then made once more, in a new one.
    fn in_session<T>(&self, call: impl Fn(&str) -> Result<T, ClientError>) -> Result<T, ClientError> {
        let token = self.token()?;
        match call(&token) {
            Err(ClientError::Problem(problem)) if problem.code == UNKNOWN_SESSION => {
                let mut held = self.token.lock().unwrap_or_else(PoisonError::into_inner);
                // Another thread may have opened a new one meanwhile.
                held.take_if(|held| held.token == token);
                drop(held);
                call(&self.token()?)
            }
            answered => answered,
        }
    }

    /// The token of an open session; a new one if there is none.
    fn token(&self) -> Result<String, ClientError> {
        let mut held = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = held.as_ref().filter(|held| held.until > Instant::now()) {
            return Ok(held.token.clone());
        }
        let thumbprint = self.session_key.thumbprint()?;
        let key = self.signer.verifying_key().id().to_string();
        let asked = json!({"key": key, "thumbprint": thumbprint});
        let prepared: ToSign = self.submit("/api/v1/sessions/prepare", &asked)?;
        // What is signed gives nobody else than this key anything, and nothing elsewhere.
        let document = prepared.document()?;
        let same = prepared.payload_type == "application/vnd.remit.session.v1+json"
            && document["thumbprint"] == *thumbprint
            && document["log"] == *self.about.log
            && document["audience"] == *self.about.url;
        if !same {
            return Err(ClientError::Altered("the session is for another key or another server".to_owned()));
        }
        let opened: Opened = self.submit("/api/v1/sessions", &json!({"document": self.sign(&prepared)?}))?;
        let until = Instant::now() + Duration::from_secs(opened.expires_in).saturating_sub(MARGIN);
        *held = Some(Token { token: opened.access_token.clone(), until });
        Ok(opened.access_token)
    }
}

/// The code of the problem that a server does not know the session.
const UNKNOWN_SESSION: &str = "refused::unknown_session";

const JSON: (&str, &str) = ("content-type", "application/json");

/// A status code and a body.
type Raw = Result<(u16, String), ureq::Error>;

fn call(agent: &Agent, method: &str, url: &str, headers: &[(&str, &str)], body: Option<Vec<u8>>) -> Raw {
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(body.unwrap_or_default())?;
    let configured = agent
        .configure_request(request)
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(PATIENCE))
        .build();
    let mut response = agent.run(configured)?;
    let text = response.body_mut().with_config().limit(LARGEST).read_to_string()?;
    Ok((response.status().as_u16(), text))
}

fn answer<T: DeserializeOwned>(url: &str, raw: Raw) -> Result<T, ClientError> {
    let (status, text) =
        raw.map_err(|error| ClientError::Unreachable { url: url.to_owned(), why: error.to_string() })?;
    read_answer(url, status, &text)
}

/// Reads what a server answered at `url`: what was asked for, or a problem.
pub fn read_answer<T: DeserializeOwned>(url: &str, status: u16, text: &str) -> Result<T, ClientError> {
    let strange = |why: String| ClientError::NotRemit { url: url.to_owned(), why };
    if (200..300).contains(&status) {
        return serde_json::from_str(text).map_err(|error| strange(error.to_string()));
    }
    match serde_json::from_str::<Problem>(text) {
        Ok(problem) => Err(ClientError::Problem(Box::new(problem))),
        Err(_) => Err(strange(format!("it answered with the status {status}"))),
    }
}
