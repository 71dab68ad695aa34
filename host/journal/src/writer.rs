//! The handle to append with, and its one writer, which commits together whatever waits.
//!
//! A task that waits for a commit makes it itself if the writer is free, because two switches between threads take longer
//! than a commit. Otherwise the writer's thread commits what has collected meanwhile, and also what nobody waits for. Where
//! several tasks wait for the disk, another thread waits for it: see [`Disk`].

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, TryLockError};
use std::thread::JoinHandle;

use jiff::Timestamp;
use remit_tlog::{Checkpoint, NoteSigner};
use rusqlite::Connection;
use serde::Serialize;
use tokio::sync::oneshot;

use remit_trust::Sealed;

use crate::act::AuthorityChange;
use crate::append::{Trusted, append};
use crate::backfill::Backfill;
use crate::disk::Disk;
use crate::entry::{Start, Transition};
use crate::queue::{Answer, Group, Head, Message, Queue, Wants};
use crate::store::{self, Durability};
use crate::watch::{ChangeSignal, Shared};
use crate::{
    Act, CallEvent, Event, JournalError, Poisoned, Reader, Record, RunId, StartError, Watch, passkeys,
};

/// The answer that a task waits for.
type Answered = oneshot::Receiver<Result<(), StartError>>;

/// The size in bytes to which the buffer of records is shrunk after a burst.
const KEPT: usize = 2 * 1024 * 1024;

/// A handle to append with. Cheap to clone; all clones share one writer. Records that nobody waited for are flushed when the
/// last clone is dropped.
#[derive(Clone)]
pub struct Journal(Arc<Inner>);

struct Inner {
    reader: Arc<Shared>,
    signal: ChangeSignal,
    /// Closed on drop, so that the thread sees the end.
    queue: Arc<Queue>,
    poison: Arc<OnceLock<Poisoned>>,
    counts: Arc<Counters>,
    writer: Arc<Mutex<Writer>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Journal({})", self.path().display())
    }
}

impl Journal {
    /// Opens the journal at `path`, and creates it if there is none. `signer` signs the checkpoints; its key must be the one
    /// that signed so far.
    pub fn open(path: &Path, signer: NoteSigner) -> Result<Self, JournalError> {
        let database = store::open(path, &signer)?;
        let queue = Arc::new(Queue::default());
        let poison = Arc::new(OnceLock::new());
        let counts = Arc::new(Counters::default());
        let signal = ChangeSignal::beside(path)?;
        let writer = Arc::new(Mutex::new(Writer {
            path: path.to_owned(),
            database,
            signer,
            trusted: None,
            set: Durability::Now,
            synced: true,
            disk: None,
            backfill: None,
            group: Group::default(),
            queue: Arc::clone(&queue),
            signal: signal.clone(),
            poison: Arc::clone(&poison),
            counts: Arc::clone(&counts),
        }));
        let (theirs, messages, counted) = (Arc::clone(&writer), Arc::clone(&queue), Arc::clone(&counts));
        let thread = std::thread::Builder::new()
            .name("remit-journal".to_owned())
            .spawn(move || serve(&theirs, &messages, &counted))
            .map_err(|error| JournalError::io(path, &error))?;
        Ok(Self(Arc::new(Inner {
            reader: Shared::of(path),
            signal,
            queue,
            poison,
            counts,
            writer,
            thread: Mutex::new(Some(thread)),
        })))
    }

    /// Opens a journal to read.
    pub fn open_read_only(path: &Path) -> Result<Reader, JournalError> {
        Reader::open(path)
    }

    /// Opens a copied journal to verify it: nothing is written beside it, and nobody may write into it meanwhile.
    pub fn open_copy(path: &Path) -> Result<Reader, JournalError> {
        Reader::open_copy(path)
    }

