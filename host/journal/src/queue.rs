//! What waits for the writer: handed over with a lock and, most of the time, without waking anybody.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use remit_trust::Digest;
use tokio::sync::oneshot;

use crate::StartError;
use crate::entry::Entry;
use crate::entry::Transition;
use crate::name::Filed;

/// So many bytes of records are worth a transaction of their own, even if nobody waits for them.
const MUCH: usize = 1024 * 1024;
/// How long a record that nobody waits for may stay in memory.
const LINGER: Duration = Duration::from_millis(20);

/// Where an answer goes.
pub(crate) type Answer = oneshot::Sender<Result<(), StartError>>;

/// Something for the writer.
pub(crate) struct Message {
    /// None only waits for what came before.
    pub(crate) entry: Option<Entry>,
    pub(crate) wants: Wants,
}

/// A record but for its text.
pub(crate) struct Head {
    pub(crate) of: Filed,
    pub(crate) kind: &'static str,
    pub(crate) at: Timestamp,
    pub(crate) transition: Transition,
}

/// What the one who sent a message waits for.
pub(crate) enum Wants {
    /// Nothing.
    Nothing,
    /// To know whether the record is admitted. It is in the file then, and every process sees it; it is durable with
    /// the next that is.
    Word(Answer),
    /// That it is durable, with all before it.
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
    /// Somebody waits for one of them.
    hurry: bool,
    /// Something is committed that is not on the disk.
    unsynced: bool,
    closed: bool,
    /// The writer sleeps: until there is something, or until there is something in a hurry.
    sleeps: Option<Until>,
}

/// Messages in order, and the text of all their records, one after the other.
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
    /// Hands a message over; `write` appends the text of its record. False if nobody takes messages any more. The writer
    /// is told when it is time, but for one whom somebody waits for: see [`Queue::hurry`].
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
        // Straight to where it stays until it is committed: a copy, or a place on the heap that one thread takes and
        // another gives back, would cost more than writing it. What a failed attempt leaves belongs to no message.
        let start = waiting.group.text.len();
        write(&mut waiting.group.text)?;
        waiting.hurry |= wants.in_a_hurry();
        let body = start..waiting.group.text.len();
        let entry = head.map(|Head { of, kind, at, transition }| {
            let waited_for = wants.in_a_hurry();
            let digest = waited_for.then(|| Digest::of(&waiting.group.text[body.clone()]));
            Entry { of, kind, body, digest, at, waited_for, transition }
        });
        waiting.group.messages.push(Message { entry, wants });
        // Waking costs more than everything else here: a writer that lingers goes on lingering.
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

    /// Tells the writer's thread if somebody waits: to be called by one who waits and cannot commit, or has committed.
    pub(crate) fn hurry(&self) {
        let waiting = self.lock();
        if waiting.hurry && waiting.sleeps.is_some() {
            self.wake(waiting);
        }
    }

    /// No more messages are taken; those that are there still are.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_one();
    }

    /// Waits until it is time to commit, or to sync what is committed and not on the disk; false when the queue was
    /// closed and is empty.
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
        // With nobody waiting, linger: the next commit takes these along.
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

    /// Notes that everything taken so far is on the disk, or that it is not.
    pub(crate) fn committed(&self, synced: bool) {
        let mut waiting = self.lock();
        let news = !synced && !waiting.unsynced;
        waiting.unsynced = !synced;
        if news && waiting.sleeps == Some(Until::Anything) {
            self.wake(waiting);
        }
    }

    /// Fills an empty `group` with all there is, in order. Only for whoever commits: what is taken first is to be
    /// committed first.
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
        // A list and a few words: whole after a panic elsewhere.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
