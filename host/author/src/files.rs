//! The files of a project: what this program brings along, and how it writes.

use std::fs;
use std::path::Path;

use include_dir::{Dir, DirEntry, File};
use remit_file::{Durable, Kind};

use crate::AuthorError;

/// The folder of a project that has the SDK.
pub(crate) const SDK: &str = "sdk";

/// Writes what projects of a language bring along of its SDK: all of it but the templates.
pub(crate) fn write_sdk(sdk: &'static Dir<'static>, to: &Path) -> Result<(), AuthorError> {
    for file in below(sdk).filter(|file| !file.path().to_string_lossy().starts_with("template")) {
        write(&to.join(file.path()), file.contents())?;
    }
    Ok(())
}

/// Every file in `dir` and its folders.
pub(crate) fn below(dir: &'static Dir<'static>) -> Box<dyn Iterator<Item = &'static File<'static>>> {
    Box::new(dir.entries().iter().flat_map(|entry| match entry {
        DirEntry::File(file) => Box::new(std::iter::once(file)),
        DirEntry::Dir(dir) => below(dir),
    }))
}

/// Writes a file and the folders that it lies in.
pub(crate) fn write(path: &Path, contents: &[u8]) -> Result<(), AuthorError> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(|error| AuthorError::file(parent, &error))?;
    }
    // A project that power was lost over is made again.
    Ok(remit_file::write_with(path, contents, Durable::No).map(drop)?)
}

/// Copies a file, replacing what is at the target.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<(), AuthorError> {
    let bytes = remit_file::plain(from, Kind::Source)?;
    Ok(remit_file::write_with(to, bytes.bytes(), Durable::No).map(drop)?)
}
