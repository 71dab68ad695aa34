//! Proofs to give to others: what a run did, or that the log only grew. They are checked with the log's public key alone.

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

/// A proof, as it is in a file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Proof {
    /// What a run did.
    #[serde(rename = "remit.run-proof.v2")]
    Run(RunProof),
    /// The proof that the log only grew between two checkpoints.
    #[serde(rename = "remit.growth-proof.v1")]
    Growth(GrowthProof),
}

/// All records of a run, each with the proof that it is in the log.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunProof {
    /// The run's identifier.
    pub run: RunId,
    /// The signed checkpoint of a log that has them, with the cosignatures of witnesses, if there are any.
    pub checkpoint: String,
    /// The host's statement, signed by the log's key, which record was the run's last at that size of the log. Only the host
    /// can say this.
    pub end: String,
    /// The records, oldest first.
    pub records: Vec<ProvenRecord>,
}

/// One record and the proof that it is in the log.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProvenRecord {
    /// The record's sequence number, from 1.
    pub seq: u64,
    /// The record's number among the run's records, from 1.
    pub place: u64,
    /// The log entry before its own, 64 hex digits. Its own entry is
    /// `SHA-256("remit-journal-v2\n" ‖ previous ‖ SHA-256(body) ‖ place ‖ before)`, where `place` has 8 bytes, most
    /// significant first, and `before` is the entry of the run's record before it, or zeros.
    #[serde(with = "hex")]
    pub previous: Hash,
    /// The record, byte for byte.
    pub body: String,
    /// The inclusion proof up to the checkpoint's root (RFC 6962, 2.1.1), hashes in base64.
    pub path: Vec<String>,
}

/// Two checkpoints of one log, and the proof that the newer continues the older.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GrowthProof {
    /// The older checkpoint, as signed.
    pub old: String,
    /// The newer checkpoint, as signed.
    pub new: String,
    /// The consistency proof (RFC 6962, 2.1.2), hashes in base64.
    pub path: Vec<String>,
}

/// What a valid proof shows.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Proven {
    /// A run's records, in the log of that name at that size.
    Run {
        /// The run's identifier.
        run: RunId,
        /// The name of the log.
        log: String,
        /// The size of the log, in records.
        size: u64,
        /// How many records the run had then, as the host states. The proof has all of them.
        count: u64,
        /// The run's last state; none while it was in progress.
        state: Option<RunState>,
        /// The records of the run, each with its sequence number.
        #[serde(skip)]
        records: Vec<(u64, Record)>,
    },
    /// The log grew from one size to another, and nothing before was changed.
    Growth {
        /// The name of the log.
        log: String,
        /// The size of the log at the older checkpoint, in records.
        old: u64,
        /// The size of the log at the newer checkpoint, in records.
        new: u64,
    },
}

/// Why a proof is not valid.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum CheckError {
    /// The file is not a proof.
    #[error("it is not a proof: {0}")]
    #[diagnostic(
        code("usage::proof"),
        help("pass the file that `remit audit prove` or `remit audit consistency --out` wrote")
    )]
    Malformed(String),
    /// A checkpoint is not signed by that log.
    #[error("its checkpoint does not verify: {0}")]
    #[diagnostic(
        code("integrity::proof-checkpoint"),
        help(
            "either it was forged, or it is a proof of another log: ask for the key of the log that it names"
        )
    )]
    Checkpoint(#[from] NoteError),
    /// A record is not in the log.
    #[error("record {seq}, as the proof has it, is not in the log")]
    #[diagnostic(
        code("integrity::proof"),
        help(
            "do not trust this proof: the record, its place or its path was changed, or a record before it was left out"
        )
    )]
    Record {
        /// The sequence number of the record.
        seq: u64,
    },
    /// The older log is not the beginning of the newer.
    #[error(
        "the newer checkpoint does not continue the older one: the log was rewritten or shortened, or the proof changed"
    )]
    #[diagnostic(
        code("integrity::proof"),
        help(
            "keep both checkpoints as evidence, and ask for the proof again; if it fails again, do not trust this log"
        )
    )]
    Growth,
    /// The host's statement about the run's last record is not valid.
    #[error("the host's statement about the last record of {run} is not valid: {why}")]
    #[diagnostic(
        code("integrity::proof"),
        help(
            "records were left out at the end, or the statement belongs to another proof; ask for the whole proof"
        )
    )]
    End {
        /// The run that the statement is about.
        run: RunId,
        /// Why the statement is not valid.
        why: String,
    },
    /// Records of the run are missing.
    #[error("these are not all records of {run}: {why}")]
    #[diagnostic(
        code("integrity::proof"),
        help("records were left out, or the journal was altered: run `remit audit verify` where it is kept")
    )]
    Incomplete {
        /// The run whose records are incomplete.
        run: RunId,
        /// Which records are missing.
        why: String,
    },
    /// The journal could not be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Journal(#[from] JournalError),
}

impl From<ProofError> for CheckError {
    fn from(_: ProofError) -> Self {
        Self::Growth
    }
}

