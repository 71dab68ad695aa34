//! How many calls are worked on at once. Work that blocks, such as reading the journal, keeps a thread until it is done, and each
//! thread has memory of its own: without a bound, a thousand calls that come at once would be a thousand threads.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::ready;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::PollSemaphore;

/// How many are worked on at once. Those that wait for something, such as a body or a disk, do not count.
const MOST: usize = 16;

/// Turns to work.
pub(crate) struct Turns(Arc<Semaphore>);

impl Default for Turns {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MOST)))
    }
}

impl Turns {
    /// Waits for a turn. Whoever has one must not wait for anything while it lasts.
    pub(crate) async fn take(&self) -> Option<OwnedSemaphorePermit> {
        // It is never closed.
        self.0.clone().acquire_owned().await.ok()
    }

    /// Does this work, which has a turn whenever it goes on, and none while it waits. Not for work within such work: turns that
    /// wait for each other would wait for ever.
    pub(crate) async fn share<F: Future>(&self, work: F) -> F::Output {
        let mut turns = PollSemaphore::new(self.0.clone());
        let mut work = pin!(work);
        poll_fn(|cx| {
            let _turn = ready!(turns.poll_acquire(cx));
            work.as_mut().poll(cx)
        })
        .await
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_more_threads_are_blocked_than_there_are_turns() {
        let turns = Arc::new(Turns::default());
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let calls: Vec<_> = (0..10 * MOST)
            .map(|_| {
                let (turns, now, most) = (turns.clone(), now.clone(), most.clone());
                tokio::spawn(async move {
                    turns
                        .share(async {
                            // It waits for something else first, and has no turn then.
                            tokio::task::yield_now().await;
                            tokio::task::block_in_place(|| {
                                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                                thread::sleep(Duration::from_millis(2));
                                now.fetch_sub(1, Ordering::SeqCst);
                            });
                        })
                        .await;
                })
            })
            .collect();
        for call in calls {
            call.await.unwrap();
        }
        assert!(most.load(Ordering::SeqCst) <= MOST, "{most:?}");
    }
}
