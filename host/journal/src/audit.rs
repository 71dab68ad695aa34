//! The proof that a journal is what was written: with the file and the public key, and nothing else.

use std::collections::HashMap;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::thread::ScopedJoinHandle;

use miette::Diagnostic;
use remit_tlog::{Checkpoint, Frontier, Hash, NoteVerifier, leaf_hash};
use remit_trust::Digest;
use rusqlite::{Connection, Transaction};
use serde::Serialize;

use crate::chain::Tail;
use crate::story::{Misjudged, Story};
use crate::structure::{Indices, check_structure};
use crate::tree::{self, BLOCK_LEVEL};
use crate::{JournalError, Reader, store};

/// What a sound journal came to.
#[derive(Clone, Debug, Serialize)]
pub struct Audit {
    /// Records, all of them checked.
    pub records: u64,
    /// Runs.
    pub runs: u64,
    /// The root of the tree over all records, hex.
    pub root: String,
    /// Calls whose outcome is not on record: under way, or interrupted.
    pub open_calls: u64,
    /// Rehearsals that an earlier version took for real runs when it recovered them. It may have taken back on the live
    /// systems what it had only simulated: a person must look at what is named here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub misjudged: Vec<Misjudged>,
    /// The newest checkpoint, as signed. Keep it elsewhere: it finds a shortened journal.
    pub checkpoint: String,
}

/// What is wrong with a journal. The first thing found is told.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum AuditError {
    /// A record was altered, removed, added or moved.
    #[error("record {seq} {why}")]
    #[diagnostic(code("integrity::record-tampered"), help("{}", KEEP))]
    Record {
        /// Its sequence number.
        seq: u64,
        /// What is wrong.
        why: String,
    },
    /// The newest checkpoint does not belong to these records.
    #[error("the journal's last checkpoint {why}")]
    #[diagnostic(code("integrity::checkpoint"), help("{}", KEEP))]
    Checkpoint {
        /// What is wrong.
        why: String,
    },
    /// An older checkpoint does not belong to these records.
    #[error("the checkpoint at size {size} {why}")]
    #[diagnostic(code("integrity::checkpoint"), help("{}", KEEP))]
    Older {
        /// How many records it covers.
        size: u64,
        /// What is wrong.
        why: String,
    },
    /// A table beside the records does not say what they say.
    #[error("the {what} of {run} {why}")]
    #[diagnostic(code("integrity::table"), help("{}", KEEP))]
    Table {
        /// What it is about.
        what: &'static str,
        /// Which run.
        run: String,
        /// What is wrong.
        why: &'static str,
    },
    /// The file could not be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Journal(#[from] JournalError),
}

const KEEP: &str =
    "keep the file as evidence, do not run anything on this home, and compare with a copy of the journal";

impl Reader {
    /// Checks everything: sequence, chain, tree, signatures, that calls have their intents and live changes
    /// their grants. `since` is an older checkpoint that was kept elsewhere.
    ///
    /// Three threads share the work: one looks at the file's own structure, one reads the records and holds them against
    /// their chain, one builds the tree over them and reads what they say.
    pub fn verify(&self, key: &NoteVerifier, since: Option<&str>) -> Result<Audit, AuditError> {
        let mut kept = since
            .map(|note| key.verify(note))
            .transpose()
            .map_err(|e| AuditError::Checkpoint { why: format!("given with --since: {e}") })?;
        check_root(&mut kept, &Frontier::default())?;

        let (database, (other, _)) = (self.database(), store::open_read_only(&self.path)?);
        let database = &*same_snapshot(&database, &other).map_err(|e| self.sql(&e))?;
        let placed_since = self.placed_since(database)?;
        let mut told =
            Told { frontier: Frontier::default(), blocks: Vec::new(), story: Story::of(placed_since) };
        let mut indices = Indices::default();
        let found = indices.clone();
        let chain = std::thread::scope(|scope| {
            let structure = scope.spawn(move || check_structure(self, &other, found));
            let ((rows, read), (full, back)) = (mpsc::sync_channel(BATCHES), mpsc::channel());
            let (told, kept) = (&mut told, &mut kept);
            let teller = scope.spawn(move || told.read_all(kept, &read, &full));
            let walked = self.walk(database, placed_since, &mut indices, (rows, &back));
            let read = joined(teller);
            // In a file that is damaged, what else was found may be what the damage makes of it.
            let found = joined(structure)?;
            // What was read is of an earlier record than where the walk ended.
            read?;
            let chain = walked?;
            found.map_or(Ok(chain), |found| indices.compare(&found, self).map(|()| chain))
        })?;

        let Told { story, frontier, blocks } = told;
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
            .map_err(|e| AuditError::Checkpoint { why: format!("is not good: {e}") })?;
        if signed.size != frontier.size() {
            let why = format!("covers {} records, there are {}", signed.size, frontier.size());
            return Err(AuditError::Checkpoint { why });
        }
        if signed.root != frontier.root() || head.chain != chain || head.frontier != frontier {
            return Err(AuditError::Checkpoint { why: "is not over these records".to_owned() });
        }
        if self.version > 6 {
            if placed_since > frontier.size() + 1 {
                let why = "is of fewer records than are said to be of the old form".to_owned();
                return Err(AuditError::Checkpoint { why });
            }
            if store::mark(&self.path, &signed)? != story.mark() {
                let why = "does not say the latest time of any record".to_owned();
                return Err(AuditError::Checkpoint { why });
            }
            if tree::kept(self, database, i64::MAX.unsigned_abs())? != blocks {
                let (run, why) = ("the records".to_owned(), "is not over them");
                return Err(AuditError::Table { what: "hash of each block", run, why });
            }
        }
        story.check_tables(self, database)?;
        let (runs, open_calls) = story.counts();
        Ok(Audit {
            records: frontier.size(),
            runs,
            root: hex::encode(frontier.root()),
            open_calls,
            misjudged: story.misjudged(),
            checkpoint: head.note,
        })
    }
}

