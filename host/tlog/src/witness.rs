//! Requests to a witness, and checking its answers: <https://c2sp.org/tlog-witness>,
//! <https://c2sp.org/tlog-cosignature>.
//!
//! A witness stores the latest checkpoint of a log that it has seen, and signs a newer one only with a proof that the log
//! only grew. So two of its signatures never contradict each other, and whoever trusts the witness need not trust the log.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, UnparsedPublicKey};

use crate::Hash;
use crate::note::{LONGEST, is_name, key_id, parts};

/// The signature type of Ed25519 cosignatures.
const ALGORITHM: u8 = 4;

/// Why a witness's key or answer is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
pub enum WitnessError {
    /// The text is not a key.
    #[error("this is not the public key of a witness")]
    #[diagnostic(
        code(usage::witness_key),
        help("expected NAME+HASH+BASE64, as the witness's operator gives it")
    )]
    Key,
    /// The key is not for cosignatures, or of a type that is not supported.
    #[error("the key of witness `{name}` is of type {algorithm:#04x} ({})", algorithm_name(*.algorithm))]
    #[diagnostic(
        code(usage::witness_algorithm),
        help("only Ed25519 cosignatures (type 0x04) are checked here: ask the operator for such a key")
    )]
    Algorithm {
        /// The name of the witness.
        name: String,
        /// The type of its key.
        algorithm: u8,
    },
    /// The text is not a signed note.
    #[error("this is not a signed checkpoint: {0}")]
    #[diagnostic(code(integrity::cosigned_note), help("give a witness the signed checkpoint itself"))]
    Note(&'static str),
    /// The answer does not follow the protocol.
    #[error("the witness's answer is malformed: {0}")]
    #[diagnostic(
        code(integrity::witness_answer),
        help("is this the address of a witness (c2sp.org/tlog-witness)? Expected signature lines")
    )]
    Answer(&'static str),
    /// No signature line is by this witness.
    #[error("there is no cosignature by `{0}`")]
    #[diagnostic(
        code(integrity::not_cosigned),
        help("either the witness has another key by now, or another witness answered")
    )]
    Missing(String),
    /// A signature line names the witness but does not verify over this checkpoint.
    #[error("the cosignature by `{0}` does not verify")]
    #[diagnostic(
        code(integrity::cosignature),
        help(
            "either it was forged or changed, or it is for another checkpoint; keep it and ask the operator"
        )
    )]
    Forged(String),
}

/// The name in the table of <https://c2sp.org/signed-note>, section “Signature types”.
fn algorithm_name(algorithm: u8) -> &'static str {
    match algorithm {
        1 => "plain Ed25519 signatures, as of a log",
        2 => "ECDSA",
        5 => "RFC 6962 tree heads",
        6 => "ML-DSA-44 cosignatures",
        _ => "unknown",
    }
}

/// The body of the request `add-checkpoint` (section “add-checkpoint”): `proof` shows that the checkpoint
/// in `note` continues the `old_size` entries that the witness signed last. It is empty when that is 0 or
/// the size of the checkpoint, as [`consistency_proof`](crate::consistency_proof) gives it.
#[must_use]
pub fn add_checkpoint_body(old_size: u64, proof: &[Hash], note: &str) -> String {
    let mut body = format!("old {old_size}\n");
    for hash in proof {
        body.push_str(&STANDARD.encode(hash));
        body.push('\n');
    }
    body.push('\n');
    body.push_str(note);
    body
}

/// The size in a witness's answer 409: that of the checkpoint it signed last, from which the proof must
/// start.
pub fn conflict_size(body: &str) -> Result<u64, WitnessError> {
    let digits = body.strip_suffix('\n').ok_or(WitnessError::Answer("it does not end in a newline"))?;
    let size = digits.parse::<u64>().map_err(|_| WitnessError::Answer("its size is not a number"))?;
    if size.to_string() == digits { Ok(size) } else { Err(WitnessError::Answer("its size is not a number")) }
}

/// A verified cosignature: at that time, the checkpoint was the largest of this log that the witness had seen, and it
/// continued all earlier ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosignature {
    /// The time by the witness's clock, in seconds since 1970. The caller decides whether it is too old or in the future.
    pub timestamp: u64,
    /// The signature line, without its newline.
    pub line: String,
}

/// A witness's public key; in text, `NAME+HASH+BASE64`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessVerifier {
    name: String,
    key: [u8; 32],
}

