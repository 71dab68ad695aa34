//! What every call passes before its route, and every answer after it.

use std::time::{Duration, Instant};

use axum::Router;
use axum::body::HttpBody as _;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, COOKIE, HOST, ORIGIN, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, StatusCode, Version};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument as _;

use crate::app::App;
use crate::console;
use crate::mcp;
use crate::problem::{self, Problem};
use crate::rest::Rest;
use crate::routes::{self, ROUTES, Route};
use crate::traces;

/// The header with the name of one call, in logs and answers.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// How long a body may take to arrive and an answer to begin. Actions have limits of their own, in their scopes.
const PATIENCE: Duration = Duration::from_secs(120);

/// What calls of `/mcp` are counted as.
const MCP: &str = "mcp";
/// What calls of the console are counted as.
const CONSOLE: &str = "console";

/// All routes, behind the checks.
pub(crate) fn service(app: &App) -> Router {
    routes::router(app.clone())
        .merge(mcp::router(app))
        .merge(console::router(app))
        .fallback(|| async {
            Problem::new(StatusCode::NOT_FOUND, "usage::no_such_route", "there is no such route")
        })
        .method_not_allowed_fallback(|| async {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "usage::method", "this route has other methods")
        })
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| {
            let why = "the server failed at this call; the journal is as it was";
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "failed::defect", why).into_response()
        }))
        .layer(from_fn_with_state(app.clone(), pass))
}

async fn pass(State(app): State<App>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = request_id(&request);
    let found = route_of(&request);
    let route = match path_of(&request) {
        Some(mcp::PATH) => MCP,
        Some(path) if path.starts_with(console::PATH) => CONSOLE,
        _ => found.map_or("none", |route| route.id),
    };
    let parent = request.headers().get(traces::PARENT).and_then(|parent| parent.to_str().ok());
    let name = id.to_str().unwrap_or_default().to_owned();
    // Of the highest level, so that whatever is logged of a call has its name.
    let span = tracing::error_span!(
        "call",
        id = name,
        route,
        method = found.map_or("none", |route| route.method.as_str()),
        status = tracing::field::Empty,
        traceparent = parent,
    );
    let largest = match (found, route) {
        (Some(route), _) => Some(route.limit()),
        (None, MCP) => Some(routes::JSON),
        (None, CONSOLE) => path_of(&request).map(console::largest),
        _ => None,
    };
    let is_http1 = request.version() < Version::HTTP_2;
    let (rest, request) = Rest::of(request);
    let answer = async {
        match refusal(&app, &request).or_else(|| too_large(&request, largest)) {
            Some(problem) => problem.into_response(),
            None => match tokio::time::timeout(PATIENCE, app.turns.share(next.run(request))).await {
                Ok(response) => response,
                Err(_) => {
                    let why = "the call took too long; what it began goes on";
                    Problem::new(StatusCode::GATEWAY_TIMEOUT, "failed::time", why).into_response()
                }
            },
        }
    };
    let mut response = problem::CALL.scope(name, answer.instrument(span.clone())).await;
    span.record("status", u64::from(response.status().as_u16()));
    app.metrics.answered(route, response.status().as_u16(), began.elapsed().as_secs_f64());
    let headers = response.headers_mut();
    if !rest.read().await && is_http1 {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    headers.insert(REQUEST_ID, id);
    // What may be kept says so itself.
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// The client's own name for the call, if it is a plain one; otherwise a new one.
fn request_id(request: &Request) -> HeaderValue {
    let plain = |value: &&HeaderValue| {
        value.len() <= 64
            && !value.is_empty()
            && value.as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    let new = || HeaderValue::from_str(&ulid::Ulid::generate().to_string());
    match request.headers().get(REQUEST_ID).filter(plain) {
        Some(given) => given.clone(),
        None => new().unwrap_or_else(|_| HeaderValue::from_static("none")),
    }
}

/// The route; it is named in logs and metrics by its id, never by what a client wrote.
fn route_of(request: &Request) -> Option<&'static Route> {
    let path = path_of(request);
    ROUTES.iter().find(|route| Some(route.path) == path && route.method == request.method())
}

fn path_of(request: &Request) -> Option<&str> {
    request.extensions().get::<MatchedPath>().map(MatchedPath::as_str)
}

/// Why a call is refused, whatever its route. A page of another site that a browser shows cannot call this server: not under a
/// name of its own (DNS rebinding), nor across origins.
fn refusal(app: &App, request: &Request) -> Option<Problem> {
    let mut named = request.headers().get_all(HOST).iter();
    let host = match (request.uri().authority(), named.next(), named.next()) {
        (_, _, Some(_)) => None,
        (Some(authority), None, None) => Some(authority.as_str()),
        (Some(authority), Some(host), None) if host == authority.as_str() => Some(authority.as_str()),
        (Some(_), Some(_), None) => None,
        (None, host, None) => host.and_then(|host| host.to_str().ok()),
    };
    if !host.is_some_and(|host| app.hosts.iter().any(|known| known.eq_ignore_ascii_case(host))) {
        let why = "this server is not called like this";
        let help = "call it by its URL: `url` of [server] in remit.toml";
        return Some(Problem::new(StatusCode::MISDIRECTED_REQUEST, "refused::host", why).help(help));
    }
    let mut origins = request.headers().get_all(ORIGIN).iter();
    let is_own = |origin: &HeaderValue| {
        app.origins.iter().any(|own| own.as_bytes() == origin.as_bytes())
            || origin == "null" && console::is_own_form(request.headers())
    };
    if origins.any(|origin| !is_own(origin)) {
        let why = "this call comes from a page of another site";
        return Some(Problem::new(StatusCode::FORBIDDEN, "refused::origin", why));
    }
    // Tokens are for programs, and cookies for pages. A call with both has been mixed together by somebody in between.
    let headers = request.headers();
    if headers.contains_key(COOKIE) && headers.contains_key(AUTHORIZATION) {
        let why = "this call has both a cookie and a token";
        return Some(Problem::new(StatusCode::BAD_REQUEST, "usage::cookie", why));
    }
    None
}

/// A body that is larger than its route takes is refused by what its header says: nothing of it is read.
fn too_large(request: &Request, largest: Option<usize>) -> Option<Problem> {
    let (length, largest) = (request.body().size_hint().lower(), largest?);
    (length > largest as u64).then(|| {
        let why = format!("the body has {length} bytes, and at most {largest} are taken here");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "usage::too_large", why)
    })
}
