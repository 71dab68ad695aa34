//! The log as files that any static web server can publish (<https://c2sp.org/tlog-tiles>): a checkpoint, tiles of hashes,
//! and bundles of entries, which are the digests of the records. No record's content leaves the journal.

use std::fs;
use std::path::{Path, PathBuf};

use miette::Diagnostic;
use remit_file::{Content, Durable, FileError, Kind};
use remit_tlog::{
    NoteError, NoteVerifier, TILE_WIDTH, TileError, TilePath, bundle_bytes, bundles_between, tiles_between,
};

use crate::tree::Tree;
use crate::{JournalError, Reader};

/// Why a log could not be published, or what is wrong with what was.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum PublishError {
    /// A file could not be read or written.
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(#[from] FileError),
    /// The published files are not an earlier state of this log.
    #[error("{}: {why}", folder.display())]
    #[diagnostic(
        code("integrity::published"),
        help("nothing was written; publish into another folder, and find out which of the two was changed")
    )]
    OtherLog {
        /// The path of the folder with the published files.
        folder: PathBuf,
        /// How the published files differ from this log.
        why: String,
    },
    /// A published file was changed.
    #[error("the published {file} {why}")]
    #[diagnostic(
        code("integrity::tile"),
        help("keep it as evidence; then delete it and publish again: the journal is the source")
    )]
    Changed {
        /// The path of the file below the folder.
        file: String,
        /// How the file differs from the journal.
        why: String,
    },
    /// The journal could not be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Journal(#[from] JournalError),
    /// A tile could not be made.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Tile(#[from] TileError),
}

impl Reader {
    /// Updates the published files in `folder` to the newest checkpoint. Returns the log's size. Files that are there must
    /// be an earlier state of this log. The checkpoint is written last, so that a client of it finds every tile it needs.
    pub fn publish(&self, folder: &Path, key: &NoteVerifier) -> Result<u64, PublishError> {
        let note = self.checkpoint()?;
        let other = |why: String| PublishError::OtherLog { folder: folder.to_owned(), why };
        let signed = key.verify(&note).map_err(|error| other(error.to_string()))?;
        let database = self.database();
        let tree = Tree::of(&self.path, &database, signed.size)?;
        if tree.root(signed.size)? != signed.root {
            return Err(JournalError::damaged(&self.path, "its checkpoint is not over its records").into());
        }
        let published = published(folder, key)?;
        let old = match &published {
            None => 0,
            Some((_, old)) if old.size <= signed.size && tree.root(old.size)? == old.root => old.size,
            Some((_, old)) => {
                return Err(other(format!(
                    "the files published there ({} records) are not of this log",
                    old.size
                )));
            }
        };
        for tile in tiles_between(old, signed.size) {
            let path = TilePath::Hashes(tile);
            place(folder, &path.to_string(), &expected(&tree, &path)?)?;
        }
        for bundle in bundles_between(old, signed.size) {
            let path = TilePath::Entries(bundle);
            place(folder, &path.to_string(), &expected(&tree, &path)?)?;
        }
        drop(database);
        let cosigned = self.cosigned()?.into_iter().find(|cosigned| cosigned.size == signed.size);
        let note = cosigned.map_or(note, |cosigned| cosigned.note);
        if published.is_none_or(|(there, _)| there != note) {
            place(folder, "checkpoint", note.as_bytes())?;
        }
        Ok(signed.size)
    }

