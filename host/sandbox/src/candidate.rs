//! A component that may be let in.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;

use remit_trust::{Digest, KeyId, SignatureError, blob};

use crate::confined::{self, Job};
use crate::examine::Flaw;
use crate::identity::Identity;
use crate::notes::{Known, Signed};
use crate::{AdmissionError, Cache, Inspection, Publishers};

/// The largest component that is read at all.
pub(crate) const MAX_SIZE: u64 = 128 * 1024 * 1024;

/// A component and the signature beside it, under one digest: everything that is said of a candidate is said of the
/// bytes with that digest.
///
/// Of a file that this host has read before and that is still the same one ([`Candidate::find`]), the digest and what
/// was found then are known without reading it again. Whoever needs the bytes all the same gets them
/// from the file that was opened, and only if they have that digest. What is approved is the digest, and
/// what runs was compiled from bytes that have it: from these, or earlier, and then kept under its seal.
pub struct Candidate {
    shown: String,
    digest: Digest,
    signature: String,
    file: File,
    /// Which file that is, if what is found out about it may be noted.
    identity: Option<Identity>,
    /// The note that knew it, and whether that has all there is to know.
    note: Option<(PathBuf, bool)>,
    bytes: OnceLock<Vec<u8>>,
    inspection: OnceLock<Inspection>,
    /// The name of a key under which the signature holds.
    signer: OnceLock<String>,
}

impl std::fmt::Debug for Candidate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Candidate({}, {})", self.shown, self.digest)
    }
}

impl Candidate {
    /// Reads a component and the signature beside it (`FILE.sig`), if there is one.
    pub fn read(path: &Path) -> Result<Self, AdmissionError> {
        Self::find(path, None)
    }

    /// The same, but of a file that is known in `cache` only what is needed is read.
    pub fn find(path: &Path, cache: Option<&Cache>) -> Result<Self, AdmissionError> {
        Self::find_at(path, cache, SystemTime::now())
    }

    pub(crate) fn find_at(
        path: &Path,
        cache: Option<&Cache>,
        now: SystemTime,
    ) -> Result<Self, AdmissionError> {
        let shown = path.display().to_string();
        let unreadable = |error| unreadable(&shown, &error);
        let file = File::open(path).map_err(unreadable)?;
        let meta = file.metadata().map_err(unreadable)?;
        if meta.len() > MAX_SIZE {
            return Err(AdmissionError::TooLarge { file: shown, size: meta.len() });
        }
        // Of a pipe or a device the system tells nothing that changes with what comes out.
        let identity = match cache {
            Some(_) if meta.is_file() => Some(Identity::of(&file).map_err(unreadable)?),
            _ => None,
        };
        let signature = signature(path).map_err(unreadable)?;
        let known = identity.as_ref().zip(cache).and_then(|(identity, cache)| cache.known(identity));
        if let Some((known, note)) = known {
            let same = |signed: &Signed| signed.signature == signature;
            let signer = known.signed.filter(same).map(|signed| signed.key);
            return Ok(Self {
                shown,
                digest: known.digest,
                file,
                identity,
                note: Some((note, signer.is_some() || signature.is_empty())),
                signature,
                bytes: OnceLock::new(),
                inspection: known.inspection.into(),
                signer: signer.map(OnceLock::from).unwrap_or_default(),
            });
        }
        let bytes = read(&file, meta.len(), &shown)?;
        let settled = |before: &Identity| {
            before.settled(now)
                && before.size() == bytes.len() as u64
                && Identity::of(&file).is_ok_and(|after| after == *before)
        };
        Ok(Self {
            shown,
            digest: Digest::of(&bytes),
            signature,
            identity: identity.filter(settled),
            file,
            note: None,
            bytes: bytes.into(),
            inspection: OnceLock::new(),
            signer: OnceLock::new(),
        })
    }

    /// The signature that lay beside it; empty if there was none.
    #[must_use]
    pub fn signature(&self) -> &str {
        &self.signature
    }

