//! A component that is not kept here: anybody who has signed in looks at what it could do, whoever signed it. Nothing of it runs. It
//! is kept only on the terms of the API: by its digest, and if a trusted publisher signed it as an action.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Redirect};
use maud::{Markup, html};
use multer::{Constraints, Multipart, SizeLimit};
use remit_lifecycle::{Error, install};
use remit_trust::Digest;
use serde_json::Value;
use tokio::task::block_in_place;

use super::actions::{Kept, component, difference, value};
use super::page::{Paged, Viewer, code, words};
use crate::api::actions::{ARRIVES, heavy, no_room};
use crate::app::App;
use crate::problem::{Answer, Problem};
use crate::routes::{COMPONENT, JSON};

/// Where it is sent.
pub(super) const PATH: &str = "/console/actions/inspection";

/// How large the whole form may be.
pub(super) const LARGEST: usize = COMPONENT + JSON;

/// With how many kept versions it is compared.
const COMPARED: usize = 3;

/// The form, which needs no script.
pub(super) fn form() -> Markup {
    html! {
        form.upload method="post" action=(PATH) enctype="multipart/form-data" {
            p { "See what it could do, whoever signed it, or nobody. Nothing of it runs, and it is not kept unless you ask for that." }
            label for="component" { "Component" span.note { " (.wasm)" } }
            input #component name="component" type="file" accept=".wasm,application/wasm" required;
            label for="signature" { "Its signature, if you have it" span.note { " (.sig, as " code { "remit sign" } " writes it)" } }
            input #signature name="signature" type="file" accept=".sig";
            label for="digest" { "Its digest, if you were told it" span.note { " (sha256:…; anything else is refused)" } }
            input #digest name="digest" maxlength="80" autocomplete="off" autocapitalize="none" spellcheck="false";
            div.buttons {
                button type="submit" { "What could it do?" }
                button type="submit" name="keep" value="yes" { "Keep it here" }
            }
            p.note { "To keep an action needs its digest, and the signature of a publisher that is trusted here. That gives nobody any power: to run it, somebody asks, and people agree." }
        }
    }
}

/// Whoever loads the page of an inspection again, without the form.
pub(super) async fn again() -> Redirect {
    Redirect::to("/console/actions")
}

/// What was sent.
#[derive(Default)]
struct Sent {
    component: Vec<u8>,
    signature: String,
    digest: Option<Digest>,
    keep: bool,
}

impl Sent {
    async fn read(request: Request) -> Answer<Self> {
        let form = request.headers().get(CONTENT_TYPE).and_then(|form| form.to_str().ok());
        let boundary = multer::parse_boundary(form.unwrap_or_default()).map_err(refused)?;
        let limits = SizeLimit::new()
            .whole_stream(LARGEST as u64)
            .per_field(JSON as u64)
            .for_field("component", COMPONENT as u64);
        let limits = Constraints::new().size_limit(limits);
        let mut form = Multipart::with_constraints(request.into_body().into_data_stream(), boundary, limits);
        let mut sent = Self::default();
        while let Some(field) = form.next_field().await.map_err(refused)? {
            let name = field.name().unwrap_or_default().to_owned();
            let bytes = field.bytes().await.map_err(refused)?;
            let text = || String::from_utf8_lossy(&bytes).trim().to_owned();
            match name.as_str() {
                "component" => sent.component = bytes.into(),
                "signature" => sent.signature = text(),
                "digest" => {
                    let digest = Some(text()).filter(|text| !text.is_empty());
                    sent.digest = digest.map(|text| text.parse()).transpose()?;
                }
                "keep" => sent.keep = text() == "yes",
                other => {
                    let shown: String = other.escape_debug().take(40).collect();
                    return Err(Problem::usage(format!("the form has no field `{shown}`")));
                }
            }
        }
        if sent.component.is_empty() {
            return Err(Problem::usage("no component was sent").help("choose a file that is not empty"));
        }
        sent.check()?;
        Ok(sent)
    }

    /// Whether it is what it was said to be.
    fn check(&self) -> Answer<()> {
        let found = Digest::of(&self.component);
        if self.digest.is_some_and(|digest| digest != found) {
            let why = format!("this is not the component of that digest, but {found}");
            return Err(Problem::usage(why).help("find out which of the two is wrong before you go on"));
        }
        if self.keep && self.digest.is_none() {
            let why = "a component is kept by its digest, and no digest was written";
            let help = "get the digest from whoever published the component, on another way than the file";
            return Err(Problem::usage(why).help(help));
        }
        Ok(())
    }
}

fn refused(error: multer::Error) -> Problem {
    match error {
        multer::Error::FieldSizeExceeded { .. } | multer::Error::StreamSizeExceeded { .. } => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "usage::too_large",
            "the component is larger than is taken here",
        ),
        multer::Error::NoMultipart | multer::Error::NoBoundary | multer::Error::DecodeContentType(_) => {
            let why = "the body is no form with files (multipart/form-data)";
            Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "usage::media_type", why)
        }
        _ => Problem::usage("the form did not arrive whole"),
    }
}

async fn arrived(request: Request, patience: Duration) -> Answer<Sent> {
    let Ok(sent) = tokio::time::timeout(patience, Sent::read(request)).await else {
        let why = format!("the form did not arrive within {} s", patience.as_secs());
        return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "usage::slow", why));
    };
    sent
}

/// What it can do that a kept version cannot.
struct Compared {
    with: Kept,
    diff: Value,
}

pub(super) async fn inspect(State(app): State<App>, viewer: Viewer, request: Request) -> Paged {
    let Ok(_room) = app.uploads.acquire().await else { return Err(no_room().into()) };
    let sent = arrived(request, ARRIVES).await?;
    let turn = heavy(&app).await?;
    let (kept, view, compared, more) = block_in_place(|| {
        let looked = app.host.look_at_received(&sent.component, &sent.signature)?;
        let kept = sent.keep.then(|| install(&app.host.home, &looked.candidate));
        let mut others = Kept::others(&app, &looked)?;
        let more = others.len().saturating_sub(COMPARED);
        others.truncate(COMPARED);
        let compare = |with: Kept| {
            let diff = value(&looked.since(&app.host.look(with.digest)?)?);
            Ok::<_, Error>(Compared { with, diff })
        };
        let compared = others.into_iter().map(compare).collect::<Result<Vec<_>, _>>()?;
        Ok::<_, Error>((kept, value(&app.host.inspect_looked(&looked)?), compared, more))
    })?;
    drop(turn);
    let above = match kept {
        Some(Ok(_)) => {
            let digest = Digest::of(&sent.component);
            tracing::info!(principal = viewer.caller.0.name(), %digest, "keeps an action");
            return Ok(Redirect::to(&format!("/console/actions/{digest}")).into_response());
        }
        Some(Err(error)) => html! {
            div.found.grave role="alert" { p { strong { "NOT KEPT" } ": " (words(&error.to_string())) } }
        },
        None => html! {
            div.found role="status" { p { strong { "Looked at, and not kept." } } }
        },
    };
    let compared = html! {
        @for Compared { with, diff } in &compared {
            h2 { "Compared with " a href={ "/console/actions/" (with.digest) } { (words(&with.name)) " " (words(&with.version)) } ", which is kept here " (code(&with.digest.short())) }
            (difference(diff, &view))
        }
        @if more > 0 { p.note { (more) " older versions that are kept here are not compared." } }
        @if compared.is_empty() { h2 { "Compared" } p { "No other version of it is kept here." } }
        h2 { "Another one" }
        (form())
    };
    component(&app, &viewer, &view, Some(&above), &compared)
}
