//! A component that may be let in.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;

use remit_file::{FileError, Kind, Opened};
use remit_trust::{Digest, KeyId, SignatureError, blob};

use crate::confined::{self, Job};
use crate::examine::Flaw;
use crate::identity::Identity;
use crate::notes::{Known, Signed};
use crate::{AdmissionError, Cache, Inspection, Publishers};

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
    /// Why there is none, where something lies beside it.
    no_signature: Option<FileError>,
    file: Opened,
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
        let file = remit_file::open(path, Kind::Component)?;
        // Of a pipe or a device the system tells nothing that changes with what comes out.
        let identity = cache
            .filter(|_| file.is_regular() && Identity::tells(file.file()))
            .and_then(|_| Identity::of(file.file()).ok());
        // What is wrong with it is a matter for whoever asks who signed this.
        let (signature, no_signature) = match signature(path) {
            Ok(signature) => (signature, None),
            Err(error) => (String::new(), Some(error)),
        };
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
                no_signature,
                bytes: OnceLock::new(),
                inspection: known.inspection.into(),
                signer: signer.map(OnceLock::from).unwrap_or_default(),
            });
        }
        let bytes = file.read()?.into_bytes();
        let settled = |before: &Identity| {
            before.settled(now)
                && before.size() == bytes.len() as u64
                && Identity::of(file.file()).is_ok_and(|after| after == *before)
        };
        Ok(Self {
            shown,
            digest: Digest::of(&bytes),
            signature,
            no_signature,
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
        let bytes = self.file.read()?.into_bytes();
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
        if let Some(error) = &self.no_signature {
            return Err(error.clone().into());
        }
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

/// The signature beside a component; none where there is no file.
fn signature(path: &Path) -> Result<String, FileError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".sig");
    match remit_file::plain(Path::new(&beside), Kind::Signature) {
        Err(error) if error.is_missing() => Ok(String::new()),
        read => Ok(blob::text_of(read?.into_bytes())),
    }
}
