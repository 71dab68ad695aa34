//! Actions that are kept here.

use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use remit_lifecycle::install;
use remit_sandbox::Inspection;
use remit_trust::Digest;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::block_in_place;

use crate::app::App;
use crate::exchange::{Params, body, is_of_type, json, page_size};
use crate::problem::{Answer, Problem};
use crate::who::Caller;

/// The header with the detached signature of a component, as `remit sign` and cosign write it.
const SIGNATURE: &str = "remit-signature";

/// How long a component may take to arrive.
pub(crate) const ARRIVES: Duration = Duration::from_secs(100);

/// An action that is kept here now.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "kept-action")]
pub(crate) struct Kept {
    /// The digest of its component.
    digest: String,
    /// The name in its manifest.
    name: String,
    /// The version in its manifest.
    version: String,
}

/// Which actions are listed.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Filter {
    /// Only those after this one: `next` of the page before.
    #[schemars(with = "Option<String>")]
    before: Option<Digest>,
    /// At most so many.
    #[schemars(range(min = 1, max = 200))]
    limit: Option<u16>,
}

/// An action in a list.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "listed-action")]
pub(crate) struct Listed {
    #[serde(flatten)]
    kept: Kept,
    /// What it repairs, in its author's words; none if its manifest does not say.
    summary: Option<String>,
}

/// A page of actions.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "page-of-actions")]
pub(crate) struct Page {
    /// The actions, in the order of their digests.
    actions: Vec<Listed>,
    /// For `before`, to get the next page; none after the last.
    next: Option<String>,
}

pub(crate) async fn list(
    State(app): State<App>,
    _: Caller,
    Params(asked): Params<Filter>,
) -> Answer<Response> {
    let size = page_size(asked.limit)?;
    let _turn = heavy(&app).await?;
    block_in_place(|| {
        let mut kept = app.host.home.kept_components()?;
        if let Some(before) = asked.before.map(|digest| digest.to_string()) {
            kept.retain(|digest| digest.to_string() > before);
        }
        let more = kept.len() > size;
        kept.truncate(size);
        let next = kept.last().filter(|_| more).map(ToString::to_string);
        let listed = |digest: Digest| {
            let inspected = app.host.component(digest).and_then(|found| Ok(Inspection::of(&found)?));
            let found = inspected
                .inspect_err(|error| tracing::warn!(%digest, %error, "a kept component cannot be listed"))
                .ok()?;
            // Connectors are kept beside the actions.
            if !found.is_action() {
                return None;
            }
            let kept = Kept { digest: digest.to_string(), name: found.name, version: found.version };
            Some(Listed { kept, summary: found.manifest.map(|manifest| manifest.summary) })
        };
        json(StatusCode::OK, &Page { actions: kept.into_iter().filter_map(listed).collect(), next })
    })
}

pub(crate) async fn upload(
    State(app): State<App>,
    Path(digest): Path<String>,
    _: Caller,
    request: Request,
) -> Answer<Response> {
    let digest: Digest = digest.parse()?;
    is_of_type(request.headers(), "application/wasm")?;
    let signature = request.headers().get(SIGNATURE).and_then(|value| value.to_str().ok());
    let Some(signature) = signature.map(ToOwned::to_owned) else {
        return Err(
            Problem::usage("the header Remit-Signature is missing").help("`remit sign` makes a signature")
        );
    };
    let Ok(_room) = app.uploads.acquire().await else { return Err(no_room()) };
    let bytes = body(request, &app, ARRIVES).await?;
    if Digest::of(&bytes) != digest {
        return Err(Problem::usage(format!("the body is not {digest}, but {}", Digest::of(&bytes))));
    }
    let inspection =
        block_in_place(|| install(&app.host.home, &app.host.home.received(&bytes, &signature)?))?;
    let kept = Kept { digest: digest.to_string(), name: inspection.name, version: inspection.version };
    json(StatusCode::OK, &kept)
}

pub(crate) async fn inspect(
    State(app): State<App>,
    Path(digest): Path<String>,
    _: Caller,
) -> Answer<Response> {
    let digest: Digest = digest.parse()?;
    let _turn = heavy(&app).await?;
    block_in_place(|| json(StatusCode::OK, &app.host.inspect(digest)?))
}

pub(crate) async fn diff(
    State(app): State<App>,
    Path((old, new)): Path<(String, String)>,
    _: Caller,
) -> Answer<Response> {
    let (old, new): (Digest, Digest) = (old.parse()?, new.parse()?);
    let _turn = heavy(&app).await?;
    block_in_place(|| json(StatusCode::OK, &app.host.inspect_diff(old, new)?))
}

/// Waits for a turn to rehearse or to start something, which is kept until that is done.
pub(crate) async fn heavy(app: &App) -> Answer<OwnedSemaphorePermit> {
    let turn = tokio::time::timeout(Duration::from_secs(10), app.heavy.clone().acquire_owned()).await;
    turn.ok().and_then(Result::ok).ok_or_else(no_room)
}

pub(crate) fn no_room() -> Problem {
    let why = "as much is going on as this server lets at once";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "failed::room", why).retry_after(5)
}
