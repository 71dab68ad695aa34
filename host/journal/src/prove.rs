//! Proofs that travel: what a run did, or that the log only grew, checked with a public key and nothing else.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use miette::Diagnostic;
use remit_tlog::{
    Hash, NoteError, NoteVerifier, ProofError, consistency_proof, inclusion_proof, leaf_hash,
    verify_consistency, verify_inclusion,
};
use remit_trust::Digest;
use serde::{Deserialize, Serialize};

use crate::tree::Tree;
use crate::{Counted, Event, JournalError, Reader, Record, RunId, RunState, store};

/// A proof, as a file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Proof {
    /// What a run did.
    #[serde(rename = "remit.run-proof.v1")]
    Run(RunProof),
    /// That the log only grew between two checkpoints.
    #[serde(rename = "remit.growth-proof.v1")]
    Growth(GrowthProof),
}

/// All records of a run, each with its place in the log.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunProof {
    /// The run.
    pub run: RunId,
    /// The signed checkpoint that they are in; with the cosignatures of witnesses, if there are any.
    pub checkpoint: String,
    /// The records, oldest first.
    pub records: Vec<ProvenRecord>,
}

/// One record and its place.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProvenRecord {
    /// Its sequence number, from 1.
    pub seq: u64,
    /// What the chain was before it, 64 hex digits. The log's entry is
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
        help("pass the file that `remit audit prove` or `remit audit consistency --out` wrote")
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
        help("the record, its place or its path was changed; distrust it")
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
    /// The records do not make a whole.
    #[error("the records are not the whole of {run}: {why}")]
    #[diagnostic(code("integrity::proof"), help("records were left out; ask for the whole proof"))]
    Incomplete {
        /// The run.
        run: String,
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

impl Reader {
    /// A proof of what a run did so far.
    pub fn prove(&self, run: &RunId, key: &NoteVerifier) -> Result<Proof, CheckError> {
        let note = self.checkpoint()?;
        let signed = key.verify(&note)?;
        let tree = Tree::of(self, signed.size)?;
        let mut records = Vec::new();
        for (seq, body) in self.bodies(run)?.into_iter().filter(|(seq, _)| *seq <= signed.size) {
            let index = seq - 1;
            let path =
                inclusion_proof(index, signed.size, |level, index| tree.read::<ProofError>(level, index))?;
            let before = usize::try_from(index).ok().and_then(|index| index.checked_sub(1));
            let previous = before.and_then(|before| tree.entries.get(before)).copied().unwrap_or([0; 32]);
            records.push(ProvenRecord { seq, previous, body, path: path.iter().map(text).collect() });
        }
        let proof =
            Proof::Run(RunProof { run: *run, checkpoint: self.best_note(note, signed.size)?, records });
        // What leaves here has been checked: a damaged journal gives no proofs.
        proof.check(key)?;
        Ok(proof)
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
        let tree = Tree::of(self, new)?;
        Ok(consistency_proof(old, new, |level, index| tree.read::<ProofError>(level, index))?)
    }

    /// The checkpoint with its witnesses' signatures, where they signed that very size.
    fn best_note(&self, note: String, size: u64) -> Result<String, JournalError> {
        Ok(self.cosigned()?.into_iter().find(|c| c.size == size).map_or(note, |cosigned| cosigned.note))
    }
}

impl Proof {
    /// Reads a proof file.
    pub fn parse(text: &str) -> Result<Self, CheckError> {
        serde_json::from_str(text).map_err(|error| CheckError::Malformed(error.to_string()))
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
    fn check(&self, key: &NoteVerifier) -> Result<Proven, CheckError> {
        let signed = key.verify(&self.checkpoint)?;
        let mut records: Vec<(u64, Record)> = Vec::new();
        for given in &self.records {
            let wrong = || CheckError::Record { seq: given.seq };
            let index = given.seq.checked_sub(1).ok_or_else(wrong)?;
            let entry = store::link(&given.previous, &Digest::of(given.body.as_bytes()));
            verify_inclusion(&leaf_hash(&entry), index, signed.size, &signed.root, &hashes(&given.path)?)
                .map_err(|_| wrong())?;
            let record: Record = serde_json::from_str(&given.body).map_err(|_| wrong())?;
            if record.run != self.run || records.last().is_some_and(|(seq, _)| *seq >= given.seq) {
                return Err(wrong());
            }
            records.push((given.seq, record));
        }
        let state = self.is_whole(&records)?;
        Ok(Proven::Run { run: self.run, log: signed.origin, size: signed.size, state, records })
    }

    /// A record that is left out cannot be seen from the others' places; from what they say it can: a run
    /// begins, its calls are counted, each change and undo has its outcome, and its end says how many.
    fn is_whole(&self, records: &[(u64, Record)]) -> Result<Option<RunState>, CheckError> {
        let lacks = |why: String| Err(CheckError::Incomplete { run: self.run.to_string(), why });
        if !matches!(records.first(), Some((_, Record { event: Event::Started(_), .. }))) {
            return lacks("its start is missing".to_owned());
        }
        let (mut calls, mut state) = (0, None);
        let mut open = std::collections::BTreeSet::new();
        for (_, record) in records {
            let call = match &record.event {
                Event::Intent(intent) => {
                    open.insert(intent.call);
                    Some(intent.call)
                }
                Event::Denied(denied) => Some(denied.call),
                Event::Simulated(simulated) => Some(simulated.call),
                Event::Outcome(outcome) => {
                    open.remove(&outcome.call);
                    None
                }
                Event::Ended(ended) => {
                    state = Some(ended.state);
                    let Ok(Counted { host_calls: counted, .. }) = ended.counted() else {
                        return lacks("its end does not say how many calls there were".to_owned());
                    };
                    if counted != 0 && counted != calls {
                        return lacks(format!("{calls} calls are here, its end counts {counted}"));
                    }
                    if matches!(ended.state, RunState::Succeeded | RunState::Rehearsed) && !open.is_empty() {
                        return lacks("the outcome of a call is missing".to_owned());
                    }
                    None
                }
                Event::Phase(_) => {
                    state = None;
                    None
                }
                _ => None,
            };
            match call {
                // A call that was refused half-way has its refusal under the number of its intent.
                Some(call) if call == calls || call == calls + 1 => calls = call,
                Some(call) => return lacks(format!("call {call} follows call {calls}")),
                None => {}
            }
        }
        Ok(state)
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
