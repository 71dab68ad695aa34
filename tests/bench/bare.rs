//! The floor of what is durable: SQLite in WAL mode, `synchronous=FULL`, one table, nothing else.

use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::oneshot;

/// About as long as a record of a change.
pub const RECORD: &[u8] = &[b'x'; 600];

pub fn database(file: &Path) -> Connection {
    let database = Connection::open(file).expect("a database");
    database.pragma_update(None, "journal_mode", "WAL").expect("WAL");
    database.pragma_update(None, "synchronous", "FULL").expect("FULL");
    database
        .execute_batch("CREATE TABLE record (seq INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT")
        .expect("a table");
    database
}

pub fn insert(database: &Connection) {
    let mut insert = database.prepare_cached("INSERT INTO record (body) VALUES (?1)").expect("a statement");
    insert.execute([RECORD]).expect("inserted");
}

/// A writer that commits together whatever waits, and nothing more.
pub struct Group {
    queue: Option<mpsc::Sender<oneshot::Sender<()>>>,
    thread: Option<JoinHandle<()>>,
}

impl Group {
    pub fn new(file: &Path) -> Self {
        let mut database = database(file);
        let (queue, waiting) = mpsc::channel::<oneshot::Sender<()>>();
        let thread = std::thread::spawn(move || {
            while let Ok(first) = waiting.recv() {
                let mut group = vec![first];
                group.extend(waiting.try_iter().take(1_023));
                let transaction = database.transaction().expect("a transaction");
                for _ in &group {
                    insert(&transaction);
                }
                transaction.commit().expect("committed");
                for done in group {
                    let _ = done.send(());
                }
            }
        });
        Self { queue: Some(queue), thread: Some(thread) }
    }

    /// Writes one record and waits for it.
    pub async fn write(&self) {
        let (done, answer) = oneshot::channel();
        self.queue.as_ref().expect("open").send(done).expect("it writes");
        answer.await.expect("it answers");
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            thread.join().expect("it ends");
        }
    }
}
