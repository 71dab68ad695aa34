//! Proofs that travel: what a run did, or that the log only grew, checked with a public key and nothing else.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use miette::Diagnostic;
use remit_tlog::{
    Checkpoint, Hash, NoteError, NoteSigner, NoteVerifier, ProofError, consistency_proof, inclusion_proof,
    leaf_hash, verify_consistency, verify_inclusion,
};
use remit_trust::Digest;
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::{Deserialize, Serialize};

use crate::chain::Tail;
use crate::tree::Tree;
use crate::{Event, JournalError, Reader, Record, RunId, RunState, store};

/// A proof, as a file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Proof {
    /// What a run did.
    #[serde(rename = "remit.run-proof.v2")]
    Run(RunProof),
    /// That the log only grew between two checkpoints.
    #[serde(rename = "remit.growth-proof.v1")]
    Growth(GrowthProof),
}

/// All records of a run, each with its place in the log.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunProof {
    /// The run.
    pub run: RunId,
    /// The signed checkpoint that they are in; with the cosignatures of witnesses, if there are any.
    pub checkpoint: String,
    /// What only the host can say, signed by the log's key: with which record the run ends at that size of the log.
    pub end: String,
    /// The records, oldest first.
    pub records: Vec<ProvenRecord>,
}

/// One record and its place.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProvenRecord {
    /// Its sequence number, from 1.
    pub seq: u64,
    /// Its place among the run's records, from 1. None in a record that was written under schema 6 or older, whose entry in
    /// the log does not bind it; such records come before all others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<u64>,
    /// The entry before its own in the log, 64 hex digits. Its own is
    /// `SHA-256("remit-journal-v2\n" ‖ previous ‖ SHA-256(body) ‖ place ‖ before)`, where `place` has 8 bytes, the highest
    /// first, and `before` is the entry of the run's record before, or zeros; without a place
    /// `SHA-256("remit-journal-v1\n" ‖ previous ‖ SHA-256(body))`.
    #[serde(with = "hex")]
    pub previous: Hash,
    /// The record, byte for byte.
    pub body: String,
    /// The hashes that lead from it to the checkpoint's root (RFC 6962, 2.1.1), base64.
    pub path: Vec<String>,
}

/// Two checkpoints of one log and what leads from one to the other.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GrowthProof {
    /// The older checkpoint, as signed.
    pub old: String,
    /// The newer one.
    pub new: String,
    /// The hashes between (RFC 6962, 2.1.2), base64.
    pub path: Vec<String>,
}

/// What a proof that holds shows.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Proven {
    /// A run's records, in the log of that name at that size.
    Run {
        /// The run.
        run: RunId,
        /// The log's name.
        log: String,
        /// Its size.
        size: u64,
        /// How many records the run had then, by the host's word: all that are here.
        count: u64,
        /// Its last state; none while it was going.
        state: Option<RunState>,
        /// The records.
        #[serde(skip)]
        records: Vec<(u64, Record)>,
    },
    /// The log grew from one size to another, and nothing before was changed.
    Growth {
        /// The log's name.
        log: String,
        /// From.
        old: u64,
        /// To.
        new: u64,
    },
}

/// Why a proof does not hold.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum CheckError {
    /// Not a proof.
    #[error("it is not a proof: {0}")]
    #[diagnostic(
        code("usage::proof"),
        help(
            "pass the file that `remit audit prove` or `remit audit consistency --out` wrote; one by an older version must be made anew"
        )
    )]
    Malformed(String),
    /// A checkpoint is not by that log.
    #[error("its checkpoint does not hold: {0}")]
    #[diagnostic(
        code("integrity::proof-checkpoint"),
        help(
            "either it was forged, or this is the proof of another log: ask for the key of the log it names"
        )
    )]
    Checkpoint(#[from] NoteError),
    /// A record is not in the log.
    #[error("record {seq} is not in the log as it is given here")]
    #[diagnostic(
        code("integrity::proof"),
        help("the record, its place or its path was changed, or one before it was left out; distrust it")
    )]
    Record {
        /// Its sequence number.
        seq: u64,
    },
    /// The older log is not the beginning of the newer.
    #[error("the newer checkpoint does not continue the older one: the log was rewritten or shortened")]
    #[diagnostic(
        code("integrity::proof"),
        help("keep both checkpoints as evidence; nothing in this log can be trusted")
    )]
    Growth,
    /// The host's word about the end.
    #[error("the host's word about the end of {run} does not hold: {why}")]
    #[diagnostic(
        code("integrity::proof"),
        help("records were left out at the end, or it is of another proof; ask for the whole proof")
    )]
    End {
        /// The run.
        run: RunId,
        /// What is wrong.
        why: String,
    },
    /// The records do not make a whole.
    #[error("the records are not the whole of {run}: {why}")]
    #[diagnostic(
        code("integrity::proof"),
        help("records were left out, or the journal was altered: run `remit audit verify` where it is kept")
    )]
    Incomplete {
        /// The run.
        run: RunId,
        /// What is missing.
        why: String,
    },
    /// The journal that is to be proven.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Journal(#[from] JournalError),
}