impl WitnessVerifier {
    /// Reads the text form, of an Ed25519 cosigner (type 0x04) only.
    pub fn parse(text: &str) -> Result<Self, WitnessError> {
        let mut parts = text.trim_ascii().splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(WitnessError::Key);
        };
        let bytes = STANDARD.decode(key).map_err(|_| WitnessError::Key)?;
        let (algorithm, key) = bytes.split_first().ok_or(WitnessError::Key)?;
        let expected = u32::from_be_bytes(key_id(name, *algorithm, key));
        if !is_name(name) || id != format!("{expected:08x}") {
            return Err(WitnessError::Key);
        }
        if *algorithm != ALGORITHM {
            return Err(WitnessError::Algorithm { name: name.to_owned(), algorithm: *algorithm });
        }
        let key = key.try_into().map_err(|_| WitnessError::Key)?;
        Ok(Self { name: name.to_owned(), key })
    }

    /// The name of the witness.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn id(&self) -> [u8; 4] {
        key_id(&self.name, ALGORITHM, &self.key)
    }

    /// Checks the witness's answer to the checkpoint `note`, with its signatures or without them. Lines by
    /// other keys are ignored; a line that names this key but does not verify makes the answer invalid.
    pub fn verify(&self, note: &str, answer: &str) -> Result<Cosignature, WitnessError> {
        let text = match note.rsplit_once("\n\n") {
            Some((text, _)) => format!("{text}\n"),
            None if note.ends_with('\n') => note.to_owned(),
            None => return Err(WitnessError::Note("it does not end in a newline")),
        };
        if answer.len() > LONGEST {
            return Err(WitnessError::Answer("it is longer than any answer"));
        }
        self.newest(&text, answer)
    }

    /// Checks a checkpoint that has the witness's signature line, and returns that line. It does not check the log's own
    /// signature: that is [`NoteVerifier::verify`](crate::NoteVerifier::verify).
    pub fn verify_note(&self, note: &str) -> Result<Cosignature, WitnessError> {
        if note.len() > LONGEST {
            return Err(WitnessError::Note("it is longer than any checkpoint"));
        }
        let (text, lines) =
            note.rsplit_once("\n\n").ok_or(WitnessError::Note("it has no signature block"))?;
        self.newest(&format!("{text}\n"), lines)
    }

    /// The newest of this key's cosignatures of `text`, all of which must verify.
    fn newest(&self, text: &str, lines: &str) -> Result<Cosignature, WitnessError> {
        let lines = lines.strip_suffix('\n').ok_or(WitnessError::Answer("it does not end in a newline"))?;
        let mut newest: Option<Cosignature> = None;
        for line in lines.split('\n') {
            let (name, id, signature) =
                parts(line).ok_or(WitnessError::Answer("a signature line is malformed"))?;
            if name != self.name || id != self.id() {
                continue;
            }
            let timestamp =
                self.check(text, &signature).ok_or_else(|| WitnessError::Forged(self.name.clone()))?;
            if newest.as_ref().is_none_or(|other| other.timestamp < timestamp) {
                newest = Some(Cosignature { timestamp, line: line.to_owned() });
            }
        }
        newest.ok_or_else(|| WitnessError::Missing(self.name.clone()))
    }

    /// The time in a cosignature of `text`, if it verifies (section “Ed25519 signed message”).
    fn check(&self, text: &str, signature: &[u8]) -> Option<u64> {
        let (time, signature) = signature.split_first_chunk::<8>()?;
        // A witness must give a time; the format's maximum is 2⁶³ - 1.
        let time = Some(u64::from_be_bytes(*time)).filter(|time| (1..1 << 63).contains(time))?;
        let message = format!("cosignature/v1\ntime {time}\n{text}");
        UnparsedPublicKey::new(&ED25519, &self.key).verify(message.as_bytes(), signature).ok()?;
        Some(time)
    }
}

impl fmt::Display for WitnessVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[ALGORITHM], self.key.as_slice()].concat();
        write!(f, "{}+{:08x}+{}", self.name, u32::from_be_bytes(self.id()), STANDARD.encode(key))
    }
}

/// The note with the cosignatures below its own signatures. A line by the same key is replaced, because some
/// readers refuse a note that a key has signed twice.
#[must_use]
pub fn add_cosignatures(note: &str, cosignatures: &[Cosignature]) -> String {
    let key = |line| parts(line).map(|(name, id, _)| (name, id));
    let unsigned = || (note.strip_suffix('\n').unwrap_or(note), "");
    let (text, lines) = note.rsplit_once("\n\n").unwrap_or_else(unsigned);
    let mut lines: Vec<&str> = lines.split_terminator('\n').collect();
    for Cosignature { line, .. } in cosignatures {
        lines.retain(|other| key(other) != key(line));
        lines.push(line);
    }
    format!("{text}\n\n{}\n", lines.join("\n"))
}
