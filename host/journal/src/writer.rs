//! The one writer of a handle: it takes whatever waits and commits it together.
//!
//! Whoever waits for a commit does it, if the writer is free: two switches between threads take longer than what is
//! to be done. If it is not, the writer's own thread goes on with whatever has come together meanwhile; it also commits what
//! nobody waits for. Where several wait for the disk, it leaves that to another one: see [`Disk`].

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
use crate::watch::{Bell, Shared};
use crate::{Act, CallEvent, Event, JournalError, Poisoned, Reader, Record, RunId, StartError, Watch};

/// What comes back to one who waits.
type Answered = oneshot::Receiver<Result<(), StartError>>;

/// How many bytes of records the writer has room for at once without asking for more memory.
const KEPT: usize = 2 * 1024 * 1024;

/// A handle to append with. Cheap to clone; all clones share one writer. What was noted is flushed when
/// the last clone is dropped.
#[derive(Clone)]
pub struct Journal(Arc<Inner>);

struct Inner {
    reader: Arc<Shared>,
    bell: Bell,
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
    /// Opens the journal at `path`, making it if there is none. Checkpoints are signed by `signer`, which
    /// must be the one that signed so far.
    pub fn open(path: &Path, signer: NoteSigner) -> Result<Self, JournalError> {
        let database = store::open(path, &signer)?;
        let queue = Arc::new(Queue::default());
        let poison = Arc::new(OnceLock::new());
        let counts = Arc::new(Counters::default());
        let bell = Bell::beside(path)?;
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
            bell: bell.clone(),
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
            bell,
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

    /// The journal's file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.reader.path
    }

    /// What this handle wrote so far.
    #[must_use]
    pub fn written(&self) -> Written {
        let Counters { records, synced, waited, .. } = &*self.0.counts;
        let [records, synced, waited] = [records, synced, waited].map(|count| count.load(Ordering::Relaxed));
        Written { records, synced, waited }
    }

    /// The reader of the same file that everybody in this process shares. It sees what is committed.
    pub fn reader(&self) -> Result<Arc<Reader>, JournalError> {
        self.0.reader.get()
    }

    /// Appends a record without waiting: it becomes durable, in order, no later than the next
    /// [`Journal::commit`] and usually within 20 ms.
    pub fn note(&self, record: Record) -> Result<(), JournalError> {
        self.send(record, None, Wants::Nothing)
    }