impl From<ProofError> for CheckError {
    fn from(_: ProofError) -> Self {
        Self::Growth
    }
}

/// The records of a run as they are looked at one after the other, from its first: each at the next place, none left out.
struct Whole {
    run: RunId,
    tail: Tail,
    /// Whether the last one's entry says where it stands.
    placed: bool,
    last: u64,
    records: Vec<(u64, Record)>,
}

impl Whole {
    fn of(run: RunId) -> Self {
        Self { run, tail: Tail::default(), placed: false, last: 0, records: Vec::new() }
    }

    /// The next record: gives the entry that the log must have at its number.
    fn next(
        &mut self,
        seq: u64,
        place: Option<u64>,
        previous: &Hash,
        body: &str,
    ) -> Result<Hash, CheckError> {
        let wrong = || CheckError::Record { seq };
        let digest = Digest::of(body.as_bytes());
        let tail = match place {
            None if !self.placed => self.tail.next_unplaced(previous, &digest),
            Some(place) if place == self.tail.place + 1 => self.tail.next(previous, &digest),
            _ => return Err(wrong()),
        };
        let record: Record = serde_json::from_str(body).map_err(|_| wrong())?;
        let starts = matches!(record.event, Event::Started(_));
        if record.run != self.run || seq <= self.last || starts != self.records.is_empty() {
            return Err(wrong());
        }
        (self.tail, self.placed, self.last) = (tail, place.is_some(), seq);
        self.records.push((seq, record));
        Ok(tail.entry)
    }

    /// Its last state; none while it goes on.
    fn state(&self) -> Option<RunState> {
        self.records.iter().fold(None, |state, (_, record)| match &record.event {
            Event::Ended(ended) => Some(ended.state),
            // Nothing goes on.
            Event::UndoExpired(_) => state,
            _ => None,
        })
    }

    /// What the host signs: that the run ends here at this size of the log. Its second line is no number, so that nobody
    /// takes it for a checkpoint.
    fn end(&self, signed: &Checkpoint) -> String {
        let Tail { place, entry } = &self.tail;
        format!(
            "remit.run-end.v1\nlog {}\nsize {}\nrun {}\nrecords {place}\nentry {}\n\
             This is the host's word: at this size, the log has no other record of this run.\n",
            signed.origin,
            signed.size,
            self.run,
            hex::encode(entry)
        )
    }
}

/// A record as it lies in the file.
struct Row {
    seq: u64,
    body: String,
    place: Option<u64>,
}

impl Reader {
    /// A proof of what a run did so far. The host's key signs where it ends.
    pub fn prove(&self, run: &RunId, signer: &NoteSigner) -> Result<Proof, CheckError> {
        let key = signer.verifier();
        // What leaves this machine must not be ahead of what a power failure would leave here.
        let (mut proof, signed) = self.read_whole(run, &key, |note, signed, tree, rows, whole| {
            let mut records = Vec::with_capacity(rows.len());
            for Row { seq, body, place } in rows {
                let index = seq - 1;
                let path = inclusion_proof(index, signed.size, |level, index| {
                    tree.read(level, index).map_err(CheckError::from)
                })?;
                let (previous, path) = (previous(tree, seq)?, path.iter().map(text).collect());
                records.push(ProvenRecord { seq, place, previous, body, path });
            }
            let end = signer.sign_text(&whole.end(signed));
            Ok((RunProof { run: *run, checkpoint: note, end, records }, signed.size))
        })?;
        store::sync(&self.path)?;
        proof.checkpoint = self.best_note(proof.checkpoint, signed)?;
        let proof = Proof::Run(proof);
        // What leaves here has been checked: a damaged journal gives no proofs.
        proof.check(&key)?;
        Ok(proof)
    }

