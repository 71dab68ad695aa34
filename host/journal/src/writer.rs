//! The one writer of a handle: a thread that takes whatever waits and commits it together.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use remit_tlog::NoteSigner;
use rusqlite::Connection;
use tokio::sync::oneshot;

use remit_trust::Sealed;

use crate::act::Effect;
use crate::store::{self, Entry, Turn};
use crate::watch::Bell;
use crate::{Act, Event, JournalError, Poisoned, Reader, Record, RunId, StartError, Watch};

/// The most entries in one transaction.
const GROUP: usize = 1024;
/// How long a record that nobody waits for may stay in memory.
const LINGER: Duration = Duration::from_millis(20);

/// A handle to append with. Cheap to clone; all clones share one writer. What was noted is flushed when
/// the last clone is dropped.
#[derive(Clone)]
pub struct Journal(Arc<Inner>);

struct Inner {
    path: PathBuf,
    bell: Bell,
    /// Taken on drop, so that the thread sees the end.
    queue: Mutex<Option<Sender<Message>>>,
    poison: Arc<OnceLock<Poisoned>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Message {
    /// None only waits for what came before.
    entry: Option<Entry>,
    done: Option<oneshot::Sender<Result<(), StartError>>>,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Journal({})", self.0.path.display())
    }
}

impl Journal {
    /// Opens the journal at `path`, making it if there is none. Checkpoints are signed by `signer`, which
    /// must be the one that signed so far.
    pub fn open(path: &Path, signer: NoteSigner) -> Result<Self, JournalError> {
        let database = store::open(path, &signer)?;
        let (queue, messages) = mpsc::channel();
        let poison = Arc::new(OnceLock::new());
        let bell = Bell::beside(path)?;
        let mut writer = Writer {
            path: path.to_owned(),
            database,
            signer,
            bell: bell.clone(),
            poison: Arc::clone(&poison),
        };
        let thread = std::thread::Builder::new()
            .name("remit-journal".to_owned())
            .spawn(move || writer.serve(&messages))
            .map_err(|error| JournalError::io(path, &error))?;
        Ok(Self(Arc::new(Inner {
            path: path.to_owned(),
            bell,
            queue: Mutex::new(Some(queue)),
            poison,
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
        &self.0.path
    }

    /// A reader of the same file. It sees what is committed.
    pub fn reader(&self) -> Result<Reader, JournalError> {
        Reader::open(&self.0.path)
    }

    /// Appends a record without waiting: it becomes durable, in order, no later than the next
    /// [`Journal::commit`] and usually within 20 ms.
    pub fn note(&self, record: Record) -> Result<(), JournalError> {
        self.send(record, None, None)
    }

    /// Appends a record; on return it, and all before it, are durable.
    pub async fn commit(&self, record: Record) -> Result<(), JournalError> {
        match self.wait(record, None).await {
            Ok(()) => Ok(()),
            Err(StartError::Journal(error)) => Err(error),
            Err(other) => Err(JournalError::Record {
                which: "started".to_owned(),
                verb: "written",
                why: other.to_string(),
            }),
        }
    }

    /// Appends the intent of a change; on return it is durable. Refused if anything that the run rests on was
    /// taken away: the two are never both on record in the other order.
    pub async fn intend(&self, record: Record) -> Result<(), StartError> {
        self.wait(record, None).await
    }

    /// Appends an act; on return it, and all before it, are durable.
    pub async fn act(&self, act: &Act) -> Result<(), JournalError> {
        let kind = act.deed.kind();
        let body = serde_json::to_vec(act).map_err(|error| unwritable(kind, error.to_string()))?;
        let turn = act.effect().map_or(Turn::Goes, Turn::Decides);
        let (done, answer) = oneshot::channel();
        let entry = Entry { of: act.about.to_string(), kind, body, turn };
        self.enqueue(Message { entry: Some(entry), done: Some(done) })?;
        match answer.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(StartError::Journal(error))) => Err(error),
            Ok(Err(_)) | Err(_) => Err(self.gone()),
        }
    }

    /// Tells, at any moment, whether what a run rests on was taken away. To be had before the run starts: what
    /// happens from then on is seen.
    #[must_use]
    pub fn watch(&self, run: RunId) -> Watch {
        Watch::new(self.path(), &self.0.bell, run)
    }

    /// Appends a run's first record. In the same transaction the use of its grant is counted, and the key
    /// that its secrets will be sealed under is kept, itself sealed under the host's.
    pub async fn start(&self, record: Record, key: Sealed) -> Result<(), StartError> {
        if !matches!(record.event, Event::Started(_)) {
            return Err(StartError::NotAStart(record.event.kind()));
        }
        self.wait(record, Some(key)).await
    }

    /// Waits until everything noted so far is durable.
    pub async fn flush(&self) -> Result<(), JournalError> {
        let (done, answer) = oneshot::channel();
        self.enqueue(Message { entry: None, done: Some(done) })?;
        match answer.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(StartError::Journal(error))) => Err(error),
            Ok(Err(_)) | Err(_) => Err(self.gone()),
        }
    }

