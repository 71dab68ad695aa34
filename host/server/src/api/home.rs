//! The home itself: which it is, how it stands.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use remit_journal::RequestId;
use remit_lifecycle::PrincipalView;
use remit_trust::issuers::Accepts;
use schemars::JsonSchema;
use serde::Serialize;

use crate::app::App;
use crate::console;
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

/// A resource that tokens are for (RFC 9728).
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "protected-resource")]
pub(crate) struct ProtectedResource {
    /// The resource's URL, which tokens name as their audience.
    resource: String,
    /// The issuers whose tokens it takes.
    authorization_servers: Vec<String>,
    /// How a token is sent.
    bearer_methods_supported: [&'static str; 1],
    /// What it is, for people.
    resource_name: &'static str,
}

fn resource(app: &App, path: &str) -> Answer<Response> {
    let rules = app.host.rules()?;
    let issuers = rules.principals.issuers().iter().filter(|issuer| issuer.accepts == Accepts::Bearer);
    let issuers = issuers.map(|issuer| issuer.url.clone()).collect();
    let resource = ProtectedResource {
        resource: format!("{}{path}", app.url),
        authorization_servers: issuers,
        bearer_methods_supported: ["header"],
        resource_name: "Remit",
    };
    json(StatusCode::OK, &resource)
}

pub(crate) async fn protected_resource(State(app): State<App>) -> Answer<Response> {
    resource(&app, "")
}

pub(crate) async fn protected_resource_mcp(State(app): State<App>) -> Answer<Response> {
    resource(&app, crate::mcp::PATH)
}

/// The page that an agent gives to a person. It lets nobody in, and does not tell whether there is such a request.
pub(crate) async fn about_request(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer<Response> {
    let id: RequestId = id.parse()?;
    if console::wants_page(&headers) {
        return Ok(console::bounce(&format!("{}/requests/{id}", console::PATH)));
    }
    let url = &app.url;
    let text = format!(
        "A decision is asked for, about {id}.\n\n\
         In a browser, with a passkey: {url}/console/requests/{id}\n\n\
         Whoever decides signs with a key of their own:\n\n  \
         remit request show {id} --context NAME\n  \
         remit approve {id} --context NAME\n  \
         remit deny {id} --reason TEXT --context NAME\n\n\
         If you have no context for this server yet:\n\n  \
         remit context add NAME {url} --key FILE\n"
    );
    Ok(text_as(StatusCode::OK, "text/plain; charset=utf-8", text))
}

pub(crate) async fn health() -> Response {
    text_as(StatusCode::OK, "text/plain", "ok\n")
}

pub(crate) async fn ready(State(app): State<App>) -> Answer<Response> {
    works(&app).await.map_err(Problem::unavailable)?;
    if *app.stopping.borrow() {
        let why = "the server is about to stop";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "failed::stopping", why).retry_after(5));
    }
    Ok(text_as(StatusCode::OK, "text/plain", "ready\n"))
}

async fn works(app: &App) -> Answer<()> {
    app.host.setup()?;
    app.host.rules()?;
    Ok(app.host.journal.flush().await?)
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
    tokio::task::block_in_place(|| {
        let (rules, reader) = (app.host.rules()?, app.host.journal.reader()?);
        let mut all = PrincipalView::all(&rules.principals);
        all.extend(PrincipalView::certified(&reader, &rules)?);
        json(StatusCode::OK, &all)
    })
}
