//! The audit: checks with the file and the public key alone that a journal is what was written.

use std::collections::HashMap;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::thread::ScopedJoinHandle;

use remit_tlog::{Checkpoint, Frontier, Hash, NoteVerifier, leaf_hash};
use remit_trust::Digest;
use rusqlite::{Connection, Transaction};
use serde::Serialize;

use crate::chain::Tail;
use crate::history::History;
use crate::structure::{Indices, check_structure};
use crate::tree::{BLOCK_LEVEL, block_hashes};
use crate::{AuditError, Reader, store};

/// What the audit of a sound journal counted.
#[derive(Clone, Debug, Serialize)]
pub struct Audit {
    /// The number of records, all of them checked.
    pub records: u64,
    /// The number of runs.
    pub runs: u64,
    /// The root of the tree over all records, hex.
    pub root: String,
    /// The number of calls without an outcome: under way, or interrupted.
    pub open_calls: u64,
    /// The newest checkpoint, as signed. Keep it on another machine: a later audit with it finds a shortened journal.
    pub checkpoint: String,
}

impl Reader {
    /// Checks everything: the sequence, the chain, the tree and its signature, that each outcome has its intent and each
    /// live change its grant, and that the tables agree with the records. `since` is an older checkpoint that was kept
    /// elsewhere.
    pub fn verify(&self, key: &NoteVerifier, since: Option<&str>) -> Result<Audit, AuditError> {
        let found = self.verify_all(key, since);
        if let Some(evidence) = &self.evidence {
            evidence.unchanged()?;
        }
        found
    }

    /// Three threads share the work: one checks the structure of the file, one reads the records and checks their chain,
    /// and one builds the tree and checks the content of the records.
    fn verify_all(&self, key: &NoteVerifier, since: Option<&str>) -> Result<Audit, AuditError> {
        let mut kept = since
            .map(|note| key.verify(note))
            .transpose()
            .map_err(|e| AuditError::Since { why: e.to_string() })?;
        check_root(&mut kept, &Frontier::default())?;

        let (database, other) = (self.database(), self.connect()?);
        let database = &*same_snapshot(&database, &other).map_err(|e| self.sql(&e))?;
        let mut content = Content::default();
        let mut indices = Indices::default();
        let found = indices.clone();
        let chain = std::thread::scope(|scope| {
            let structure = scope.spawn(move || check_structure(self, &other, found));
            let ((rows, read), (full, back)) = (mpsc::sync_channel(BATCHES), mpsc::channel());
            let (content, kept) = (&mut content, &mut kept);
            let content_reader = scope.spawn(move || content.read_all(kept, &read, &full));
            let walked = self.walk(database, &mut indices, (rows, &back));
            let read = joined(content_reader);
            // Reported first: in a damaged file, the other findings may only follow from the damage.
            let found = joined(structure)?;
            // Reported before the walk's finding, because it is about an earlier record.
            read?;
            let chain = walked?;
            found.map_or(Ok(chain), |found| indices.compare(&found, self).map(|()| chain))
        })?;

        let Content { history, frontier, blocks } = content;
        if let Some(Checkpoint { size, .. }) = kept {
            let why = format!(
                "covers more records than the {} there are: the journal was shortened",
                frontier.size()
            );
            return Err(AuditError::Older { size, why });
        }
        let head = store::head(&self.path, database)?;
        store::sync(&self.path)?;
        let signed = key
            .verify(&head.note)
            .map_err(|e| AuditError::Checkpoint { why: format!("does not verify: {e}") })?;
        if signed.size != frontier.size() {
            let why = format!("covers {} records, there are {}", signed.size, frontier.size());
            return Err(AuditError::Checkpoint { why });
        }
        if signed.root != frontier.root() || head.chain != chain || head.frontier != frontier {
            return Err(AuditError::Checkpoint { why: "is not over these records".to_owned() });
        }
        if store::mark(&self.path, &signed)? != history.mark() {
            let why = "does not have the latest time of any record".to_owned();
            return Err(AuditError::Checkpoint { why });
        }
        if block_hashes(&self.path, database, i64::MAX.unsigned_abs())? != blocks {
            let (run, why) = ("the records".to_owned(), "is not over them");
            return Err(AuditError::Table { what: "hash of each block", run, why });
        }
        history.check_tables(self, database)?;
        let (runs, open_calls) = history.counts();
        Ok(Audit {
            records: frontier.size(),
            runs,
            root: hex::encode(frontier.root()),
            open_calls,
            checkpoint: head.note,
        })
    }
}

/// Begins a read transaction on both connections, so that both see the same state while others append.
fn same_snapshot<'a>(database: &'a Connection, other: &Connection) -> rusqlite::Result<Transaction<'a>> {
    let newest = |database: &Connection| {
        database.query_row("SELECT max(seq) FROM record", [], |row| row.get::<_, Option<i64>>(0))
    };
    loop {
        let transaction = database.unchecked_transaction()?;
        other.execute_batch("BEGIN")?;
        if newest(&transaction)? == newest(other)? {
            return Ok(transaction);
        }
        other.execute_batch("ROLLBACK")?;
    }
}

/// How many bytes of records go from one thread to the other at once.
const BATCH: usize = 256 * 1024;
/// How many batches the reading thread may be ahead.
const BATCHES: usize = 4;
/// The chain before the first record.
const ZERO: [u8; 32] = [0; 32];