    async fn wait(&self, record: Record, key: Option<Sealed>) -> Result<(), StartError> {
        let (done, answer) = oneshot::channel();
        self.send(record, key, Some(done))?;
        answer.await.unwrap_or_else(|_| Err(self.gone().into()))
    }

    fn send(
        &self,
        record: Record,
        key: Option<Sealed>,
        done: Option<oneshot::Sender<Result<(), StartError>>>,
    ) -> Result<(), JournalError> {
        if let Some(poisoned) = self.0.poison.get() {
            return Err(poisoned.clone().into());
        }
        let kind = record.event.kind();
        let body = serde_json::to_vec(&record).map_err(|error| unwritable(kind, error.to_string()))?;
        let turn = match &record.event {
            Event::Started(started) => Turn::Starts {
                run: record.run,
                grant: started.grant.as_ref().map(|grant| (grant.digest, grant.uses)),
                rests_on: started.rests_on(),
                key: key.ok_or_else(|| unwritable(kind, "a run starts with `Journal::start`".to_owned()))?,
            },
            Event::Intent(_) if done.is_some() => Turn::Changes,
            Event::Phase(_) => Turn::Opens,
            Event::Ended(_) => Turn::Ends,
            Event::UndoExpired(_) => Turn::Expires,
            _ => Turn::Goes,
        };
        self.enqueue(Message { entry: Some(Entry { of: record.run.to_string(), kind, body, turn }), done })
    }

    fn enqueue(&self, message: Message) -> Result<(), JournalError> {
        if let Some(poisoned) = self.0.poison.get() {
            return Err(poisoned.clone().into());
        }
        let queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.as_ref().and_then(|queue| queue.send(message).ok()).ok_or_else(|| self.gone())
    }

    fn gone(&self) -> JournalError {
        let why = Arc::from("its writer ended");
        self.0.poison.get().cloned().unwrap_or(Poisoned { why }).into()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.queue.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            // A panic of the writer was reported by the thread itself.
            let _ = thread.join();
        }
    }
}

struct Writer {
    path: PathBuf,
    database: Connection,
    signer: NoteSigner,
    bell: Bell,
    poison: Arc<OnceLock<Poisoned>>,
}

impl Writer {
    fn serve(&mut self, messages: &Receiver<Message>) {
        while let Ok(first) = messages.recv() {
            let mut group = vec![first];
            let since = Instant::now();
            let mut open = true;
            while group.len() < GROUP {
                // With nobody waiting, linger: the next commit takes these along.
                let waited_for = group.iter().any(|message| message.done.is_some());
                let patience =
                    if waited_for { Duration::ZERO } else { LINGER.saturating_sub(since.elapsed()) };
                match messages.recv_timeout(patience) {
                    Ok(message) => group.push(message),
                    Err(RecvTimeoutError::Timeout) => break,
                    Err(RecvTimeoutError::Disconnected) => {
                        open = false;
                        break;
                    }
                }
            }
            self.commit(group);
            if !open {
                return;
            }
        }
    }

    fn commit(&mut self, group: Vec<Message>) {
        let mut entries = Vec::with_capacity(group.len());
        let mut waiting = Vec::with_capacity(group.len());
        let mut barriers = Vec::new();
        for Message { entry, done } in group {
            match entry {
                Some(entry) => {
                    entries.push(entry);
                    waiting.push(done);
                }
                None => barriers.extend(done),
            }
        }
        let decides = entries.iter().any(|entry| matches!(entry.turn, Turn::Decides(Effect::Strikes(..))));
        let result = match self.poison.get() {
            Some(poisoned) => Err(poisoned.clone().into()),
            None if entries.is_empty() => Ok(Vec::new()),
            None => store::append(&self.path, &mut self.database, &self.signer, &entries),
        };
        match result {
            Ok(answers) => {
                if decides {
                    self.bell.ring();
                }
                for done in barriers {
                    let _ = done.send(Ok(()));
                }
                for (done, answer) in waiting.into_iter().zip(answers) {
                    if let Some(done) = done {
                        // Whoever asked may be gone; the record is there all the same.
                        let _ = done.send(answer);
                    }
                }
            }
            Err(error) => {
                tracing::error!(%error, "the journal failed; nothing more is permitted");
                let _ = self.poison.set(Poisoned { why: error.to_string().into() });
                for done in waiting.into_iter().flatten().chain(barriers) {
                    let _ = done.send(Err(error.clone().into()));
                }
            }
        }
    }
}

fn unwritable(kind: &str, why: String) -> JournalError {
    JournalError::Record { which: kind.to_owned(), verb: "written", why }
}
