//! What a run can touch of files, and how much of them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The kind of every resource served here: `file:etc/app/app.conf`.
pub const KIND: &str = "file";

/// The largest file that is read or written, in bytes: it is held in memory, and sealed in the journal.
pub const MAX_FILE: u64 = 4 * 1024 * 1024;

/// Bytes of all extended attributes of one file or directory, names and values: they are sealed in the journal too.
pub const MAX_XATTRS: usize = 64 * 1024;

/// Bytes of all files that one run may read, write and replace.
pub const MAX_RUN: u64 = 64 * 1024 * 1024;

/// Entries of a directory that are listed.
pub(super) const MAX_ENTRIES: usize = 10_000;

/// How names begin of files that are being written. Actions never see them.
pub const TEMPORARY: &str = ".remit-tmp-";

/// What is neither a plain file nor a directory, to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Odd {
    /// A symbolic link, which is never followed.
    SymbolicLink,
    /// A device, a socket, a named pipe.
    Special,
    /// A file with another name, which may lie outside the scope.
    HardLink,
    /// A file over [`MAX_FILE`].
    TooLarge,
    /// Extended attributes that cannot be recorded.
    Attributes,
    /// On the way to it is something other than a directory.
    Blocked,
}

impl fmt::Display for Odd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SymbolicLink => f.write_str("is a symbolic link, which is never followed"),
            Self::Special => f.write_str("is neither a file nor a directory"),
            Self::HardLink => f.write_str("has another name (a hard link), which may lie outside the scope"),
            Self::TooLarge => write!(f, "is over {MAX_FILE} bytes, the most a run may touch"),
            Self::Attributes => write!(
                f,
                "has extended attributes of over {MAX_XATTRS} bytes together, the most a run may touch, or with a name that is not \
                 UTF-8"
            ),
            Self::Blocked => {
                f.write_str("lies behind a symbolic link or something else that is no directory")
            }
        }
    }
}