/// Checks the records of a run one after the other, from the first: each must have the next place.
struct RunCheck {
    run: RunId,
    tail: Tail,
    /// The sequence number of the last record.
    last: u64,
    records: Vec<(u64, Record)>,
}

impl RunCheck {
    fn of(run: RunId) -> Self {
        Self { run, tail: Tail::default(), last: 0, records: Vec::new() }
    }

    /// Checks the next record. Returns the entry that the log must have at its number.
    fn next(&mut self, seq: u64, place: u64, previous: &Hash, body: &str) -> Result<Hash, CheckError> {
        let wrong = || CheckError::Record { seq };
        let digest = Digest::of(body.as_bytes());
        let tail = self.tail.next(previous, &digest);
        let record: Record = serde_json::from_str(body).map_err(|_| wrong())?;
        let starts = matches!(record.event, Event::Started(_));
        if place != tail.place
            || record.run != self.run
            || seq <= self.last
            || starts != self.records.is_empty()
        {
            return Err(wrong());
        }
        (self.tail, self.last) = (tail, seq);
        self.records.push((seq, record));
        Ok(tail.entry)
    }

    /// The run's state; none while it is under way.
    fn state(&self) -> Option<RunState> {
        self.records.iter().fold(None, |state, (_, record)| match &record.event {
            Event::Ended(ended) => Some(ended.state),
            event if event.keeps_state() => state,
            _ => None,
        })
    }

    /// The statement that the host signs: the run's last record at this size of the log. Its second line is not a number, so
    /// it cannot be taken for a checkpoint.
    fn end(&self, signed: &Checkpoint) -> String {
        let Tail { place, entry } = &self.tail;
        format!(
            "remit.run-end.v1\nlog {}\nsize {}\nrun {}\nrecords {place}\nentry {}\n\
             The host states: at this size, the log has no other record of this run.\n",
            signed.origin,
            signed.size,
            self.run,
            hex::encode(entry)
        )
    }
}

/// A record as it is in the file.
struct Row {
    seq: u64,
    body: String,
    place: u64,
}

impl Reader {
    /// A proof of what a run did so far. `signer` signs which record is its last.
    pub fn prove(&self, run: &RunId, signer: &NoteSigner) -> Result<Proof, CheckError> {
        let key = signer.verifier();
        let (mut proof, signed) = self.read_checked(run, &key, |note, signed, tree, rows, checked| {
            let mut records = Vec::with_capacity(rows.len());
            for Row { seq, body, place } in rows {
                let index = seq - 1;
                let path = inclusion_proof(index, signed.size, |level, index| {
                    tree.read(level, index).map_err(CheckError::from)
                })?;
                let (previous, path) = (previous(tree, seq)?, path.iter().map(text).collect());
                records.push(ProvenRecord { seq, place, previous, body, path });
            }
            let end = signer.sign_text(&checked.end(signed));
            Ok((RunProof { run: *run, checkpoint: note, end, records }, signed.size))
        })?;
        // What leaves this machine must not be newer than what a power failure would leave here.
        store::sync(&self.path)?;
        proof.checkpoint = self.best_note(proof.checkpoint, signed)?;
        let proof = Proof::Run(proof);
        // Checked before it leaves: a damaged journal must not give proofs.
        proof.check(&key)?;
        Ok(proof)
    }

    /// The records of a run, each with its number, after each was found at its place in the log that the newest checkpoint
    /// signs. Use these records, not [`Reader::run`], to act on a run. Missing records at the end are found as far as the
    /// rest of the file tells of them; only an audit finds that newer records of other runs were altered.
    pub fn genuine(&self, run: &RunId, key: &NoteVerifier) -> Result<Vec<(u64, Record)>, CheckError> {
        self.read_checked(run, key, |_, _, _, _, checked| Ok(checked.records))
    }

    /// Reads a run's records in one snapshot, checks each against the log as it is signed then, and gives all that to `then`.
    fn read_checked<T>(
        &self,
        run: &RunId,
        key: &NoteVerifier,
        then: impl FnOnce(String, &Checkpoint, &Tree<'_>, Vec<Row>, RunCheck) -> Result<T, CheckError>,
    ) -> Result<T, CheckError> {
        let database = self.database();
        let snapshot = database.unchecked_transaction().map_err(|error| self.sql(&error))?;
        let note = store::head(&self.path, &snapshot)?.note;
        let signed = key.verify(&note)?;
        let rows = self.rows(&snapshot, run)?;
        let tree = Tree::of(&self.path, &snapshot, signed.size)?;
        if tree.root(signed.size)? != signed.root {
            return Err(JournalError::damaged(&self.path, "its checkpoint is not over its records").into());
        }
        let mut checked = RunCheck::of(*run);
        for Row { seq, body, place } in &rows {
            let wrong = CheckError::Record { seq: *seq };
            if *seq == 0 || *seq > signed.size {
                return Err(wrong);
            }
            let entry = checked.next(*seq, *place, &previous(&tree, *seq)?, body)?;
            if entry != tree.entry(*seq - 1)? {
                return Err(wrong);
            }
        }
        let missing = Self::missing_records(&snapshot, &checked).map_err(|error| self.sql(&error))?;
        if let Some(why) = missing {
            return Err(CheckError::Incomplete { run: *run, why: why.to_owned() });
        }
        then(note, &signed, &tree, rows, checked)
    }

    /// Every record of a run, as it was written.
    fn rows(&self, database: &Connection, run: &RunId) -> Result<Vec<Row>, JournalError> {
        let rows: Vec<(i64, Vec<u8>, i64)> = database
            .prepare_cached("SELECT seq, body, place FROM record WHERE run = ?1 ORDER BY seq")
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
            Ok(Row { seq: seq.cast_unsigned(), body, place: place.cast_unsigned() })
        };
        rows.into_iter().map(row).collect()
    }

