//! A new passkey signs whose it says it is. The server keeps nothing of it: an administrator puts the line into the rules.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use maud::html;
use remit_lifecycle::Enrolment;
use serde::{Deserialize, Serialize};

use super::login::Prepared;
use super::page::shown_bare;
use super::sign::Answered;
use crate::app::App;
use crate::exchange::{Json, json};
use crate::problem::{Answer, Problem};
use crate::rate::Toll;

pub(super) async fn page(State(app): State<App>) -> Response {
    let rules = app.host.rules();
    let passkeys = rules.as_ref().ok().and_then(|rules| rules.principals.passkeys());
    let content = html! {
        h1 { "A new passkey" }
        @match passkeys {
            None => p { "Passkeys sign nowhere yet: the signed rules have no " code { "[passkeys]" } "." },
            Some(passkeys) => {
                p { "Your device makes a key for " code { (passkeys.rp) } " and signs, twice. That alone lets nobody in: give what you get here to an administrator, who puts it into the rules." }
                form.sign #enrol data-enrol data-rp=(passkeys.rp) {
                    label for="name" { "Your name, as the rules have it or will have it" }
                    input #name name="name" required maxlength="64" pattern="[a-z0-9]([a-z0-9._\\-]*[a-z0-9])?" autocapitalize="none" spellcheck="false";
                    button type="submit" disabled { "Make a passkey" }
                    output role="status" {}
                    noscript { p { "Making a passkey needs JavaScript." } }
                }
                section #enrolled hidden {
                    h2 { "For your administrator" }
                    p { "Tell them on another way that the key with this id is yours: " code #key-id {} }
                    label for="envelope" { "Signed enrolment, for " code { "remit rules enrol FILE" } }
                    textarea #envelope readonly rows="6" {}
                    p { a #save download="enrolment.json" { "Save it as a file" } }
                }
            }
        }
        p.note { a href="/console/login" { "Sign in" } }
    };
    shown_bare("A new passkey", &content)
}

fn no_passkeys() -> Problem {
    let why = "the signed rules do not say where passkeys sign";
    Problem::new(StatusCode::FORBIDDEN, "refused::passkey", why)
        .help("an administrator adds [passkeys] to principals.toml")
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Prepare {
    name: String,
    /// The public key, as `getPublicKey()` returns it, in base64url.
    public_key: String,
}

pub(super) async fn prepare(
    State(app): State<App>,
    toll: Toll,
    Json(asked): Json<Prepare>,
) -> Answer<Response> {
    toll.by_anybody(&app, None)?;
    let rules = app.host.rules()?;
    let passkeys = rules.principals.passkeys().ok_or_else(no_passkeys)?;
    let spki = URL_SAFE_NO_PAD
        .decode(&asked.public_key)
        .map_err(|_| Problem::usage("`publicKey` is not base64url"))?;
    let payload = Enrolment::prepare(&rules.log, &asked.name, &spki, passkeys)?;
    json(StatusCode::OK, &Prepared { payload_type: Enrolment::TYPE, payload: STANDARD.encode(payload) })
}

#[derive(Serialize)]
struct Enrolled {
    key: String,
    envelope: remit_trust::dsse::Envelope,
}

pub(super) async fn finish(
    State(app): State<App>,
    toll: Toll,
    Json(answered): Json<Answered>,
) -> Answer<Response> {
    toll.by_anybody(&app, None)?;
    let rules = app.host.rules()?;
    let passkeys = rules.principals.passkeys().ok_or_else(no_passkeys)?;
    let key = Enrolment::claimed(&answered.payload()?)?;
    let envelope = answered.envelope(&key)?;
    let enrolled = Enrolment::check(&envelope, &rules.log, passkeys)?;
    json(StatusCode::OK, &Enrolled { key: enrolled.key.id().to_string(), envelope })
}
