//! The proof that a journal is what was written: with the file and the public key, and nothing else.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::ScopedJoinHandle;

use jiff::Timestamp;
use miette::Diagnostic;
use remit_tlog::{Checkpoint, Frontier, NoteVerifier, leaf_hash};
use remit_trust::Digest;
use remit_trust::dsse::Envelope;
use rusqlite::Connection;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::grounds::Grounds;
use crate::{
    Act, Effect, Event, JournalError, Mode, Phase, Reader, Record, Resolved, RestsOn, RunId, RunState,
    Started, UndoIntent, store,
};

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
    /// Three threads share the work: one looks at the file's own structure, one reads and hashes the records, one reads
    /// what they say.
    pub fn verify(&self, key: &NoteVerifier, since: Option<&str>) -> Result<Audit, AuditError> {
        std::thread::scope(|scope| {
            let structure = scope.spawn(|| check_structure(&self.path));
            let found = self.verify_records(key, since);
            // In a file that is damaged, what else was found may be what the damage makes of it.
            joined(structure)?;
            found
        })
    }

    fn verify_records(&self, key: &NoteVerifier, since: Option<&str>) -> Result<Audit, AuditError> {
        let database = self.database();
        // One snapshot, while others may append.
        let transaction = database.unchecked_transaction().map_err(|e| self.sql(&e))?;
        let database = &*transaction;
        let mut kept = since
            .map(|note| key.verify(note))
            .transpose()
            .map_err(|e| AuditError::Checkpoint { why: format!("given with --since: {e}") })?;

        let mut log = (ZERO, Frontier::default());
        check_root(&mut kept, &log.1)?;
        let story = std::thread::scope(|scope| {
            let (rows, told) = mpsc::sync_channel(BATCHES);
            let teller = scope.spawn(move || Story::of(&told));
            let hashed = self.hash(database, &mut log, &mut kept, &rows);
            drop(rows);
            // What it found is of an earlier record than whatever else was found.
            let story = joined(teller)?;
            hashed.map(|()| story)
        })?;
        let (chain, frontier) = log;
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
        story.check_tables(self, database)?;
        Ok(Audit {
            records: frontier.size(),
            runs: story.runs.len() as u64,
            root: hex::encode(frontier.root()),
            open_calls: story.open.len() as u64,
            checkpoint: head.note,
        })
    }
}

/// How many records go from one thread to the other at once, and how often that may be ahead.
const BATCH: usize = 512;
const BATCHES: usize = 8;
/// What the first record's hash continues.
const ZERO: [u8; 32] = [0; 32];

/// A record as it lies in the file, its hash found right.
struct Row {
    seq: u64,
    of: String,
    kind: String,
    body: Vec<u8>,
}

impl Reader {
    /// Reads all records in order, makes sure that each continues the chain, and hands them on.
    fn hash(
        &self,
        database: &Connection,
        (chain, frontier): &mut ([u8; 32], Frontier),
        kept: &mut Option<Checkpoint>,
        to: &SyncSender<Vec<Row>>,
    ) -> Result<(), AuditError> {
        let mut batch = Vec::with_capacity(BATCH);
        let mut walk = || {
            let mut statement = database
                .prepare("SELECT seq, run, kind, body, chain FROM record ORDER BY seq")
                .map_err(|e| self.sql(&e))?;
            let mut rows = statement.query([]).map_err(|e| self.sql(&e))?;
            while let Some(row) = rows.next().map_err(|e| self.sql(&e))? {
                let read = || -> rusqlite::Result<(i64, String, String, Vec<u8>, [u8; 32])> {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4).unwrap_or(ZERO)))
                };
                let (seq, of, kind, body, stored) = read().map_err(|e| self.sql(&e))?;
                let (seq, next) = (seq.cast_unsigned(), frontier.size() + 1);
                if seq != next {
                    let why = format!("is missing: {seq} follows {}", next - 1);
                    return Err(AuditError::Record { seq: next, why });
                }
                *chain = store::link(chain, &body);
                if stored != *chain {
                    let why = "is not the one that was written here: its hash does not continue the chain";
                    return Err(AuditError::Record { seq, why: why.to_owned() });
                }
                frontier.push(leaf_hash(chain));
                batch.push(Row { seq, of, kind, body });
                if batch.len() == BATCH {
                    // Nobody takes it any more: something was found.
                    if to.send(std::mem::replace(&mut batch, Vec::with_capacity(BATCH))).is_err() {
                        return Ok(());
                    }
                }
                check_root(kept, frontier)?;
            }
            Ok(())
        };
        let walked = walk();
        // Also what came before something that is wrong is to be read.
        let _ = to.send(batch);
        walked
    }
}

