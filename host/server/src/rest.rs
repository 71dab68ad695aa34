//! What is left of a body when the answer is there: a call that is refused early does not read its body. It must be read before the
//! next call on the same connection, and a client must be told if that is not done.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Error;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::header::EXPECT;
use hyper::body::{Frame, SizeHint};

use crate::routes::JSON;

/// How long the rest of a body may take to arrive.
const ARRIVES: Duration = Duration::from_secs(5);

/// What is left of a body.
#[derive(Default)]
enum Left {
    /// Nothing: it was read to its end.
    #[default]
    Nothing,
    /// All of it.
    All(Body),
    /// Some of it: whoever read it has given up.
    Some,
}

/// A body that comes back if it is not read to its end.
struct Lent {
    body: Body,
    begun: bool,
    owner: Arc<Mutex<Left>>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        if !self.body.is_end_stream() {
            let rest = if self.begun { Left::Some } else { Left::All(std::mem::take(&mut self.body)) };
            *self.owner.lock().unwrap_or_else(PoisonError::into_inner) = rest;
        }
    }
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.begun = true;
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The rest of a call's body.
pub(crate) struct Rest {
    left: Arc<Mutex<Left>>,
    /// The client sends the body only if it is asked to.
    waits: bool,
}

impl Rest {
    /// Of this call, which is then answered.
    pub(crate) fn of(request: Request) -> (Self, Request) {
        let waits = request.headers().contains_key(EXPECT);
        let left = Arc::default();
        let owner = Arc::clone(&left);
        (Self { left, waits }, request.map(|body| Body::new(Lent { body, begun: false, owner })))
    }

    /// Reads it, if it is not long and comes soon. False if the connection cannot be used any more.
    pub(crate) async fn read(self) -> bool {
        let left = std::mem::take(&mut *self.left.lock().unwrap_or_else(PoisonError::into_inner));
        let mut body = match left {
            Left::Nothing => return true,
            Left::Some => return false,
            Left::All(body) => body,
        };
        if self.waits || body.size_hint().lower() > JSON as u64 {
            return false;
        }
        let read = async {
            let mut length = 0;
            while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
                let Ok(frame) = frame else { return false };
                length += frame.data_ref().map_or(0, Bytes::len);
                if length > JSON {
                    return false;
                }
            }
            true
        };
        tokio::time::timeout(ARRIVES, read).await.unwrap_or(false)
    }
}
