//! `/mcp`: the tools of `remit_mcp` over HTTP. Their calls go through the routes like any other, in this process and in the
//! name of whoever called.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{DefaultBodyLimit, FromRequestParts as _, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HeaderValue, WWW_AUTHENTICATE};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use remit_client::{ClientError, read_answer};
use remit_lifecycle::{Document, KeyHolder, Prepared};
use remit_mcp::{At, Call, HttpConfig, Reach, Table, Tools};
use remit_trust::KeyId;
use remit_trust::dsse::Envelope;
use serde_json::value::RawValue;
use tokio::task::block_in_place;
use tower::ServiceExt as _;

use crate::app::App;
use crate::exchange::{JSON_ARRIVES, body};
use crate::problem::{Answer, Problem};
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
    /// The key by which the principal proved who it is.
    by: KeyId,
    /// The same with its private part, where this process has it.
    signer: Option<Arc<KeyHolder>>,
}

impl Local {
    /// `url` is where people find requests, if a server is there.
    pub(crate) fn new(
        app: App,
        url: Option<String>,
        by: KeyId,
        signer: Option<Arc<KeyHolder>>,
    ) -> Answer<Self> {
        let at =
            At { log: app.host.rules()?.log.clone(), log_key: app.host.home.verifier()?.to_string(), url };
        Ok(Self { router: routes::router(app.clone()), app, at, by, signer })
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
        // Its key may have been revoked since the call before.
        request.extensions_mut().insert(Caller(self.app.host.identify(&self.by)?));
        let Ok(response) = self.router.clone().oneshot(request).await;
        let status = response.status().as_u16();
        let bytes =
            to_bytes(response.into_body(), LARGEST).await.map_err(|error| strange(error.to_string()))?;
        let text = std::str::from_utf8(&bytes).map_err(|error| strange(error.to_string()))?;
        read_answer(&path, status, text)
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
}

/// The route.
pub(crate) fn router(app: &App) -> Router {
    let config = HttpConfig { hosts: app.hosts.clone(), origin: with_port(&app.url), largest: routes::JSON };
    let shared = Shared { app: app.clone(), table: Arc::new(Table::default()), config };
    let route = post(serve).layer(DefaultBodyLimit::max(routes::JSON));
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
            let mut response = problem.into_response();
            if response.status() == StatusCode::UNAUTHORIZED {
                let bearer = format!("Bearer resource_metadata=\"{}{METADATA}\"", shared.app.url);
                if let Ok(bearer) = HeaderValue::from_str(&bearer) {
                    response.headers_mut().append(WWW_AUTHENTICATE, bearer);
                }
            }
            response
        }
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
    let caller = Caller::from_request_parts(&mut parts, app).await?;
    let local = Local::new(app.clone(), Some(app.url.clone()), caller.0.key, None)?;
    let content = body(Request::from_parts(parts.clone(), content), app, JSON_ARRIVES).await?;
    parts.headers.remove(AUTHORIZATION);
    parts.headers.remove(DPOP);
    let tools = Tools::new(Arc::clone(&shared.table), local);
    let request = Request::from_parts(parts, Body::from(content));
    Ok(remit_mcp::http(tools, &shared.config, request).await.map(Body::new))
}