    /// Whether anything in the file tells of more records of the run than its index gave, and what.
    fn missing_records(database: &Connection, checked: &RunCheck) -> rusqlite::Result<Option<&'static str>> {
        let name = checked.run.to_string();
        // By the table itself, and by what the records say of themselves. Records before the last one cannot be missing: its
        // entry binds them.
        let found: i64 = database
            .prepare_cached(
                r#"SELECT count(*) FROM record NOT INDEXED WHERE seq > ?1
                   AND (run = ?2 OR substr(body, 1, 38) = CAST('{"run":"' || ?2 AS BLOB))"#,
            )?
            .query_row(params![checked.last.cast_signed(), name], |row| row.get(0))?;
        if found > 0 {
            return Ok(Some("the journal has others that its index does not list"));
        }
        let has = |query: &str| -> rusqlite::Result<bool> {
            Ok(database.prepare_cached(query)?.query_row([&name], |_| Ok(())).optional()?.is_some())
        };
        if has("SELECT 1 FROM open_run WHERE run = ?1 LIMIT 1")? == checked.state().is_some() {
            return Ok(Some("the table of runs without a state does not agree with the last of them"));
        }
        let expired = checked.records.iter().any(|(_, record)| matches!(record.event, Event::UndoExpired(_)));
        if has("SELECT 1 FROM run_key WHERE run = ?1")? == expired {
            return Ok(Some("the table of keys does not agree with them about the run's key"));
        }
        Ok(None)
    }

    /// A proof that the log continues an older checkpoint of it.
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

    /// The consistency proof between the log of `old` records and the log of `new`.
    pub fn growth(&self, old: u64, new: u64) -> Result<Vec<Hash>, CheckError> {
        let database = self.database();
        let tree = Tree::of(&self.path, &database, new)?;
        consistency_proof(old, new, |level, index| tree.read(level, index).map_err(CheckError::from))
    }

    /// The checkpoint with the witnesses' signatures, if they signed one of that size.
    fn best_note(&self, note: String, size: u64) -> Result<String, JournalError> {
        Ok(self.cosigned()?.into_iter().find(|c| c.size == size).map_or(note, |cosigned| cosigned.note))
    }
}

/// The log entry before that of a record.
fn previous(tree: &Tree<'_>, seq: u64) -> Result<Hash, JournalError> {
    seq.checked_sub(2).map_or(Ok([0; 32]), |before| tree.entry(before))
}

impl Proof {
    /// Reads a proof file.
    pub fn parse(text: &str) -> Result<Self, CheckError> {
        remit_text::json::read(text).map_err(|mistake| CheckError::Malformed(mistake.to_string()))
    }

    /// Checks the proof with the log's public key.
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
    /// The entries bind the records to the places 1, 2, 3 … of the run. That there are no more at that size of the log, only
    /// the host can state.
    fn check(&self, key: &NoteVerifier) -> Result<Proven, CheckError> {
        let signed = key.verify(&self.checkpoint)?;
        let mut checked = RunCheck::of(self.run);
        for given in &self.records {
            let wrong = || CheckError::Record { seq: given.seq };
            let index = given.seq.checked_sub(1).ok_or_else(wrong)?;
            let entry = checked.next(given.seq, given.place, &given.previous, &given.body)?;
            verify_inclusion(&leaf_hash(&entry), index, signed.size, &signed.root, &hashes(&given.path)?)
                .map_err(|_| wrong())?;
        }
        let not = |why: String| CheckError::End { run: self.run, why };
        let said = key.verify_text(&self.end).map_err(|error| not(error.to_string()))?;
        if said != checked.end(&signed) {
            let (count, size) = (checked.tail.place, signed.size);
            return Err(not(format!("it is not about these {count} records in a log of {size} records")));
        }
        Ok(Proven::Run {
            run: self.run,
            log: signed.origin,
            size: signed.size,
            count: checked.tail.place,
            state: checked.state(),
            records: checked.records,
        })
    }
}

fn text(hash: &Hash) -> String {
    STANDARD.encode(hash)
}

fn hashes(path: &[String]) -> Result<Vec<Hash>, CheckError> {
    let decode = |text: &String| STANDARD.decode(text).ok()?.try_into().ok();
    path.iter()
        .map(|text| {
            decode(text).ok_or_else(|| CheckError::Malformed("a hash is not 32 bytes in base64".to_owned()))
        })
        .collect()
}
