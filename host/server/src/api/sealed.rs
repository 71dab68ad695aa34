//! Sealed inputs: values that an action uses and never sees.

use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use remit_lifecycle::keep_sealed_input;
use remit_trust::{Handle, Opening};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::task::block_in_place;

use super::sessions::signer;
use crate::app::App;
use crate::exchange::{body, is_of_type, json};
use crate::problem::{Answer, Problem};
use crate::who::Caller;

/// How long a value may take to arrive.
const ARRIVES: Duration = Duration::from_secs(10);

/// A sealed input that is kept here now.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "kept-sealed-input")]
pub(crate) struct Kept {
    /// Its handle: what the input of an action has instead of the value.
    handle: String,
}

/// No error quotes the body.
pub(crate) async fn keep(
    State(app): State<App>,
    Path(handle): Path<String>,
    caller: Caller,
    request: Request,
) -> Answer<Response> {
    let handle: Handle = handle.parse().map_err(|_| {
        Problem::usage("this is not the handle of a sealed input")
            .help("a handle is `sealed:NAME:` and 64 lower-case hex digits")
    })?;
    is_of_type(request.headers(), "application/octet-stream")?;
    let by = signer(&app, &caller, None)?;
    let bytes = body(request, &app, ARRIVES).await?;
    let Some(opening) = Opening::from_bytes(&bytes) else {
        return Err(Problem::usage(
            "the body is not a key of 32 bytes and a value of at most 64 KiB of UTF-8",
        ));
    };
    block_in_place(|| keep_sealed_input(&app.host, &by, &handle, &opening))?;
    json(StatusCode::OK, &Kept { handle: handle.to_string() })
}
