//! The journal's log as static files (c2sp.org/tlog-tiles), for whoever follows it: digests only, no record's content.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, HeaderValue};
use axum::response::Response;
use remit_tlog::TilePath;
use tokio::task::block_in_place;

use crate::app::App;
use crate::exchange::{NOTE, text_as};
use crate::problem::{Answer, Problem};

/// The media type of a tile, and of a bundle of entries.
pub(crate) const TILE: &str = "application/octet-stream";

fn kept(mut response: Response, how: &'static str) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(how));
    response
}

pub(crate) async fn checkpoint(State(app): State<App>) -> Answer<Response> {
    let reader = app.host.journal.reader()?;
    // To let go of a thread takes longer than this read.
    let note = match reader.checkpoint_on_disk()? {
        Some(note) => note,
        None => block_in_place(|| reader.checkpoint())?,
    };
    Ok(kept(text_as(StatusCode::OK, NOTE, note), "public, max-age=5"))
}

pub(crate) async fn tile(State(app): State<App>, Path(path): Path<String>) -> Answer<Response> {
    let missing = |why: String| Problem::new(StatusCode::NOT_FOUND, "usage::no_such_tile", why);
    let path: TilePath =
        format!("tile/{path}").parse().map_err(|_| missing("this is not the path of a tile".to_owned()))?;
    let read = || app.host.journal.reader()?.tile(&path, &app.host.home.verifier()?).map_err(Problem::from);
    match block_in_place(read)? {
        Some(bytes) => Ok(kept(text_as(StatusCode::OK, TILE, bytes), "public, max-age=31536000, immutable")),
        None => Err(missing(format!("the log does not have {path} yet"))),
    }
}