/// What the threads of an audit came to.
fn joined<T>(thread: ScopedJoinHandle<'_, Result<T, AuditError>>) -> Result<T, AuditError> {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Whether the file is one that SQLite could have written, its indices with it.
fn check_structure(path: &Path) -> Result<(), AuditError> {
    let (database, _) = store::open_read_only(path)?;
    let whole: String = database
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(|e| JournalError::sqlite(path, &e))?;
    if whole == "ok" { Ok(()) } else { Err(JournalError::damaged(path, whole).into()) }
}

/// What a row of the journal holds.
enum Entry {
    Record(Record),
    Act(Act),
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

/// What the records must make sense as.
#[derive(Default)]
struct Story {
    runs: HashMap<RunId, Told>,
    open: BTreeSet<(RunId, u64)>,
    authority: Grounds,
}

/// What is known of one run so far.
#[expect(clippy::struct_excessive_bools, reason = "facts about a run, each of its own")]
struct Told {
    mode: Mode,
    grant: Option<String>,
    window: Option<(Timestamp, Timestamp)>,
    rests_on: Vec<RestsOn>,
    /// Whether it came to an end at least once.
    let_go: bool,
    phase: Option<Phase>,
    /// Recorded under schema 1, whose reverts did not begin with a phase.
    old: bool,
    /// The last state it had; and whether it has one now.
    state: Option<RunState>,
    ended: bool,
    expired: bool,
    /// Changes on record, each with whether it may stand.
    changes: HashMap<u64, bool>,
}

impl Story {
    /// Reads the records that come.
    fn of(rows: &Receiver<Vec<Row>>) -> Result<Self, AuditError> {
        let mut story = Self::default();
        for Row { seq, of, kind, body } in rows.iter().flatten() {
            let wrong = |why: String| AuditError::Record { seq, why };
            let unread = |e: serde_json::Error| wrong(format!("cannot be read: {e}"));
            let entry = if of.starts_with("run-") {
                Entry::Record(serde_json::from_slice(&body).map_err(unread)?)
            } else {
                Entry::Act(serde_json::from_slice(&body).map_err(unread)?)
            };
            let same = match &entry {
                Entry::Record(record) => *record.run.filed().as_str() == of && record.event.kind() == kind,
                Entry::Act(act) => act.about.to_string() == of && act.deed.kind() == kind,
            };
            if !same {
                let why = "is filed under another run or kind than its content says";
                return Err(wrong(why.to_owned()));
            }
            match entry {
                Entry::Record(record) => story.follow(seq, &record)?,
                Entry::Act(act) => story.authority.follow(seq, &act)?,
            }
        }
        Ok(story)
    }

    fn follow(&mut self, seq: u64, record: &Record) -> Result<(), AuditError> {
        let wrong = |why: &str| Err(AuditError::Record { seq, why: why.to_owned() });
        let run = record.run;
        let Some(told) = self.runs.get_mut(&run) else {
            let Event::Started(started) = &record.event else {
                return wrong("belongs to a run that never started");
            };
            let told = begin(seq, started)?;
            self.authority.allow(seq, started, &told.rests_on)?;
            self.runs.insert(run, told);
            return Ok(());
        };
        let ended = std::mem::replace(&mut told.ended, matches!(record.event, Event::Ended(_)));
        match &record.event {
            Event::Started(_) => return wrong("starts a run a second time"),
            Event::Phase(entered) => told.phase = Some(entered.phase),
            Event::UndoExpired(_) => {
                told.expired = true;
                told.ended = ended;
            }
            _ if ended && !told.old => return wrong("is of a run that had ended"),
            Event::Intent(intent) => {
                if !self.open.insert((run, intent.call)) || told.changes.contains_key(&intent.call) {
                    return wrong("repeats the number of an earlier call");
                }
                if told.mode == Mode::Live && told.grant.is_none() {
                    return wrong("is a call of a live run without a grant");
                }
                if matches!(intent.effect, Effect::Change | Effect::Irrevocable) && told.mode == Mode::Live {
                    if told.phase.is_some_and(|phase| phase != Phase::Run) {
                        return wrong("is a change after the action's own turn was over");
                    }
                    if told.window.is_some_and(|(from, until)| record.at < from || record.at >= until) {
                        return wrong("is a change outside the time its grant was in force");
                    }
                    if let Some(withdrawn) = self.authority.withdrawn(&told.rests_on) {
                        return wrong(&format!("is a change after its authority was gone: {withdrawn}"));
                    }
                    told.changes.insert(intent.call, intent.before.is_some());
                }
            }
            Event::Outcome(outcome) => {
                if !self.open.remove(&(run, outcome.call)) {
                    return wrong("is an outcome without its intent");
                }
            }
            Event::UndoIntent(UndoIntent { call }) | Event::Resolved(Resolved { call, .. }) => {
                if !told.changes.contains_key(call) {
                    return wrong("is about a change that is not on record");
                }
                if matches!(record.event, Event::Resolved(_)) {
                    self.open.remove(&(run, *call));
                }
                if told.expired && matches!(record.event, Event::UndoIntent(_)) {
                    return wrong("is an undo whose data had expired");
                }
            }
            Event::Ended(ended) => {
                let possible = match told.state {
                    Some(before) => before.next().contains(&ended.state),
                    None => (ended.state == RunState::Rehearsed) <= (told.mode == Mode::Rehearse),
                };
                if !possible {
                    return wrong("is a state that the run could not come to");
                }
                let complete = matches!(ended.state, RunState::Succeeded | RunState::Rehearsed);
                if complete && self.open.range((run, 0)..=(run, u64::MAX)).next().is_some() {
                    return wrong("says that all went well, with a call that never came back");
                }
                told.state = Some(ended.state);
                told.let_go = true;
            }
            Event::UndoOutcome(_) | Event::Denied(_) => {}
        }
        Ok(())
    }

    /// Whether the tables beside the records say the same.
    fn check_tables(&self, reader: &Reader, database: &rusqlite::Connection) -> Result<(), AuditError> {
        let pairs = |query: &str| -> Result<HashMap<String, String>, AuditError> {
            let read = || -> rusqlite::Result<HashMap<String, String>> {
                database.prepare(query)?.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
            };
            Ok(read().map_err(|e| reader.sql(&e))?)
        };
        let told: BTreeMap<String, &Told> =
            self.runs.iter().map(|(run, told)| (run.to_string(), told)).collect();
        let table = |what, run: &str, why| Err(AuditError::Table { what, run: run.to_owned(), why });

        let mut uses = pairs("SELECT run, grant_digest FROM grant_use")?;
        for (run, told) in &told {
            if uses.remove(run) != told.grant {
                return table("use of a grant", run, "is not counted as its record says");
            }
        }
        if let Some(run) = uses.keys().next() {
            return table("use of a grant", run, "is counted, but no record tells of it");
        }
        if reader.version == 1 {
            return Ok(());
        }
        let mut open = pairs("SELECT run, run FROM open_run")?;
        let mut keys = pairs("SELECT run, run FROM run_key")?;
        for (run, told) in &told {
            if open.remove(run).is_some() == told.ended {
                return table("unfinished state", run, "does not say what its records say");
            }
            if keys.remove(run).is_some() == told.expired {
                return table("key", run, "is missing, or there although its record says that it expired");
            }
        }
        if reader.version > 2 {
            self.authority.check_table(reader, database)?;
            let live = self.runs.iter().filter(|(_, told)| !told.let_go && !told.rests_on.is_empty());
            let resting: BTreeSet<(String, String, u64)> = live
                .flat_map(|(run, told)| {
                    let run = run.to_string();
                    told.rests_on.iter().map(move |on| (run.clone(), on.ground.to_string(), on.since))
                })
                .collect();
            let noted = resting_in(database).map_err(|e| reader.sql(&e))?;
            if let Some((run, ..)) = resting.symmetric_difference(&noted).next() {
                return table("authority", run, "is not noted as its record says");
            }
        }
        match (open.keys().next(), keys.keys().next()) {
            (Some(run), _) => table("unfinished state", run, "is of a run that never started"),
            (_, Some(run)) => table("key", run, "is of a run that never started"),
            (None, None) => Ok(()),
        }
    }
}

/// A run's header says what it is bound to by digest; what it holds must be that.
fn begin(seq: u64, started: &Started) -> Result<Told, AuditError> {
    let wrong = |why: &str| AuditError::Record { seq, why: why.to_owned() };
    let is = |raw: &RawValue, digest: Digest| {
        serde_json::from_str::<serde_json::Value>(raw.get())
            .and_then(|value| remit_trust::canonical(&value))
            .is_ok_and(|canonical| Digest::of(&canonical) == digest)
    };
    if !is(&started.input, started.input_digest) {
        return Err(wrong("holds an input that is not of the digest it names"));
    }
    if started.scope.as_ref().is_some_and(|scope| !is(scope, started.scope_digest)) {
        return Err(wrong("holds a scope that is not of the digest it names"));
    }
    let signed = started.grant.as_ref().and_then(|grant| grant.signed.as_ref().map(|s| (grant.digest, s)));
    if let Some((digest, signed)) = signed {
        let envelope: Result<Envelope, _> = serde_json::from_str(signed.envelope.get());
        if !envelope.is_ok_and(|envelope| envelope.payload_digest() == Ok(digest)) {
            return Err(wrong("holds a grant that is not of the digest it names"));
        }
    }
    Ok(Told {
        mode: started.mode,
        grant: started.grant.as_ref().map(|grant| grant.digest.to_string()),
        window: signed.map(|(_, signed)| (signed.not_before, signed.not_after)),
        rests_on: started.rests_on(),
        let_go: false,
        phase: None,
        old: started.scope.is_none(),
        state: None,
        ended: false,
        expired: false,
        changes: HashMap::new(),
    })
}

fn resting_in(database: &rusqlite::Connection) -> rusqlite::Result<BTreeSet<(String, String, u64)>> {
    let mut rows = database.prepare("SELECT run, ground, since FROM authority")?;
    rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, i64>(2)?.cast_unsigned())))?.collect()
}
