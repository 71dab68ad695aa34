//! How a connection is closed. If what a client has sent is not read when its connection is closed, the system resets the
//! connection, and the client may see the reset in place of the answer: a call that is refused before its body was read, for example.
//! So whatever still comes is read after the answer and thrown away, for a while.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep};

/// How long a client may send nothing, and how long it may take in all, until the connection is cut.
const SILENCE: Duration = Duration::from_secs(3);
const LONGEST: Duration = Duration::from_secs(30);

/// A connection that is closed only when its client has sent everything.
pub(crate) struct Linger<S> {
    stream: S,
    /// Nobody is waited for when the server is to stop.
    stopping: watch::Receiver<bool>,
    /// Since the answer was sent: when it is cut at the latest, and when because of silence.
    closing: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl<S> Linger<S> {
    pub(crate) fn new(stream: S, stopping: watch::Receiver<bool>) -> Self {
        Self { stream, stopping, closing: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Linger<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Linger<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, stopping, closing } = self.get_mut();
        if closing.is_none() {
            ready!(Pin::new(&mut *stream).poll_shutdown(cx))?;
            if *stopping.borrow() {
                return Poll::Ready(Ok(()));
            }
        }
        let (limit, silence) =
            closing.get_or_insert_with(|| (Instant::now() + LONGEST, Box::pin(sleep(SILENCE))));
        let mut thrown_away = [0; 4096];
        loop {
            let mut buffer = ReadBuf::new(&mut thrown_away);
            match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() && Instant::now() < *limit => {
                    silence.as_mut().reset(Instant::now() + SILENCE);
                }
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => {
                    ready!(silence.as_mut().poll(cx));
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}
