//! How bodies and queries are read, and answers written.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::Instrument as _;

use crate::app::App;
use crate::problem::{Answer, Problem};

/// The media type of the journal's signed notes.
pub(crate) const NOTE: &str = "text/plain; charset=utf-8";

/// How long a body in JSON may take to arrive.
pub(crate) const JSON_ARRIVES: Duration = Duration::from_secs(20);

/// A body in JSON, as a type that knows all its fields.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Answer<Self> {
        let read = remit_text::json::read(&json_text(request, app).await?);
        Ok(Self(
            read.map_err(|mistake| {
                Problem::usage(format!("the body is not what is taken here:\n{mistake}"))
            })?,
        ))
    }
}

/// The same where the body has a secret in it: whatever is wrong with it, neither the problem nor the log quotes it.
pub(crate) struct Private<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<App> for Private<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Answer<Self> {
        let read = remit_text::json::read(&json_text(request, app).await?);
        Ok(Self(read.map_err(|_| {
            Problem::usage(
                "the body is not what is taken here; it is not shown, because it may have a secret",
            )
            .help("/api/v1/docs has the fields that it must have, and no others")
        })?))
    }
}

/// The text of a body in JSON.
async fn json_text(request: Request, app: &App) -> Answer<String> {
    is_of_type(request.headers(), "application/json")?;
    let bytes = body(request, app, JSON_ARRIVES).await?;
    String::from_utf8(bytes.into())
        .map_err(|error| Problem::usage(format!("the body is not UTF-8: {}", error.utf8_error())))
}

/// The bytes of a body, as far as the route's limit lets them in.
/// Whoever sends it more slowly than `patience` is sent away.
pub(crate) async fn body(request: Request, app: &App, patience: Duration) -> Answer<Bytes> {
    let Ok(arrived) = tokio::time::timeout(patience, Bytes::from_request(request, app)).await else {
        let why = format!("the body did not arrive within {} s", patience.as_secs());
        return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "usage::slow", why));
    };
    arrived.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "usage::too_large",
            "the body is larger than is taken here",
        ),
        _ => Problem::usage("the body did not arrive whole"),
    })
}

/// An error unless the body says that it is of this media type.
pub(crate) fn is_of_type(headers: &HeaderMap, wanted: &str) -> Answer<()> {
    let found = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = found.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case(wanted) {
        return Ok(());
    }
    let why = format!("the body must be {wanted}, and its Content-Type says `{}`", found.escape_debug());
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "usage::media_type", why))
}

/// A query, as a type that knows all its fields.
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<App> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Answer<Self> {
        let read = Query::<T>::try_from_uri(&parts.uri);
        Ok(Self(read.map_err(|error| Problem::usage(format!("the query: {}", error.body_text())))?.0))
    }
}

/// How many entries a page has if nobody says, and how many at most.
const PAGE: u16 = 50;
const LARGEST_PAGE: u16 = 200;

/// How many entries a page has.
pub(crate) fn page_size(limit: Option<u16>) -> Answer<usize> {
    match limit.unwrap_or(PAGE) {
        limit @ 1..=LARGEST_PAGE => Ok(usize::from(limit)),
        limit => Err(Problem::usage(format!("the query: limit is {limit}, and must be 1 to {LARGEST_PAGE}"))),
    }
}

/// Does it to its end, whether or not the client waits for that: what is half done when somebody goes away would be left behind.
pub(crate) async fn to_end<T: Send + 'static>(
    app: &App,
    work: impl Future<Output = T> + Send + 'static,
) -> Answer<T> {
    let app = app.clone();
    let work = async move { app.turns.share(work).await };
    tokio::spawn(work.in_current_span()).await.map_err(|_| {
        let why = "the host stopped before it was done; look at what is on record before you try again";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "failed::stopped", why)
    })
}

/// An answer in JSON. Characters that steer a terminal or hide text are written as escapes.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Answer<Response> {
    let text = serde_json::to_string(value).map_err(remit_lifecycle::Error::from)?;
    Ok(text_as(status, "application/json", remit_text::json_text(&text).into_owned()))
}

/// An answer in text of this media type.
pub(crate) fn text_as(status: StatusCode, media_type: &'static str, text: impl Into<Body>) -> Response {
    let mut response = (status, text.into()).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