/// The same state for two readers, while others may append; the other one's until it is closed.
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

/// How much text of records goes from one thread to the other at once, in bytes, and how often that may be ahead.
const BATCH: usize = 256 * 1024;
const BATCHES: usize = 4;
/// What the first record's hash continues.
const ZERO: [u8; 32] = [0; 32];

/// Records as they lie in the file, each of which continues the chain: one text for all, which is used again.
#[derive(Default)]
struct Batch {
    text: Vec<u8>,
    /// Of each its number, its hash, and where what it is filed under, its kind and its body end.
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
    /// Reads all records in order, makes sure that each continues the chain, and hands them on; what comes `back` was
    /// read. Gives the last one's hash.
    fn walk(
        &self,
        database: &Connection,
        placed_since: u64,
        indices: &mut Indices,
        (to, back): (SyncSender<Batch>, &Receiver<Batch>),
    ) -> Result<[u8; 32], AuditError> {
        let mut batch = Batch::default();
        let mut walk = || {
            let (mut chain, mut last) = (ZERO, 0);
            // Under each name, where its newest record stands.
            let mut tails: HashMap<Vec<u8>, Tail> = HashMap::new();
            let place = if self.version < 7 { "0" } else { "place" };
            let query =
                format!("SELECT seq, run, kind, body, chain, {place} FROM record NOT INDEXED ORDER BY seq");
            let mut statement = database.prepare(&query).map_err(|e| self.sql(&e))?;
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
                let placed = seq >= placed_since;
                *tail = if placed { tail.next(&chain, &digest) } else { tail.next_unplaced(&chain, &digest) };
                let noted = if placed { tail.place } else { 0 };
                chain = tail.entry;
                if stored != chain {
                    let why = "is not the one that was written here: its hash does not continue the chain";
                    return Err(AuditError::Record { seq, why: why.to_owned() });
                }
                if place.cast_unsigned() != noted {
                    let why =
                        format!("is noted as number {place} of those of its name, and is number {noted}");
                    return Err(AuditError::Record { seq, why });
                }
                indices.note(seq, of, kind);
                batch.push(seq, chain, [of, kind, body]);
                if batch.text.len() >= BATCH {
                    let empty = back.try_recv().unwrap_or_default();
                    // Nobody takes it any more: something was found.
                    if to.send(std::mem::replace(&mut batch, empty)).is_err() {
                        return Ok(chain);
                    }
                }
            }
            Ok(chain)
        };
        let walked = walk();
        // Also what came before something that is wrong is to be read.
        let _ = to.send(batch);
        walked
    }
}

impl Reader {
    /// From which record on each one's place is in its entry.
    fn placed_since(&self, database: &Connection) -> Result<u64, JournalError> {
        if self.version < 7 {
            return Ok(u64::MAX);
        }
        let since: i64 = database
            .query_row("SELECT placed_since FROM head", [], |row| row.get(0))
            .map_err(|e| self.sql(&e))?;
        Ok(since.cast_unsigned())
    }
}

/// What the records come to: the tree over them, with the hash of each whole block of it, and what they say.
struct Told {
    frontier: Frontier,
    blocks: Vec<Hash>,
    story: Story,
}

impl Told {
    /// Reads the records that come, and gives back what they came in.
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
                self.story.read(seq, of, kind, body)?;
            }
            batch.clear();
            // Nobody wants it any more at the end.
            let _ = back.send(batch);
        }
        Ok(())
    }
}

/// What the threads of an audit came to.
fn joined<T>(thread: ScopedJoinHandle<'_, Result<T, AuditError>>) -> Result<T, AuditError> {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Holds the log against an older checkpoint of it, once it is of the same size.
fn check_root(kept: &mut Option<Checkpoint>, frontier: &Frontier) -> Result<(), AuditError> {
    match kept.take_if(|kept| kept.size == frontier.size()) {
        Some(kept) if kept.root != frontier.root() => Err(AuditError::Older {
            size: kept.size,
            why: "is not over these records: the journal was rewritten".to_owned(),
        }),
        _ => Ok(()),
    }
}
