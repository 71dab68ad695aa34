//! A component file that may be let in.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;

use remit_file::{FileError, Kind, Opened};
use remit_trust::{Digest, KeyId, SignatureError, blob};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cache::Cache;
use crate::confined::{Task, perform};
use crate::error::ComponentError;
use crate::flaw::Flaw;
use crate::identity::FileIdentity;
use crate::notes::{Known, Signed};
use crate::publishers::Publishers;

/// What a world keeps of the examination of a component.
pub trait Inspect: Clone + Serialize + DeserializeOwned {
    /// The task that examines the bytes of a component. It answers `Self` in JSON.
    const TASK: &'static Task;
}

/// A component and the signature beside it, under one digest. Everything said of a candidate holds for the bytes with that
/// digest.
///
/// For a file that this host read before and that has not changed (see [`crate::Engine::find`]), the digest and the
/// findings are known without reading it again. Where the bytes are needed all the same, they are read from the file that
/// was opened, and refused if they do not have that digest. People approve the digest, and only code that was compiled from
/// bytes with that digest runs: compiled now, or earlier and then kept under a seal.
pub struct Candidate<I> {
    shown: String,
    digest: Digest,
    signature: String,
    /// Why the signature file beside it could not be read; none if it could.
    no_signature: Option<FileError>,
    file: Opened,
    /// The file's identity, if findings may be noted under it.
    identity: Option<FileIdentity>,
    /// The note that it was known from, and whether that note has all findings.
    note: Option<(PathBuf, bool)>,
    bytes: OnceLock<Vec<u8>>,
    inspection: OnceLock<I>,
    /// The name of a key under which the signature was verified.
    signer: OnceLock<String>,
}

impl<I> std::fmt::Debug for Candidate<I> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Candidate({}, {})", self.shown, self.digest)
    }
}

impl<I: Inspect> Candidate<I> {
    /// Reads a component, and the signature beside it (`FILE.sig`) if there is one.
    pub fn read(path: &Path) -> Result<Self, ComponentError> {
        Self::find(path, None)
    }

    /// The same, but a file with a note in `cache` is not read until its bytes are needed.
    pub fn find(path: &Path, cache: Option<&Cache>) -> Result<Self, ComponentError> {
        Self::find_at(path, cache, SystemTime::now())
    }

    pub(crate) fn find_at(
        path: &Path,
        cache: Option<&Cache>,
        now: SystemTime,
    ) -> Result<Self, ComponentError> {
        let shown = path.display().to_string();
        let file = remit_file::open(path, Kind::Component)?;
        // The identity of a pipe or a device does not change with its content.
        let identity = cache
            .filter(|_| file.is_regular() && FileIdentity::is_unique(file.file()))
            .and_then(|_| FileIdentity::of(file.file()).ok());
        // A failure to read the signature is reported when the publisher is asked for.
        let (signature, no_signature) = match signature(path) {
            Ok(signature) => (signature, None),
            Err(error) => (String::new(), Some(error)),
        };
        let known = identity
            .as_ref()
            .zip(cache)
            .and_then(|(identity, cache)| cache.known::<I>(I::TASK.name, identity));
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
        let settled = |before: &FileIdentity| {
            before.settled(now)
                && before.size() == bytes.len() as u64
                && FileIdentity::of(file.file()).is_ok_and(|after| after == *before)
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

    /// The same, with another name for it in errors than its path.
    #[must_use]
    pub fn called(self, name: String) -> Self {
        Self { shown: name, ..self }
    }

    /// The signature that lay beside the file; empty if there was none.
    #[must_use]
    pub fn signature(&self) -> &str {
        &self.signature
    }

    /// The bytes of the component.
    pub fn bytes(&self) -> Result<&[u8], ComponentError> {
        if let Some(bytes) = self.bytes.get() {
            return Ok(bytes);
        }
        let bytes = self.file.read()?.into_bytes();
        if Digest::of(&bytes) != self.digest {
            if let Some((note, _)) = &self.note {
                let _ = fs::remove_file(note);
            }
            return Err(ComponentError::Changed { file: self.shown.clone() });
        }
        Ok(self.bytes.get_or_init(|| bytes))
    }

    /// The digest of the bytes.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The path, as errors show it.
    #[must_use]
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// The trusted publisher who signed it.
    pub fn publisher(&self, publishers: &Publishers) -> Result<KeyId, ComponentError> {
        // A signature that was verified under a key stays valid; whether the key is trusted is checked each time.
        if let Some(signer) = self.signer.get()
            && let Some(key) = publishers.find(|key| key.to_string() == *signer)
        {
            return Ok(key);
        }
        let refused = |source| ComponentError::Publisher { file: self.shown.clone(), source };
        if let Some(error) = &self.no_signature {
            return Err(error.clone().into());
        }
        // Without a signature the bytes need not be read.
        if self.signature.trim_ascii().is_empty() {
            return Err(refused(SignatureError::Missing));
        }
        let key = publishers.verify(self.bytes()?, &self.signature).map_err(refused)?;
        let _ = self.signer.set(key.to_string());
        Ok(key)
    }

    /// What the world's [`Inspect::TASK`] found; it is performed once.
    pub fn inspection(&self) -> Result<&I, ComponentError> {
        if let Some(inspection) = self.inspection.get() {
            return Ok(inspection);
        }
        let found = perform(I::TASK, self.bytes()?, &self.shown)
            .and_then(|found| serde_json::from_slice(&found).map_err(|error| Flaw::Host(error.to_string())));
        let inspection = found.map_err(|flaw| ComponentError::of(flaw, &self.shown))?;
        Ok(self.inspection.get_or_init(|| inspection))
    }

    /// Takes over what this process found out earlier about the same bytes, if there is something to note.
    pub fn learn(&self, inspection: &I, signer: Option<&KeyId>) {
        if self.unnoted().is_some() {
            self.inspection.get_or_init(|| inspection.clone());
            signer.map(|signer| self.signer.get_or_init(|| signer.to_string()));
        }
    }

    /// All findings; none before it was inspected.
    pub(crate) fn known(&self) -> Option<Known<I>> {
        let signed =
            self.signer.get().map(|key| Signed { signature: self.signature.clone(), key: key.clone() });
        Some(Known { digest: self.digest, inspection: self.inspection.get()?.clone(), signed })
    }

    /// Whether it was known from a note, and not read.
    #[cfg(test)]
    pub(crate) fn was_known(&self) -> bool {
        self.note.is_some()
    }

    /// The file's identity, if there are findings to note under it.
    pub(crate) fn unnoted(&self) -> Option<&FileIdentity> {
        let complete = self.note.as_ref().is_some_and(|(_, complete)| *complete);
        self.identity.as_ref().filter(|_| !complete)
    }
}

/// The signature beside a component; empty if there is no such file.
fn signature(path: &Path) -> Result<String, FileError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".sig");
    match remit_file::plain(Path::new(&beside), Kind::Signature) {
        Err(error) if error.is_missing() => Ok(String::new()),
        read => Ok(blob::text_of(read?.into_bytes())),
    }
}
