//! Signing in: a passkey signs the document that opens a session for a browser.

use axum::extract::{Query, State};
use axum::http::header::{HOST, HeaderMap, HeaderValue, LOCATION, SET_COOKIE};
use axum::http::uri::Authority;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use maud::html;
use remit_lifecycle::{Session, accept_session, passkeys_of, prepare_login};
use remit_trust::{Passkeys, VerifyingKey};
use serde::{Deserialize, Serialize};

use super::browser;
use super::page::shown_bare;
use super::sign::Answered;
use crate::app::App;
use crate::exchange::{Json, json};
use crate::problem::{Answer, Problem};
use crate::rate::Toll;

/// How long a name may be: longer than that of any principal.
const LONGEST_NAME: usize = 256;

/// How the thumbprint of a browser's session begins. That of a client's key is base64url, and has no space in it.
const BROWSER: &str = "browser ";

#[derive(Deserialize)]
pub(super) struct Next {
    next: Option<String>,
}

/// A path of the console, if this is one.
fn within(next: Option<&str>) -> &str {
    let own = |path: &&str| {
        (*path == super::PATH || path.starts_with("/console/") || path.starts_with("/console?"))
            && !path.contains(['\\', '\n', '\r'])
            && !path.starts_with("/console/login")
    };
    next.filter(own).unwrap_or(super::PATH)
}

pub(super) async fn page(
    State(app): State<App>,
    Query(query): Query<Next>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let next = within(query.next.as_deref());
    let rules = app.host.rules();
    let passkeys = rules.as_ref().ok().and_then(|rules| rules.principals.passkeys());
    // The server has several names: by which of them this page was opened decides what a browser lets passkeys do.
    let host = uri.authority().map(Authority::as_str);
    let host = host.or_else(|| headers.get(HOST)?.to_str().ok()).unwrap_or_default();
    let is_this = |origin: &String| origin.split_once("://").is_some_and(|(_, named)| named == host);
    let here = passkeys.is_some_and(|passkeys| passkeys.origins.iter().any(is_this));
    let content = html! {
        h1 { "Sign in" }
        @match passkeys {
            None => p { "Nobody signs in here yet: the signed rules do not say where passkeys sign. An administrator adds " code { "[passkeys]" } " to principals.toml." },
            Some(passkeys) => {
                form.sign #login data-login data-next=(next) data-rp=(passkeys.rp) {
                    label for="name" { "Your name, as the rules have it" }
                    input #name name="name" required maxlength="64" autocomplete="username webauthn" autocapitalize="none" spellcheck="false";
                    button type="submit" disabled { "Sign in with a passkey" }
                    output role="status" {}
                    noscript { p { "Signing in needs JavaScript. The command line does not: " code { "remit requests --context NAME" } } }
                }
                @if !here {
                    p.note { "Passkeys of this home sign at " @for origin in &passkeys.origins { a href={ (origin) "/console" } { (origin) } " " } }
                }
            }
        }
        p.note { a href="/console/enrol" { "I have no passkey here yet" } }
    };
    shown_bare("Sign in", &content)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Prepare {
    name: String,
}

/// What a browser's passkey is to sign.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Prepared {
    pub(super) payload_type: &'static str,
    pub(super) payload: String,
}

/// The same for every name: it does not tell who has a passkey here, nor who is a principal (`WebAuthn`, section 14.6.2). The
/// browser is given no names of keys: its device knows which it has for this domain.
pub(super) async fn prepare(
    State(app): State<App>,
    toll: Toll,
    Json(asked): Json<Prepare>,
) -> Answer<Response> {
    toll.by_login(&app, &asked.name)?;
    if asked.name.len() > LONGEST_NAME {
        return Err(Problem::usage("no name is so long"));
    }
    // Without them nobody signs in, which the page says too.
    passkeys(&app)?;
    let login = app.browsers.begin(Timestamp::now())?;
    let payload = prepare_login(&app.host, &asked.name, &app.url, &format!("{BROWSER}{login}"))?;
    let payload_type = <Session as remit_lifecycle::Document>::TYPE;
    json(StatusCode::OK, &Prepared { payload_type, payload: STANDARD.encode(payload) })
}

fn passkeys(app: &App) -> Answer<Passkeys> {
    let rules = app.host.rules()?;
    rules.principals.passkeys().cloned().ok_or_else(|| {
        let why = "the signed rules do not say where passkeys sign";
        Problem::new(StatusCode::FORBIDDEN, "refused::passkey", why)
            .help("an administrator adds [passkeys] to principals.toml")
    })
}

/// Whoever is told this did not sign as this principal, whether or not there is such a one.
fn nobody(name: &str) -> Problem {
    let shown: String = name.escape_debug().take(80).collect();
    let why = format!("no passkey that counts here for `{shown}` signed this");
    Problem::new(StatusCode::FORBIDDEN, "refused::signature", why)
        .help("write the name as principals.toml has it; an administrator puts a new passkey in force")
}

#[derive(Serialize)]
struct SignedIn {
    principal: String,
}

pub(super) async fn finish(
    State(app): State<App>,
    toll: Toll,
    Json(answered): Json<Answered>,
) -> Answer<Response> {
    let claimed: Session = answered.read(<Session as remit_lifecycle::Document>::TYPE)?;
    toll.by_login(&app, &claimed.principal)?;
    let now = Timestamp::now();
    let login = claimed.thumbprint.strip_prefix(BROWSER);
    // Whatever comes of it, it is worth no second try.
    if !login.is_some_and(|login| app.browsers.take(login, now)) {
        let why = "this login was not begun here, is over, or was tried before";
        return Err(Problem::new(StatusCode::FORBIDDEN, "refused::session", why).help("sign in again"));
    }
    // Whoever has no passkey is checked with one that nobody has, so that the answer, and the time it takes, are as for a wrong one.
    let nobodys = VerifyingKey::nobodys_passkey(&passkeys(&app)?.rp)?;
    let mut keys = passkeys_of(&app.host, &claimed.principal)?;
    if keys.is_empty() {
        keys.extend(nobodys);
    }
    let envelope = answered.envelope_by_one_of(&keys, || nobody(&claimed.principal))?;
    let (by, _) = accept_session(&app.host, &envelope, &app.url)?;
    let token = app.browsers.open(by.key.clone(), answered.credential, now)?;
    tracing::info!(principal = by.name(), key = by.key.short(), "signed in");
    let mut response = json(StatusCode::OK, &SignedIn { principal: by.name().to_owned() })?;
    set(&mut response, &browser::cookie(&token));
    Ok(response)
}

fn set(response: &mut Response, cookie: &str) {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        response.headers_mut().insert(SET_COOKIE, value);
    }
}

pub(super) async fn logout(State(app): State<App>, headers: HeaderMap) -> Response {
    if let Some(token) = browser::token(&headers) {
        app.browsers.end(&token);
    }
    let mut response = StatusCode::SEE_OTHER.into_response();
    response.headers_mut().insert(LOCATION, HeaderValue::from_static("/console/login"));
    set(&mut response, &browser::no_cookie());
    response
}

#[cfg(test)]
mod tests {
    use super::within;

    #[test]
    fn who_signs_in_goes_on_inside_the_console_only() {
        for own in ["/console", "/console/runs?state=held", "/console/requests/req-1"] {
            assert_eq!(within(Some(own)), own);
        }
        for other in [
            "//evil.example",
            "https://evil.example",
            "/consolevil",
            "/console/login?next=/",
            "/console/\\evil",
            "/api/v1",
            "",
        ] {
            assert_eq!(within(Some(other)), "/console", "{other}");
        }
        assert_eq!(within(None), "/console");
    }
}
