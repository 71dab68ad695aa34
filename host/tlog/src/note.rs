//! Signed notes with Ed25519: <https://c2sp.org/signed-note>.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

use crate::{Checkpoint, CheckpointError};

/// The signature type of plain Ed25519.
const ALGORITHM: u8 = 1;
/// The maximum size of a note in bytes: enough for many witnesses.
pub(crate) const LONGEST: usize = 1 << 20;

/// Why a note, its signature or its key is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
pub enum NoteError {
    /// The format forbids this name.
    #[error("`{0}` cannot name a log: no spaces, no plus sign, not empty")]
    #[diagnostic(code(usage::log_name), help("use a name such as remit.example.org/journal"))]
    Name(String),
    /// The text is not a key.
    #[error("this is not the public key of a log")]
    #[diagnostic(code(usage::log_key), help("expected NAME+HASH+BASE64, as in the `log.pub` of the home"))]
    Key,
    /// The text is not a note.
    #[error("this is not a signed note: {0}")]
    #[diagnostic(
        code(integrity::note),
        help("expected a checkpoint with its signature lines (c2sp.org/signed-note)")
    )]
    Malformed(&'static str),
    /// No signature line is by this key.
    #[error("the checkpoint is not signed by the log's key")]
    #[diagnostic(
        code(integrity::note_signature),
        help("either it was forged or changed, or this is not that log's key")
    )]
    Unsigned,
    /// The signed text is not a checkpoint of this log.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// A log's signing key.
pub struct NoteSigner {
    verifier: NoteVerifier,
    /// The key id, with which each signature begins.
    id: [u8; 4],
    pair: Ed25519KeyPair,
}

impl fmt::Debug for NoteSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NoteSigner({})", self.name())
    }
}

impl NoteSigner {
    /// The key derived from `seed`, for the log `name`.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, NoteError> {
        if !is_name(name) {
            return Err(NoteError::Name(name.escape_debug().collect()));
        }
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| NoteError::Key)?;
        let mut key = [0; 32];
        key.copy_from_slice(pair.public_key().as_ref());
        let verifier = NoteVerifier { name: name.to_owned(), key };
        Ok(Self { id: verifier.id(), verifier, pair })
    }

    /// The name of the log that the key signs for.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.verifier.name
    }

    /// The verifier for this key's signatures.
    #[must_use]
    pub fn verifier(&self) -> NoteVerifier {
        self.verifier.clone()
    }

    /// The checkpoint as a signed note.
    #[must_use]
    pub fn sign(&self, checkpoint: &Checkpoint) -> String {
        self.sign_text(&checkpoint.to_text())
    }

    /// Any text that ends in a newline, as a signed note. A text that is not a checkpoint must not be readable as one: its second
    /// line must not be a number.
    #[must_use]
    pub fn sign_text(&self, text: &str) -> String {
        let mut line = self.id.to_vec();
        line.extend_from_slice(self.pair.sign(text.as_bytes()).as_ref());
        format!("{text}\n\u{2014} {} {}\n", self.name(), STANDARD.encode(line))
    }
}

/// A log's public key; in text, `NAME+HASH+BASE64`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NoteVerifier {
    name: String,
    key: [u8; 32],
}

impl NoteVerifier {
    fn id(&self) -> [u8; 4] {
        key_id(&self.name, ALGORITHM, &self.key)
    }

    /// Reads the text form.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let mut parts = text.trim_ascii().splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Key);
        };
        let key = STANDARD.decode(key).map_err(|_| NoteError::Key)?;
        let (algorithm, key) = key.split_first().ok_or(NoteError::Key)?;
        let key = key.try_into().map_err(|_| NoteError::Key)?;
        let verifier = Self { name: name.to_owned(), key };
        let expected = u32::from_be_bytes(verifier.id());
        if *algorithm != ALGORITHM || !is_name(name) || id != format!("{expected:08x}") {
            return Err(NoteError::Key);
        }
        Ok(verifier)
    }

    /// Checks a signed note and reads its checkpoint.
    pub fn verify(&self, note: &str) -> Result<Checkpoint, NoteError> {
        let checkpoint = Checkpoint::parse(self.verify_text(note)?)?;
        if checkpoint.origin != self.name {
            return Err(NoteError::Malformed("it is the checkpoint of another log"));
        }
        Ok(checkpoint)
    }

    /// Checks a signed note and returns its text, including the last newline. Well-formed lines by other keys are ignored. A line
    /// that names this key but does not verify makes the note invalid; the specification leaves that open.
    pub fn verify_text<'n>(&self, note: &'n str) -> Result<&'n str, NoteError> {
        if note.len() > LONGEST {
            return Err(NoteError::Malformed("it is longer than any checkpoint"));
        }
        if note.bytes().any(|byte| byte < b' ' && byte != b'\n') {
            return Err(NoteError::Malformed("it has control characters"));
        }
        let end = note.rfind("\n\n").ok_or(NoteError::Malformed("it has no signature block"))?;
        let (text, signatures) = (&note[..=end], &note[end + 2..]);
        let signatures =
            signatures.strip_suffix('\n').ok_or(NoteError::Malformed("it does not end in a newline"))?;
        let mut signed = false;
        for line in signatures.split('\n') {
            let (name, id, signature) =
                parts(line).ok_or(NoteError::Malformed("a signature line is malformed"))?;
            if name == self.name && id == self.id() {
                UnparsedPublicKey::new(&ED25519, &self.key)
                    .verify(text.as_bytes(), &signature)
                    .map_err(|_| NoteError::Unsigned)?;
                signed = true;
            }
        }
        if signed { Ok(text) } else { Err(NoteError::Unsigned) }
    }

    /// The name of the log whose signatures it verifies.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// The first four bytes of `SHA-256(name ‖ "\n" ‖ algorithm ‖ key)`.
pub(crate) fn key_id(name: &str, algorithm: u8, key: &[u8]) -> [u8; 4] {
    let text = [name.as_bytes(), &[b'\n', algorithm], key].concat();
    let mut id = [0; 4];
    id.copy_from_slice(&digest(&SHA256, &text).as_ref()[..4]);
    id
}

/// The name, key id and signature of a signature line.
pub(crate) fn parts(line: &str) -> Option<(&str, [u8; 4], Vec<u8>)> {
    let (name, signature) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
    let bytes = STANDARD.decode(signature).ok()?;
    let (id, signature) = bytes.split_first_chunk::<4>()?;
    (is_name(name) && !signature.is_empty()).then(|| (name, *id, signature.to_vec()))
}

/// Whether a name is not empty and has no spaces, plus signs or control characters.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c == '+' || c.is_whitespace() || c.is_control())
}

impl fmt::Display for NoteVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[ALGORITHM], self.key.as_slice()].concat();
        write!(f, "{}+{:08x}+{}", self.name, u32::from_be_bytes(self.id()), STANDARD.encode(key))
    }
}
