//! The home itself: which it is, how it stands.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use remit_lifecycle::PrincipalView;
use schemars::JsonSchema;
use serde::Serialize;

use crate::app::App;
use crate::exchange::{json, text_as};
use crate::problem::{Answer, Problem};
use crate::who::Caller;

/// What a client needs before it can sign anything.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "about")]
pub(crate) struct About {
    /// The name of the journal, which every document names.
    log: String,
    /// The journal's public key (c2sp.org/signed-note). Compare it with what you were given on another way.
    log_key: String,
    /// The URL of this server, which sessions name.
    url: String,
    /// The version of Remit.
    version: &'static str,
}

pub(crate) async fn about(State(app): State<App>) -> Answer<Response> {
    let about = About {
        log: app.host.rules()?.log.clone(),
        log_key: app.host.home.verifier()?.to_string(),
        url: app.url.clone(),
        version: env!("CARGO_PKG_VERSION"),
    };
    json(StatusCode::OK, &about)
}

pub(crate) async fn health() -> Response {
    text_as(StatusCode::OK, "text/plain", "ok\n")
}

pub(crate) async fn ready(State(app): State<App>) -> Answer<Response> {
    app.host.setup()?;
    app.host.rules()?;
    app.host.journal.flush().await?;
    if *app.stopping.borrow() {
        let why = "the server is about to stop";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "failed::stopping", why).retry_after(5));
    }
    Ok(text_as(StatusCode::OK, "text/plain", "ready\n"))
}

pub(crate) async fn metrics(State(app): State<App>) -> Response {
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    text_as(StatusCode::OK, media_type, app.metrics.text())
}

pub(crate) async fn openapi(State(app): State<App>) -> Answer<Response> {
    json(StatusCode::OK, &app.description)
}

pub(crate) async fn status(State(app): State<App>, caller: Caller) -> Answer<Response> {
    caller.is_person()?;
    let (home, reader) = (&app.host.home, app.host.journal.reader()?);
    json(StatusCode::OK, &tokio::task::block_in_place(|| remit_lifecycle::status(home, &reader))?)
}

pub(crate) async fn principals(State(app): State<App>, _: Caller) -> Answer<Response> {
    json(StatusCode::OK, &PrincipalView::all(&app.host.rules()?.principals))
}
