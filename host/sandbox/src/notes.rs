//! What is known of component files, noted: reading, hashing and validating 18 MB takes a hundred times as long as a
//! look at the file's inode.
//!
//! A note lies in the cache's folder, sealed with its key, and is of one file as the system identifies it (inode, size,
//! times, see [`Identity`]), of one build of Remit, and of one start of the machine: after a loss of power the same inode may
//! hold other bytes. It says what that program found when it read all of the
//! file: the digest, the inspection, and by which key which signature held. A file that is not exactly the same one
//! is read, and what does not open as it was sealed is as if it were not there.
//!
//! What a note can never do is make something run that was not checked: it leads to a digest that passed every
//! check, and what runs is the machine code that is kept, sealed, for that digest (see `cache`), or is compiled from bytes
//! that have it. Nor does it know who is trusted: a publisher who was removed is refused at once. Someone who can write
//! the file and keeps it mapped, or serves it from a file system of their own making, can change it unseen; all they
//! gain is that Remit goes on with what was there before, under that digest, as if they had come a moment later.

use std::fs::File;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use remit_file::{Durable, Kind};
use remit_trust::{Digest, Sealed};
use serde::{Deserialize, Serialize};

use crate::identity::{self, Identity};
use crate::{AdmissionError, Cache, Candidate, Inspection, Sandbox};

/// How many notes there can be. Two files may meet in one, and are then read more often.
const SLOTS: u64 = 4096;

/// What a look at all of a file's bytes has shown.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Known {
    pub(crate) digest: Digest,
    pub(crate) inspection: Inspection,
    pub(crate) signed: Option<Signed>,
}

/// A signature over the bytes, which holds.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Signed {
    /// As it lay beside the file.
    pub(crate) signature: String,
    /// The name of the key under which it holds.
    pub(crate) key: String,
}

#[derive(Serialize, Deserialize)]
struct Note<K> {
    /// What looked: another build may see other things.
    program: Identity,
    /// When it looked.
    boot: String,
    file: Identity,
    known: K,
}

impl Cache {
    /// What is known of a file, and where that stands.
    pub(crate) fn known(&self, file: &Identity) -> Option<(Known, PathBuf)> {
        let slot = slot(file)?;
        let path = self.folder.join(&slot);
        let sealed = Sealed::from_bytes(remit_file::plain(&path, Kind::Kept).ok()?.into_bytes());
        let Ok(text) = self.key.open(context(&slot).as_bytes(), &sealed) else {
            tracing::warn!(note = %path.display(), "a note on a component is not as it was written: looking again");
            return None;
        };
        let note: Note<Known> = serde_json::from_slice(&text).ok()?;
        let same = note.file == *file
            && Some(&note.program) == program()
            && Some(note.boot.as_str()) == identity::boot();
        same.then_some((note.known, path))
    }

    /// Notes what is known of a file. That it could not be is no failure: the next look is a longer one.
    pub(crate) fn note(&self, file: &Identity, known: &Known) {
        if self.read_only {
            return;
        }
        let (Some(slot), Some(program), Some(boot)) = (slot(file), program(), identity::boot()) else {
            return;
        };
        let note = || -> Result<(), String> {
            let note = Note { program: program.clone(), boot: boot.to_owned(), file: file.clone(), known };
            let text = serde_json::to_vec(&note).map_err(|error| error.to_string())?;
            let sealed =
                self.key.seal(context(&slot).as_bytes(), &text).map_err(|error| error.to_string())?;
            let placed = remit_file::replace_with(&self.folder.join(&slot), sealed.as_bytes(), Durable::No);
            placed.map(drop).map_err(|error| error.to_string())
        };
        if let Err(error) = note() {
            tracing::debug!(%error, "what is known of a component could not be noted");
        }
    }
}

impl Sandbox {
    /// A component file: one that this host looked at before is known again.
    pub fn find(&self, path: &Path) -> Result<Candidate, AdmissionError> {
        Candidate::find(path, self.cache.as_ref())
    }

    /// Notes what was found out about a candidate, if that is new and its file can be told from any later one.
    pub(crate) fn remember(&self, candidate: &Candidate) {
        let (Some(cache), Some(file)) = (&self.cache, candidate.unnoted()) else { return };
        if let Some(known) = candidate.known() {
            cache.note(file, &known);
        }
    }

    /// The same for a copy of it, which this host has just written to a file and folder of its own: nobody else
    /// writes there, so that it need not settle first.
    pub fn remember_copy(&self, candidate: &Candidate, copy: &File) {
        let (Some(cache), Some(known)) = (&self.cache, candidate.known()) else { return };
        if let Ok(file) = Identity::of(copy) {
            cache.note(&file, &known);
        }
    }
}

/// The program that runs.
fn program() -> Option<&'static Identity> {
    static PROGRAM: OnceLock<Option<Identity>> = OnceLock::new();
    let look = || {
        let opened = remit_file::open_plain(Path::new("/proc/self/exe"), Kind::Component).ok()?;
        Identity::of(opened.file()).ok()
    };
    PROGRAM.get_or_init(look).as_ref()
}

/// Where the note on a file is.
fn slot(file: &Identity) -> Option<String> {
    let mut hasher = DefaultHasher::new();
    (program()?, file.place()).hash(&mut hasher);
    Some(format!("known-{:03x}.note", hasher.finish() % SLOTS))
}

fn context(slot: &str) -> String {
    format!("remit-known-v1 {slot}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
