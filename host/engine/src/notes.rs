//! Notes on component files: reading, hashing and validating 18 MB takes a hundred times as long as looking at the file's
//! inode.
//!
//! A note lies in the cache's folder, sealed with the cache's key. It holds for one file as the system identifies it
//! (see [`FileIdentity`]), one world, one build of Remit and one boot of the machine: after a loss of power the same
//! inode may hold other bytes. It says what that program found when it read all of the file: the digest, the inspection,
//! and a signature that was verified, with its key. A file that has changed in any way is read again, and a note that is
//! not as it was sealed counts as absent.
//!
//! A note cannot make anything run that was not checked. It leads to a digest that passed every check, and what runs is
//! the code that is kept, sealed, for that digest (see `cache`), or is compiled from bytes that have it. Nor does it say
//! who is trusted: a publisher who was removed is refused at once. Somebody who can write the file and keeps it mapped,
//! or serves it from a file system of their own, can change it unseen. All they gain is that Remit goes on with the
//! earlier bytes, under their digest, as if the change had come a moment later.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use remit_file::{Durable, Kind};
use remit_trust::{Digest, Sealed};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::cache::Cache;
use crate::identity::{self, FileIdentity};

/// How many notes there can be. Two files that share a slot are read more often.
const SLOTS: u64 = 4096;

/// What was found when all of a file's bytes were read.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Known<I> {
    pub(crate) digest: Digest,
    pub(crate) inspection: I,
    pub(crate) signed: Option<Signed>,
}

/// A signature over the bytes that was verified.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Signed {
    /// The text beside the file.
    pub(crate) signature: String,
    /// The name of the key that verifies it.
    pub(crate) key: String,
}

#[derive(Serialize, Deserialize)]
struct Note<K> {
    /// The program that read the file: another build may find other things.
    program: FileIdentity,
    /// The boot in which it did.
    boot: String,
    file: FileIdentity,
    known: K,
}

impl Cache {
    /// What is noted of a file for the world of this name, and the path of the note.
    pub(crate) fn known<I: DeserializeOwned>(
        &self,
        world: &str,
        file: &FileIdentity,
    ) -> Option<(Known<I>, PathBuf)> {
        let slot = slot(world, file)?;
        let path = self.folder.join(&slot);
        let sealed = Sealed::from_bytes(remit_file::plain(&path, Kind::Kept).ok()?.into_bytes());
        let Ok(text) = self.key.open(context(world, &slot).as_bytes(), &sealed) else {
            tracing::warn!(note = %path.display(), "a note on a component is not as it was written: reading the component again");
            return None;
        };
        let note: Note<Known<I>> = serde_json::from_slice(&text).ok()?;
        let same = note.file == *file
            && Some(&note.program) == program()
            && Some(note.boot.as_str()) == identity::boot();
        same.then_some((note.known, path))
    }

    /// Notes what is known of a file. A failure to write is only logged: the file is then read again.
    pub(crate) fn note<I: Serialize>(&self, world: &str, file: &FileIdentity, known: &Known<I>) {
        if self.read_only {
            return;
        }
        let (Some(slot), Some(program), Some(boot)) = (slot(world, file), program(), identity::boot()) else {
            return;
        };
        let note = || -> Result<(), String> {
            let note = Note { program: program.clone(), boot: boot.to_owned(), file: file.clone(), known };
            let text = serde_json::to_vec(&note).map_err(|error| error.to_string())?;
            let sealed =
                self.key.seal(context(world, &slot).as_bytes(), &text).map_err(|error| error.to_string())?;
            let placed = remit_file::replace_with(&self.folder.join(&slot), sealed.as_bytes(), Durable::No);
            placed.map(drop).map_err(|error| error.to_string())
        };
        if let Err(error) = note() {
            tracing::debug!(%error, "a note on a component could not be written");
        }
    }
}

/// The identity of the program that runs.
fn program() -> Option<&'static FileIdentity> {
    static PROGRAM: OnceLock<Option<FileIdentity>> = OnceLock::new();
    let look = || {
        let opened = remit_file::open_plain(Path::new("/proc/self/exe"), Kind::Component).ok()?;
        FileIdentity::of(opened.file()).ok()
    };
    PROGRAM.get_or_init(look).as_ref()
}

/// The name of the note on a file.
fn slot(world: &str, file: &FileIdentity) -> Option<String> {
    let mut hasher = DefaultHasher::new();
    (program()?, world, file.place()).hash(&mut hasher);
    Some(format!("known-{:03x}.note", hasher.finish() % SLOTS))
}

/// What a note is bound to, so that it fits no other slot or world.
fn context(world: &str, slot: &str) -> String {
    format!("remit-known-v1 {world} {slot}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
