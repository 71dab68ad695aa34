//! How GitHub is asked, and how it refuses.

use remit::connector::{Failure, Request, Response, Result};

/// A request by a method; `path` has the segments.
pub(crate) fn request(method: &str, path: &[&str]) -> Request {
    Request::new(method, path)
        .header("accept", "application/vnd.github+json")
        .header("x-github-api-version", "2026-03-10")
}

/// The answer, if it says that what was asked is done.
pub(crate) fn done(answer: Response, doing: &str) -> Result<Response> {
    // Whoever asks too often is answered like whoever may not ask.
    if is_limit(&answer) {
        let when = answer
            .header("retry-after")
            .map_or_else(|| "later".to_owned(), |seconds| format!("in {seconds} seconds"));
        return Err(Failure::Unavailable(format!(
            "could not {doing}: GitHub is asked too often; try again {when}"
        )));
    }
    match answer.status {
        301 | 307 | 308 => Err(Failure::NotFound(format!(
            "could not {doing}: it was renamed, or moved to another repository; ask with the name that it has now"
        ))),
        _ => answer.ok(doing),
    }
}

/// Whether the answer is that GitHub is asked too often: with 403 or 429.
pub(crate) fn is_limit(answer: &Response) -> bool {
    let is_used_up = answer.header("x-ratelimit-remaining") == Some("0");
    matches!(answer.status, 403 | 429) && (is_used_up || answer.header("retry-after").is_some())
}