    /// The content of one file of the published log; none if the log does not have it yet. It never changes.
    pub fn tile(&self, path: &TilePath, key: &NoteVerifier) -> Result<Option<Vec<u8>>, PublishError> {
        let damaged = |why: &str| JournalError::damaged(&self.path, why);
        let signed = key.verify(&self.checkpoint()?).map_err(|error| damaged(&error.to_string()))?;
        let (level, index, width) = match path {
            TilePath::Hashes(tile) => (tile.level(), tile.index(), tile.width()),
            TilePath::Entries(bundle) => (0, bundle.index(), bundle.width()),
        };
        let there = signed.size >> (8 * u32::from(level));
        let last = index.saturating_mul(u64::from(TILE_WIDTH)).saturating_add(u64::from(width));
        if last > there {
            return Ok(None);
        }
        let database = self.database();
        let tree = Tree::of(&self.path, &database, signed.size)?;
        if tree.root(signed.size)? != signed.root {
            return Err(damaged("its checkpoint is not over its records").into());
        }
        expected(&tree, path).map(Some)
    }

    /// Compares the published files in `folder` with this journal, byte for byte. Returns the size of the published log.
    pub fn check_published(&self, folder: &Path, key: &NoteVerifier) -> Result<u64, PublishError> {
        let changed =
            |file: &str, why: &str| PublishError::Changed { file: file.to_owned(), why: why.to_owned() };
        let Some((_, signed)) = published(folder, key)? else {
            return Err(changed("checkpoint", "is missing"));
        };
        let size = key.verify(&self.checkpoint()?).map_or(0, |head| head.size);
        if signed.size > size {
            return Err(changed("checkpoint", "covers more records than the journal has"));
        }
        let database = self.database();
        let tree = Tree::of(&self.path, &database, size)?;
        if tree.root(signed.size)? != signed.root {
            return Err(changed("checkpoint", "is not over this journal's records"));
        }
        let tiles = tiles_between(0, signed.size).map(TilePath::Hashes);
        let needed = tiles.chain(bundles_between(0, signed.size).map(TilePath::Entries));
        for path in needed {
            let (name, expected) = (path.to_string(), expected(&tree, &path)?);
            match remit_file::plain(&folder.join(&name), Kind::Tile).map(Content::into_bytes) {
                Ok(bytes) if bytes == expected => {}
                Ok(bytes) if bytes.len() == expected.len() => {
                    return Err(changed(&name, "was changed: it does not agree with this journal's records"));
                }
                Ok(_) => return Err(changed(&name, "was cut or lengthened")),
                Err(error) if error.is_missing() => return Err(changed(&name, "is missing")),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(signed.size)
    }
}

/// The content that a published file must have.
fn expected(tree: &Tree<'_>, path: &TilePath) -> Result<Vec<u8>, PublishError> {
    match path {
        TilePath::Hashes(tile) => Ok(tile.bytes(|level, index| tree.read(level, index))?),
        TilePath::Entries(bundle) => {
            let last = bundle.first().saturating_add(u64::from(bundle.width()));
            let entries = (bundle.first()..last).map(|index| tree.entry(index));
            Ok(bundle_bytes(&entries.collect::<Result<Vec<_>, _>>()?)?)
        }
    }
}

/// The published checkpoint, if there is one.
fn published(
    folder: &Path,
    key: &NoteVerifier,
) -> Result<Option<(String, remit_tlog::Checkpoint)>, PublishError> {
    let path = folder.join("checkpoint");
    let note = match remit_file::plain(&path, Kind::Checkpoint) {
        Ok(note) => note.into_text()?,
        Err(error) if error.is_missing() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let wrong = |error: NoteError| match error {
        NoteError::Unsigned => PublishError::OtherLog {
            folder: folder.to_owned(),
            why: "its checkpoint is not signed by this log's key: it was altered, or belongs to another log"
                .to_owned(),
        },
        error => {
            PublishError::Changed { file: "checkpoint".to_owned(), why: format!("does not verify: {error}") }
        }
    };
    let signed = key.verify(&note).map_err(wrong)?;
    Ok(Some((note, signed)))
}

/// Writes a file completely or not at all. A file lost in a power failure is written again by the next call.
fn place(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), PublishError> {
    let path = folder.join(name);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(|error| FileError::writing(parent, Kind::Tile, &error))?;
    }
    Ok(remit_file::write_with(&path, bytes, Durable::No).map(drop)?)
}
