//! Futures that must not be cancelled half-way.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;

/// A future that runs to its end even if it is dropped: the rest of it is then spawned as a task. Otherwise it is polled in
/// place, which saves a switch to another thread. The result is `None` if it panicked.
pub(crate) struct Finish<T: Send + 'static> {
    rest: Option<Rest<T>>,
    runtime: Handle,
}

type Rest<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl<T: Send + 'static> Finish<T> {
    /// Must be called inside a runtime.
    pub(crate) fn new(work: impl Future<Output = T> + Send + 'static) -> Self {
        Self { rest: Some(Box::pin(work)), runtime: Handle::current() }
    }
}

impl<T: Send + 'static> Future for Finish<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(mut rest) = self.rest.take() else { return Poll::Ready(None) };
        match catch_unwind(AssertUnwindSafe(|| rest.as_mut().poll(context))) {
            Ok(Poll::Pending) => {
                self.rest = Some(rest);
                Poll::Pending
            }
            Ok(Poll::Ready(done)) => Poll::Ready(Some(done)),
            // The panic hook has reported it.
            Err(_) => Poll::Ready(None),
        }
    }
}

impl<T: Send + 'static> Drop for Finish<T> {
    fn drop(&mut self) {
        if let Some(rest) = self.rest.take() {
            self.runtime.spawn(rest);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Notify;

    use super::*;

    /// Work in two halves that each count themselves; the second waits for `go_on`.
    fn work(count: &Arc<AtomicU32>, go_on: &Arc<Notify>) -> Finish<u32> {
        let (count, go_on) = (Arc::clone(count), Arc::clone(go_on));
        Finish::new(async move {
            count.fetch_add(1, Ordering::SeqCst);
            go_on.notified().await;
            count.fetch_add(1, Ordering::SeqCst) + 1
        })
    }

    #[tokio::test]
    async fn it_ends_for_one_who_waits_and_for_one_who_goes() {
        let (count, go_on) = (Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
        let reaches = async |number| {
            while count.load(Ordering::SeqCst) != number {
                tokio::task::yield_now().await;
            }
        };
        go_on.notify_one();
        assert_eq!(work(&count, &go_on).await, Some(2));
        let mut asked = work(&count, &go_on);
        assert!(poll_fn(|context| Poll::Ready(Pin::new(&mut asked).poll(context).is_pending())).await);
        drop(asked);
        assert_eq!(count.load(Ordering::SeqCst), 3, "in the middle");
        go_on.notify_one();
        reaches(4).await;
        // Dropped before it was polled at all.
        drop(work(&count, &go_on));
        go_on.notify_one();
        reaches(6).await;
    }

    #[tokio::test]
    async fn a_panic_is_its_end() {
        let mut asked = Finish::new(async {
            tokio::task::yield_now().await;
            "no number".parse::<u32>().unwrap()
        });
        assert_eq!(poll_fn(|context| Pin::new(&mut asked).poll(context)).await, None);
        drop(asked);
    }
}
