//! Checks who could have written a file, to decide whether its content can be trusted.

use std::fs::{self, File, Metadata};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::error::Problem;
use crate::{FileError, Kind};

/// Whether a file or folder belongs to this user or to root.
fn is_ours(meta: &Metadata) -> bool {
    meta.uid() == 0 || meta.uid() == rustix::process::geteuid().as_raw()
}

/// Checks that the open file belongs to this user or to root, and that not everybody can write it.
pub(crate) fn judge(file: &File, meta: &Metadata) -> Result<(), Problem> {
    if !is_ours(meta) {
        return Err(Problem::Foreign(meta.uid()));
    }
    if meta.mode() & 0o002 != 0 && others_get_to(file) {
        return Err(Problem::Writable(meta.mode() & 0o7777));
    }
    Ok(())
}

/// Whether other users can reach the file: a folder that they cannot enter protects everything in it. True if that cannot be
/// found out.
fn others_get_to(file: &File) -> bool {
    let Ok(path) = fs::read_link(PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))) else {
        return true;
    };
    path.ancestors().skip(1).all(|folder| fs::metadata(folder).map_or(true, |meta| meta.mode() & 0o001 != 0))
}

/// Checks that a folder belongs to this user or to root.
pub fn judge_folder(path: &Path) -> Result<(), FileError> {
    let meta = fs::metadata(path).map_err(|error| FileError::reading(path, Kind::Kept, &error))?;
    if is_ours(&meta) {
        return Ok(());
    }
    Err(FileError::new(path.display().to_string(), Kind::Kept, Problem::Foreign(meta.uid())))
}

/// The mode, if the group or all others can write the file or folder.
#[must_use]
pub fn others_can_write(path: &Path) -> Option<u32> {
    let mode = fs::metadata(path).ok()?.mode() & 0o7777;
    (mode & 0o022 != 0).then_some(mode)
}