    /// The records of a run, each with its number, after each was found at its place in the log that the newest checkpoint
    /// signs: what acts on a run's records acts on these. None is left out at the end as far as the rest of the file tells;
    /// that no one altered the newer records of other runs is for an audit to say.
    pub fn genuine(&self, run: &RunId, key: &NoteVerifier) -> Result<Vec<(u64, Record)>, CheckError> {
        self.read_whole(run, key, |_, _, _, _, whole| Ok(whole.records))
    }

    /// Reads a run's records as of one moment, finds each of them in the log as it is signed then, and hands all that on.
    fn read_whole<T>(
        &self,
        run: &RunId,
        key: &NoteVerifier,
        then: impl FnOnce(String, &Checkpoint, &Tree<'_>, Vec<Row>, Whole) -> Result<T, CheckError>,
    ) -> Result<T, CheckError> {
        let database = self.database();
        let snapshot = database.unchecked_transaction().map_err(|error| self.sql(&error))?;
        let note = store::head(&self.path, &snapshot)?.note;
        let signed = key.verify(&note)?;
        let rows = self.rows(&snapshot, run)?;
        let tree = Tree::of(self, &snapshot, signed.size)?;
        if tree.root(signed.size)? != signed.root {
            return Err(JournalError::damaged(&self.path, "its checkpoint is not of its records").into());
        }
        let mut whole = Whole::of(*run);
        for Row { seq, body, place } in &rows {
            let wrong = CheckError::Record { seq: *seq };
            if *seq == 0 || *seq > signed.size {
                return Err(wrong);
            }
            let entry = whole.next(*seq, *place, &previous(&tree, *seq)?, body)?;
            if entry != tree.entry(*seq - 1)? {
                return Err(wrong);
            }
        }
        let told = self.tells_of_more(&snapshot, &whole).map_err(|error| self.sql(&error))?;
        if let Some(why) = told {
            return Err(CheckError::Incomplete { run: *run, why: why.to_owned() });
        }
        then(note, &signed, &tree, rows, whole)
    }

    /// Every record of a run as it was written.
    fn rows(&self, database: &Connection, run: &RunId) -> Result<Vec<Row>, JournalError> {
        let place = if self.version < 7 { "0" } else { "place" };
        let rows: Vec<(i64, Vec<u8>, i64)> = database
            .prepare_cached(&format!("SELECT seq, body, {place} FROM record WHERE run = ?1 ORDER BY seq"))
            .and_then(|mut rows| {
                rows.query_map([run.to_string()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                    .collect()
            })
            .map_err(|error| self.sql(&error))?;
        if rows.is_empty() {
            return Err(JournalError::NoSuchRun(run.to_string()));
        }
        let row = |(seq, body, place): (i64, Vec<u8>, i64)| {
            let body = String::from_utf8(body)
                .map_err(|_| JournalError::damaged(&self.path, format!("record {seq} is not text")))?;
            let place = (place != 0).then(|| place.cast_unsigned());
            Ok(Row { seq: seq.cast_unsigned(), body, place })
        };
        rows.into_iter().map(row).collect()
    }

    /// What else in the file tells of more records of the run than its index gave: why, if anything does.
    fn tells_of_more(&self, database: &Connection, whole: &Whole) -> rusqlite::Result<Option<&'static str>> {
        let name = whole.run.to_string();
        // By the table itself, and by what the records say of themselves. Those before the last one are bound by it, if it
        // is bound.
        let first = whole.records.first().map_or(0, |(seq, _)| *seq);
        let (from, expected) =
            if whole.placed { (whole.last + 1, 0) } else { (first, whole.records.len() as u64) };
        let found: i64 = database
            .prepare_cached(
                r#"SELECT count(*) FROM record NOT INDEXED WHERE seq >= ?1
                   AND (run = ?2 OR substr(body, 1, 38) = CAST('{"run":"' || ?2 AS BLOB))"#,
            )?
            .query_row(params![from.cast_signed(), name], |row| row.get(0))?;
        if found.cast_unsigned() != expected {
            return Ok(Some("the journal holds others that its index does not tell of"));
        }
        if self.version == 1 {
            return Ok(None);
        }
        let has = |query: &str| -> rusqlite::Result<bool> {
            Ok(database.prepare_cached(query)?.query_row([&name], |_| Ok(())).optional()?.is_some())
        };
        if has("SELECT 1 FROM open_run WHERE run = ?1 LIMIT 1")? == whole.state().is_some() {
            return Ok(Some("the table of runs without a state says otherwise than the last of them"));
        }
        let expired = whole.records.iter().any(|(_, record)| matches!(record.event, Event::UndoExpired(_)));
        if has("SELECT 1 FROM run_key WHERE run = ?1")? == expired {
            return Ok(Some("the table of keys says otherwise than they do about the run's own"));
        }
        Ok(None)
    }

    /// A proof that the log goes on from an older checkpoint of it.
    pub fn prove_growth(&self, old: &str, key: &NoteVerifier) -> Result<Proof, CheckError> {
        let note = self.checkpoint()?;
        let (from, to) = (key.verify(old)?, key.verify(&note)?);
        let path = self.growth(from.size, to.size)?;
        let proof = Proof::Growth(GrowthProof {
            old: old.to_owned(),
            new: self.best_note(note, to.size)?,
            path: path.iter().map(text).collect(),
        });
        proof.check(key)?;
        Ok(proof)
    }

    /// The hashes that lead from the log of `old` records to the log of `new`.
    pub fn growth(&self, old: u64, new: u64) -> Result<Vec<Hash>, CheckError> {
        let database = self.database();
        let tree = Tree::of(self, &database, new)?;
        consistency_proof(old, new, |level, index| tree.read(level, index).map_err(CheckError::from))
    }

    /// The checkpoint with its witnesses' signatures, where they signed that very size.
    fn best_note(&self, note: String, size: u64) -> Result<String, JournalError> {
        Ok(self.cosigned()?.into_iter().find(|c| c.size == size).map_or(note, |cosigned| cosigned.note))
    }
}

/// The entry before that of a record.
fn previous(tree: &Tree<'_>, seq: u64) -> Result<Hash, JournalError> {
    seq.checked_sub(2).map_or(Ok([0; 32]), |before| tree.entry(before))
}

impl Proof {
    /// Reads a proof file.
    pub fn parse(text: &str) -> Result<Self, CheckError> {
        remit_text::json::read(text).map_err(|mistake| CheckError::Malformed(mistake.to_string()))
    }

    /// Checks it with the log's public key, and nothing else.
    pub fn check(&self, key: &NoteVerifier) -> Result<Proven, CheckError> {
        match self {
            Self::Run(proof) => proof.check(key),
            Self::Growth(proof) => {
                let (old, new) = (key.verify(&proof.old)?, key.verify(&proof.new)?);
                verify_consistency(old.size, &old.root, new.size, &new.root, &hashes(&proof.path)?)?;
                Ok(Proven::Growth { log: new.origin, old: old.size, new: new.size })
            }
        }
    }
}

impl RunProof {
    /// The records are at the places 1, 2, 3 … of the run: their entries bind it. That there are no more at that size of
    /// the log, the host says: no proof of the others could show it.
    fn check(&self, key: &NoteVerifier) -> Result<Proven, CheckError> {
        let signed = key.verify(&self.checkpoint)?;
        let mut whole = Whole::of(self.run);
        for given in &self.records {
            let wrong = || CheckError::Record { seq: given.seq };
            let index = given.seq.checked_sub(1).ok_or_else(wrong)?;
            let entry = whole.next(given.seq, given.place, &given.previous, &given.body)?;
            verify_inclusion(&leaf_hash(&entry), index, signed.size, &signed.root, &hashes(&given.path)?)
                .map_err(|_| wrong())?;
        }
        let not = |why: String| CheckError::End { run: self.run, why };
        let said = key.verify_text(&self.end).map_err(|error| not(error.to_string()))?;
        if said != whole.end(&signed) {
            let (count, size) = (whole.tail.place, signed.size);
            return Err(not(format!("it is not about these {count} records in a log of {size}")));
        }
        Ok(Proven::Run {
            run: self.run,
            log: signed.origin,
            size: signed.size,
            count: whole.tail.place,
            state: whole.state(),
            records: whole.records,
        })
    }
}

fn text(hash: &Hash) -> String {
    STANDARD.encode(hash)
}

fn hashes(path: &[String]) -> Result<Vec<Hash>, CheckError> {
    let decode = |text: &String| STANDARD.decode(text).ok()?.try_into().ok();
    path.iter()
        .map(|text| decode(text).ok_or_else(|| CheckError::Malformed("a hash is not one".to_owned())))
        .collect()
}