    /// The path of the journal's file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.reader.path
    }

    /// Counts of what this handle wrote.
    #[must_use]
    pub fn written(&self) -> Written {
        let Counters { records, synced, waited, .. } = &*self.0.counts;
        let [records, synced, waited] = [records, synced, waited].map(|count| count.load(Ordering::Relaxed));
        Written { records, synced, waited }
    }

    /// The reader of the same file that the whole process shares. It sees what is committed.
    pub fn reader(&self) -> Result<Arc<Reader>, JournalError> {
        self.0.reader.get()
    }

    /// Appends a record without waiting: it becomes durable, in order, no later than the next
    /// [`Journal::commit`] and usually within 20 ms.
    pub fn note(&self, record: Record) -> Result<(), JournalError> {
        self.send(record, None, Wants::Nothing)
    }

    /// The same for an event of a host call, written without a [`Record`] in between. Returns the record's length in bytes.
    pub fn note_call<A: Serialize, V: Serialize, F: Serialize>(
        &self,
        run: RunId,
        at: Timestamp,
        event: &CallEvent<'_, A, V, F>,
    ) -> Result<u64, JournalError> {
        let of = run.filed();
        let head = Head { of, kind: event.kind(), at, transition: Transition::Goes, uses: Vec::new() };
        let mut length = 0;
        self.enqueue(Some(head), Wants::Nothing, |text| {
            let start = text.len();
            event.write(&of, at, text).map_err(|error| unwritable(event.kind(), error.to_string()))?;
            length = text.len() - start;
            Ok(())
        })?;
        Ok(length as u64)
    }

    /// Appends a record; on return it, and all before it, are durable.
    ///
    /// If the record's time is more than two seconds before [`Reader::highest`], it is set to that. An intent is refused
    /// instead: see [`Journal::intend`].
    pub async fn commit(&self, record: Record) -> Result<(), JournalError> {
        let kind = record.event.kind();
        match self.wait(record, None, Wants::Durable).await {
            Ok(()) => Ok(()),
            Err(StartError::Journal(error)) => Err(error),
            Err(other) => {
                Err(JournalError::Record { which: kind.to_owned(), verb: "written", why: other.to_string() })
            }
        }
    }

    /// Appends the intent of a change; on return it is durable. Refused if the run's authority was revoked: the journal never
    /// has the revocation first and the intent after it. Also refused if its time is more than two seconds before
    /// [`Reader::highest`]: a clock that was set back must not extend an authority that has expired.
    pub async fn intend(&self, record: Record) -> Result<(), StartError> {
        self.wait(record, None, Wants::Durable).await
    }

    /// Appends an act; on return it, and all before it, are durable. Its time is corrected as in [`Journal::commit`]. Refused, as
    /// every record is, if it has a signature by a passkey whose counter does not rise.
    pub async fn act(&self, act: &Act) -> Result<(), JournalError> {
        let kind = act.event.kind();
        let transition =
            act.change().map_or(Transition::Goes, |change| Transition::Decides(Box::new(change)));
        let (done, answer) = oneshot::channel();
        let (of, uses) = (act.about.filed(), passkeys::in_act(act));
        self.write(Head { of, kind, at: act.at, transition, uses }, act, Wants::Durable(done))?;
        self.answered(answer).await
    }

    /// Tells at any moment whether the run's authority was revoked. Call this before the run starts, so that no revocation is
    /// missed.
    #[must_use]
    pub fn watch(&self, run: RunId) -> Watch {
        Watch::new(&self.0.reader, &self.0.signal, run)
    }

    /// The newest checkpoint in the form for witnesses: signed again without the time, because some witnesses do not sign
    /// extension lines that they do not know. All records that it covers are on the disk.
    pub fn plain_checkpoint(&self) -> Result<String, JournalError> {
        let note = self.reader()?.checkpoint()?;
        // A panic of the writer did not change its key.
        let writer = self.0.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let signed = writer.signer.verifier().verify(&note).map_err(|error| JournalError::OtherKey {
            path: self.path().to_owned(),
            why: error.to_string(),
        })?;
        Ok(writer.signer.sign(&Checkpoint { extensions: Vec::new(), ..signed }))
    }

    /// The time: that of the machine's clock, but never before [`Reader::highest`]. Use this for every decision that depends on
    /// the time.
    pub fn now(&self) -> Result<Timestamp, JournalError> {
        self.reader()?.now()
    }

    /// Appends a run's first record. Refused if its time is more than two seconds before [`Reader::highest`]. The same
    /// transaction counts a use of the run's grant and stores `key`: the key for the run's secrets, sealed under the host's.
    ///
    /// On return the record is committed, and every process sees it, even if this process dies. It need not be on the disk
    /// yet: it gets there with the run's first change, disclosure or end, before that takes effect. So a run that a power
    /// failure removes from the journal has only read.
    pub async fn start(&self, record: Record, key: Sealed) -> Result<(), StartError> {
        if !matches!(record.event, Event::Started(_)) {
            return Err(StartError::NotAStart(record.event.kind()));
        }
        self.wait(record, Some(key), Wants::Admission).await
    }

    /// Waits until everything appended so far is durable.
    pub async fn flush(&self) -> Result<(), JournalError> {
        self.answered(self.ask(Wants::Durable)?).await
    }

    /// Waits until everything appended so far is committed, so that every reader sees it. Does not wait for the disk.
    pub async fn catch_up(&self) -> Result<(), JournalError> {
        self.answered(self.ask(Wants::Admission)?).await
    }

    /// Waits for the answer to a message that cannot be refused.
    async fn answered(&self, answer: Answered) -> Result<(), JournalError> {
        self.work();
        match answer.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(StartError::Journal(error))) => Err(error),
            Ok(Err(_)) | Err(_) => Err(self.gone()),
        }
    }

    /// Commits what is in the queue, or leaves it to whoever is committing. It takes as long as the disk does, and the other
    /// tasks of this thread wait that long: decision 006 says why.
    fn work(&self) {
        // Where many wait at once, more records collect while this thread continues.
        if self.0.counts.crowded.load(Ordering::Relaxed) {
            return self.0.queue.hurry();
        }
        match self.0.writer.try_lock() {
            Ok(mut writer) => writer.commit(),
            Err(TryLockError::WouldBlock) => return self.0.queue.hurry(),
            // The unfinished commit is rolled back, but its records are lost.
            Err(TryLockError::Poisoned(_)) => {
                let _ = self.0.poison.set(panicked());
                self.0.queue.close();
            }
        }
        // For messages from tasks that found the writer busy.
        self.0.queue.hurry();
    }

    async fn wait(
        &self,
        record: Record,
        key: Option<Sealed>,
        wants: fn(Answer) -> Wants,
    ) -> Result<(), StartError> {
        let (done, answer) = oneshot::channel();
        self.send(record, key, wants(done))?;
        self.work();
        answer.await.unwrap_or_else(|_| Err(self.gone().into()))
    }

    fn send(&self, record: Record, key: Option<Sealed>, wants: Wants) -> Result<(), JournalError> {
        let kind = record.event.kind();
        let transition = match &record.event {
            Event::Started(started) => Transition::Starts(Box::new(Start {
                run: record.run,
                grant: started.grant.as_ref().map(|grant| (grant.digest, grant.uses)),
                rests_on: started.rests_on(),
                key: key.ok_or_else(|| unwritable(kind, "a run starts with `Journal::start`".to_owned()))?,
            })),
            Event::Intent(_) if matches!(wants, Wants::Durable(_)) => Transition::Changes,
            Event::Phase(entered) if entered.phase.reopens() => Transition::Reopens,
            Event::Ended(ended) => Transition::Ends(ended.due),
            Event::Paged(paged) => Transition::Waits(paged.due),
            Event::Extended(extended) => Transition::Extends(extended.until),
            Event::UndoExpired(_) => Transition::Expires,
            _ => Transition::Goes,
        };
        let (of, uses) = (record.run.filed(), passkeys::in_event(&record.event));
        self.write(Head { of, kind, at: record.at, transition, uses }, &record, wants)
    }

    /// Puts a record's text into the queue.
    fn write(&self, head: Head, record: &impl Serialize, wants: Wants) -> Result<(), JournalError> {
        let kind = head.kind;
        self.enqueue(Some(head), wants, |text| {
            serde_json::to_writer(text, record).map_err(|error| unwritable(kind, error.to_string()))
        })
    }

    fn enqueue(
        &self,
        head: Option<Head>,
        wants: Wants,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        if let Some(poisoned) = self.0.poison.get() {
            return Err(poisoned.clone().into());
        }
        if self.0.queue.push(head, wants, write)? { Ok(()) } else { Err(self.gone()) }
    }

    /// Sends a message without a record.
    fn ask(&self, wants: fn(Answer) -> Wants) -> Result<Answered, JournalError> {
        let (done, answer) = oneshot::channel();
        self.enqueue(None, wants(done), |_| Ok(()))?;
        Ok(answer)
    }

    fn gone(&self) -> JournalError {
        let why = Arc::from("its writer ended");
        self.0.poison.get().cloned().unwrap_or(Poisoned { why }).into()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The writer's connection must be closed last: closing the last one moves everything into the file itself.
        self.reader.close();
        self.queue.close();
        if let Some(thread) = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            // The thread itself reported a panic of the writer.
            let _ = thread.join();
        }
    }
}