    /// The same for an event of a host call, straight from what the call holds; answers the record's length in bytes.
    pub fn note_call<A: Serialize, V: Serialize, F: Serialize>(
        &self,
        run: RunId,
        at: Timestamp,
        event: &CallEvent<'_, A, V, F>,
    ) -> Result<u64, JournalError> {
        let of = run.filed();
        let head = Head { of, kind: event.kind(), at, transition: Transition::Goes };
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
    /// Its time is the journal's: where it is more than two seconds before [`Reader::highest`], it is set to that. But for
    /// an intent, which is refused then: see [`Journal::intend`].
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

    /// Appends the intent of a change; on return it is durable. Refused if anything that the run rests on was
    /// taken away: the two are never both on record in the other order. Refused too if its time is more than two seconds
    /// before [`Reader::highest`]: a clock that was set back gives no authority that is over.
    pub async fn intend(&self, record: Record) -> Result<(), StartError> {
        self.wait(record, None, Wants::Durable).await
    }

    /// Appends an act; on return it, and all before it, are durable. Its time is the journal's, as of [`Journal::commit`].
    pub async fn act(&self, act: &Act) -> Result<(), JournalError> {
        let kind = act.deed.kind();
        let transition =
            act.change().map_or(Transition::Goes, |change| Transition::Decides(Box::new(change)));
        let (done, answer) = oneshot::channel();
        self.write(Head { of: act.about.filed(), kind, at: act.at, transition }, act, Wants::Durable(done))?;
        self.answered(answer).await
    }

    /// Tells, at any moment, whether what a run rests on was taken away. To be had before the run starts: what
    /// happens from then on is seen.
    #[must_use]
    pub fn watch(&self, run: RunId) -> Watch {
        Watch::new(&self.0.reader, &self.0.bell, run)
    }

    /// The newest checkpoint as witnesses take it: signed anew, without the time, for not all of them sign what they do not
    /// know. What it covers is on the disk.
    pub fn plain_checkpoint(&self) -> Result<String, JournalError> {
        let note = self.reader()?.checkpoint()?;
        // A writer that panicked left its key as it was.
        let writer = self.0.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let signed = writer.signer.verifier().verify(&note).map_err(|error| JournalError::OtherKey {
            path: self.path().to_owned(),
            why: error.to_string(),
        })?;
        Ok(writer.signer.sign(&Checkpoint { extensions: Vec::new(), ..signed }))
    }

    /// What time it is: the machine's clock, but never before any record. Whatever is judged by the clock is judged by this.
    pub fn now(&self) -> Result<Timestamp, JournalError> {
        self.reader()?.now()
    }

    /// Appends a run's first record. Refused if its time is more than two seconds before [`Reader::highest`]. In the same transaction the use of its grant is counted, and the key
    /// that its secrets will be sealed under is kept, itself sealed under the host's.
    ///
    /// On return it is admitted, and every process sees it, whatever becomes of this one. It need not have reached the
    /// disk: it does with the run's first change, disclosure or end, before that takes effect. A run that a power
    /// failure takes out of the journal has done nothing but read.
    pub async fn start(&self, record: Record, key: Sealed) -> Result<(), StartError> {
        if !matches!(record.event, Event::Started(_)) {
            return Err(StartError::NotAStart(record.event.kind()));
        }
        self.wait(record, Some(key), Wants::Word).await
    }

    /// Waits until everything noted so far is durable.
    pub async fn flush(&self) -> Result<(), JournalError> {
        self.answered(self.ask(Wants::Durable)?).await
    }

    /// Waits until everything noted so far is in the file, where every reader sees it; not for the disk.
    pub async fn catch_up(&self) -> Result<(), JournalError> {
        self.answered(self.ask(Wants::Word)?).await
    }

    /// The answer to what has no other than that it is there.
    async fn answered(&self, answer: Answered) -> Result<(), JournalError> {
        self.work();
        match answer.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(StartError::Journal(error))) => Err(error),
            Ok(Err(_)) | Err(_) => Err(self.gone()),
        }
    }

    /// Commits what is in the queue, or leaves it to those who are at it. It takes as long as the disk does, and the
    /// other tasks of this thread wait that long: everything of Remit's waits for the disk sooner or later.
    fn work(&self) {
        // Where many wait at once, more come together while this thread goes on.
        if self.0.counts.crowded.load(Ordering::Relaxed) {
            return self.0.queue.hurry();
        }
        match self.0.writer.try_lock() {
            Ok(mut writer) => writer.commit(),
            Err(TryLockError::WouldBlock) => return self.0.queue.hurry(),
            // A half-made commit is rolled back, but what it was about nobody knows any more.
            Err(TryLockError::Poisoned(_)) => {
                let _ = self.0.poison.set(panicked());
                self.0.queue.close();
            }
        }
        // What came meanwhile, with somebody who saw that the writer was not free.
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
            Event::Ended(_) => Transition::Ends,
            Event::UndoExpired(_) => Transition::Expires,
            _ => Transition::Goes,
        };
        self.write(Head { of: record.run.filed(), kind, at: record.at, transition }, &record, wants)
    }

    /// Writes a record's text and hands it over.
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

    /// A message without a record.
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
        // The writer's connection is to be the last one: closing that brings everything into the file itself.
        self.reader.close();
        self.queue.close();
        if let Some(thread) = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            // A panic of the writer was reported by the thread itself.
            let _ = thread.join();
        }
    }
}