/// Records whose chain was checked, in one buffer that is used again.
#[derive(Default)]
struct Batch {
    text: Vec<u8>,
    /// For each record: its number, its hash, and where its name, its kind and its body end in `text`.
    rows: Vec<(u64, [u8; 32], [usize; 3])>,
}

impl Batch {
    fn push(&mut self, seq: u64, chain: [u8; 32], parts: [&[u8]; 3]) {
        let ends = parts.map(|part| {
            self.text.extend_from_slice(part);
            self.text.len()
        });
        self.rows.push((seq, chain, ends));
    }

    fn rows(&self) -> impl Iterator<Item = (u64, &[u8; 32], [&[u8]; 3])> {
        let mut start = 0;
        self.rows.iter().map(move |(seq, chain, ends)| {
            let parts = ends.map(|end| &self.text[std::mem::replace(&mut start, end)..end]);
            (*seq, chain, parts)
        })
    }

    fn clear(&mut self) {
        self.text.clear();
        self.rows.clear();
    }
}

impl Reader {
    /// Reads all records in order, checks that each continues the chain, and sends them to the thread that checks their
    /// content. Buffers come `back` to be used again. Returns the hash of the last record.
    fn walk(
        &self,
        database: &Connection,
        indices: &mut Indices,
        (to, back): (SyncSender<Batch>, &Receiver<Batch>),
    ) -> Result<[u8; 32], AuditError> {
        let mut batch = Batch::default();
        let mut walk = || {
            let (mut chain, mut last) = (ZERO, 0);
            // The newest record under each name.
            let mut tails: HashMap<Vec<u8>, Tail> = HashMap::new();
            let query = "SELECT seq, run, kind, body, chain, place FROM record NOT INDEXED ORDER BY seq";
            let mut statement = database.prepare(query).map_err(|e| self.sql(&e))?;
            let mut rows = statement.query([]).map_err(|e| self.sql(&e))?;
            while let Some(row) = rows.next().map_err(|e| self.sql(&e))? {
                let read = || -> rusqlite::Result<(i64, [&[u8]; 4], i64)> {
                    let bytes = |column| row.get_ref(column)?.as_bytes().map_err(rusqlite::Error::from);
                    let parts = [bytes(1)?, bytes(2)?, bytes(3)?, bytes(4).unwrap_or_default()];
                    Ok((row.get(0)?, parts, row.get(5)?))
                };
                let (seq, [of, kind, body, stored], place) = read().map_err(|e| self.sql(&e))?;
                let seq = seq.cast_unsigned();
                if seq != last + 1 {
                    let why = format!("is missing: {seq} follows {last}");
                    return Err(AuditError::Record { seq: last + 1, why });
                }
                last = seq;
                let digest = Digest::of(body);
                let tail = match tails.get_mut(of) {
                    Some(tail) => tail,
                    None => tails.entry(of.to_owned()).or_default(),
                };
                *tail = tail.next(&chain, &digest);
                chain = tail.entry;
                if stored != chain {
                    let why = "is not the one that was written: its hash does not continue the chain";
                    return Err(AuditError::Record { seq, why: why.to_owned() });
                }
                if place.cast_unsigned() != tail.place {
                    let why =
                        format!("is stored as number {place} under its name, and is number {}", tail.place);
                    return Err(AuditError::Record { seq, why });
                }
                indices.note(seq, of, kind);
                batch.push(seq, chain, [of, kind, body]);
                if batch.text.len() >= BATCH {
                    let empty = back.try_recv().unwrap_or_default();
                    // The other thread ended, because it found something.
                    if to.send(std::mem::replace(&mut batch, empty)).is_err() {
                        return Ok(chain);
                    }
                }
            }
            Ok(chain)
        };
        let walked = walk();
        // The content of the records before a finding is still checked.
        let _ = to.send(batch);
        walked
    }
}

/// What follows from the records: the tree over them, the hash of each complete block of it, and their content.
#[derive(Default)]
struct Content {
    frontier: Frontier,
    blocks: Vec<Hash>,
    history: History,
}

impl Content {
    /// Checks the records of each batch, and gives the buffers back.
    fn read_all(
        &mut self,
        kept: &mut Option<Checkpoint>,
        batches: &Receiver<Batch>,
        back: &Sender<Batch>,
    ) -> Result<(), AuditError> {
        for mut batch in batches {
            for (seq, chain, [of, kind, body]) in batch.rows() {
                self.blocks.extend(self.frontier.push_noting(leaf_hash(chain), BLOCK_LEVEL));
                check_root(kept, &self.frontier)?;
                self.history.read(seq, of, kind, body)?;
            }
            batch.clear();
            // At the end, nobody receives it any more.
            let _ = back.send(batch);
        }
        Ok(())
    }
}

/// The result of a thread of the audit.
fn joined<T>(thread: ScopedJoinHandle<'_, Result<T, AuditError>>) -> Result<T, AuditError> {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Compares the log with an older checkpoint of it, as soon as it has the same size.
fn check_root(kept: &mut Option<Checkpoint>, frontier: &Frontier) -> Result<(), AuditError> {
    match kept.take_if(|kept| kept.size == frontier.size()) {
        Some(kept) if kept.root != frontier.root() => Err(AuditError::Older {
            size: kept.size,
            why: "is not over these records: the journal was rewritten".to_owned(),
        }),
        _ => Ok(()),
    }
}