struct Writer {
    path: PathBuf,
    /// Waits for the disk where many tasks wait at once; none until they do.
    disk: Option<Disk>,
    /// Moves the write-ahead log into the file meanwhile. Dropped before the connection below, which must be closed last.
    backfill: Option<Backfill>,
    database: Connection,
    signer: NoteSigner,
    /// The state of the log that this writer wrote or verified.
    trusted: Option<Trusted>,
    /// The durability that the connection is set to.
    set: Durability,
    /// Everything committed is on the disk.
    synced: bool,
    /// Empty between two commits; its buffers are used again.
    group: Group,
    queue: Arc<Queue>,
    signal: ChangeSignal,
    poison: Arc<OnceLock<Poisoned>>,
    counts: Arc<Counters>,
}

/// The loop of the writer's own thread.
fn serve(writer: &Mutex<Writer>, queue: &Queue, counts: &Counters) {
    // Closes the queue even after a panic, so that nobody waits for a writer that ended.
    let _closed = Closes(queue);
    loop {
        let more = queue.wait();
        if counts.crowded.load(Ordering::Relaxed) {
            // Lets others send their records first, so that fewer transactions are made.
            std::thread::yield_now();
        }
        match writer.lock() {
            Ok(mut writer) => writer.commit(),
            Err(poisoned) => {
                let _ = poisoned.into_inner().poison.set(panicked());
                return;
            }
        }
        if !more {
            return;
        }
    }
}

