//! What every call of the console passes: who it is of, and what a browser may do with the answer.

use axum::extract::{Request, State};
use axum::http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue, ORIGIN,
};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Redirect, Response};
use jiff::Timestamp;
use maud::{DOCTYPE, html};
use remit_text::uri_part;

use super::browser;
use super::page::Failed;
use crate::app::App;
use crate::exchange::text_as;
use crate::problem::Problem;
use crate::who::Caller;

/// Nothing comes from elsewhere, goes elsewhere, or is shown inside another page; and no script makes markup of text.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// More headers for pages: HTML standard, Cross-Origin-Opener-Policy; Fetch, Cross-Origin-Resource-Policy; Permissions Policy.
const HEADERS: [(HeaderName, &str); 5] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("x-frame-options"), "DENY"),
    (
        HeaderName::from_static("permissions-policy"),
        "publickey-credentials-get=(self), publickey-credentials-create=(self), camera=(), microphone=(), geolocation=()",
    ),
];

/// Where a call comes from, as the browser says: Fetch Metadata. No page can say it in the browser's place.
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

fn site(headers: &HeaderMap) -> &str {
    headers.get(SITE).and_then(|site| site.to_str().ok()).unwrap_or_default()
}

/// Whether a call with the origin `null` is of a form of our own pages: browsers hide the origin of a form whose page sends no
/// referrer.
pub(crate) fn is_own_form(headers: &HeaderMap) -> bool {
    site(headers) == "same-origin"
}

/// Whether a call is of a person with a browser, and not of a program.
pub(crate) fn wants_page(headers: &HeaderMap) -> bool {
    let accepts = headers.get(ACCEPT).and_then(|accepts| accepts.to_str().ok()).unwrap_or_default();
    accepts.split(',').any(|one| one.trim().starts_with("text/html"))
}

/// A page that goes on to a page of the console at once. A link on another site leads here: only a step from our own page brings
/// the session with it.
pub(crate) fn bounce(to: &str) -> Response {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Remit" }
                meta http-equiv="refresh" content={ "0;url=" (to) };
                link rel="stylesheet" href="/console/console.css";
            }
            body { main { h1 { "Remit" } p { a href=(to) { "Go on to the console" } } } }
        }
    };
    let mut response = text_as(StatusCode::OK, "text/html; charset=utf-8", page.into_string());
    secure(&mut response);
    response
}

fn secure(response: &mut Response) {
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
}

/// Lets nothing pass that changes something and does not come from our own pages, and tells the browser what it may do.
pub(crate) async fn protect(request: Request, next: Next) -> Response {
    let refused = refusal(&request);
    let mut response = match refused {
        Some(problem) => Failed::from(problem).into_response(),
        None => next.run(request).await,
    };
    secure(&mut response);
    response
}

fn refusal(request: &Request) -> Option<Problem> {
    let headers = request.headers();
    if headers.contains_key(AUTHORIZATION) {
        let why = "tokens are for /api and /mcp: the console is for browsers";
        return Some(Problem::new(StatusCode::BAD_REQUEST, "usage::cookie", why));
    }
    // Which origins there may be is checked before, for every call.
    let own = headers.get(ORIGIN).is_some_and(|origin| origin != "null") || is_own_form(headers);
    if matches!(*request.method(), Method::GET | Method::HEAD) || own {
        return None;
    }
    let why = "this call does not come from a page of this console";
    Some(Problem::new(StatusCode::FORBIDDEN, "refused::origin", why))
}

/// Finds out who has signed in. Whoever has not is sent to do so.
pub(crate) async fn enter(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let token = browser::token(request.headers());
    let found = token.as_deref().and_then(|token| app.browsers.find(token, Timestamp::now()));
    let Some(session) = found else { return elsewhere(&request) };
    // The key may have been revoked since, or its time may be over.
    let Ok(by) = app.host.identify(&session.key) else {
        app.browsers.end(token.as_deref().unwrap_or_default());
        return elsewhere(&request);
    };
    request.extensions_mut().insert(Caller(by));
    request.extensions_mut().insert(session);
    next.run(request).await
}

fn elsewhere(request: &Request) -> Response {
    let path = request.uri().path_and_query().map_or(super::PATH, |path| path.as_str());
    match (request.method(), site(request.headers())) {
        (&Method::GET, "cross-site" | "same-site") => bounce(path),
        (&Method::GET, _) if wants_page(request.headers()) => {
            Redirect::to(&format!("/console/login?next={}", uri_part(path))).into_response()
        }
        // A form whose session is over: what was in it is gone.
        (&Method::POST, _) if wants_page(request.headers()) => Redirect::to("/console/login").into_response(),
        _ => {
            Problem::new(StatusCode::UNAUTHORIZED, "refused::session", "nobody has signed in, or not lately")
                .help("sign in again: /console/login")
                .into_response()
        }
    }
}
