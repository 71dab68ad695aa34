//! `/mcp`: the tools of `remit_mcp` over HTTP. Their calls go through the routes like any other, in this process and in the
//! name of whoever called. Who comes with a bearer token has no key: this process makes one for the token, which signs, and what
//! it signs is recorded as proven by no more than a token.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::{Body, to_bytes};
use axum::extract::{DefaultBodyLimit, FromRequestParts as _, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HeaderValue, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Extension, Router};
use jiff::Timestamp;
use remit_client::{ClientError, read_answer};
use remit_lifecycle::{Document, KeyHolder, Prepared, certify, keep_sealed_input};
use remit_mcp::{At, Call, HttpConfig, Reach, Sealed, Table, Tools, with_sealed};
use remit_trust::dsse::Envelope;
use remit_trust::{Digest, Handle, KeyId, Opening, Signer, SigningKey};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::OnceCell;
use tokio::task::block_in_place;
use tower::ServiceExt as _;

use crate::app::App;
use crate::exchange::{JSON_ARRIVES, body};
use crate::problem::{Answer, Problem};
use crate::rate::{Cost, Peer, Toll};
use crate::routes;
use crate::who::Caller;

/// Where it is.
pub(crate) const PATH: &str = "/mcp";
/// Where clients read who issues tokens for it (RFC 9728).
pub(crate) const METADATA: &str = "/.well-known/oauth-protected-resource/mcp";
/// The largest answer of a route that a tool reads.
const LARGEST: usize = 64 * 1024 * 1024;
/// The header with the proof of a call, which no tool needs to see.
const DPOP: HeaderName = HeaderName::from_static("dpop");

/// The routes of this process, in the name of one principal.
#[derive(Clone)]
pub(crate) struct Local {
    app: App,
    router: Router,
    at: At,
    peer: Option<Peer>,
    /// The key by which the principal proved who it is.
    by: KeyId,
    /// The same with its private part, where this process has it.
    signer: Option<Arc<KeyHolder>>,
    /// What may be given sealed: nothing that comes from outside of this process.
    sealed: Arc<Sealed>,
}

impl Local {
    /// `url` is where people find requests, if a server is there; `peer` the address of who calls.
    pub(crate) fn new(
        app: App,
        (url, peer): (Option<String>, Option<Peer>),
        by: KeyId,
        signer: Option<Arc<KeyHolder>>,
        sealed: Sealed,
    ) -> Answer<Self> {
        let at =
            At { log: app.host.rules()?.log.clone(), log_key: app.host.home.verifier()?.to_string(), url };
        Ok(Self { router: routes::router(app.clone()), app, at, peer, by, signer, sealed: Arc::new(sealed) })
    }

    fn signer(&self) -> Result<&KeyHolder, ClientError> {
        self.signer.as_deref().ok_or(ClientError::ReadsOnly)
    }
}

impl Reach for Local {
    fn at(&self) -> &At {
        &self.at
    }

    async fn call(&self, call: &Call) -> Result<Box<RawValue>, ClientError> {
        let path = call.path();
        let strange = |why: String| ClientError::NotRemit { url: path.clone(), why };
        let mut request = Request::builder().method(call.method()).uri(&path);
        if call.is_once() {
            request = request.header("idempotency-key", "mcp");
        }
        let content = match call.body() {
            Some(body) => {
                request = request.header(CONTENT_TYPE, "application/json");
                Body::from(serde_json::to_vec(&body)?)
            }
            None => Body::empty(),
        };
        let mut request = request.body(content).map_err(|error| strange(error.to_string()))?;
        if let Some(peer) = self.peer {
            request.extensions_mut().insert(peer);
        }
        // Its key may have been revoked since the call before.
        request.extensions_mut().insert(Caller(self.app.host.identify(&self.by)?));
        let Ok(response) = self.router.clone().oneshot(request).await;
        let status = response.status().as_u16();
        let bytes =
            to_bytes(response.into_body(), LARGEST).await.map_err(|error| strange(error.to_string()))?;
        let text = std::str::from_utf8(&bytes).map_err(|error| strange(error.to_string()))?;
        read_answer(&path, status, text)
    }

    fn seal(&self, input: &Value, names: &[String]) -> Result<Value, ClientError> {
        let keep = |handle: &Handle, opening: &Opening| {
            Ok(keep_sealed_input(&self.app.host, &self.by, handle, opening)?)
        };
        block_in_place(|| with_sealed(&self.sealed, input, names, keep))
    }

    fn key(&self) -> Result<KeyId, ClientError> {
        Ok(self.signer()?.key().clone())
    }

    fn sign<D: Document>(&self, prepared: &Prepared<D>) -> Result<Envelope, ClientError> {
        let signer = self.signer()?;
        Ok(block_in_place(|| signer.sign(prepared))?)
    }
}

/// What every call shares.
struct Shared {
    app: App,
    table: Arc<Table<Local>>,
    config: HttpConfig,
    bearers: Bearers,
}

/// The route.
pub(crate) fn router(app: &App) -> Router {
    let config = HttpConfig { hosts: app.hosts.clone(), origin: with_port(&app.url), largest: routes::JSON };
    let bearers = Bearers::default();
    let shared = Shared { app: app.clone(), table: Arc::new(Table::default()), config, bearers };
    // What it costs is counted where its tools call.
    let route = post(serve).layer((DefaultBodyLimit::max(routes::JSON), Extension(Cost::Free)));
    Router::new().route(PATH, route).with_state(Arc::new(shared))
}