fn panicked() -> Poisoned {
    Poisoned { why: Arc::from("its writer panicked") }
}

impl Writer {
    /// Commits whatever waits. If nothing waits, makes sure that what is committed is on the disk.
    fn commit(&mut self) {
        let mut group = std::mem::take(&mut self.group);
        self.queue.take(&mut group);
        self.commit_group(&mut group);
        group.text.clear();
        // After a burst of large records, a smaller buffer is enough.
        group.text.shrink_to(KEPT);
        self.group = group;
    }

    fn commit_group(&mut self, group: &mut Group) {
        let mut entries = Vec::with_capacity(group.messages.len());
        let mut waiting = Vec::with_capacity(group.messages.len());
        let mut barriers = Vec::new();
        let (mut admissions, mut durable) = (0, 0);
        for Message { entry, wants } in group.messages.drain(..) {
            admissions += u64::from(matches!(wants, Wants::Admission(_)));
            durable += u64::from(matches!(wants, Wants::Durable(_)));
            match entry {
                Some(entry) => {
                    entries.push(entry);
                    waiting.push(wants);
                }
                None => barriers.push(wants),
            }
        }
        self.counts.crowded.store(admissions + durable > 1, Ordering::Relaxed);
        // Where several wait for the disk, more will come soon: their transaction is made while the other thread waits.
        let apart = durable > 1 && !entries.is_empty() && self.has_disk();
        // Where tasks wait only for admission, and none for the disk, nothing waits for the disk.
        let later = apart || (admissions > 0 && durable == 0);
        let durability = if later { Durability::Later } else { Durability::Now };
        let nothing = entries.is_empty() && (self.synced || durability == Durability::Later);
        let decides = entries.iter().any(
            |entry| matches!(&entry.transition, Transition::Decides(change) if matches!(**change, AuthorityChange::Revokes(..))),
        );
        let result = match self.poison.get() {
            Some(poisoned) => Err(poisoned.clone().into()),
            None if nothing => Ok(Vec::new()),
            None if entries.is_empty() => store::sync(&self.path).map(|()| Vec::new()),
            None => {
                let Self { path, database, signer, trusted, set, .. } = self;
                durability
                    .set(path, database, set)
                    .and_then(|()| append(path, database, signer, trusted, (&entries, &group.text)))
            }
        };
        match result {
            Ok(answers) => {
                if !nothing {
                    self.synced = durability == Durability::Now;
                    self.queue.committed(self.synced);
                    self.counts.add(answers.len() as u64, self.synced || apart, durable);
                }
                if decides {
                    self.signal.send();
                }
                let mut owed = Vec::new();
                let barriers = barriers.into_iter().map(|wants| (wants, Ok(())));
                for (wants, answer) in barriers.chain(waiting.into_iter().zip(answers)) {
                    match wants {
                        Wants::Nothing => {}
                        Wants::Durable(done) if apart => owed.push((done, answer)),
                        // The receiver may be gone; the record is in the journal all the same.
                        Wants::Admission(done) | Wants::Durable(done) => drop(done.send(answer)),
                    }
                }
                if apart && let Some(backfill) = &mut self.backfill {
                    backfill.count();
                }
                if apart && !self.disk.as_ref().is_some_and(|disk| disk.answer(owed)) {
                    let _ = self.poison.set(panicked());
                }
            }
            Err(error) => {
                tracing::error!(%error, "the journal failed; nothing more is permitted");
                let _ = self.poison.set(Poisoned { why: error.to_string().into() });
                for wants in waiting.into_iter().chain(barriers) {
                    if let Wants::Admission(done) | Wants::Durable(done) = wants {
                        let _ = done.send(Err(error.clone().into()));
                    }
                }
            }
        }
    }