    /// The bytes.
    pub fn bytes(&self) -> Result<&[u8], AdmissionError> {
        if let Some(bytes) = self.bytes.get() {
            return Ok(bytes);
        }
        (&self.file).rewind().map_err(|error| unreadable(&self.shown, &error))?;
        let size = self.identity.as_ref().map_or(0, Identity::size);
        let bytes = read(&self.file, size, &self.shown)?;
        if Digest::of(&bytes) != self.digest {
            if let Some((note, _)) = &self.note {
                let _ = fs::remove_file(note);
            }
            return Err(AdmissionError::Changed { file: self.shown.clone() });
        }
        Ok(self.bytes.get_or_init(|| bytes))
    }

    /// Of the bytes.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// How errors name it.
    #[must_use]
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Which trusted publisher signed it.
    pub fn publisher(&self, publishers: &Publishers) -> Result<KeyId, AdmissionError> {
        // That a signature holds under a key is true for ever; that the key is trusted is looked at each time.
        if let Some(signer) = self.signer.get() {
            let trusted = publishers.0.iter().map(remit_trust::VerifyingKey::id);
            if let Some(key) = trusted.into_iter().find(|key| key.to_string() == *signer) {
                return Ok(key);
            }
        }
        let refused = |source| AdmissionError::Publisher { file: self.shown.clone(), source };
        // Nothing to hold against the bytes: they need not be read.
        if self.signature.trim_ascii().is_empty() {
            return Err(refused(SignatureError::Missing));
        }
        let key = blob::verify_blob(&publishers.0, self.bytes()?, &self.signature).map_err(refused)?;
        let _ = self.signer.set(key.to_string());
        Ok(key)
    }

    pub(crate) fn inspection(&self) -> Result<&Inspection, AdmissionError> {
        if let Some(inspection) = self.inspection.get() {
            return Ok(inspection);
        }
        let found = confined::done(Job::Inspect, self.bytes()?, &self.shown)
            .and_then(|found| serde_json::from_slice(&found).map_err(|error| Flaw::Host(error.to_string())));
        let inspection = found.map_err(|flaw| AdmissionError::of(flaw, &self.shown))?;
        Ok(self.inspection.get_or_init(|| inspection))
    }

    /// Takes over what this process found out about the same bytes when it met them before, if that may be noted.
    pub(crate) fn learn(&self, inspection: &Inspection, signer: Option<&KeyId>) {
        if self.unnoted().is_some() {
            self.inspection.get_or_init(|| inspection.clone());
            signer.map(|signer| self.signer.get_or_init(|| signer.to_string()));
        }
    }

    /// Everything that was found out, once it was inspected.
    pub(crate) fn known(&self) -> Option<Known> {
        let signed =
            self.signer.get().map(|key| Signed { signature: self.signature.clone(), key: key.clone() });
        Some(Known { digest: self.digest, inspection: self.inspection.get()?.clone(), signed })
    }

    /// Whether it was known, so that nothing needed reading.
    #[cfg(test)]
    pub(crate) fn was_known(&self) -> bool {
        self.note.is_some()
    }

    /// Which file it is, if more is known of it than was noted.
    pub(crate) fn unnoted(&self) -> Option<&Identity> {
        let complete = self.note.as_ref().is_some_and(|(_, complete)| *complete);
        self.identity.as_ref().filter(|_| !complete)
    }
}

fn unreadable(shown: &str, error: &std::io::Error) -> AdmissionError {
    AdmissionError::Unreadable { file: shown.to_owned(), why: error.to_string() }
}

fn signature(path: &Path) -> std::io::Result<String> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".sig");
    match fs::read_to_string(&beside) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        read => read,
    }
}

fn read(file: &File, size: u64, shown: &str) -> Result<Vec<u8>, AdmissionError> {
    // One byte more than there should be: reading on shows the end without growing.
    let mut bytes = Vec::with_capacity(usize::try_from(size.min(MAX_SIZE)).unwrap_or(0) + 1);
    // The file may grow while it is read, or be a pipe.
    file.take(MAX_SIZE + 1).read_to_end(&mut bytes).map_err(|error| unreadable(shown, &error))?;
    if bytes.len() as u64 > MAX_SIZE {
        return Err(AdmissionError::TooLarge { file: shown.to_owned(), size: bytes.len() as u64 });
    }
    Ok(bytes)
}
