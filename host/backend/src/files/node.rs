//! What can be at a path, with its content and without.

use std::fmt;

use remit_trust::Digest;
use serde::{Deserialize, Serialize};

/// What is at a path, content and all.
#[derive(Clone, PartialEq, Eq)]
pub enum Node {
    /// Nothing.
    Absent,
    /// A plain file with one name.
    File(FileNode),
    /// A directory.
    Directory {
        /// Its permission bits.
        mode: u32,
    },
    /// Something that a run has no business with.
    Other(Odd),
}

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
    /// A file over [`MAX_FILE`](super::MAX_FILE).
    TooLarge,
    /// On the way to it is something other than a directory.
    Blocked,
}

impl fmt::Display for Odd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SymbolicLink => f.write_str("is a symbolic link, which is never followed"),
            Self::Special => f.write_str("is neither a file nor a directory"),
            Self::HardLink => f.write_str("has another name (a hard link), which may lie outside the scope"),
            Self::TooLarge => write!(f, "is over {} bytes, the most a run may touch", super::MAX_FILE),
            Self::Blocked => {
                f.write_str("lies behind a symbolic link or something else that is no directory")
            }
        }
    }
}

/// A file.
#[derive(Clone, PartialEq, Eq)]
pub struct FileNode {
    /// All of it.
    pub content: Vec<u8>,
    /// Its permission bits.
    pub mode: u32,
    /// User and group; none for whoever writes it.
    pub owner: Option<(u32, u32)>,
}

/// What is at a path, without any content: what the journal shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Is {
    /// Nothing.
    Absent,
    /// A plain file with one name.
    File {
        /// Of its content.
        sha256: Digest,
        /// In bytes.
        size: u64,
        /// Its permission bits.
        mode: u32,
    },
    /// A directory.
    Directory {
        /// Its permission bits.
        mode: u32,
    },
    /// Something else.
    Other {
        /// What.
        what: Odd,
    },
}

/// What lies in a directory under one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// A file.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub file: bool,
    /// A directory.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub directory: bool,
}

impl Entry {
    pub(super) fn of(name: &str, node: &Node) -> Option<Self> {
        let (file, directory) = match node {
            Node::Absent => return None,
            Node::File(_) => (true, false),
            Node::Directory { .. } => (false, true),
            Node::Other(_) => (false, false),
        };
        Some(Self { name: name.to_owned(), file, directory })
    }
}

impl Node {
    /// Without its content.
    #[must_use]
    pub fn is(&self) -> Is {
        match self {
            Self::Absent => Is::Absent,
            Self::File(file) => Is::File {
                sha256: Digest::of(&file.content),
                size: file.content.len() as u64,
                mode: file.mode,
            },
            Self::Directory { mode } => Is::Directory { mode: *mode },
            Self::Other(what) => Is::Other { what: *what },
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.is().fmt(f)
    }
}

impl fmt::Debug for FileNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileNode({} bytes)", self.content.len())
    }
}

impl fmt::Display for Is {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("does not exist"),
            Self::File { sha256, size, mode } => {
                write!(f, "is a file of {size} bytes, mode {mode:04o}, {sha256}")
            }
            Self::Directory { mode } => write!(f, "is a directory, mode {mode:04o}"),
            Self::Other { what } => what.fmt(f),
        }
    }
}