    /// Whether the thread that waits for the disk runs. Starts it the first time.
    fn has_disk(&mut self) -> bool {
        if self.disk.is_none() {
            // If no thread or file handle can be had, the writer waits itself.
            self.disk = Disk::new(&self.path, &self.poison).ok();
            if self.disk.is_some() {
                // Without this thread, SQLite moves the log when it is full.
                self.backfill = Backfill::new(&self.path, &self.database).ok();
            }
        }
        self.disk.is_some()
    }
}

/// Closes a queue on drop, and drops the messages that are left in it.
struct Closes<'a>(&'a Queue);

impl Drop for Closes<'_> {
    fn drop(&mut self) {
        self.0.close();
        self.0.take(&mut Group::default());
    }
}

/// Counts of what a handle wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The number of records.
    pub records: u64,
    /// The number of transactions whose sync to the disk was waited for.
    pub synced: u64,
    /// How often a task waited for the disk. One transaction may serve several.
    pub waited: u64,
}

#[derive(Debug, Default)]
struct Counters {
    records: AtomicU64,
    synced: AtomicU64,
    waited: AtomicU64,
    /// More than one task waited for the last commit.
    crowded: AtomicBool,
}

impl Counters {
    fn add(&self, records: u64, synced: bool, waited: u64) {
        self.records.fetch_add(records, Ordering::Relaxed);
        self.synced.fetch_add(u64::from(synced), Ordering::Relaxed);
        self.waited.fetch_add(waited, Ordering::Relaxed);
    }
}

fn unwritable(kind: &str, why: String) -> JournalError {
    JournalError::Record { which: kind.to_owned(), verb: "written", why }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
