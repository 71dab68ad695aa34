//! The proof that a journal is what was written: with the file and the public key, and nothing else.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use miette::Diagnostic;
use remit_tlog::{Frontier, NoteVerifier, leaf_hash};
use serde::Serialize;

use crate::{Event, JournalError, Mode, Reader, Record, RunId, store};

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
    /// The list of grant uses does not belong to these records.
    #[error("the use of a grant by {run} {why}")]
    #[diagnostic(code("integrity::grant-use"), help("{}", KEEP))]
    GrantUse {
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
    pub fn verify(&self, key: &NoteVerifier, since: Option<&str>) -> Result<Audit, AuditError> {
        let database = self.database();
        // One snapshot, while others may append.
        let transaction = database.unchecked_transaction().map_err(|e| self.sql(&e))?;
        let database = &*transaction;
        let whole: String = database
            .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
            .map_err(|e| self.sql(&e))?;
        if whole != "ok" {
            return Err(JournalError::damaged(&self.path, whole).into());
        }
        let mut expected = checkpoints(self, database, key)?;
        if let Some(note) = since {
            let kept = key
                .verify(note)
                .map_err(|e| AuditError::Checkpoint { why: format!("given with --since: {e}") })?;
            expected.entry(kept.size).or_default().push(kept.root);
        }

        let mut chain = [0; 32];
        let mut frontier = Frontier::default();
        let mut story = Story::default();
        check_root(&mut expected, &frontier)?;
        let mut statement = database
            .prepare("SELECT seq, run, kind, body, chain FROM record ORDER BY seq")
            .map_err(|e| self.sql(&e))?;
        let mut rows = statement.query([]).map_err(|e| self.sql(&e))?;
        while let Some(row) = rows.next().map_err(|e| self.sql(&e))? {
            let read = || -> rusqlite::Result<(i64, String, String, Vec<u8>, Vec<u8>)> {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
            };
            let (seq, run, kind, body, stored) = read().map_err(|e| self.sql(&e))?;
            let (seq, next) = (seq.cast_unsigned(), frontier.size() + 1);
            let wrong = |why: &str| AuditError::Record { seq, why: why.to_owned() };
            if seq != next {
                return Err(AuditError::Record {
                    seq: next,
                    why: format!("is missing: {seq} follows {}", next - 1),
                });
            }
            chain = store::link(&chain, &body);
            if stored != chain {
                return Err(wrong(
                    "is not the one that was written here: its hash does not continue the chain",
                ));
            }
            let record: Record =
                serde_json::from_slice(&body).map_err(|e| wrong(&format!("cannot be read: {e}")))?;
            if record.run.to_string() != run || record.event.kind() != kind {
                return Err(wrong("is filed under another run or kind than its content says"));
            }
            frontier.push(leaf_hash(&chain));
            check_root(&mut expected, &frontier)?;
            story.follow(seq, &record)?;
        }
        if let Some((size, _)) = expected.first_key_value() {
            let why = format!(
                "covers more records than the {} there are: the journal was shortened",
                frontier.size()
            );
            return Err(AuditError::Older { size: *size, why });
        }
        let head = store::head(&self.path, database)?;
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
        story.check_uses(self, database)?;
        Ok(Audit {
            records: frontier.size(),
            runs: story.live.len() as u64,
            root: hex::encode(frontier.root()),
            open_calls: story.open.len() as u64,
            checkpoint: head.note,
        })
    }
}

type Expected = BTreeMap<u64, Vec<[u8; 32]>>;

fn checkpoints(
    reader: &Reader,
    database: &rusqlite::Connection,
    key: &NoteVerifier,
) -> Result<Expected, AuditError> {
    let query = || -> rusqlite::Result<Vec<(i64, String)>> {
        let mut statement = database.prepare("SELECT size, note FROM checkpoint")?;
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    };
    let mut expected = Expected::new();
    for (size, note) in query().map_err(|e| reader.sql(&e))? {
        let size = size.cast_unsigned();
        let signed =
            key.verify(&note).map_err(|e| AuditError::Older { size, why: format!("is not good: {e}") })?;
        if signed.size != size {
            return Err(AuditError::Older { size, why: format!("is of size {}", signed.size) });
        }
        expected.entry(size).or_default().push(signed.root);
    }
    Ok(expected)
}

fn check_root(expected: &mut Expected, frontier: &Frontier) -> Result<(), AuditError> {
    let size = frontier.size();
    match expected.remove(&size) {
        Some(roots) if roots.iter().any(|root| *root != frontier.root()) => Err(AuditError::Older {
            size,
            why: "is not over these records: the journal was rewritten".to_owned(),
        }),
        _ => Ok(()),
    }
}

/// What the records must make sense as.
#[derive(Default)]
struct Story {
    live: HashMap<RunId, (Mode, Option<String>)>,
    open: BTreeSet<(RunId, u64)>,
}

impl Story {
    fn follow(&mut self, seq: u64, record: &Record) -> Result<(), AuditError> {
        let wrong = |why: &str| Err(AuditError::Record { seq, why: why.to_owned() });
        let run = record.run;
        let Some((mode, grant)) = self.live.get(&run) else {
            return match &record.event {
                Event::Started(started) => {
                    let grant = started.grant.as_ref().map(|grant| grant.digest.to_string());
                    self.live.insert(run, (started.mode, grant));
                    Ok(())
                }
                _ => wrong("belongs to a run that never started"),
            };
        };
        match &record.event {
            Event::Started(_) => return wrong("starts a run a second time"),
            Event::Intent(intent) => {
                if *mode == Mode::Live && grant.is_none() {
                    return wrong("is a call of a live run without a grant");
                }
                if !self.open.insert((run, intent.call)) {
                    return wrong("repeats the number of an earlier call");
                }
            }
            Event::Outcome(outcome) if !self.open.remove(&(run, outcome.call)) => {
                return wrong("is an outcome without its intent");
            }
            _ => {}
        }
        Ok(())
    }

    fn check_uses(&self, reader: &Reader, database: &rusqlite::Connection) -> Result<(), AuditError> {
        let query = || -> rusqlite::Result<HashMap<String, String>> {
            let mut statement = database.prepare("SELECT run, grant_digest FROM grant_use")?;
            statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        };
        let mut uses = query().map_err(|e| reader.sql(&e))?;
        for (run, (_, grant)) in &self.live {
            let run = run.to_string();
            if uses.remove(&run) != *grant {
                return Err(AuditError::GrantUse { run, why: "is not counted as its record says" });
            }
        }
        match uses.into_keys().next() {
            Some(run) => Err(AuditError::GrantUse { run, why: "is counted, but no record tells of it" }),
            None => Ok(()),
        }
    }
}