/// An origin with its port, also where that is the scheme's own.
fn with_port(url: &str) -> String {
    let authority = crate::authority(url);
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    match (has_port, url.starts_with("https:")) {
        (true, _) => url.to_owned(),
        (false, true) => format!("{url}:443"),
        (false, false) => format!("{url}:80"),
    }
}

async fn serve(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    match answer(&shared, request).await {
        Ok(response) => response,
        Err(problem) => {
            // A token that proves nothing: who calls is not known.
            let is_token = problem.code() == TOKEN;
            let mut response = problem.into_response();
            if is_token {
                *response.status_mut() = StatusCode::UNAUTHORIZED;
            }
            if response.status() == StatusCode::UNAUTHORIZED {
                let error = if is_token { "error=\"invalid_token\", " } else { "" };
                let bearer = format!("Bearer {error}resource_metadata=\"{}{METADATA}\"", shared.app.url);
                if let Ok(bearer) = HeaderValue::from_str(&bearer) {
                    response.headers_mut().append(WWW_AUTHENTICATE, bearer);
                }
            }
            response
        }
    }
}

/// The bearer token of a call, if that is how it says who makes it.
fn bearer(parts: &Parts) -> Answer<Option<String>> {
    let said = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some((scheme, token)) = said.split_once(' ') else { return Ok(None) };
    if !scheme.eq_ignore_ascii_case("Bearer") {
        return Ok(None);
    }
    if parts.headers.contains_key(DPOP) {
        let why = "this call has a bearer token, and a DPoP proof, which is for another kind of token";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "usage::token", why));
    }
    Ok(Some(token.trim().to_owned()))
}

/// The code of the problem that a token proves nobody's identity.
const TOKEN: &str = "refused::token";
/// How many bearer tokens are known at once.
const MOST: usize = 10_000;

/// A key that this process made for a bearer token and keeps to itself, and until when it counts.
type Certified = Arc<OnceCell<(Arc<KeyHolder>, Timestamp)>>;

/// The keys of the bearer tokens that calls come with, by the tokens' digests.
#[derive(Default)]
struct Bearers(Mutex<HashMap<Digest, Certified>>);

impl Bearers {
    /// The key that signs what is asked for with this token. The journal has a record that it is the principal's, and that no
    /// more than a token proved it.
    async fn signer(&self, app: &App, token: &str, peer: Option<Peer>) -> Answer<Arc<KeyHolder>> {
        let digest = Digest::of(token.as_bytes());
        let cell = self.cell(digest)?;
        let certified = cell.get_or_try_init(|| async {
            // Anybody can send anything as a token.
            Toll::new(Cost::Middle, peer).by_anybody(app, None)?;
            let key = SigningKey::generate()?;
            let certificate = certify(&app.host, token, &key.verifying_key()).await?;
            Ok::<_, Problem>((Arc::new(KeyHolder::from(Signer::from(key))), certificate.until))
        });
        match certified.await {
            Ok((signer, _)) => Ok(Arc::clone(signer)),
            Err(problem) => {
                self.held().remove(&digest);
                Err(problem)
            }
        }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Digest, Certified>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The place of a token's key; a new one if that counts no longer.
    fn cell(&self, token: Digest) -> Answer<Certified> {
        let now = Timestamp::now();
        let counts = |cell: &Certified| cell.get().is_none_or(|(_, until)| *until > now);
        let mut held = self.held();
        if held.len() >= MOST {
            held.retain(|_, cell| counts(cell));
        }
        if held.len() >= MOST && !held.contains_key(&token) {
            let why = "as many tokens are in use as this server takes at once";
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "failed::room", why).retry_after(60));
        }
        let cell = held.entry(token).or_default();
        if !counts(cell) {
            *cell = Certified::default();
        }
        Ok(Arc::clone(cell))
    }
}

async fn answer(shared: &Shared, request: Request) -> Answer<Response> {
    let app = &shared.app;
    let headers = request.headers();
    // Tokens are for programs, and cookies for pages. A call with two proofs of who calls was mixed together by somebody.
    if headers.contains_key(COOKIE) || headers.get_all(AUTHORIZATION).iter().count() > 1 {
        let why = "this call has a cookie, or says twice who makes it";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "usage::cookie", why));
    }
    let (mut parts, content) = request.into_parts();
    let peer = parts.extensions.get::<Peer>().copied();
    let (by, signer) = match bearer(&parts)? {
        Some(token) => {
            let signer = shared.bearers.signer(app, &token, peer).await?;
            // The key may have been revoked since.
            app.host.identify(signer.key())?;
            (signer.key().clone(), Some(signer))
        }
        None => (Caller::from_request_parts(&mut parts, app).await?.0.key, None),
    };
    let local = Local::new(app.clone(), (Some(app.url.clone()), peer), by, signer, Sealed::new())?;
    let content = body(Request::from_parts(parts.clone(), content), app, JSON_ARRIVES).await?;
    parts.headers.remove(AUTHORIZATION);
    parts.headers.remove(DPOP);
    let tools = Tools::new(Arc::clone(&shared.table), local);
    let request = Request::from_parts(parts, Body::from(content));
    Ok(remit_mcp::http(tools, &shared.config, request).await.map(Body::new))
}