struct Writer {
    path: PathBuf,
    /// Waits for the disk where many wait at once; none until they do.
    disk: Option<Disk>,
    /// Moves the log into the file meanwhile. Gone before the connection below: the last one to go takes the log along.
    backfill: Option<Backfill>,
    database: Connection,
    signer: NoteSigner,
    /// The state of the log that this writer left behind, or found and verified.
    trusted: Option<Trusted>,
    /// What the connection is set to.
    set: Durability,
    /// Everything committed is on the disk, and not only on its way there.
    synced: bool,
    /// Empty between two commits: its room is used again.
    group: Group,
    queue: Arc<Queue>,
    bell: Bell,
    poison: Arc<OnceLock<Poisoned>>,
    counts: Arc<Counters>,
}

/// What the writer's own thread does.
fn serve(writer: &Mutex<Writer>, queue: &Queue, counts: &Counters) {
    // Ends however this does: nobody may wait for a writer that is gone.
    let _closed = Closes(queue);
    loop {
        let more = queue.wait();
        if counts.crowded.load(Ordering::Relaxed) {
            // Whoever is about to send something does it first: each transaction has its price.
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
    /// Commits whatever waits; with nothing waiting, sees to it that what is committed is on the disk.
    fn commit(&mut self) {
        let mut group = std::mem::take(&mut self.group);
        self.queue.take(&mut group);
        self.commit_group(&mut group);
        group.text.clear();
        // After a burst of large records, not all of that is needed any more.
        group.text.shrink_to(KEPT);
        self.group = group;
    }

    fn commit_group(&mut self, group: &mut Group) {
        let mut entries = Vec::with_capacity(group.messages.len());
        let mut waiting = Vec::with_capacity(group.messages.len());
        let mut barriers = Vec::new();
        let (mut words, mut durable) = (0, 0);
        for Message { entry, wants } in group.messages.drain(..) {
            words += u64::from(matches!(wants, Wants::Word(_)));
            durable += u64::from(matches!(wants, Wants::Durable(_)));
            match entry {
                Some(entry) => {
                    entries.push(entry);
                    waiting.push(wants);
                }
                None => barriers.push(wants),
            }
        }
        self.counts.crowded.store(words + durable > 1, Ordering::Relaxed);
        // Where several wait for the disk, the next ones are on their way: their transaction is made meanwhile.
        let apart = durable > 1 && !entries.is_empty() && self.has_disk();
        // Where somebody waits for a word and nobody for the disk, it is not waited for at all.
        let later = apart || (words > 0 && durable == 0);
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
                    self.bell.ring();
                }
                let mut owed = Vec::new();
                let barriers = barriers.into_iter().map(|wants| (wants, Ok(())));
                for (wants, answer) in barriers.chain(waiting.into_iter().zip(answers)) {
                    match wants {
                        Wants::Nothing => {}
                        Wants::Durable(done) if apart => owed.push((done, answer)),
                        // Whoever asked may be gone; the record is there all the same.
                        Wants::Word(done) | Wants::Durable(done) => drop(done.send(answer)),
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
                    if let Wants::Word(done) | Wants::Durable(done) = wants {
                        let _ = done.send(Err(error.clone().into()));
                    }
                }
            }
        }
    }

    /// Whether somebody else can wait for the disk; begins that if it is the first time.
    fn has_disk(&mut self) -> bool {
        if self.disk.is_none() {
            // Without a thread or a handle left for it, this one waits.
            self.disk = Disk::new(&self.path, &self.poison).ok();
            if self.disk.is_some() {
                // Without one for this, SQLite moves the log as it always does.
                self.backfill = Backfill::new(&self.path, &self.database).ok();
            }
        }
        self.disk.is_some()
    }
}

/// Closes a queue when it goes, with everything that is left in it.
struct Closes<'a>(&'a Queue);

impl Drop for Closes<'_> {
    fn drop(&mut self) {
        self.0.close();
        self.0.take(&mut Group::default());
    }
}

/// What a handle wrote so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Records.
    pub records: u64,
    /// Transactions that were waited for until the disk had them.
    pub synced: u64,
    /// How often somebody waited for the disk: several that wait at once are served by one transaction.
    pub waited: u64,
}

#[derive(Debug, Default)]
struct Counters {
    records: AtomicU64,
    synced: AtomicU64,
    waited: AtomicU64,
    /// The last commit was waited for by more than one.
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
