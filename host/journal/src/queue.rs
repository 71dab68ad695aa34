//! The queue to the writer. A message is handed over under a lock and, most of the time, without waking the writer.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use remit_trust::{Digest, PasskeyUse};
use tokio::sync::oneshot;

use crate::StartError;
use crate::entry::Entry;
use crate::entry::Transition;
use crate::name::Filed;

/// After this many bytes of records a transaction is made, even if no caller waits for them.
const MUCH: usize = 1024 * 1024;
/// How long a record that no caller waits for may stay in memory.
const LINGER: Duration = Duration::from_millis(20);

/// The channel for the answer to one sender.
pub(crate) type Answer = oneshot::Sender<Result<(), StartError>>;

/// A message to the writer.
pub(crate) struct Message {
    /// None for a message that only waits for those before it.
    pub(crate) entry: Option<Entry>,
    pub(crate) wants: Wants,
}

/// A record without its text.
pub(crate) struct Head {
    pub(crate) of: Filed,
    pub(crate) kind: &'static str,
    pub(crate) at: Timestamp,
    pub(crate) transition: Transition,
    pub(crate) uses: Vec<PasskeyUse>,
}

/// What the sender of a message waits for.
pub(crate) enum Wants {
    /// The sender does not wait.
    Nothing,
    /// Whether the record was admitted. Then it is committed, and every process sees it. It becomes durable with the next
    /// durable record.
    Admission(Answer),
    /// That the record is durable, and all before it.
    Durable(Answer),
}

impl Wants {
    fn in_a_hurry(&self) -> bool {
        !matches!(self, Self::Nothing)
    }
}

#[derive(Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    wake: Condvar,
}

#[derive(Default)]
struct Waiting {
    group: Group,
    /// A sender waits for one of them.
    hurry: bool,
    /// Something committed is not on the disk yet.
    unsynced: bool,
    closed: bool,
    /// What the writer sleeps for; none while it is awake.
    sleeps: Option<Until>,
}

/// Messages in order, and the texts of all their records, one after the other.
#[derive(Default)]
pub(crate) struct Group {
    pub(crate) messages: Vec<Message>,
    pub(crate) text: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    Anything,
    Hurry,
}

impl Queue {
    /// Adds a message; `write` appends the text of its record. False if the queue is closed. Wakes the writer when it is time,
    /// but not for a message whose sender waits: the sender calls [`Queue::hurry`].
    pub(crate) fn push<E>(
        &self,
        head: Option<Head>,
        wants: Wants,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<bool, E> {
        let mut waiting = self.lock();
        if waiting.closed {
            return Ok(false);
        }
        // Written directly into the buffer where it stays until it is committed: a copy, or an allocation in one thread that
        // another frees, would cost more than the writing. Text of a failed `write` stays, and belongs to no message.
        let start = waiting.group.text.len();
        write(&mut waiting.group.text)?;
        waiting.hurry |= wants.in_a_hurry();
        let body = start..waiting.group.text.len();
        let entry = head.map(|Head { of, kind, at, transition, uses }| {
            let waited_for = wants.in_a_hurry();
            let digest = waited_for.then(|| Digest::of(&waiting.group.text[body.clone()]));
            Entry { of, kind, body, digest, at, waited_for, transition, uses }
        });
        waiting.group.messages.push(Message { entry, wants });
        // Waking costs more than everything else here, so a writer that lingers is left to linger.
        let wake = match waiting.sleeps {
            Some(Until::Anything) => !waiting.hurry,
            Some(Until::Hurry) => waiting.group.text.len() >= MUCH,
            None => false,
        };
        if wake {
            self.wake(waiting);
        }
        Ok(true)
    }

    /// Wakes the writer's thread if a sender waits. To be called by a sender that cannot commit itself, or has committed.
    pub(crate) fn hurry(&self) {
        let waiting = self.lock();
        if waiting.hurry && waiting.sleeps.is_some() {
            self.wake(waiting);
        }
    }

    /// Closes the queue for new messages. Those in it are still committed.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_one();
    }

    /// Waits until it is time to commit, or to sync what is committed and not on the disk. False when the queue is closed and
    /// empty.
    pub(crate) fn wait(&self) -> bool {
        let mut waiting = self.lock();
        while waiting.group.messages.is_empty() {
            if waiting.closed {
                return false;
            }
            waiting.sleeps = Some(Until::Anything);
            if !waiting.unsynced {
                waiting = self.wake.wait(waiting).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let woken = self.wake.wait_timeout(waiting, LINGER).unwrap_or_else(PoisonError::into_inner);
            waiting = woken.0;
            if woken.1.timed_out() && waiting.unsynced && waiting.group.messages.is_empty() {
                waiting.sleeps = None;
                return true;
            }
        }
        // If no sender waits, linger, so that more records go into the same transaction.
        let until = Instant::now() + LINGER;
        while !waiting.hurry && !waiting.closed && waiting.group.text.len() < MUCH {
            let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
            else {
                break;
            };
            waiting.sleeps = Some(Until::Hurry);
            let woken = self.wake.wait_timeout(waiting, left);
            waiting = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        waiting.sleeps = None;
        true
    }

    /// Takes note whether everything committed so far is on the disk.
    pub(crate) fn committed(&self, synced: bool) {
        let mut waiting = self.lock();
        let news = !synced && !waiting.unsynced;
        waiting.unsynced = !synced;
        if news && waiting.sleeps == Some(Until::Anything) {
            self.wake(waiting);
        }
    }

    /// Moves all messages into the empty `group`, in order. Only for the thread that commits, because messages must be
    /// committed in the order in which they are taken.
    pub(crate) fn take(&self, group: &mut Group) {
        let mut waiting = self.lock();
        waiting.hurry = false;
        std::mem::swap(&mut waiting.group, group);
    }

    fn wake(&self, mut waiting: MutexGuard<'_, Waiting>) {
        waiting.sleeps = None;
        drop(waiting);
        self.wake.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // A panic elsewhere cannot leave this list half changed.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
